"""Threads that are watched: each owns its state, stops within a second and never dies silently."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

RESTARTS = 5
FIRST_BACKOFF, LONGEST_BACKOFF = 0.25, 5.0
LOOK_AGAIN_SECONDS = 1.0
"""From one look for a lost device to the next: whoever plugs it in again should not have to wait."""

HEALTHY_SECONDS = 10.0
"""A worker that ran so long since it last crashed starts counting anew."""

log = logging.getLogger("miar.live")
Item = TypeVar("Item")


class DeviceLost(Exception):  # noqa: N818 - it names what happened to the device
    """The device behind a worker went away; it may come back."""


class DeviceGone(DeviceLost):
    """What was lost cannot come back."""


class Mailbox(Generic[Item]):
    """A bounded queue that loses its oldest item rather than wait, and counts what it lost."""

    def __init__(self, capacity: int) -> None:
        self._queue: queue.Queue[Item] = queue.Queue(capacity)
        self.dropped = 0

    @property
    def depth(self) -> int:
        """Items that wait."""
        return self._queue.qsize()

    def put(self, item: Item) -> None:
        """Add an item; never waits."""
        while True:
            try:
                self._queue.put_nowait(item)
            except queue.Full:
                self._drop_oldest()
            else:
                return

    def take(self, timeout: float, limit: int = sys.maxsize) -> list[Item]:
        """What waits, at most ``limit`` items in order; waits up to ``timeout`` seconds for the first."""
        items: list[Item] = []
        try:
            items.append(self._queue.get(timeout=timeout))
            while len(items) < limit:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return items

    def _drop_oldest(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return
        self.dropped += 1


class Worker:
    """One supervised thread.

    ``body`` is run with the worker and returns when its work is done or ``stopping`` is set. When it raises,
    it is run again after a pause: for a lost device as often as it takes, for a crash at most ``RESTARTS``
    times in a row; then, or when the device is gone for good, ``failed`` is called with the cause and the
    thread ends. What is raised once ``stopping`` is set ends the thread and nothing else.

    Parameters
    ----------
    name
        Of the thread, and in the log.
    body
        What to do.
    lost, failed
        Called from the thread, with one line, when a device is lost and when the worker gives up.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[Worker], None],
        lost: Callable[[str], None],
        failed: Callable[[str], None],
    ) -> None:
        self.name = name
        self._body = body
        self._lost = lost
        self._failed = failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"miar-{name}", daemon=True)
        self._began = self._ran = 0.0
        self._beaten: float | None = None
        self._crashes = 0
        self._inherited: str | None = None
        self.restarts = 0

    @property
    def stopping(self) -> bool:
        """Whether the body should return."""
        return self._stop.is_set()

    @property
    def running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread.is_alive()

    def beat(self) -> None:
        """Say that the body moves; one that did so once must go on doing so."""
        self._beaten = time.monotonic()

    def still_for(self, now: float) -> float:
        """Seconds since the last beat at ``now`` of ``time.monotonic()``; 0 while it cannot be expected to move."""
        beaten = self._beaten
        return 0.0 if beaten is None or self.stopping or not self.running else now - beaten

    def excuse(self) -> None:
        """Count its stillness from now."""
        if self._beaten is not None:
            self.beat()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take_over(self, stalled: Worker, cause: str) -> None:
        """Begin in the place of one that stalled, which counts as its crash; that one ends if it moves again."""
        stalled.stop()
        self.restarts = stalled.restarts + 1
        self._began, self._ran, self._crashes = stalled._began, stalled._ran, stalled._crashes
        self._inherited = cause
        self.start()

    def stop(self) -> None:
        """Ask the body to return; does not wait."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait for the end; True when it has come."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._inherited is not None and self._hopeless("stalled", self._inherited):
            return
        while not self.stopping:
            self._began = time.monotonic()
            try:
                self._do()
            except DeviceLost as error:
                ran = time.monotonic() - self._began
                self._ran += ran
                if self._gone(error):
                    return
                pause = max(FIRST_BACKOFF, LOOK_AGAIN_SECONDS - ran)
            except Exception as error:
                if self._hopeless("crashed", f"{type(error).__name__}: {error}"):
                    return
                pause = min(FIRST_BACKOFF * 2.0 ** (self._crashes - 1), LONGEST_BACKOFF)
            else:
                return
            self.restarts += 1
            self._stop.wait(pause)

    def _do(self) -> None:
        try:
            self._body(self)
        finally:
            self._beaten = None

    def _gone(self, error: DeviceLost) -> bool:
        """Whether there is nothing to wait for after a device was lost; says so, or that it was lost."""
        gone = isinstance(error, DeviceGone)
        if not self.stopping:
            (self._failed if gone else self._lost)(str(error))
        return gone

    def _hopeless(self, what: str, cause: str) -> bool:
        """Whether to give up after it crashed or stalled so often; says so."""
        if self.stopping:
            log.debug("%s %s while it was stopped", self.name, what, exc_info=True)
            return True
        ran, self._ran = self._ran + time.monotonic() - self._began, 0.0
        self._crashes = count = 1 + self._crashes * (ran < HEALTHY_SECONDS)
        trace = log.isEnabledFor(logging.DEBUG)
        if count <= RESTARTS:
            told = (self.name, what, count, RESTARTS, cause)
            log.warning("%s %s and starts anew (%d of %d): %s", *told, exc_info=trace)
            return False
        log.error("%s gave up after %d restarts: %s", self.name, RESTARTS, cause, exc_info=trace)
        self._failed(f"{self.name} gave up after {RESTARTS} restarts: {cause}")
        return True
