"""Results as arrays of steps in time, few enough to be drawn."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import EMOTIONS, MODALITIES
from stream.events import Reason, Result

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

REASONS: tuple[str, ...] = get_args(Reason)
PRESENT = -1
UNSCORED = -1

COLUMNS = 1200
"""More results than this are averaged into so many slices of equal time."""

LONGEST_HOLD = 1.0
"""Seconds for which a result is drawn when no other follows it: a longer silence is a gap."""


class Series:
    """What the picture needs of the results, in arrays."""

    def __init__(self) -> None:
        self._t = array("d")
        self._scores = array("f")
        self._label = array("b")
        self._absent = array("b")

    def extend(self, batch: Sequence[Result]) -> None:
        """Take the next results, in order."""
        for result in batch:
            self._t.append(result.media_time)
            self._scores.extend(_scores(result))
            self._label.append(UNSCORED if result.label is None else EMOTIONS.index(result.label))
            reasons = [result.modalities[name].reason for name in MODALITIES]
            self._absent.extend(PRESENT if reason is None else REASONS.index(reason) for reason in reasons)

    def steps(self) -> Steps:
        """What was said from when to when, in at most ``COLUMNS`` steps."""
        t = np.array(self._t)
        scores = np.array(self._scores, dtype=np.float64).reshape(-1, len(EMOTIONS) + 3)
        absent = np.array(self._absent, dtype=np.int64).reshape(-1, len(MODALITIES))
        label = np.array(self._label, dtype=np.int64)
        scored = scores[label != UNSCORED]
        steps = Steps(
            start=t,
            end=_held_until(t),
            scores=scores,
            label=label,
            absent=absent,
            means=scored.mean(axis=0) if len(scored) else None,
            presence=(absent == PRESENT).mean(axis=0) if len(absent) else None,
        )
        return steps if len(t) <= COLUMNS else _averaged(steps)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """``n`` steps of time.

    Attributes
    ----------
    start, end
        Seconds ``[n]``; a step ends where the next begins, or earlier, before a gap.
    scores
        ``[n, 10]``: probabilities, then sentiment with its low and high bound; NaN where nothing was scored.
    label
        Index into ``EMOTIONS`` ``[n]``, or ``UNSCORED``.
    absent
        Index into ``REASONS`` ``[n, 3]``, or ``PRESENT``.
    means
        Of ``scores`` over all scored results ``[10]``; ``None`` when there is none.
    presence
        Share of all results with each modality present ``[3]``; ``None`` without results.
    """

    start: Floats
    end: Floats
    scores: Floats
    label: Ints
    absent: Ints
    means: Floats | None
    presence: Floats | None

    @property
    def emotions(self) -> Floats:
        """Probabilities ``[n, 7]``."""
        return self.scores[:, : len(EMOTIONS)]

    @property
    def sentiment(self) -> Floats:
        """Value, low and high bound ``[n, 3]``."""
        return self.scores[:, len(EMOTIONS) :]

    def runs(self, codes: Ints) -> Iterator[tuple[int, slice]]:
        """Longest stretches of steps that touch and share a code, each with its code."""
        if not len(codes):
            return
        apart = (np.diff(codes) != 0) | (self.start[1:] - self.end[:-1] > 1e-6)
        bounds = [0, *(np.flatnonzero(apart) + 1).tolist(), len(codes)]
        for first, last in pairwise(bounds):
            yield int(codes[first]), slice(first, last)

    def span(self, run: slice) -> tuple[float, float]:
        """Start and length of a run in seconds."""
        start = float(self.start[run.start])
        return start, float(self.end[run.stop - 1]) - start

    def outline(self, run: slice, values: Floats) -> tuple[Floats, Floats]:
        """Points of a curve through ``values`` over a run, held to its end."""
        return np.append(self.start[run], self.end[run.stop - 1]), np.append(values[run], values[run.stop - 1])


def _scores(result: Result) -> Iterable[float]:
    if result.emotions is None or result.sentiment is None:
        return [math.nan] * (len(EMOTIONS) + 3)
    sentiment = result.sentiment
    return [*(result.emotions[name] for name in EMOTIONS), sentiment.value, sentiment.low, sentiment.high]


def _held_until(t: Floats) -> Floats:
    """A result counts until the next, though not for ever; the last as long as the median one."""
    if not len(t):
        return t
    usual = float(np.median(np.diff(t))) if len(t) > 1 else 0.1
    until: Floats = t + np.minimum(np.append(np.diff(t), usual), LONGEST_HOLD)
    return until


def _averaged(steps: Steps) -> Steps:
    """Slices of equal time: means of what was scored, and what most of the results in a slice say."""
    begin, length = steps.start[0], steps.end[-1] - steps.start[0]
    slices = np.minimum((steps.start - begin) * (COLUMNS / length), COLUMNS - 1).astype(np.int64)
    used, index = np.unique(slices, return_inverse=True)
    label = _most(index, steps.label)
    absent = [_most(index, column) for column in steps.absent.T]
    scored = steps.label != UNSCORED
    totals = np.zeros((len(used), steps.scores.shape[1]))
    np.add.at(totals, index[scored], steps.scores[scored])
    counts = np.bincount(index[scored], minlength=len(used))
    scores = np.where((label == UNSCORED)[:, None], np.nan, totals / np.maximum(counts, 1)[:, None])
    first = np.searchsorted(slices, used)
    last = np.searchsorted(slices, used, side="right") - 1
    return replace(
        steps,
        start=steps.start[first],
        end=steps.end[last],
        scores=scores,
        label=label,
        absent=np.stack(absent, axis=1),
    )


def _most(index: Ints, codes: Ints) -> Ints:
    """The code (-1 and up) that most members of each slice have."""
    votes = np.zeros((int(index.max()) + 1, int(codes.max()) + 2), dtype=np.int64)
    np.add.at(votes, (index, codes + 1), 1)
    most: Ints = votes.argmax(axis=1) - 1
    return most
