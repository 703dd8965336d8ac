"""Answers as they go out: smoothed, named, rounded, and beside them what was present."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.smoothing import ExponentialSmoother, LabelHysteresis
from miar_rt.signals import MODALITIES, Modality
from stream.events import DECIMALS, ModalityState, Sentiment
from stream.presence import Availability
from stream.scoring import SENTIMENT_LIMIT, Answer


class Verdict(TypedDict):
    """Fields of a result, and of each of its faces."""

    emotions: dict[str, float] | None
    raw_emotions: dict[str, float] | None
    label: str | None
    confidence: float | None
    sentiment: Sentiment | None
    modalities: dict[str, ModalityState]


class Verdicts:
    """The answers to one window, one after another.

    Parameters
    ----------
    classes
        Names of the emotions.
    half_life
        Seconds after which half of an old probability has faded.

    Attributes
    ----------
    smoother, hysteresis
        What the next answer is smoothed with, and named against.
    """

    def __init__(self, classes: Sequence[str], half_life: float) -> None:
        self._classes = classes
        self.smoother = ExponentialSmoother(half_life)
        self.hysteresis = LabelHysteresis()

    def of(self, now: float, found: Mapping[Modality, Availability], answer: Answer | None) -> Verdict:
        """What is said at ``now``; without an answer no score is invented."""
        if answer is None:
            self.hysteresis.reset()
            states = _states(now, found, dict.fromkeys(MODALITIES, 0.0))
            return Verdict(
                emotions=None, raw_emotions=None, label=None, confidence=None, sentiment=None, modalities=states
            )
        smoothed = self.smoother.update(now, np.append(answer.probabilities, answer.sentiment))
        emotions, sentiment = smoothed[:-1], float(smoothed[-1])
        best = self.hysteresis.update(emotions)
        return Verdict(
            emotions=_by_class(self._classes, emotions),
            raw_emotions=_by_class(self._classes, answer.probabilities),
            label=self._classes[best],
            confidence=round(float(emotions[best]), DECIMALS),
            sentiment=_sentiment(sentiment, answer.half_width),
            modalities=_states(now, found, answer.contribution),
        )


def weights(answer: Answer | None) -> dict[str, float]:
    """A result's ``gate``."""
    if answer is None:
        return dict.fromkeys((*MODALITIES, "fused"), 0.0)
    return {name: round(weight, DECIMALS) for name, weight in answer.gate.items()}


def _states(
    now: float, found: Mapping[Modality, Availability], contribution: Mapping[Modality, float]
) -> dict[str, ModalityState]:
    return {
        name: ModalityState(
            present=state.present,
            reason=state.reason,
            age_ms=None if state.newest is None else round(max(now - state.newest, 0.0) * 1e3, 3),
            contribution=round(contribution[name], DECIMALS),
        )
        for name, state in found.items()
    }


def _by_class(classes: Iterable[str], probabilities: NDArray[np.float64]) -> dict[str, float]:
    return {name: round(float(p), DECIMALS) for name, p in zip(classes, probabilities, strict=True)}


def _sentiment(value: float, half_width: float) -> Sentiment:
    return Sentiment(
        value=round(value, DECIMALS),
        low=round(max(value - half_width, -SENTIMENT_LIMIT), DECIMALS),
        high=round(min(value + half_width, SENTIMENT_LIMIT), DECIMALS),
    )
