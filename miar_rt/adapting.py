"""Running baselines of whoever is before the camera and the microphone, from the network's own answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from calibration.adaptation import People, RunningNeutral
from calibration.baseline import Floats
from miar_rt.neutral import MEASURED, POPULATION, telling
from miar_rt.signals import Array, Modality
from miar_rt.window import WindowBuilder

STRETCH_SECONDS = 1.0
"""So often a stretch is taken, with the mean of the answers during it."""

FORGET_SECONDS = 60.0
"""After so long without a voice or a face somebody else may come."""


@cache
def people() -> Mapping[Modality, People]:
    """How people differ and what moods do to them, by modality (``scripts/make_neutral_people.py``)."""
    with (files("miar_rt.features") / POPULATION).open("rb") as stream, np.load(stream) as stored:
        return {
            name: People(
                *(stored[f"{name}_{part}"].astype(np.float64) for part in ("location", "between", "moods"))
            )
            for name in MEASURED
        }


@dataclass(frozen=True)
class Learned:
    """All that an adapter holds at one moment, in plain numbers.

    Of each modality ``away`` and ``seconds`` of its channels (``RunningNeutral``) and when it was learned from
    ``last``; and the answers since ``begin``.
    """

    away: dict[Modality, list[float]]
    seconds: dict[Modality, list[float]]
    last: dict[Modality, float]
    answers: list[list[float]]
    begin: float | None


class Adapter:
    """Watches the windows of a builder and keeps ``builder.running`` up to date; pure, as the builder is.

    Which stretches it takes depends on the instants of the answers and on nothing else, so that the same calls
    give the same baselines.
    """

    def __init__(self, builder: WindowBuilder) -> None:
        self._builder = builder
        self._running = {name: RunningNeutral(people()[name]) for name in MEASURED}
        self._last: dict[Modality, float] = {}
        self._answers: list[Floats] = []
        self._begin: float | None = None

    def take(self, t: float, probabilities: Floats) -> None:
        """Take the answer ``[classes]`` to the window that ends at ``t``."""
        if self._begin is None or t - self._begin > self._builder.spec.vision_seconds:
            # what came before is not in the window any more
            self._begin, self._answers = t, []
        self._answers.append(probabilities)
        if t - self._begin >= STRETCH_SECONDS:
            self._learn(self._begin, t, np.mean(self._answers, axis=0))
            self._begin, self._answers = t, []

    @property
    def learned(self) -> Learned:
        """What another adapter needs to go on from here."""
        return Learned(
            {name: one.away.tolist() for name, one in self._running.items()},
            {name: one.seconds.tolist() for name, one in self._running.items()},
            dict(self._last),
            [answer.tolist() for answer in self._answers],
            self._begin,
        )

    def resume(self, learned: Learned) -> None:
        """Go on where another adapter was."""
        for name, one in self._running.items():
            one.away, one.seconds = np.array(learned.away[name]), np.array(learned.seconds[name])
        self._last, self._begin = dict(learned.last), learned.begin
        self._answers = [np.array(answer) for answer in learned.answers]
        self._use()

    def _learn(self, begin: float, end: float, probabilities: Floats) -> None:
        spec, window = self._builder.spec, self._builder.raw(end)
        for name in MEASURED:
            rate = spec.audio_rate if name == "audio" else spec.vision_rate
            steps = math.floor(end * rate) - math.floor(begin * rate)
            self._add(name, telling(name, window.values[name][-steps:], spec), rate, end, probabilities)
        self._use()

    def _use(self) -> None:
        found = {name: one.baseline() for name, one in self._running.items()}
        self._builder.running = {name: one for name, one in found.items() if one is not None}

    def _add(self, name: Modality, rows: Array, rate: int, t: float, probabilities: Floats) -> None:
        if not len(rows):
            return
        if t - self._last.get(name, t) > FORGET_SECONDS:
            self._running[name] = RunningNeutral(people()[name])
        self._last[name] = t
        self._running[name].add(usual(rows), probabilities, len(rows) / rate)


def usual(rows: Array) -> Floats:
    """Median of each channel of ``rows [n, channels]``; NaN where nothing was measured."""
    values = np.full(rows.shape[1], np.nan)
    known = np.isfinite(rows).any(axis=0)
    values[known] = np.nanmedian(rows[:, known], axis=0)
    return values
