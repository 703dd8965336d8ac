"""Keeps a recogniser near the present, and says which sound its words do not cover."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import WordsUpdate
from stream.asr import Recogniser
from stream.asr.utterances import SAMPLE_RATE

MAX_LAG_S = 8.0
CAUGHT_UP_S = 0.5
_JUMP_S = 0.05


class Follower:
    """A recogniser that skips sound rather than fall ever further behind, and reports every stretch not decoded.

    Keeps the contract it is given. A gap is reported by the update that ends it, in ``WordsUpdate.gap``.

    Parameters
    ----------
    recogniser
        Does the work; closed with this one.
    clock
        The capture clock's present, in live use; ``None`` where time waits for the recogniser: nothing is skipped.
    max_lag_s
        Once sound is this old when its turn comes, the recogniser is stopped until nearly level with the present.
    """

    def __init__(
        self, recogniser: Recogniser, clock: Callable[[], float] | None, max_lag_s: float = MAX_LAG_S
    ) -> None:
        self.kind = recogniser.kind
        self.name = recogniser.name
        self._recogniser = recogniser
        self._clock = clock
        self._max_lag_s = max_lag_s
        self._skipping = False
        self._heard_to: float | None = None
        self._offered_to: float | None = None

    def push(self, t: float, samples: NDArray[np.int16], speech: bool) -> list[WordsUpdate]:
        """As ``Recogniser.push``."""
        self._offered_to = t_end = t + len(samples) / SAMPLE_RATE
        if self._behind(t_end):
            return self._stop(t)
        missed = self._missed(t)
        self._heard_to = t_end
        return missed + self._recogniser.push(t, samples, speech)

    def gap(self, t0: float, t1: float) -> None:
        """As ``Recogniser.gap``; reported once sound goes on."""
        self._recogniser.gap(t0, t1)

    def abandon(self) -> list[WordsUpdate]:
        """As ``Recogniser.abandon``."""
        return self._recogniser.abandon()

    def finish(self) -> list[WordsUpdate]:
        """As ``Recogniser.finish``."""
        missed = [] if self._offered_to is None else self._missed(self._offered_to)
        return missed + self._recogniser.finish()

    def close(self) -> None:
        """As ``Recogniser.close``."""
        self._recogniser.close()

    def _behind(self, t: float) -> bool:
        lag = 0.0 if self._clock is None else self._clock() - t
        return lag > (CAUGHT_UP_S if self._skipping else self._max_lag_s)

    def _stop(self, t: float) -> list[WordsUpdate]:
        if self._skipping:
            return []
        self._skipping = True
        updates = self._recogniser.abandon()
        # what was given up is part of the gap that now begins
        given_up = [update.gap[0] for update in updates if update.gap]
        self._heard_to = min(given_up, default=t if self._heard_to is None else self._heard_to)
        return [update for update in updates if not update.gap]

    def _missed(self, t: float) -> list[WordsUpdate]:
        """The gap before sound that was captured at ``t``, if there is one."""
        self._skipping = False
        if self._heard_to is None or t - self._heard_to <= _JUMP_S:
            return []
        gap, self._heard_to = (self._heard_to, t), t
        return [WordsUpdate(t, self.kind, gap=gap)]
