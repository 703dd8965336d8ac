"""Workers together: started, seen to move, and stopped in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from stream.workers import Worker

LOOK_SECONDS = 0.25
HALTED_SECONDS = 4 * LOOK_SECONDS
"""When the thread that watches is so late itself, nobody could move: process or machine were halted."""

log = logging.getLogger("miar.live")


@dataclass
class _Member:
    """A worker's place, how long it may stand still, and whether another may take over."""

    make: Callable[[], Worker]
    patience: float
    replaceable: bool
    worker: Worker
    stalled: bool = False


class Crew:
    """Workers, and a thread that sees whether they move.

    Parameters
    ----------
    stalled
        Called with a worker's name and one line when it does not move any more, and with an empty line when it
        moves again.
    """

    def __init__(self, stalled: Callable[[str, str], None]) -> None:
        self._told = stalled
        self._members: list[_Member] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="miar-watch", daemon=True)

    @property
    def workers(self) -> list[Worker]:
        """Those who have a place now."""
        return [member.worker for member in self._members]

    def add(self, make: Callable[[], Worker], patience: float, replaceable: bool) -> None:
        """Give a place to what ``make`` makes.

        Parameters
        ----------
        patience
            Seconds between two beats after which it has stalled.
        replaceable
            Whether to leave one that stalled behind and make another, which needs its body to keep all state to
            itself and to look at ``stopping`` before it passes anything on.
        """
        self._members.append(_Member(make, patience, replaceable, make()))

    def start(self) -> None:
        """Start everyone."""
        for worker in self.workers:
            worker.start()
        self._thread.start()

    def stop(self, seconds: float) -> list[str]:
        """Ask everyone to stop and wait, so long at most; names of those who are still busy."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        self._ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join(LOOK_SECONDS)
            self._ask_to_stop()  # it may have made another just now
        return [w.name for w in self.workers if not w.join(max(deadline - time.monotonic(), 0.01))]

    def _ask_to_stop(self) -> None:
        for worker in self.workers:
            worker.stop()

    def look(self, now: float) -> None:
        """See who does not move at ``now`` of ``time.monotonic()``, and replace who can be replaced."""
        for member in self._members:
            still = member.worker.still_for(now)
            stalled = still > member.patience
            if stalled and not member.stalled:
                self._stalled(member, f"{member.worker.name} has not moved for {still:.1f} s")
            elif member.stalled and not stalled:
                self._told(member.worker.name, "")
            member.stalled = stalled and not member.replaceable

    def _stalled(self, member: _Member, line: str) -> None:
        self._told(member.worker.name, line)
        if member.replaceable:
            stalled, member.worker = member.worker, member.make()
            member.worker.take_over(stalled, line)
        else:
            log.warning(line)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stop.wait(LOOK_SECONDS):
            now = time.monotonic()
            if now - before < HALTED_SECONDS:
                self.look(now)
            else:
                for worker in self.workers:
                    worker.excuse()
            before = now
