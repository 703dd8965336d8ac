"""A person's neutral: exact while it can be, robust, bounded, and nothing at all for who is not known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.baseline import RESERVOIR, Baseline, Neutral, NeutralEstimator, Population

Floats = NDArray[np.float64]
RATE = 25.0
AVERAGE = Population(np.array([0.0, 10.0]), np.array([1.0, 2.0]), location_seconds=2.0, spread_seconds=30.0)


def measured(rows: Floats, capacity: int = RESERVOIR) -> Neutral:
    estimator = NeutralEstimator(rows.shape[1], RATE, capacity)
    estimator.add(rows)
    return estimator.neutral()


def person(seconds: float, location: Floats, spread: Floats, seed: int = 0) -> Floats:
    count = (round(seconds * RATE), len(location))
    return location + spread * np.random.default_rng(seed).standard_normal(count)


def test_an_unknown_person_is_left_exactly_as_they_are() -> None:
    baseline = Baseline.of(NeutralEstimator(2, RATE).neutral(), AVERAGE)
    values = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)
    assert baseline.apply(values).tobytes() == values.tobytes()
    assert baseline.apply(values).dtype == np.float32


def test_who_is_like_the_average_is_hardly_moved() -> None:
    neutral = measured(person(60.0, AVERAGE.location, AVERAGE.spread))
    values = np.array([[1.0, 12.0], [-3.0, 4.0]])
    assert Baseline.of(neutral, AVERAGE).apply(values) == pytest.approx(values, abs=0.3)


@settings(max_examples=20, deadline=None)
@given(location=st.floats(-50.0, 50.0), spread=st.floats(0.1, 9.0), seed=st.integers(0, 99))
def test_the_estimate_comes_to_the_true_location_and_spread(location: float, spread: float, seed: int) -> None:
    neutral = measured(person(200.0, np.array([location]), np.array([spread]), seed))
    assert neutral.location[0] == pytest.approx(location, abs=0.2 * spread)
    assert neutral.spread[0] == pytest.approx(spread, rel=0.15)
    assert neutral.seconds[0] == 200.0


@pytest.mark.parametrize(("seconds", "off"), [(2.0, 2.0), (20.0, 0.5), (2000.0, 0.03)])
def test_the_more_was_heard_the_nearer_neutral_comes_to_the_average(seconds: float, off: float) -> None:
    own = np.array([4.0, 14.0])
    neutral = Neutral(own, AVERAGE.spread.copy(), np.full(2, seconds))
    moved = Baseline.of(neutral, AVERAGE).apply(own)
    assert np.abs(moved - AVERAGE.location).max() == pytest.approx(4.0 * 2.0 / (seconds + 2.0), abs=1e-9)
    assert np.abs(moved - AVERAGE.location).max() <= off


def test_shrinkage_of_location_and_spread_by_the_formula() -> None:
    neutral = Neutral(np.array([3.0, 10.0]), np.array([3.0, 2.0]), np.array([6.0, 6.0]))
    baseline = Baseline.of(neutral, AVERAGE)
    location, spread = 3.0 * 6 / 8, 1.0 + 2.0 * 6 / 36
    assert baseline.apply(np.array([5.0, 7.0])) == pytest.approx([(5.0 - location) / spread, 7.0])


def test_a_person_who_never_moves_is_not_blown_up() -> None:
    neutral = Neutral(np.zeros(2), np.zeros(2), np.full(2, 20.0))
    assert Baseline.of(neutral, AVERAGE).gain.max() == pytest.approx((20.0 + 30.0) / 30.0)


def test_what_is_no_trait_or_was_never_measured_is_left_alone() -> None:
    population = Population(np.array([np.nan, 0.0, 0.0]), np.array([1.0, np.nan, 1.0]), 2.0, 30.0)
    neutral = Neutral(np.array([5.0, 5.0, np.nan]), np.array([5.0, 5.0, np.nan]), np.array([60.0, 60.0, 0.0]))
    baseline = Baseline.of(neutral, population)
    assert baseline.gain.tolist() == [1.0, 1.0, 1.0]
    assert baseline.offset[[0, 2]].tolist() == [0.0, 0.0]
    assert baseline.offset[1] == pytest.approx(-5.0 * 60 / 62)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), order=st.integers(0, 99))
def test_order_does_not_matter(seed: int, order: int) -> None:
    rows = person(160.0, np.array([1.0, -2.0]), np.array([1.0, 3.0]), seed)
    shuffled = np.random.default_rng(order).permutation(rows)
    few = [measured(one[:RESERVOIR]) for one in (rows, np.random.default_rng(order).permutation(rows[:RESERVOIR]))]
    assert few[0].location == pytest.approx(few[1].location, abs=1e-9)
    many = [measured(one) for one in (rows, shuffled)]
    assert many[0].location == pytest.approx(many[1].location, abs=0.6)
    assert many[0].spread == pytest.approx(many[1].spread, rel=0.25)
    assert many[0].seconds.tolist() == many[1].seconds.tolist()


def test_pieces_make_no_difference_and_twice_is_the_same() -> None:
    rows = person(90.0, np.zeros(2), np.ones(2))
    pieces = NeutralEstimator(2, RATE)
    for part in np.array_split(rows, 17):
        pieces.add(part)
    assert pieces.neutral().location.tolist() == measured(rows).location.tolist()
    assert pieces.neutral().spread.tolist() == measured(rows).spread.tolist()


def test_nothing_measured_counts_for_nothing() -> None:
    rows = person(40.0, np.array([1.0, 2.0]), np.ones(2))
    holes = rows.copy()
    holes[::2, 0] = np.nan
    holes[::3, 1] = np.inf
    found = measured(holes)
    assert found.seconds.tolist() == [20.0, pytest.approx(40.0 * 2 / 3, abs=0.1)]
    assert found.location == pytest.approx([1.0, 2.0], abs=0.25)
    assert np.isfinite(Baseline.of(found, AVERAGE).apply(rows)).all()
    nothing = measured(np.full((50, 2), np.nan))
    assert np.isnan(nothing.location).all()
    assert nothing.seconds.tolist() == [0.0, 0.0]
    partly = measured(np.column_stack([rows[:, 0], np.full(len(rows), np.nan)]))
    assert np.isnan(partly.spread).tolist() == [False, True]


def test_nan_stays_nan() -> None:
    baseline = Baseline.of(measured(person(20.0, np.zeros(2), np.ones(2))), AVERAGE)
    assert np.isnan(baseline.apply(np.array([np.nan, 1.0]))).tolist() == [True, False]


def test_a_laugh_in_between_hardly_matters() -> None:
    rows = person(20.0, np.zeros(1), np.ones(1))
    rows[::6] = 40.0
    found = measured(rows)
    assert abs(found.location[0]) < 0.4
    assert found.spread[0] < 1.8


def test_memory_is_bounded() -> None:
    estimator = NeutralEstimator(2, RATE, capacity=64)
    held = estimator._rows.nbytes
    for seed in range(200):
        estimator.add(person(20.0, np.zeros(2), np.ones(2), seed))
    assert estimator._rows.nbytes == held == 64 * 2 * 4
    assert estimator.neutral().seconds.tolist() == [4000.0, 4000.0]
    assert np.abs(estimator.neutral().location).max() < 0.5


def test_the_sample_that_is_kept_is_of_the_whole_stretch() -> None:
    """Rows of the beginning and of the end are as likely to be kept: the sample is a fair one."""
    estimator = NeutralEstimator(1, 1.0, capacity=500)
    estimator.add(np.arange(50_000.0)[:, None])
    neutral = estimator.neutral()
    assert neutral.location[0] == pytest.approx(25_000, rel=0.1)
    assert neutral.spread[0] * 1.349 == pytest.approx(25_000, rel=0.1)
