from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.clock import ASLEEP_SECONDS, AudioTimeline, CaptureClock, Placed
from stream.events import SAMPLE_RATE, AudioChunk
from stream.senses import Count

RATE = 48_000
BLOCK = 960
PERIOD = BLOCK / RATE


def placed_blocks(stated: list[float], lost: frozenset[int] = frozenset(), rate: int = RATE) -> list[Placed]:
    timeline = AudioTimeline(rate)
    return [timeline.place(BLOCK, t, i in lost) for i, t in enumerate(stated)]


def test_clock_starts_at_zero_never_goes_back_and_knows_unix_time() -> None:
    before = time.time()
    clock = CaptureClock()
    times = [clock.now() for _ in range(100)]
    assert times[0] >= 0.0
    assert times == sorted(times)
    assert before - 1.0 <= clock.to_unix(0.0) <= time.time()
    assert clock.to_unix(2.5) - clock.to_unix(0.0) == pytest.approx(2.5, abs=1e-6)
    assert clock.from_monotonic(time.monotonic()) == pytest.approx(clock.now(), abs=1.0)


def test_a_machine_that_slept_makes_everything_as_old_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    present = [100.0]
    clock = CaptureClock(lambda: present[0])
    assert clock.now() == 0.0
    grabbed = time.monotonic()
    present[0] += 3600.0
    assert clock.now() == 3600.0
    assert clock.from_monotonic(grabbed) == pytest.approx(3600.0, abs=5.0)
    unix = clock.to_unix(clock.now())
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert clock.to_unix(clock.now()) == unix


def test_exact_statements_give_exactly_counted_times() -> None:
    placed = placed_blocks([3.0 + i * PERIOD for i in range(500)])
    assert [p.t for p in placed] == pytest.approx([3.0 + i * PERIOD for i in range(500)], abs=1e-9)
    assert not any(p.missing for p in placed)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), jitter=st.floats(0.0, 0.05))
def test_late_callbacks_leave_a_steady_time(seed: int, jitter: float) -> None:
    """Delays are one-sided; blocks must adjoin to within the slew and stay at the punctual callbacks' times."""
    delays = np.random.default_rng(seed).exponential(jitter / 4 + 1e-9, 1000).clip(0.0, jitter)
    delays[0] = delays[::25] = 0.0
    placed = placed_blocks([i * PERIOD + float(d) for i, d in enumerate(delays)])
    steps = np.diff([p.t for p in placed])
    assert not any(p.missing for p in placed)
    assert np.abs(steps - PERIOD).max() <= 0.005 * PERIOD + 1e-12
    assert np.abs(np.array([p.t for p in placed]) - PERIOD * np.arange(1000)).max() < 0.002


def test_a_late_first_callback_is_made_good() -> None:
    placed = placed_blocks([0.03, *(i * PERIOD for i in range(1, 200))])
    assert placed[0].t == 0.03
    assert placed[100].t == pytest.approx(100 * PERIOD, abs=0.01)
    assert placed[-1].t == pytest.approx(199 * PERIOD, abs=0.01)


@pytest.mark.parametrize("drift", [-300e-6, 300e-6])
def test_a_device_clock_that_drifts_is_followed(drift: float) -> None:
    stated = [i * PERIOD * (1.0 + drift) for i in range(4000)]
    placed = placed_blocks(stated)
    assert not any(p.missing for p in placed)
    assert abs(placed[-1].t - stated[-1]) < 0.002


@pytest.mark.parametrize("drift", [-200e-6, 200e-6])
def test_two_hours_of_a_fast_or_slow_device_stay_with_the_pictures(drift: float) -> None:
    """Blocks of a tenth of a second; pictures are stamped by the capture clock itself, so its time is the truth."""
    seconds, rate = 7200, SAMPLE_RATE
    samples = np.zeros(rate // 10, np.int16)
    timeline, count, counted, worst = AudioTimeline(rate), Count(), 0.0, 0.0
    for i, late in enumerate(np.random.default_rng(1).exponential(0.004, seconds * 10)):
        truth = i * 0.1 / (1.0 + drift)
        placed = timeline.place(len(samples), truth + float(late))
        assert not placed.missing
        counted = placed.t if count.leaves(AudioChunk(placed.t, samples)) else counted + 0.1
        worst = max(worst, abs(placed.t - truth), abs(counted - truth))
    assert worst < 0.04
    assert timeline.drift == pytest.approx(seconds * drift, abs=0.04)


def test_extractors_count_anew_only_where_counting_is_off() -> None:
    count = Count()
    step = 320 / SAMPLE_RATE + 4e-6
    left = [count.leaves(AudioChunk(i * step, np.zeros(320, np.int16))) for i in range(1000)]
    assert left[0]
    assert sum(left[1:]) == 3
    count.jump(50.0)
    assert not count.leaves(AudioChunk(50.0, np.zeros(320, np.int16)))


def test_sound_after_a_sleep_is_not_taken_for_old_sound() -> None:
    asleep = 10 * ASLEEP_SECONDS
    stated = [i * PERIOD + (asleep if i >= 100 else 0.0) for i in range(200)]
    placed = placed_blocks(stated)
    assert [i for i, p in enumerate(placed) if p.missing] == [100]
    assert placed[100].t == pytest.approx(stated[100])


def test_a_single_stall_with_nothing_lost_is_no_gap() -> None:
    """Twelve blocks come together after a quarter of a second, then all is punctual again."""
    stated = [i * PERIOD for i in range(300)]
    stated[100:112] = [stated[112]] * 12
    placed = placed_blocks(stated)
    assert not any(p.missing for p in placed)
    assert placed[-1].t == pytest.approx(stated[-1], abs=0.003)


def test_an_announced_loss_is_a_gap_where_it_happened() -> None:
    stated = [i * PERIOD + (0.5 if i >= 100 else 0.0) for i in range(200)]
    placed = placed_blocks(stated, lost=frozenset({100}))
    assert [i for i, p in enumerate(placed) if p.missing] == [100]
    assert placed[100].missing == pytest.approx(0.5)
    assert placed[100].t == pytest.approx(stated[100])
    assert placed[-1].t == pytest.approx(stated[-1])


def test_an_announced_loss_of_nothing_is_no_gap() -> None:
    placed = placed_blocks([i * PERIOD for i in range(100)], lost=frozenset({50}))
    assert not any(p.missing for p in placed)


def test_a_silent_loss_is_a_gap_within_settling_time() -> None:
    stated = [i * PERIOD + (0.5 if i >= 100 else 0.0) for i in range(300)]
    placed = placed_blocks(stated)
    found = [i for i, p in enumerate(placed) if p.missing]
    assert len(found) == 1
    assert 100 < found[0] <= 100 + 2.1 / PERIOD
    assert placed[found[0]].missing == pytest.approx(0.5, abs=0.01)
    assert placed[-1].t == pytest.approx(stated[-1], abs=0.005)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=300))
def test_nonsense_statements_never_make_time_go_back(noise: list[float]) -> None:
    placed = placed_blocks([i * PERIOD + e for i, e in enumerate(noise)])
    ends = [p.t + PERIOD for p in placed]
    for end, after in zip(ends, placed[1:], strict=False):
        assert after.t - after.missing == pytest.approx(end, abs=0.02 * PERIOD + 1e-9)
        assert after.missing >= 0.0
