"""Whose mouth moves with the sound, among several faces; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from miar_rt.input_spec import ACTION_UNITS, DESCRIPTORS, SPEC
from miar_rt.signals import Face, FeatureFrame

Floats = NDArray[np.float64]

LOUDNESS = DESCRIPTORS.index("Loudness_sma3")
MOUTH = [SPEC.vision_groups["units"].start + ACTION_UNITS.index(unit) for unit in ("AU25", "AU26", "AU20")]
"""Lips apart, jaw down, corners of the mouth apart."""

RATE = 25
WINDOW_SECONDS, FADE_SECONDS, LEAST_SECONDS = 3.0, 2.0, 1.5
"""What is looked back on, how fast it fades, and what has to have been seen of a mouth."""

UNSEEN_SECONDS = 0.5
"""A mouth that was not seen for longer is not judged."""

STILL_OPENING, STILL_SPEED = 0.01, 0.05
"""Eye distances, and those a second: a mouth that moves no more than this agrees with nothing."""

LEAST_AGREEMENT, LEAD = 0.1, 0.1
"""Of a mouth that is believed to speak; and over the one that was believed to until then."""

HOLD_SECONDS = 0.4
"""So long a mouth must lead."""


class Speaker:
    """Compares mouths with the sound and says who speaks.

    Opening follows loudness, and movement follows its rises: over three seconds the mean of the two weighted
    correlations tells a mouth from another that moves to other words (``scripts/bench_faces.py``).

    Attributes
    ----------
    who
        The face that speaks or did so last; ``None`` until one is found out.
    leads
        Which one agrees better by now, and since when.
    """

    def __init__(self) -> None:
        self.who: int | None = None
        self.leads: tuple[int, float] | None = None
        self._loudness = _Trace()
        self._mouths: dict[int, _Trace] = {}

    def heard(self, frame: FeatureFrame) -> None:
        """Take acoustic descriptors."""
        self._loudness.add(frame.t, frame.values[[LOUDNESS]])

    def saw(self, t: float, faces: Iterable[Face]) -> None:
        """Take the faces of a picture."""
        for face in faces:
            self._mouths.setdefault(face.id, _Trace()).add(t, face.values[MOUTH])

    def forget(self, kept: Iterable[int]) -> None:
        """Only these faces are still followed."""
        self._mouths = {name: self._mouths[name] for name in kept if name in self._mouths}
        self.who = self.who if self.who in self._mouths else None

    def judge(self, now: float) -> Mapping[int, float]:
        """How well each mouth agrees with the sound, about -1 to 1, while somebody speaks; ``who`` follows it."""
        seen = {name: mouth for name, mouth in self._mouths.items() if now - mouth.end <= UNSEEN_SECONDS}
        found = {name: self._agreement(mouth) for name, mouth in seen.items()}
        known = {name: one for name, one in found.items() if one is not None}
        best = max(known, key=lambda name: known[name], default=None)
        if best is None or best == self.who or not self._convinces(best, known):
            self.leads = None
        else:
            if self.leads is None or self.leads[0] != best:
                self.leads = best, now
            if now - self.leads[1] >= HOLD_SECONDS:
                self.who = best
        return known

    def _convinces(self, best: int, known: Mapping[int, float]) -> bool:
        others = [one for name, one in known.items() if name != best]
        rival = max(others, default=0.0) if self.who is None else known.get(self.who, 0.0)
        return known[best] >= max(LEAST_AGREEMENT, rival + LEAD)

    def _agreement(self, mouth: _Trace) -> float | None:
        end = min(mouth.end, self._loudness.end)
        begin = max(mouth.begin, self._loudness.begin, end - WINDOW_SECONDS)
        if end - begin < LEAST_SECONDS:
            return None
        times = end - np.arange(int((end - begin) * RATE))[::-1] / RATE
        weights = np.exp((times - end) / FADE_SECONDS)
        units = mouth.at(times)
        (loudness,) = self._loudness.at(times)
        movement = _smooth(np.abs(np.gradient(units, axis=1)).sum(axis=0) * RATE, 5)
        rise = np.maximum(np.gradient(_smooth(loudness, 3)), 0.0)
        opening = _correlation(units[0], _smooth(loudness, 5), weights, STILL_OPENING)
        return (opening + _correlation(movement, rise, weights, STILL_SPEED)) / 2.0


class _Trace:
    """The last seconds of something that is measured now and then."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Floats]] = deque()

    def add(self, t: float, values: NDArray[np.float32]) -> None:
        self._kept.append((t, values.astype(np.float64)))
        while self._kept[0][0] < t - WINDOW_SECONDS - 0.25:
            self._kept.popleft()

    @property
    def begin(self) -> float:
        return self._kept[0][0] if self._kept else np.inf

    @property
    def end(self) -> float:
        return self._kept[-1][0] if self._kept else -np.inf

    def at(self, times: Floats) -> Floats:
        """Values ``[channels, n]`` at times within."""
        kept = [t for t, _ in self._kept]
        return np.stack(
            [np.interp(times, kept, channel) for channel in zip(*(v for _, v in self._kept), strict=True)]
        )


def _smooth(values: Floats, steps: int) -> Floats:
    """Moving average over an odd number of steps."""
    return np.convolve(np.pad(values, steps // 2, mode="edge"), np.ones(steps) / steps, mode="valid")


def _correlation(x: Floats, y: Floats, weights: Floats, floor: float) -> float:
    """Weighted correlation; what ``x`` does within about ``floor`` counts for little."""
    shares = weights / weights.sum()
    x, y = x - shares @ x, y - shares @ y
    spread = (np.sqrt(shares @ np.square(x)) + floor) * np.sqrt(shares @ np.square(y))
    return float(shares @ (x * y) / max(spread, 1e-9))
