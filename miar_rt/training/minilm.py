"""MiniLM-L6 in torch, under the names of its published weights, and low-rank adapters to train it by.

The architecture is BERT's encoder (Devlin et al., NAACL 2019) with the sizes published for all-MiniLM-L6-v2, the
adapters are LoRA (Hu et al., ICLR 2022). They are merged into the weights wherever the encoder runs, so that
reading a text costs the same with and without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from miar_rt.features.text import DOWN, UP
from miar_rt.input_spec import TOKEN_WIDTH

HEADS, LAYERS, INNER = 12, 6, 1536
POSITIONS, NORM_EPSILON = 512, 1e-12


def _projection(columns: int) -> nn.ModuleDict:
    """Names as published: a linear map and the norm that follows it."""
    return nn.ModuleDict(
        {"dense": nn.Linear(columns, TOKEN_WIDTH), "LayerNorm": nn.LayerNorm(TOKEN_WIDTH, eps=NORM_EPSILON)}
    )


def _close(projection: nn.ModuleDict, x: Tensor, residual: Tensor) -> Tensor:
    normalised: Tensor = projection["LayerNorm"](projection["dense"](x) + residual)
    return normalised


class Layer(nn.Module):
    """One post-norm transformer layer over ``[..., tokens, 384]``."""

    def __init__(self) -> None:
        super().__init__()
        heads = nn.ModuleDict({name: nn.Linear(TOKEN_WIDTH, TOKEN_WIDTH) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": heads, "output": _projection(TOKEN_WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(TOKEN_WIDTH, INNER)})
        self.output = _projection(INNER)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Mix ``x`` along the tokens, then along the channels."""
        x = _close(cast("nn.ModuleDict", self.attention["output"]), self._attend(x, bias), x)
        return _close(self.output, nn.functional.gelu(self.intermediate["dense"](x)), x)

    def _attend(self, x: Tensor, bias: Tensor | None) -> Tensor:
        heads = cast("nn.ModuleDict", self.attention["self"])
        query, key, value = (
            heads[name](x).unflatten(-1, (HEADS, -1)).transpose(-3, -2) for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(-2, -1) * (TOKEN_WIDTH // HEADS) ** -0.5
        weights = torch.softmax(scores if bias is None else scores + bias, dim=-1)
        read: Tensor = (weights @ value).transpose(-3, -2).flatten(-2)
        return read


class MiniLm(nn.Module):
    """Word-piece vectors of texts to token embeddings.

    Looking the vectors up stays outside: the table is half of all weights, and who holds it in a mapped file
    reads a few rows of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "position_embeddings": nn.Embedding(POSITIONS, TOKEN_WIDTH),
                "token_type_embeddings": nn.Embedding(2, TOKEN_WIDTH),
                "LayerNorm": nn.LayerNorm(TOKEN_WIDTH, eps=NORM_EPSILON),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, words: Tensor, bias: Tensor | None = None) -> Tensor:
        """Embed texts of segment 0.

        Parameters
        ----------
        words
            ``[..., tokens, 384]`` with the special tokens.
        bias
            Added to the scores of all keys, for example ``[B, 1, 1, tokens]``, to mask padding.
        """
        positions = self.embeddings["position_embeddings"](torch.arange(words.shape[-2]))
        segment = self.embeddings["token_type_embeddings"](torch.zeros(1, dtype=torch.long))
        x: Tensor = self.embeddings["LayerNorm"](words + positions + segment)
        for layer in self.encoder["layer"].children():
            x = layer(x, bias)
        return x


class LowRank(nn.Module):
    """``x W' + x A' B'``: a frozen linear map and a trained difference of low rank, which starts at nothing."""

    def __init__(self, linear: nn.Linear, rank: int, dropout: float) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(requires_grad=False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x [..., in]`` to ``[..., out]``."""
        out: Tensor = self.linear(x) + self.dropout(x) @ self.down.T @ self.up.T
        return out


def adapt(network: MiniLm, rank: int, dropout: float) -> dict[str, LowRank]:
    """Freeze a network and give every linear map of its layers an adapter, in place; the adapters by name."""
    network.requires_grad_(requires_grad=False)
    linear = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    adapters = {}
    for name, module in linear:
        parent, _, own = name.rpartition(".")
        adapters[name] = LowRank(module, rank, dropout)
        cast("nn.ModuleDict", network.get_submodule(parent))[own] = adapters[name]
    return adapters


def adapter_state(adapters: Mapping[str, LowRank]) -> dict[str, Tensor]:
    """Tensors of adapters by name, as ``features.text.merged`` takes them."""
    return {
        f"{name}.{part}": getattr(adapter, part).detach()
        for name, adapter in adapters.items()
        for part in (DOWN, UP)
    }
