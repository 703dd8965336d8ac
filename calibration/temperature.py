"""Temperature scaling: logits into probabilities that mean what they say (Guo et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOW, HIGH = 0.25, 8.0


def softmax(logits: Floats) -> Floats:
    """Probabilities ``[..., classes]`` of logits ``[..., classes]``."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def pattern_name(presence: Sequence[bool], names: Sequence[str]) -> str:
    """Key of an availability pattern, as ``text+vision``; empty when nothing is present."""
    return "+".join(name for name, here in zip(names, presence, strict=True) if here)


class Temperatures:
    """One temperature for each availability pattern; patterns not listed use 1."""

    def __init__(self, by_pattern: Mapping[str, float]) -> None:
        for pattern, value in by_pattern.items():
            if not LOW <= value <= HIGH:
                raise ValueError(f"temperature of {pattern!r} must be within {LOW} to {HIGH}, not {value}")
        self.by_pattern = dict(by_pattern)

    def probabilities(self, logits: Floats, pattern: str) -> Floats:
        """Calibrated probabilities ``[..., classes]`` of logits ``[..., classes]``."""
        return softmax(logits / self.by_pattern.get(pattern, 1.0))


def negative_log_likelihood(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Mean negative natural logarithm of the true class's probability: ``[n, classes]``, ``labels [n]``."""
    picked = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(picked, 1e-12)).mean())


def fit_temperature(
    logits: Floats, labels: NDArray[np.int64], pool: Callable[[Floats], Floats] = np.asarray
) -> float:
    """Temperature that minimises the likelihood loss on held-out data; golden-section in log space.

    Parameters
    ----------
    logits
        float64 ``[windows, classes]`` of samples the network was not trained on.
    labels
        int64 ``[samples]``.
    pool
        Makes the probabilities ``[samples, classes]`` that are read of those of the windows; each window is a
        sample when not given.

    Raises
    ------
    ValueError
        When there is no sample.
    """
    if not len(labels):
        raise ValueError("a temperature needs at least one held-out sample")
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    low, high = np.log(LOW), np.log(HIGH)
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        losses = [negative_log_likelihood(pool(softmax(logits / np.exp(at))), labels) for at in (left, right)]
        if losses[0] < losses[1]:
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2.0))
