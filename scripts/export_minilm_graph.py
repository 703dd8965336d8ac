"""Write ``miar_rt/features/minilm.onnx``: MiniLM-L6's graph without its weights, dynamic in length.

The architecture is BERT's encoder (Devlin et al., NAACL 2019) with the sizes published for
all-MiniLM-L6-v2. Parameters keep the names of the published safetensors file, so a session takes them as they
are. Needs the extra ``train``:  python scripts/export_minilm_graph.py
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from miar_rt.engines.weightless import export_graph

WIDTH, HEADS, LAYERS, INNER = 384, 12, 6, 1536
POSITIONS, NORM_EPSILON = 512, 1e-12
OUT = Path(__file__).parents[1] / "miar_rt/features/minilm.onnx"


def _projection(columns: int) -> nn.ModuleDict:
    """Names as published: a linear map and the norm that follows it."""
    return nn.ModuleDict({"dense": nn.Linear(columns, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, eps=NORM_EPSILON)})


def _close(projection: nn.ModuleDict, x: Tensor, residual: Tensor) -> Tensor:
    normalised: Tensor = projection["LayerNorm"](projection["dense"](x) + residual)
    return normalised


class Layer(nn.Module):
    """One post-norm transformer layer over ``[tokens, 384]``."""

    def __init__(self) -> None:
        super().__init__()
        heads = nn.ModuleDict({name: nn.Linear(WIDTH, WIDTH) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": heads, "output": _projection(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER)})
        self.output = _projection(INNER)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``x`` ``[tokens, 384]`` along the tokens, then along the channels."""
        x = _close(cast("nn.ModuleDict", self.attention["output"]), self._attend(x), x)
        return _close(self.output, nn.functional.gelu(self.intermediate["dense"](x)), x)

    def _attend(self, x: Tensor) -> Tensor:
        heads = cast("nn.ModuleDict", self.attention["self"])
        query, key, value = (
            heads[name](x).view(-1, HEADS, WIDTH // HEADS).transpose(0, 1) for name in ("query", "key", "value")
        )
        weights = torch.softmax(query @ key.transpose(1, 2) * (WIDTH // HEADS) ** -0.5, dim=-1)
        read: Tensor = (weights @ value).transpose(0, 1).reshape(-1, WIDTH)
        return read


class MiniLm(nn.Module):
    """Word-piece vectors ``[tokens, 384]`` of one text to embeddings ``[tokens, 384]``.

    Looking the vectors up stays outside: the table is half of all weights, and who holds it in a mapped file
    reads a few rows of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "position_embeddings": nn.Embedding(POSITIONS, WIDTH),
                "token_type_embeddings": nn.Embedding(2, WIDTH),
                "LayerNorm": nn.LayerNorm(WIDTH, eps=NORM_EPSILON),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, words: Tensor) -> Tensor:
        """Embed one text; every token is of segment 0."""
        positions = self.embeddings["position_embeddings"](torch.arange(words.shape[0]))
        segment = self.embeddings["token_type_embeddings"](torch.zeros(1, dtype=torch.long))
        x: Tensor = self.embeddings["LayerNorm"](words + positions + segment)
        for layer in self.encoder["layer"].children():
            x = layer(x)
        return x


def main() -> None:
    """Trace the network with random weights and write its graph."""
    graph = export_graph(MiniLm(), {"words": torch.randn(7, WIDTH)}, ["embeddings"], {"words": {0: "tokens"}})
    OUT.write_bytes(graph.model)
    print(f"{OUT.name}: {len(graph.model) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
