"""MIAR, a fusion network for language, audio and vision.

An implementation consistent with the abstract of "MIAR" (arXiv 2601.02414): features interact into four
tokens, each holding what one modality extracts from the others and one what all hold together. Where the
abstract is silent the choice is ours and marked *inferred* below.

One pass encodes the three windows once and answers for several availability patterns at a time, because the
live path asks four questions of every window: all that is present, and each modality masked.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from miar_rt.input_spec import SPEC, Shapes
from miar_rt.network_config import MiarConfig as MiarConfig  # noqa: PLC0414 - whoever has the network has its sizes
from miar_rt.signals import MODALITIES, Modality

MASKED = -1e4
"""Added to the score of a key that must not be read: exp() of it is exactly 0, also in half precision."""

TOKENS = 4


class Outputs(NamedTuple):
    """What a forward pass gives, for B windows under P availability patterns.

    Attributes
    ----------
    logits
        ``[B, P, 7]`` emotion logits in the order of ``InputSpec.classes``.
    sentiment, spread
        ``[B, P]``: location on -3..3 and scale of a Laplace distribution.
    gate
        ``[B, P, 4]`` weights of the text, audio, vision and fused tokens; sum to 1, 0 for what is absent.
    unimodal
        ``[B, 3, width]`` each modality's token before it has read the others.
    unimodal_logits, unimodal_sentiment
        ``[B, 3, 7]`` and ``[B, 3]`` answers from each modality alone.
    """

    logits: Tensor
    sentiment: Tensor
    spread: Tensor
    gate: Tensor
    unimodal: Tensor
    unimodal_logits: Tensor
    unimodal_sentiment: Tensor


class Attention(nn.Module):
    """Multi-head attention written out, so that every exporter sees plain matrix products."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1.0 / math.sqrt(width // heads)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
        """Read ``keys [B, K, d]`` by ``queries [B, Q, d]``; ``bias [B, 1 or Q, K]`` masks what is not there."""
        scores = self._split(self.query(queries) * self.scale) @ self._split(self.key(keys)).transpose(2, 3)
        weights = torch.softmax(scores + bias.unsqueeze(1), dim=-1)
        read = (weights @ self._split(self.value(keys))).transpose(1, 2)
        out: Tensor = self.out(read.flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        return x.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)


def _feedforward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
    )


