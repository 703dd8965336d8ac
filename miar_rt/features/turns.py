"""Who had the floor when, among several people; pure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MOST_TURNS = 64
"""Kept at most: more than fit into the words of a window."""

NOBODY = 0


class Turns:
    """The order in which people had the floor; ids are positive numbers."""

    def __init__(self) -> None:
        self._begin, self._who = [-math.inf], [NOBODY]

    @property
    def taken(self) -> list[tuple[float, int]]:
        """When each turn that is known began, and whose it was."""
        return list(zip(self._begin[1:], self._who[1:], strict=True))

    def resume(self, taken: list[tuple[float, int]]) -> None:
        """Know these turns and no others."""
        self._begin, self._who = [-math.inf, *(t for t, _ in taken)], [NOBODY, *(who for _, who in taken)]

    def give(self, t: float, who: int | None) -> None:
        """From ``t`` on it is the turn of ``who``; what was said of the time before the last turn stays."""
        if (who or NOBODY) == self._who[-1]:
            return
        self._begin.append(max(t, self._begin[-1]))
        self._who.append(who or NOBODY)
        del self._begin[1:-MOST_TURNS], self._who[1:-MOST_TURNS]

    def had(self, times: NDArray[np.float64], who: int) -> NDArray[np.bool_]:
        """Whether ``who`` had the floor at each of ``times``, any shape."""
        turns = np.searchsorted(self._begin, times, side="right") - 1
        return np.asarray(np.array(self._who)[turns] == who)

    def latest(self, who: int, now: float) -> float:
        """When ``who`` had the floor last, up to ``now``; minus infinity for never."""
        if self._who[-1] == who:
            return now
        ends = [end for name, end in zip(self._who, self._begin[1:], strict=False) if name == who]
        return ends[-1] if ends else -math.inf
