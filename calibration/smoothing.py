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


class LabelHysteresis:
    """The label changes only when another class leads by ``margin``."""

    def __init__(self, margin: float = 0.05) -> None:
        self._margin = margin
        self._label: int | None = None

    def update(self, probabilities: NDArray[np.float64]) -> int:
        """Index of the label for probabilities ``[n]``."""
        best = int(np.argmax(probabilities))
        if self._label is None or probabilities[best] - probabilities[self._label] >= self._margin:
            self._label = best
        return self._label

    def reset(self) -> None:
        """Forget the label held, after a stretch without any score."""
        self._label = None