class EncoderLayer(nn.Module):
    """A pre-LN transformer layer (Xiong et al., ICML 2020)."""

    def __init__(self, config: MiarConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.feedforward = _feedforward(config.width, config.feedforward, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Transform ``x [B, T, d]`` with key ``bias [B, 1, T]``."""
        normed = self.norm(x)
        x = x + self.dropout(self.attention(normed, normed, bias))
        out: Tensor = x + self.dropout(self.feedforward(x))
        return out


def masked_moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``[B, 1, C]`` of ``x [B, T, C]`` over the rows where ``mask [B, T]`` is 1."""
    weight = mask.unsqueeze(-1)
    count = weight.sum(dim=1, keepdim=True).clamp(min=1.0)
    mean = (x * weight).sum(dim=1, keepdim=True) / count
    variance = (((x - mean) * weight) ** 2).sum(dim=1, keepdim=True) / count
    return mean, torch.sqrt(variance + 1e-2)


class Adapter(nn.Module):
    """One modality's window into a sequence of width d; the text adapter alone knows the text encoder.

    Inferred: the masked instance norm is a second view beside the absolute values, not a replacement, since
    the level of a voice and the shape of a resting face carry information too.
    """

    def __init__(self, channels: int, steps: int, layers: int, stride: int, config: MiarConfig) -> None:
        super().__init__()
        width = config.width
        self.stride = stride
        self.instance_norm = config.instance_norm
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels * (2 if config.instance_norm else 1), width)
        self.condition = nn.Linear(5, width)
        self.conv = nn.Conv1d(width, width, kernel_size=3, stride=stride, padding=1)
        self.position = nn.Parameter(0.02 * torch.randn(1, math.ceil(steps / stride), width))
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(layers))
        self.out = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Encode ``x [B, T, C]`` with ``mask [B, T]`` and ``condition [B, 5]``: ``[B, T', d]`` and its mask."""
        views = self.norm(x)
        if self.instance_norm:
            mean, deviation = masked_moments(x, mask)
            views = torch.cat([views, (x - mean) / deviation], dim=-1)
        hidden = self.dropout(self.project(views) + self.condition(condition).unsqueeze(1)) * mask.unsqueeze(-1)
        hidden = nn.functional.gelu(self.conv(hidden.transpose(1, 2))).transpose(1, 2) + hidden[:, :: self.stride]
        mask = nn.functional.max_pool1d(mask.unsqueeze(1), 3, stride=self.stride, padding=1).squeeze(1)
        # the newest step has the last position, so that training may leave empty old steps out
        hidden = hidden + self.position[:, -hidden.shape[1] :]
        for layer in self.layers:
            hidden = layer(hidden, _bias(mask).unsqueeze(1))
        return self.out(hidden), mask


def _bias(mask: Tensor) -> Tensor:
    """0 where the mask is 1, ``MASKED`` where it is 0."""
    return (1.0 - mask) * MASKED


class InteractionLayer(nn.Module):
    """Tokens read their own sequence, then the other two; the fused token also reads the three tokens.

    Inferred: a token stands for its sequence before it reads the others, which costs four queries instead of
    a whole sequence of them. A learned null key makes reading nothing well defined.
    """

    def __init__(self, config: MiarConfig) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(3))
        self.own = Attention(config.width, config.heads)
        self.others = Attention(config.width, config.heads)
        self.among = Attention(config.width, config.heads)
        self.feedforward = _feedforward(config.width, config.feedforward, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def read_own(self, tokens: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
        """Let ``tokens [B, Q, d]`` read ``keys [B, K, d]`` under ``bias [B, Q, K]``."""
        read: Tensor = self.dropout(self.own(self.norms[0](tokens), keys, bias))
        return tokens + read

    def interact(self, tokens: Tensor, keys: Tensor, others: Tensor, among: Tensor) -> Tensor:
        """Let tokens ``[B, P*4, d]`` read the other sequences, and each other under ``among [B*P, 4, 4]``."""
        tokens = tokens + self.dropout(self.others(self.norms[1](tokens), keys, others))
        normed = self.norms[2](tokens).reshape(-1, TOKENS, tokens.shape[-1])
        tokens = tokens + self.dropout(self.among(normed, normed, among)).reshape(tokens.shape)
        out: Tensor = tokens + self.dropout(self.feedforward(tokens))
        return out


def own_matrix() -> Tensor:
    """``[4, 3]``: which sequences each token reads as its own (the fused token reads all)."""
    return torch.cat([torch.eye(3), torch.ones(1, 3)])


def others_matrix() -> Tensor:
    """``[4, 3]``: which sequences each token reads as the others'."""
    return torch.cat([1.0 - torch.eye(3), torch.ones(1, 3)])


class Miar(nn.Module):
    """The whole network; see ``Outputs`` for what it gives."""

    own: Tensor
    others: Tensor
    itself: Tensor

    def __init__(self, config: MiarConfig | None = None, spec: Shapes = SPEC) -> None:
        super().__init__()
        self.config = config = config or MiarConfig()
        layers: dict[Modality, int] = {
            "text": config.text_layers,
            "audio": config.audio_layers,
            "vision": config.vision_layers,
        }
        self.adapters = nn.ModuleDict(
            {
                name: Adapter(
                    spec.widths[name],
                    spec.steps[name],
                    layers[name],
                    config.audio_stride if name == "audio" else 1,
                    config,
                )
                for name in MODALITIES
            }
        )
        width, classes = config.width, len(spec.classes)
        self.tokens = nn.Parameter(0.02 * torch.randn(TOKENS, width))
        self.null = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.kinds = nn.Parameter(0.02 * torch.randn(3, width))
        self.first = InteractionLayer(config)
        self.deeper = nn.ModuleList(InteractionLayer(config) for _ in range(config.interaction_layers - 1))
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 1)
        self.emotion = nn.Linear(width, classes)
        self.sentiment = nn.Linear(width, 2)
        self.unimodal_emotion = nn.ModuleList(nn.Linear(width, classes) for _ in MODALITIES)
        self.unimodal_sentiment = nn.ModuleList(nn.Linear(width, 1) for _ in MODALITIES)
        self.register_buffer("own", own_matrix(), persistent=False)
        self.register_buffer("others", others_matrix(), persistent=False)
        self.register_buffer("itself", torch.eye(TOKENS), persistent=False)

    def forward(  # noqa: PLR0913, PLR0917 - the inputs are the exported graph's, by name
        self,
        text: Tensor,
        text_mask: Tensor,
        audio: Tensor,
        audio_mask: Tensor,
        vision: Tensor,
        vision_mask: Tensor,
        groups: Tensor,
        baseline: Tensor,
        presence: Tensor,
    ) -> Outputs:
        """Score windows (shapes as ``window.as_batch`` gives them) under ``presence [B, P, 3]``."""
        keys, kind_of_key, key_mask = self._encode(
            (text, audio, vision), (text_mask, audio_mask, vision_mask), groups, baseline
        )
        unimodal = self._unimodal(keys, kind_of_key, key_mask)
        tokens = self._interact(keys, kind_of_key, key_mask, presence)
        return self._answer(tokens, unimodal, presence)

    def _encode(
        self, windows: tuple[Tensor, ...], masks: tuple[Tensor, ...], groups: Tensor, baseline: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Keys ``[B, 1 + T, d]`` with the null key first, their kind ``[3, T]`` one-hot, their mask ``[B, T]``."""
        sequences, kept, kinds = [], [], []
        for i, name in enumerate(MODALITIES):
            # the face's groups are the face's alone: told to the others they would outlive its masking
            own_groups = groups if name == "vision" else torch.zeros_like(groups)
            condition = torch.cat([own_groups, baseline[:, i : i + 1]], dim=1)
            sequence, mask = self.adapters[name](windows[i], masks[i], condition)
            sequences.append(sequence + self.kinds[i])
            kept.append(mask)
            kinds.append(self.itself[i, :3].unsqueeze(1).expand(-1, sequence.shape[1]))
        null = self.null.expand(groups.shape[0], -1, -1)
        return torch.cat([null, *sequences], dim=1), torch.cat(kinds, dim=1), torch.cat(kept, dim=1)

    def _unimodal(self, keys: Tensor, kind_of_key: Tensor, key_mask: Tensor) -> Tensor:
        """Each modality's token ``[B, 3, d]`` after it has read nothing but its own sequence."""
        allowed = kind_of_key.unsqueeze(0) * key_mask.unsqueeze(1)
        tokens = self.tokens[:3].unsqueeze(0).expand(keys.shape[0], -1, -1)
        return self.first.read_own(tokens, keys, _with_null(allowed))

    def _interact(self, keys: Tensor, kind_of_key: Tensor, key_mask: Tensor, presence: Tensor) -> Tensor:
        """Four tokens for every pattern, ``[B, P, 4, d]``."""
        batch, patterns, _ = presence.shape
        here = (presence @ kind_of_key) * key_mask.unsqueeze(1)
        own = ((self.own @ kind_of_key) * here.unsqueeze(2)).flatten(1, 2)
        others = ((self.others @ kind_of_key) * here.unsqueeze(2)).flatten(1, 2)
        among = self._among(presence)
        tokens = self.tokens.repeat(patterns, 1).unsqueeze(0).expand(batch, -1, -1)
        for layer in (self.first, *self.deeper):
            tokens = layer.read_own(tokens, keys, _with_null(own))
            if self.config.interaction:
                tokens = layer.interact(tokens, keys, _with_null(others), among)
        return tokens.reshape(batch, patterns, TOKENS, -1)

    def _among(self, presence: Tensor) -> Tensor:
        """Bias ``[B*P, 4, 4]``: a modality's token reads itself, the fused one all present ones and itself."""
        fused_row = nn.functional.pad(presence.flatten(0, 1), (0, 1)).unsqueeze(1) * self.itself[3].unsqueeze(1)
        return _bias(torch.clamp(self.itself + fused_row, max=1.0))

    def _open(self, presence: Tensor) -> Tensor:
        """Which of the four tokens the gate may choose, ``[B, P, 4]``."""
        return nn.functional.pad(presence, (0, 1), value=1.0)

    def _answer(self, tokens: Tensor, unimodal: Tensor, presence: Tensor) -> Outputs:
        normed = self.norm(tokens)
        open_gates = self._open(presence)
        scores = self.gate(normed).squeeze(-1) if self.config.gate else torch.zeros_like(open_gates)
        gate = torch.softmax(scores + _bias(open_gates), dim=-1)
        joint = (gate.unsqueeze(-1) * normed).sum(dim=2)
        sentiment = self.sentiment(joint)
        return Outputs(
            logits=self.emotion(joint),
            sentiment=sentiment[..., 0],
            spread=nn.functional.softplus(sentiment[..., 1]) + 0.05,
            gate=gate,
            unimodal=unimodal,
            unimodal_logits=torch.stack([head(unimodal[:, i]) for i, head in enumerate(self.unimodal_emotion)], 1),
            unimodal_sentiment=torch.cat(
                [head(unimodal[:, i]) for i, head in enumerate(self.unimodal_sentiment)], dim=1
            ),
        )


def _with_null(allowed: Tensor) -> Tensor:
    """Bias ``[B, Q, 1 + T]`` for allowed keys ``[B, Q, T]``, the null key always readable."""
    return _bias(nn.functional.pad(allowed, (1, 0), value=1.0))
