"""Mailboxes are bounded and honest; workers start anew, give up aloud and stop when told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import workers
from stream.workers import RESTARTS, DeviceGone, DeviceLost, Mailbox, Worker

LONG = 30.0


@given(st.integers(1, 20), st.lists(st.integers(), max_size=60))
def test_a_mailbox_keeps_the_newest_and_counts_the_rest(capacity: int, items: list[int]) -> None:
    box: Mailbox[int] = Mailbox(capacity)
    for item in items:
        box.put(item)
    assert box.depth == min(len(items), capacity)
    assert box.dropped == max(len(items) - capacity, 0)
    assert box.take(0.0) == items[-capacity:]
    assert (box.depth, box.take(0.0)) == (0, [])


def test_a_mailbox_gives_as_many_as_are_asked_for_in_order() -> None:
    box: Mailbox[int] = Mailbox(8)
    for item in range(5):
        box.put(item)
    assert [box.take(0.0, limit=2), box.take(0.0, limit=2), box.take(0.0, limit=2)] == [[0, 1], [2, 3], [4]]


def test_a_mailbox_between_threads_loses_nothing_that_fits() -> None:
    box: Mailbox[int] = Mailbox(1000)
    writers = [threading.Thread(target=lambda: [box.put(i) for i in range(250)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    taken: list[int] = []
    while len(taken) < 1000:
        taken += box.take(LONG)
    assert sorted(taken) == sorted(list(range(250)) * 4)
    assert box.dropped == 0


class Watched:
    """A worker, and what it said about itself."""

    def __init__(self, body: Callable[[Worker], None]) -> None:
        self.lost: list[str] = []
        self.failed: list[str] = []
        self.worker = Worker("ear", body, self.lost.append, self.failed.append)

    def run(self) -> None:
        self.worker.start()
        assert self.worker.join(LONG)
        assert not self.worker.running


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts as short as can be."""
    monkeypatch.setattr(workers, "FIRST_BACKOFF", 1e-6)
    monkeypatch.setattr(workers, "LONGEST_BACKOFF", 1e-4)
    monkeypatch.setattr(workers, "LOOK_AGAIN_SECONDS", 0.0)


def times(count: int, error: Exception) -> Callable[[Worker], None]:
    """A body that raises ``count`` times and then returns."""
    calls = iter(range(count))

    def body(_: Worker) -> None:
        if next(calls, None) is not None:
            raise error

    return body


@pytest.mark.usefixtures("hasty")
def test_a_crash_starts_the_worker_anew_and_is_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(times(RESTARTS, ValueError("too loud")))
    watched.run()
    assert (watched.lost, watched.failed, watched.worker.restarts) == ([], [], RESTARTS)
    assert caplog.messages[0] == "ear crashed and starts anew (1 of 5): ValueError: too loud"
    assert len(caplog.messages) == RESTARTS
    assert [record.exc_info for record in caplog.records] == [False] * RESTARTS


@pytest.mark.usefixtures("hasty")
def test_debugging_shows_where_it_crashed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="miar")
    Watched(times(1, ValueError("too loud"))).run()
    assert "Traceback" in caplog.text


@pytest.mark.usefixtures("hasty")
def test_too_many_crashes_in_a_row_are_the_end() -> None:
    watched = Watched(times(RESTARTS + 1, ValueError("too loud")))
    watched.run()
    assert watched.failed == ["ear gave up after 5 restarts: ValueError: too loud"]


@pytest.mark.usefixtures("hasty")
def test_crashes_long_after_one_another_are_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "HEALTHY_SECONDS", 0.0)
    watched = Watched(times(3 * RESTARTS, ValueError("now and then")))
    watched.run()
    assert (watched.failed, watched.worker.restarts) == ([], 3 * RESTARTS)


@pytest.mark.usefixtures("hasty")
def test_a_lost_device_is_tried_for_as_long_as_it_takes() -> None:
    watched = Watched(times(1500, DeviceLost("unplugged")))
    watched.run()
    assert (watched.lost, watched.failed) == (["unplugged"] * 1500, [])


@pytest.mark.usefixtures("hasty")
def test_a_device_that_is_gone_for_good_is_not_tried_again() -> None:
    watched = Watched(times(9, DeviceGone("it cannot be opened again")))
    watched.run()
    assert (watched.lost, watched.failed) == ([], ["it cannot be opened again"])
    assert watched.worker.restarts == 0


def test_a_worker_stops_while_it_waits_to_start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "FIRST_BACKOFF", 1000.0)
    monkeypatch.setattr(workers, "LONGEST_BACKOFF", 1000.0)
    monkeypatch.setattr(workers, "LOOK_AGAIN_SECONDS", 1000.0)
    said = threading.Event()
    worker = Worker("ear", times(9, DeviceLost("unplugged")), lambda _: said.set(), print)
    worker.start()
    assert said.wait(LONG)
    worker.stop()
    assert worker.join(LONG)


def test_what_is_raised_after_the_stop_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    def body(worker: Worker) -> None:
        worker.stop()
        raise ValueError("its recogniser was closed")

    watched = Watched(body)
    watched.run()
    assert (watched.lost, watched.failed, caplog.messages) == ([], [], [])


def test_a_worker_that_never_started_has_ended() -> None:
    assert Watched(times(0, ValueError())).worker.join(0.0)
