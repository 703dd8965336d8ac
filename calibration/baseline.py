"""One person's neutral: how their voice and face are at rest, and what they would be in an average person.

Streaming: a reservoir of rows (Vitter, "Random Sampling with a Reservoir", ACM TOMS 11(1), 1985, algorithm R)
with a fixed seed, so that memory is bounded and the same rows in the same order give the same answer. Up to the
reservoir's size the estimates are exact. Location is the median and spread the interquartile range over 1.349,
which is the standard deviation of normal values: a cough or a laugh of less than a quarter of the time hardly
moves either (Huber and Ronchetti, "Robust Statistics", 2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = TypeVar("Values", bound=NDArray[np.floating[Any]])

RESERVOIR = 1024
NORMAL_QUARTILES = 1.349
"""Distance between the quartiles of a normal distribution, in standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Neutral:
    """What was measured of one person, float64 ``[channels]`` each.

    Attributes
    ----------
    location, spread
        In the channel's own unit; NaN where nothing was measured.
    seconds
        For how long the channel had a value.
    """

    location: Floats
    spread: Floats
    seconds: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """What people are like when neutral, and how fast one person is believed to be different.

    Attributes
    ----------
    location, spread
        float64 ``[channels]``: the middle person's location, and the usual spread within one person. NaN marks
        a location that is no trait of a person, or a spread that nobody has measured: it is left as it is.
    location_seconds, spread_seconds
        After so long the person's own location or spread counts half.
    """

    location: Floats
    spread: Floats
    location_seconds: float
    spread_seconds: float


class NeutralEstimator:
    """Location and spread of channels over rows that come one after another.

    Parameters
    ----------
    channels
        Values in a row.
    rate
        Rows a second.
    capacity
        Rows that are kept at most.
    """

    def __init__(self, channels: int, rate: float, capacity: int = RESERVOIR) -> None:
        self._rate = rate
        self._rows = np.empty((capacity, channels), np.float32)
        self._count = np.zeros(channels, np.int64)
        self._seen = 0
        self._random = np.random.default_rng(0)

    def add(self, rows: NDArray[np.floating[Any]]) -> None:
        """Take rows ``[n, channels]``; what is not finite was not measured."""
        finite = np.isfinite(rows)
        self._count += finite.sum(axis=0)
        for row in np.where(finite, rows, np.nan)[finite.any(axis=1)]:
            slot = self._seen if self._seen < len(self._rows) else int(self._random.integers(self._seen + 1))
            if slot < len(self._rows):
                self._rows[slot] = row
            self._seen += 1

    def neutral(self) -> Neutral:
        """What was measured so far."""
        rows = self._rows[: self._seen].astype(np.float64)
        location, spread = np.full((2, rows.shape[1]), np.nan)
        known = np.isfinite(rows).any(axis=0)
        if not known.any():
            return Neutral(location, spread, self._count / self._rate)
        low, location[known], high = np.nanquantile(rows[:, known], (0.25, 0.5, 0.75), axis=0)
        spread[known] = (high - low) / NORMAL_QUARTILES
        return Neutral(location, spread, self._count / self._rate)


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Takes one person's channels to those of an average person; ``gain`` and ``offset`` float64 ``[channels]``.

    ``(x - person's location) / person's spread * population's spread + population's location``, which leaves an
    unknown person as they are.
    """

    gain: Floats
    offset: Floats

    @classmethod
    def of(cls, neutral: Neutral, population: Population) -> Baseline:
        """The baseline of a person, drawn towards the population by how little of them is known.

        After ``n`` seconds the location is ``w * own + (1 - w) * population`` with ``w = n / (n + n0)``, the
        spread likewise with ``n1``. This is the posterior mean where people's locations are normal around the
        population's with variance ``t`` and ``n`` seconds of one person with variance ``s / n`` around theirs:
        ``n0 = s / t`` (Efron and Morris, "Stein's Estimation Rule and Its Competitors - An Empirical Bayes
        Approach", JASA 68, 1973). ``n1`` is larger, since spreads are estimated less well and differ less.
        """
        location = _drawn(neutral.location, population.location, neutral.seconds, population.location_seconds)
        spread = _drawn(neutral.spread, population.spread, neutral.seconds, population.spread_seconds)
        known = np.isfinite(location)
        gain = np.where(known & np.isfinite(spread), population.spread / np.where(spread > 0.0, spread, 1.0), 1.0)
        return cls(gain, np.where(known, population.location - gain * location, 0.0))

    def apply(self, values: Values) -> Values:
        """The same values ``[..., channels]`` as an average person would have given them, in their own dtype."""
        return cast("Values", (values * self.gain + self.offset).astype(values.dtype))


def _drawn(own: Floats, population: Floats, seconds: Floats, half: float) -> Floats:
    """``own`` drawn towards ``population``; NaN where either has nothing."""
    return np.asarray(population + seconds / (seconds + half) * (own - population))
