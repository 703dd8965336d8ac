"""Alignment of the modalities' tokens by contrast and normalisation, in training only."""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor, nn


class AlignmentLoss(nn.Module):
    """InfoNCE between the unimodal tokens of one sample (van den Oord et al., arXiv 1807.03748).

    Tokens pass an affine-free batch norm and are scaled to length 1 first; the temperature is learned. A pair
    with a missing member is dropped. Parameters: ``width`` of the tokens and whether to ``normalise`` them by
    batch (an ablation).
    """

    def __init__(self, width: int, normalise: bool = True) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width, affine=False) if normalise else nn.Identity() for _ in range(3)
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(1.0 / 0.1)))

    def forward(self, unimodal: Tensor, presence: Tensor) -> Tensor:
        """Mean loss over pairs for tokens ``[B, 3, d]`` and presence ``[B, 3]``; 0 when no pair has two samples."""
        losses = [
            self._pair(unimodal[here, first], unimodal[here, second], first, second)
            for first, second in combinations(range(3), 2)
            if int((here := (presence[:, first] * presence[:, second]) > 0).sum()) > 1
        ]
        return torch.stack(losses).mean() if losses else unimodal.new_zeros(())

    def _pair(self, a: Tensor, b: Tensor, first: int, second: int) -> Tensor:
        a = nn.functional.normalize(self.norms[first](a), dim=-1)
        b = nn.functional.normalize(self.norms[second](b), dim=-1)
        similarity = a @ b.T * self.log_scale.clamp(max=math.log(100.0)).exp()
        target = torch.arange(len(a), device=a.device)
        loss = nn.functional.cross_entropy
        return 0.5 * (loss(similarity, target) + loss(similarity.T, target))
