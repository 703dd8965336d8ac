"""Smoothing over irregular intervals, and a label that does not flicker."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


class ExponentialSmoother:
    """Exponential smoothing whose half-life is in seconds, so that the rate of results does not matter.

    A mixture of distributions is a distribution: probabilities stay probabilities. After a pause longer than
    ``reset_after`` seconds the first value is taken as it is: what was felt before a long absence says
    nothing about now.
    """

    def __init__(self, half_life: float = 0.4, reset_after: float = 3.0) -> None:
        if half_life <= 0:
            raise ValueError(f"half-life must be positive seconds, not {half_life}")
        self._half_life = half_life
        self._reset_after = reset_after
        self._state: NDArray[np.float64] | None = None
        self._t = -math.inf

    def update(self, t: float, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take ``values [n]`` at ``t`` seconds, give the smoothed ones."""
        elapsed = t - self._t
        if self._state is None or elapsed > self._reset_after:
            self._state = values.copy()
        else:
            keep = 0.5 ** (max(elapsed, 0.0) / self._half_life)
            self._state = keep * self._state + (1.0 - keep) * values
        self._t = t
        return self._state

    @property
    def state(self) -> tuple[float, list[float]] | None:
        """When values were smoothed last, and what came out; ``None`` before that."""
        return None if self._state is None else (self._t, self._state.tolist())

    def resume(self, state: tuple[float, list[float]] | None) -> None:
        """Go on where another smoother was."""
        self._t, self._state = (-math.inf, None) if state is None else (state[0], np.array(state[1]))


class LabelHysteresis:
    """The label changes only when another class leads by ``margin``.

    Attributes
    ----------
    label
        Index of the label held, if any is.
    """

    def __init__(self, margin: float = 0.05) -> None:
        self._margin = margin
        self.label: int | None = None

    def update(self, probabilities: NDArray[np.float64]) -> int:
        """Index of the label for probabilities ``[n]``."""
        best = int(np.argmax(probabilities))
        if self.label is None or probabilities[best] - probabilities[self.label] >= self._margin:
            self.label = best
        return self.label

    def reset(self) -> None:
        """Forget the label held, after a stretch without any score."""
        self.label = None
