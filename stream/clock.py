"""The capture clock of a session, and how counted samples get their place on it.

Everything that is captured is stamped in seconds on one monotonic clock that starts with the session; only the
protocol turns such a time into Unix time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

ASLEEP_SECONDS = 5.0
"""No callback is so late: sound that is stated so far ahead of the count comes after a machine that slept."""


def awake_and_asleep() -> float:
    """Seconds that never step and, where the system counts them, go on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class CaptureClock:
    """Seconds since the session's start; never steps back, whatever happens to the wall clock.

    A machine that sleeps makes it leap ahead: what was seen before is then as old as it is.

    Parameters
    ----------
    seconds
        What it counts by.
    """

    def __init__(self, seconds: Callable[[], float] = awake_and_asleep) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Let the session start now; only before anything was stamped."""
        self._start = self._seconds()
        self._unix_start = time.time()

    def now(self) -> float:
        """Seconds since the session started."""
        return self._seconds() - self._start

    def from_monotonic(self, stamp: float) -> float:
        """Capture time of a recent stamp of ``time.monotonic()`` (``CLOCK_MONOTONIC``), as drivers give them."""
        age = time.monotonic() - stamp
        # in this order: a thread that is held up between the two makes it late, which is looked for, never early
        return self.now() - age

    def to_unix(self, t: float) -> float:
        """Unix time of capture time ``t``; the wall clock is read once, when the session starts."""
        return self._unix_start + t


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a block of samples lies: ``t`` of its first sample, and how much signal is missing before it."""

    t: float
    missing: float = 0.0


class AudioTimeline:
    """Times of blocks of samples from counting them, held close to what the device says about time.

    The count is exact but knows neither the clock drift of the device nor lost samples. A device's own
    statements ("this block was captured at ...") know both but jitter, nearly always to the late side, as
    callbacks are delayed and never early. So the smallest excess of stated over counted time in the last seconds
    is what is believed: small ones are slewed away, large ones are samples that were lost.

    Parameters
    ----------
    rate
        Samples per second of the device.
    gap
        Seconds by which stated time must lead counted time, all through ``settle`` seconds, to be a gap.
    settle
        Seconds of statements that are looked at. A gap that the device does not announce is found this late,
        and is then reported at the place where it is found.
    slew
        Greatest correction as a fraction of time passed; four times that towards the past, because a block
        cannot have been captured after it is stated to have been.

    Attributes
    ----------
    drift
        Seconds by which counting alone would be ahead of the device's statements by now, less what was missing:
        grows with a device whose clock is fast. All of it is corrected.
    """

    def __init__(self, rate: int, gap: float = 0.08, settle: float = 2.0, slew: float = 0.005) -> None:
        self._rate = rate
        self._gap = gap
        self._settle = settle
        self._slew = slew
        self.drift = 0.0
        self._next: float | None = None
        self._excess: deque[tuple[float, float]] = deque()

    def place(self, samples: int, stated: float, lost: bool = False) -> Placed:
        """Place a block of ``samples``, first one captured at ``stated`` as far as the device knows.

        Parameters
        ----------
        lost
            The device says that samples were lost right before this block: its excess is believed at once.
        """
        duration = samples / self._rate
        t = stated if self._next is None else self._next
        missing = self._missing(t, stated, lost)
        if missing:
            t += missing
            self._excess.clear()
        shift = self._correction(t, stated, duration)
        self.drift -= shift
        self._next = t + duration + shift
        return Placed(t, missing)

    def _missing(self, t: float, stated: float, lost: bool) -> float:
        excess = stated - t
        if lost or excess > ASLEEP_SECONDS:
            return excess if excess > self._gap else 0.0
        settled = bool(self._excess) and t - self._excess[0][0] >= 0.9 * self._settle
        least = min((e for _, e in self._excess), default=0.0)
        return min(least, excess) if settled and min(least, excess) > self._gap else 0.0

    def _correction(self, t: float, stated: float, duration: float) -> float:
        """Seconds to add to the next block's time, after taking this block's statement into account."""
        self._excess.append((t, stated - t))
        while t - self._excess[0][0] > self._settle:
            self._excess.popleft()
        least = min(e for _, e in self._excess)
        settled = t - self._excess[0][0] >= 0.9 * self._settle
        shift = max(least, -4.0 * self._slew * duration) if least < 0.0 else 0.0
        if least > 0.0 and settled:
            shift = min(least * duration / self._settle, self._slew * duration)
        self._excess = deque((at, e - shift) for at, e in self._excess)
        return shift
