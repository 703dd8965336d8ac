"""The loss of one training step."""

from __future__ import annotations

import torch
from torch import Tensor

from miar_rt.alignment import AlignmentLoss
from miar_rt.network import Outputs
from miar_rt.training.pairing import (
    CLASSES,
    Corpora,
    Draw,
    Floats,
    class_weights,
    emotion_targets,
    sentiment_targets,
)
from miar_rt.training.recipe import Recipe

SPREAD_WEIGHT = 0.25


class StepLoss:
    """Emotions, sentiment, alignment and the unimodal heads, weighted as the recipe says."""

    def __init__(self, recipe: Recipe, corpora: Corpora, alignment: AlignmentLoss) -> None:
        self._recipe, self._corpora, self._alignment = recipe, corpora, alignment

    def __call__(self, outputs: Outputs, draw: Draw, patterns: Floats) -> dict[str, Tensor]:
        """Losses by name and their ``total``, for answers to ``patterns [P, 3]``."""
        emotion = self._emotion(outputs, draw, patterns)
        sentiment = self._sentiment(outputs, draw, patterns)
        agreeing = torch.from_numpy(draw.agreeing).float()
        alignment = self._alignment(outputs.unimodal, agreeing)
        unimodal = self._unimodal(outputs, draw)
        total = (
            emotion
            + self._recipe.sentiment * sentiment
            + self._recipe.alignment * alignment
            + self._recipe.unimodal * unimodal
        )
        losses = {"emotion": emotion, "sentiment": sentiment, "alignment": alignment, "unimodal": unimodal}
        return losses | {"total": total}

    def _emotion(self, outputs: Outputs, draw: Draw, patterns: Floats) -> Tensor:
        targets, known = (torch.from_numpy(array) for array in emotion_targets(draw, patterns))
        weights = torch.from_numpy(class_weights(self._corpora, patterns))
        smoothed = (1.0 - self._recipe.smoothing) * targets + self._recipe.smoothing / CLASSES
        entropy = -(smoothed * outputs.logits.log_softmax(-1)).sum(-1)
        return weighted_mean(entropy, known * (targets * weights).sum(-1))

    def _sentiment(self, outputs: Outputs, draw: Draw, patterns: Floats) -> Tensor:
        target, trust = (torch.from_numpy(array) for array in sentiment_targets(draw, patterns))
        error = (outputs.sentiment - target).abs()
        likelihood = outputs.spread.log() + error.detach() / outputs.spread
        return weighted_mean(error + SPREAD_WEIGHT * likelihood, trust)

    def _unimodal(self, outputs: Outputs, draw: Draw) -> Tensor:
        targets = torch.from_numpy(draw.emotion)
        entropy = -(targets * outputs.unimodal_logits.log_softmax(-1)).sum(-1)
        error = (outputs.unimodal_sentiment - torch.from_numpy(draw.sentiment)).abs()
        return weighted_mean(entropy, targets.sum(-1)) + weighted_mean(error, torch.from_numpy(draw.trust))


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over columns of each column's weighted mean, for ``[B, columns]``; columns without weight count 0."""
    return ((values * weights).sum(dim=0) / weights.sum(dim=0).clamp(min=1e-6)).mean()
