"""One window into one answer: the network's logits, calibrated, and what each modality contributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.temperature import pattern_name
from miar_rt.checkpoint import Checkpoint, load_checkpoint
from miar_rt.engines import Engine, Scores
from miar_rt.engines.choose import choose_engine
from miar_rt.engines.export import input_shapes
from miar_rt.signals import MODALITIES, Modality
from miar_rt.window import ModelInput, WindowBuilder, as_batch

SENTIMENT_LIMIT = 3.0
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Calibrated answer to one window.

    Attributes
    ----------
    probabilities
        float64 ``[7]``, sums to 1.
    sentiment, half_width
        On -3..3, and half the width of its 80 % interval.
    contribution
        Share of the change of the answer when a modality is masked; sums to 1 over the present ones.
    gate
        Weights of the text, audio, vision and fused tokens.
    """

    probabilities: Floats
    sentiment: float
    half_width: float
    contribution: dict[Modality, float]
    gate: dict[str, float]


class Scorer:
    """A checkpoint running in an engine; ``builder`` holds the windows it is asked about."""

    def __init__(self, checkpoint: Checkpoint, engine: Engine) -> None:
        self.checkpoint = checkpoint
        self.engine = engine
        self.builder = WindowBuilder(checkpoint.spec, ignored=checkpoint.ignored_baselines)

    def score(self, t: float, present: Mapping[Modality, bool]) -> Answer | None:
        """Answer for the window that ends at ``t``; ``None`` when no present modality has anything in it."""
        window = self.builder.build(t, self.checkpoint.statistics, present)
        return self.answer(window) if window.presence.any() else None

    def answer(self, window: ModelInput) -> Answer:
        """Answer for a window with at least one modality present."""
        return self.answers([window])[0]

    def warm_up(self, windows: int) -> None:
        """Let the engine make itself ready for up to so many windows at a time, which can take minutes for each."""
        for count in range(1, windows + 1):
            shapes = input_shapes(self.checkpoint.spec, count, patterns=len(MODALITIES) + 1)
            nothing = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            presence = nothing.pop("presence")
            self.engine.score(nothing, presence)

    def answers(self, windows: Sequence[ModelInput]) -> list[Answer]:
        """As ``answer`` for several windows at once, which costs little more than one."""
        if not windows:
            return []
        patterns = np.stack([availability_patterns(window.presence) for window in windows])
        scores = self.engine.score(self.checkpoint.told(as_batch(windows)), patterns.astype(np.float32))
        if not (np.isfinite(scores.logits).all() and np.isfinite(scores.sentiment).all()):
            raise FloatingPointError(f"checkpoint {self.checkpoint.name} answers with what is no number")
        return [self._answer(scores, i, patterns[i]) for i in range(len(windows))]

    def _answer(self, scores: Scores, i: int, patterns: NDArray[np.bool_]) -> Answer:
        logits = scores.logits[i].astype(np.float64)
        probabilities = np.stack([self._calibrated(row, here) for row, here in zip(logits, patterns, strict=True)])
        sentiment = np.clip(scores.sentiment[i].astype(np.float64), -SENTIMENT_LIMIT, SENTIMENT_LIMIT)
        gate = [float(weight) for weight in scores.gate[i, 0]]
        return Answer(
            probabilities=probabilities[0],
            sentiment=float(sentiment[0]),
            half_width=float(scores.spread[i, 0]) * self.checkpoint.interval_factor,
            contribution=_contributions(patterns[0], probabilities, sentiment),
            gate=dict(zip((*MODALITIES, "fused"), gate, strict=True)),
        )

    def _calibrated(self, logits: Floats, pattern: NDArray[np.bool_]) -> Floats:
        name = pattern_name([bool(here) for here in pattern], MODALITIES)
        return self.checkpoint.temperatures.probabilities(logits, name)


def load_scorer(checkpoint: Path | str | None, engine: str, windows: int = 0) -> tuple[Scorer, str]:
    """A scorer, and one line that says which engine it runs in and why; see ``Scorer.warm_up`` for ``windows``.

    Raises
    ------
    CheckpointError, EngineUnavailable, ValueError
        The checkpoint cannot be used; the engine is not to be had here; no such engine.
    """
    loaded = load_checkpoint(checkpoint)
    chosen, why = choose_engine(engine, loaded)
    scorer = Scorer(loaded, chosen)
    scorer.warm_up(windows)
    return scorer, why


def availability_patterns(presence: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[4, 3]``: all that is present, then the same with text, audio and vision masked in turn."""
    masked = presence & ~np.eye(3, dtype=np.bool_)
    return np.concatenate([presence[None], masked])


def _contributions(presence: NDArray[np.bool_], probabilities: Floats, sentiment: Floats) -> dict[Modality, float]:
    """Half the L1 distance between the distributions, plus the move of sentiment on a scale of 0 to 1."""
    change = 0.5 * np.abs(probabilities[1:] - probabilities[0]).sum(axis=1)
    change += np.abs(sentiment[1:] - sentiment[0]) / (2.0 * SENTIMENT_LIMIT)
    change = np.where(presence, change, 0.0)
    if presence.sum() == 1 or change.sum() <= 0.0:
        change = presence.astype(np.float64)
    shares = change / change.sum()
    return {name: float(share) for name, share in zip(MODALITIES, shares, strict=True)}
