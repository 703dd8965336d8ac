"""Workers that hang are noticed and replaced; a halted process blames nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from stream import supervision
from stream.supervision import Crew
from stream.workers import RESTARTS, DeviceGone, Worker

LONG = 30.0


class Hanging:
    """A crew of one whose first ``hangs`` threads hang after a beat until ``free`` is set."""

    def __init__(self, hangs: int, replaceable: bool = True, patience: float = 1.0) -> None:
        self.free, self.at_work, self.hanging = threading.Event(), threading.Event(), threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.failed: list[str] = []
        self.told: list[tuple[str, str]] = []
        self._left = hangs
        self.crew = Crew(lambda name, line: self.told.append((name, line)))
        self.crew.add(self._make, patience, replaceable)

    def _make(self) -> Worker:
        return Worker("look", self._body, print, self.failed.append)

    def _body(self, worker: Worker) -> None:
        worker.beat()
        if self._left:
            self._left -= 1
            self.hanging.release()
            assert self.free.wait(LONG)
        while not worker.stopping:
            worker.beat()
            self.at_work.set()
            time.sleep(0.001)
        self.ended.release()


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks but the test."""
    monkeypatch.setattr(supervision, "LOOK_SECONDS", 1000.0)


def later() -> float:
    """A moment at which nobody has moved for long."""
    return time.monotonic() + 50.0


@pytest.mark.usefixtures("by_hand")
def test_one_that_hangs_is_replaced_and_ends_once_it_moves(caplog: pytest.LogCaptureFixture) -> None:
    hanging = Hanging(1)
    hanging.crew.start()
    assert hanging.hanging.acquire(timeout=LONG)
    (first,) = hanging.crew.workers
    hanging.crew.look(time.monotonic())
    assert hanging.crew.workers == [first]
    hanging.crew.look(later())
    (second,) = hanging.crew.workers
    assert second is not first
    assert hanging.at_work.wait(LONG)
    assert second.restarts == 1
    ((name, line),) = hanging.told
    assert name == "look"
    assert line.startswith("look has not moved for 5")
    assert caplog.messages == [f"look stalled and starts anew (1 of 5): {line}"]
    hanging.free.set()
    assert first.join(LONG)
    assert hanging.crew.stop(LONG) == []


@pytest.mark.usefixtures("by_hand")
def test_one_that_hangs_again_and_again_is_given_up() -> None:
    hanging = Hanging(RESTARTS + 1)
    hanging.crew.start()
    for _ in range(RESTARTS + 1):
        assert hanging.hanging.acquire(timeout=LONG)
        hanging.crew.look(later())
    (last,) = hanging.crew.workers
    assert last.join(LONG)
    (cause,) = hanging.failed
    assert cause.startswith("look gave up after 5 restarts: look has not moved for 5")
    hanging.free.set()
    assert hanging.crew.stop(LONG) == []


@pytest.mark.usefixtures("by_hand")
def test_one_that_cannot_be_replaced_is_told_and_told_again_when_it_moves() -> None:
    hanging = Hanging(1, replaceable=False)
    hanging.crew.start()
    assert hanging.hanging.acquire(timeout=LONG)
    hanging.crew.look(later())
    hanging.crew.look(later())
    hanging.free.set()
    assert hanging.at_work.wait(LONG)
    hanging.crew.look(time.monotonic())
    assert [line.split(" for ")[0] for _, line in hanging.told] == ["look has not moved", ""]
    assert hanging.crew.stop(LONG) == []


def test_the_crew_looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "HALTED_SECONDS", LONG)
    hanging = Hanging(1, patience=0.05)
    hanging.crew.start()
    assert hanging.at_work.wait(LONG)
    hanging.free.set()
    assert hanging.crew.stop(LONG) == []


def test_after_a_halt_nobody_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look comes too late for the process to have run meanwhile."""
    monkeypatch.setattr(supervision, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "HALTED_SECONDS", 0.0)
    hanging = Hanging(1, patience=0.0)
    hanging.crew.start()
    assert hanging.hanging.acquire(timeout=LONG)
    (worker,) = hanging.crew.workers
    excused = threading.Semaphore(0)
    monkeypatch.setattr(worker, "excuse", excused.release)
    for _ in range(3):
        assert excused.acquire(timeout=LONG)
    assert hanging.told == []
    hanging.free.set()
    assert hanging.crew.stop(LONG) == []


def body_that(act: Callable[[Worker], None]) -> Worker:
    return Worker("look", act, print, print)


def test_before_its_first_beat_and_after_its_end_nobody_is_still() -> None:
    worker = body_that(lambda worker: worker.beat())
    assert worker.still_for(later()) == 0.0
    worker.start()
    assert worker.join(LONG)
    assert worker.still_for(later()) == 0.0


def test_one_that_gave_up_is_not_expected_to_move() -> None:
    giving_up, free, still = threading.Event(), threading.Event(), list[float]()

    def body(worker: Worker) -> None:
        worker.beat()
        raise DeviceGone("for good")

    def failed(_: str) -> None:
        giving_up.set()
        assert free.wait(LONG)

    worker = Worker("look", body, print, failed)
    worker.start()
    assert giving_up.wait(LONG)
    still.append(worker.still_for(later()))
    free.set()
    assert worker.join(LONG)
    assert still == [0.0]
