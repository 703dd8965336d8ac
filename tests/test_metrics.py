"""Scores against values worked out by hand, and what must hold for any answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.temperature import negative_log_likelihood
from miar_rt import metrics

TRUTH = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 1, 2, 1, 1, 2, 0])

labelled = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=40)


def one_hot(predicted: np.ndarray, classes: int, peak: float = 1.0) -> np.ndarray:
    rows = np.full((len(predicted), classes), (1.0 - peak) / (classes - 1))
    rows[np.arange(len(predicted)), predicted] = peak
    return rows


def test_confusion_counts_truth_by_rows() -> None:
    assert metrics.confusion(TRUTH, PREDICTED, 3).tolist() == [[2, 1, 1], [0, 2, 0], [1, 0, 1]]


def test_accuracy_and_recalls() -> None:
    assert metrics.accuracy(TRUTH, PREDICTED) == 5 / 8
    assert metrics.recalls(TRUTH, PREDICTED) == {0: 0.5, 1: 1.0, 2: 0.5}
    assert metrics.unweighted_average_recall(TRUTH, PREDICTED) == pytest.approx(2 / 3)


def test_f1_by_hand() -> None:
    # class 0: 2 hits of 4 true and 3 given -> 4/7; class 1: 2 of 2 and 3 -> 4/5; class 2: 1 of 2 and 2 -> 1/2
    assert metrics.f1_by_class(TRUTH, PREDICTED) == pytest.approx({0: 4 / 7, 1: 0.8, 2: 0.5})
    assert metrics.macro_f1(TRUTH, PREDICTED) == pytest.approx((4 / 7 + 0.8 + 0.5) / 3)
    assert metrics.weighted_f1(TRUTH, PREDICTED) == pytest.approx(0.5 * 4 / 7 + 0.25 * 0.8 + 0.25 * 0.5)


def test_a_class_without_samples_counts_in_macro_f1_when_it_was_answered() -> None:
    assert metrics.macro_f1(np.array([0, 0]), np.array([0, 3])) == pytest.approx((2 / 3 + 0.0) / 2)


def test_calibration_error_by_hand() -> None:
    # confidences .6 (right), .6 (wrong) share a bin: |1 - 1.2|; .9 (right) alone: |1 - .9|; over 3 samples
    probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
    assert metrics.expected_calibration_error(probabilities, np.array([0, 1, 1])) == pytest.approx(0.3 / 3)


def test_a_confidence_on_an_edge_falls_into_the_bin_below() -> None:
    probabilities = np.array([[0.8, 0.2], [0.75, 0.25]])  # 0.8 = 12 / 15, the other is in the same bin
    assert metrics.expected_calibration_error(probabilities, np.array([0, 1])) == pytest.approx(0.55 / 2)


def test_likelihood_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75]])
    expected = -(np.log(0.5) + np.log(0.25)) / 2
    assert negative_log_likelihood(probabilities, np.array([1, 0])) == pytest.approx(expected)


def test_unanswered_samples_are_wrong_but_leave_the_scored_figures_alone() -> None:
    probabilities = one_hot(np.array([0, 1, 1, 0]), 2)
    probabilities[3] = np.nan
    scores = metrics.emotion_scores(np.array([0, 1, 0, 0]), probabilities)
    assert scores["accuracy"] == 0.5
    assert scores["accuracy_scored"] == pytest.approx(2 / 3)
    assert scores["uar"] == pytest.approx((1 / 3 + 1) / 2)
    assert scores["confusion"] == [[1, 1], [0, 1]]
    assert scores["ece"] == pytest.approx(1 / 3)


def test_nothing_answered_is_an_error() -> None:
    with pytest.raises(ValueError, match="no sample could be scored"):
        metrics.emotion_scores([0, 1], np.full((2, 7), np.nan))


@given(labelled)
def test_scores_stay_within_bounds_and_agree_with_confusion(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    table = metrics.confusion(truth, predicted, 4)
    assert table.trace() == round(metrics.accuracy(truth, predicted) * len(truth))
    assert table.sum() == np.sum(predicted >= 0)
    for score in (metrics.unweighted_average_recall, metrics.macro_f1, metrics.weighted_f1):
        assert 0.0 <= score(truth, predicted) <= 1.0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_right_answers_score_one(labels: list[int]) -> None:
    truth = np.array(labels)
    scores = metrics.emotion_scores(truth, one_hot(truth, 7))
    assert [scores[name] for name in ("accuracy", "uar", "macro_f1")] == [1.0, 1.0, 1.0]
    assert (scores["weighted_f1"], scores["nll"], scores["ece"]) == (pytest.approx(1.0), 0.0, 0.0)


def test_sentiment_by_hand() -> None:
    truth = np.array([-3.0, -0.4, 0.0, 0.5, 2.0])
    predicted = np.array([-3.6, 0.2, -0.1, 1.5, 2.4])
    scores = metrics.sentiment_scores(truth, predicted)
    assert scores["mae"] == pytest.approx((0.6 + 0.6 + 0.1 + 1.0 + 0.4) / 5)
    assert scores["corr"] == pytest.approx(np.corrcoef(truth, predicted)[0, 1])
    assert scores["acc2_has0"] == 3 / 5  # -0.4 against 0.2 and 0.0 against -0.1 differ
    assert scores["acc2_non0"] == 3 / 4
    # truth - - + +, answers - + + +: F1 of - is 2/3, of + 4/5, support 2 and 2
    assert scores["f1_non0"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    # -3/-3, 0/0, 0/0, 0.5 rounds to 0 and 1.5 to 2, 2/2
    assert scores["acc7"] == 4 / 5


def test_sentiment_without_spread_or_without_clear_rows() -> None:
    scores = metrics.sentiment_scores([0.0, 0.0], [1.0, 1.0])
    assert (scores["corr"], scores["acc2_non0"], scores["f1_non0"], scores["mae"]) == (0.0, 0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="no sample"):
        metrics.sentiment_scores([], [])


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=30), st.floats(-1, 1))
def test_a_constant_error_is_the_mae(truth: list[float], shift: float) -> None:
    scores = metrics.sentiment_scores(truth, np.array(truth) + shift)
    assert scores["mae"] == pytest.approx(abs(shift))
    assert -1.0 - 1e-9 <= scores["corr"] <= 1.0 + 1e-9
