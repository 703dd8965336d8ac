"""MulT, the multimodal transformer for sequences that are not aligned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from miar_rt.input_spec import Shapes
from miar_rt.network import MASKED, Attention, MiarConfig
from miar_rt.signals import MODALITIES
from miar_rt.training.peer import Inputs, Peer

LAYERS, HEAD = 4, 4
PUBLISHED_SHARE = 40 / 128
"""Of MIAR's width: 40 channels, as published for CMU-MOSI, beside the 128 of the live network."""


class _Crossmodal(nn.Module):
    """MulT's crossmodal transformer (eq. 5-7): the target reads the source's lowest features, layer by layer.

    Without a source the sequence reads itself.
    """

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(Attention(width, width // HEAD) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers))
        self.feedforwards = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
            for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.LayerNorm(width)

    def forward(self, target: Tensor, bias: Tensor, source: Tensor | None = None) -> Tensor:
        """``target [B, T, d]`` after reading ``source [B, S, d]`` under ``bias [B, 1, S]``."""
        for i, (attention, feedforward) in enumerate(zip(self.attentions, self.feedforwards, strict=True)):
            norm = self.norms[2 * i]
            read = attention(norm(target), norm(target if source is None else source), bias)
            target = target + self.dropout(read)
            target = target + self.dropout(feedforward(self.norms[2 * i + 1](target)))
        out: Tensor = self.out(target)
        return out


def _positions(steps: int, width: int) -> Tensor:
    """Sinusoidal positions ``[steps, width]`` (Vaswani et al., NeurIPS 2017)."""
    angles = torch.arange(steps).unsqueeze(1) * torch.exp(torch.arange(0, width, 2) * (-math.log(1e4) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class MulT(Peer):
    """MulT (Tsai et al., ACL 2019): six crossmodal transformers, three over what they give, the last steps.

    Width 40, ten heads and four blocks as published for CMU-MOSI where MIAR is 128 wide; in proportion elsewhere.
    """

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        width = HEAD * max(round(config.width * PUBLISHED_SHARE / HEAD), 1)
        joint = 6 * width
        super().__init__(joint, shapes)
        self.width = width
        self.project = nn.ModuleList(
            nn.Conv1d(shapes.widths[name], width, 3 if shapes.steps[name] > 1 else 1, padding="same", bias=False)
            for name in MODALITIES
        )
        self.crossmodal = nn.ModuleList(_Crossmodal(width, LAYERS, config.dropout) for _ in range(6))
        self.memory = nn.ModuleList(_Crossmodal(2 * width, 3, config.dropout) for _ in range(3))
        self.residual = nn.Sequential(
            nn.Linear(joint, joint), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(joint, joint)
        )

    def fuse(self, inputs: Inputs, presence: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Peer.fuse``; every pattern is a pass of its own, because the sequences read each other."""
        batch, patterns, _ = presence.shape
        here = presence.flatten(0, 1)
        sequences, biases = [], []
        for i, project in enumerate(self.project):
            mask = inputs.masks[i].repeat_interleave(patterns, 0) * here[:, i : i + 1]
            low = project(inputs.windows[i].transpose(1, 2)).transpose(1, 2).repeat_interleave(patterns, 0)
            low = low * math.sqrt(self.width) + _positions(low.shape[1], self.width).to(low)
            sequences.append(low * mask.unsqueeze(-1))
            biases.append(((1.0 - mask) * MASKED).unsqueeze(1))
        last = torch.cat([self._target(i, sequences, biases) for i in range(3)], dim=-1)
        joint = last + self.residual(last)
        return joint.reshape(batch, patterns, -1), joint.new_zeros(())

    def _target(self, target: int, sequences: list[Tensor], biases: list[Tensor]) -> Tensor:
        """The last step ``[B, 2d]`` of what one modality makes of the two others."""
        sources = [i for i in range(3) if i != target]
        read = [
            self.crossmodal[2 * target + k](sequences[target], biases[i], sequences[i])
            for k, i in enumerate(sources)
        ]
        remembered: Tensor = self.memory[target](torch.cat(read, dim=-1), biases[target])
        return remembered[:, -1]
