"""Smoothing that knows seconds, a label that does not flicker, temperatures that calibrate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.smoothing import ExponentialSmoother, LabelHysteresis
from calibration.temperature import (
    HIGH,
    LOW,
    Temperatures,
    fit_temperature,
    negative_log_likelihood,
    pattern_name,
    softmax,
)


def test_half_life_is_in_seconds_whatever_the_rate() -> None:
    slow, fast = ExponentialSmoother(half_life=0.5), ExponentialSmoother(half_life=0.5)
    slow.update(0.0, np.array([1.0]))
    fast.update(0.0, np.array([1.0]))
    for step in range(1, 51):
        newest = fast.update(step / 50, np.array([0.0]))
    assert slow.update(1.0, np.array([0.0]))[0] == pytest.approx(0.25)
    assert newest[0] == pytest.approx(0.25)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 2.0), st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3)),
        min_size=1,
        max_size=20,
    )
)
def test_a_mixture_of_distributions_is_a_distribution(steps: list[tuple[float, list[float]]]) -> None:
    smoother, now = ExponentialSmoother(), 0.0
    for gap, weights in steps:
        now += gap
        total = np.array(weights) + 0.01
        smoothed = smoother.update(now, total / total.sum())
        assert smoothed.sum() == pytest.approx(1.0)
        assert (smoothed >= 0.0).all()


def test_what_was_felt_before_a_long_absence_is_forgotten() -> None:
    smoother = ExponentialSmoother(half_life=10.0, reset_after=3.0)
    smoother.update(0.0, np.array([1.0, 0.0]))
    assert smoother.update(3.5, np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_half_life_must_be_positive() -> None:
    with pytest.raises(ValueError, match="half-life must be positive"):
        ExponentialSmoother(half_life=0.0)


def test_the_label_changes_only_for_a_clear_lead() -> None:
    label = LabelHysteresis(margin=0.1)
    assert label.update(np.array([0.5, 0.4])) == 0
    assert label.update(np.array([0.45, 0.5])) == 0
    assert label.update(np.array([0.4, 0.55])) == 1
    label.reset()
    assert label.update(np.array([0.51, 0.49])) == 0


def test_softmax_survives_huge_logits() -> None:
    assert softmax(np.array([1e6, 0.0])).tolist() == [1.0, 0.0]


def test_a_fitted_temperature_recovers_the_true_one() -> None:
    generator = np.random.default_rng(3)
    honest = generator.normal(size=(4000, 5)) * 2.0
    labels = np.array([generator.choice(5, p=p) for p in softmax(honest)])
    fitted = fit_temperature(honest * 3.0, labels)
    assert fitted == pytest.approx(3.0, rel=0.1)
    losses = [negative_log_likelihood(softmax(honest * 3.0 / t), labels) for t in (fitted, 1.0)]
    assert losses[0] < losses[1]


def test_a_temperature_is_fitted_to_what_is_read() -> None:
    generator = np.random.default_rng(4)
    honest = generator.normal(size=(2000, 5)) * 2.0
    labels = np.array([generator.choice(5, p=p) for p in softmax(honest)])
    windows = np.concatenate([honest * 2.0, np.zeros_like(honest)])  # every sample's other window says nothing
    alone = fit_temperature(windows, np.tile(labels, 2))
    pooled = fit_temperature(windows, labels, lambda p: p.reshape(2, -1, 5).mean(axis=0))
    assert alone == pytest.approx(2.0, rel=0.1)
    assert pooled < alone / 2.0


def test_temperatures_refuse_what_is_no_temperature() -> None:
    with pytest.raises(ValueError, match="temperature of 'text'"):
        Temperatures({"text": HIGH * 2})
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature(np.empty((0, 3)), np.empty(0, np.int64))
    assert LOW < 1.0 < HIGH


def test_a_pattern_without_a_temperature_uses_one() -> None:
    logits = np.array([1.0, 0.0])
    temperatures = Temperatures({"text+vision": 2.0})
    assert pattern_name([True, False, True], ["text", "audio", "vision"]) == "text+vision"
    assert temperatures.probabilities(logits, "audio") == pytest.approx(softmax(logits))
    assert temperatures.probabilities(logits, "text+vision") == pytest.approx(softmax(logits / 2.0))
