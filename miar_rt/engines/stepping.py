"""An engine that outlives its GPU: when it gives out, the next one down the ladder goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import numpy as np

from miar_rt.engines import Engine, EngineFailed, Scores
from miar_rt.engines.export import OUTPUTS
from miar_rt.signals import Array

log = logging.getLogger("miar.engines")


class Stepping:
    """Runs the engine it is given, and on its failure the next of the ``lower`` ones.

    Parameters
    ----------
    engine
        Closed by this one.
    lower
        Opens the engines further down the ladder, one when asked for one.

    Attributes
    ----------
    running
        The engine that runs now.
    name, precision
        Its.
    """

    def __init__(self, engine: Engine, lower: Iterator[Engine]) -> None:
        self._lower = lower
        self._fallen = ""
        self._take(engine)

    def _take(self, engine: Engine) -> None:
        self.running = engine
        self.name, self.precision = engine.name, engine.precision

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words; after a step down, why."""
        return self.running.describe() + self._fallen

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        """Score ``batch`` under ``presence``; see ``Engine``. Raises when no engine is left."""
        while True:
            try:
                scores = self.running.score(batch, presence)
            except EngineFailed as error:
                self._step_down(error)
                continue
            if self.precision == "float32" or _finite(scores):
                return scores
            self._step_down(EngineFailed(f"numbers grew beyond {self.precision}"))

    def _step_down(self, error: EngineFailed) -> None:
        # before the next one is opened: it may need the memory
        self.running.close()
        lower = next(self._lower, None)
        if lower is None:
            raise error
        change = "" if lower.precision == self.precision else f", {lower.precision} instead of {self.precision}"
        self._fallen = f"{change}, since {self.name} gave out: {error}"
        self._take(lower)
        log.warning("engine %s: %s", self.name, self.describe())

    def close(self) -> None:
        """Close the engine that runs."""
        self.running.close()


def _finite(scores: Scores) -> bool:
    return all(np.isfinite(getattr(scores, name)).all() for name in OUTPUTS)
