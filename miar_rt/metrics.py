"""Scores by the field's definitions; what a corpus's figures mean is written here once.

An emotion prediction of ``UNANSWERED`` is a sample the system gave no answer for (a face that was not found):
it counts as wrong wherever the truth decides the denominator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.temperature import negative_log_likelihood

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

UNANSWERED = -1
SCALE = 3.0


def confusion(truth: Integers, predicted: Integers, classes: int) -> Integers:
    """Counts ``[classes, classes]``, rows the truth, columns the answer; unanswered samples are left out."""
    table = np.zeros((classes, classes), dtype=np.int64)
    answered = predicted != UNANSWERED
    np.add.at(table, (truth[answered], predicted[answered]), 1)
    return table


def accuracy(truth: Integers, predicted: Integers) -> float:
    """Share of samples answered rightly."""
    return float(np.mean(truth == predicted))


def recalls(truth: Integers, predicted: Integers) -> dict[int, float]:
    """Recall of every class that occurs in the truth."""
    return {int(label): float(np.mean(predicted[truth == label] == label)) for label in np.unique(truth)}


def unweighted_average_recall(truth: Integers, predicted: Integers) -> float:
    """Mean recall over the classes that occur in the truth (UAR, Schuller et al., Interspeech 2009)."""
    return float(np.mean(list(recalls(truth, predicted).values())))


def f1_by_class(truth: Integers, predicted: Integers) -> dict[int, float]:
    """F1 of every class that occurs in the truth or among the answers."""
    labels = np.union1d(truth, predicted[predicted != UNANSWERED])
    scores = {}
    for label in labels:
        hits = np.sum((truth == label) & (predicted == label))
        scores[int(label)] = float(2 * hits / (np.sum(truth == label) + np.sum(predicted == label)))
    return scores


def macro_f1(truth: Integers, predicted: Integers) -> float:
    """Mean F1 over the classes that occur in the truth or among the answers."""
    return float(np.mean(list(f1_by_class(truth, predicted).values())))


def weighted_f1(truth: Integers, predicted: Integers) -> float:
    """F1 of each class weighted by its support in the truth."""
    scores = f1_by_class(truth, predicted)
    return float(sum(score * np.mean(truth == label) for label, score in scores.items()))


def expected_calibration_error(probabilities: Floats, truth: Integers, bins: int = 15) -> float:
    """Gap between confidence and accuracy over equal-width bins (Guo et al., ICML 2017).

    Parameters
    ----------
    probabilities
        ``[n, classes]``; the answer is the largest.
    truth
        ``[n]``.
    bins
        Number of equal bins of (0, 1]; a confidence on an edge belongs to the bin below it.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(index, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(truth))


def emotion_scores(truth: ArrayLike, probabilities: ArrayLike) -> dict[str, Any]:
    """All scores of an emotion corpus.

    Parameters
    ----------
    truth
        Class numbers ``[n]``.
    probabilities
        ``[n, classes]``; a row of NaN is a sample without an answer.

    Returns
    -------
    dict
        ``accuracy uar macro_f1 weighted_f1`` over all samples, unanswered ones being wrong;
        ``ece nll confusion accuracy_scored`` over the answered ones.

    Raises
    ------
    ValueError
        When no sample was answered.
    """
    labels, given = np.asarray(truth, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    answered = np.isfinite(given).all(axis=1)
    if not answered.any():
        raise ValueError("no sample could be scored with the modalities asked for")
    predicted = np.where(answered, np.nan_to_num(given).argmax(axis=1), UNANSWERED)
    return {
        "accuracy": accuracy(labels, predicted),
        "accuracy_scored": accuracy(labels[answered], predicted[answered]),
        "uar": unweighted_average_recall(labels, predicted),
        "macro_f1": macro_f1(labels, predicted),
        "weighted_f1": weighted_f1(labels, predicted),
        "ece": expected_calibration_error(given[answered], labels[answered]),
        "nll": negative_log_likelihood(given[answered], labels[answered]),
        "confusion": confusion(labels, predicted, given.shape[1]).tolist(),
    }


def pearson(truth: Floats, predicted: Floats) -> float:
    """Pearson correlation; 0 where either side does not vary."""
    if min(np.std(truth), np.std(predicted)) < 1e-9:
        return 0.0
    return float(np.corrcoef(truth, predicted)[0, 1])


def sentiment_scores(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """MAE, Pearson, Acc-2 in both readings, F1 and Acc-7 of sentiment on the CMU scale.

    ``acc2_has0`` compares >= 0 with >= 0 on all rows; ``acc2_non0`` and ``f1_non0`` drop rows whose truth is 0
    and compare > 0 with > 0; ``acc7`` clips both to -3..3 and rounds to the nearest even (as MulT and MISA do).
    The two that drop rows are 0 where nothing is left.

    Raises
    ------
    ValueError
        When there is no row.
    """
    true, given = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if not len(true):
        raise ValueError("no sample could be scored with the modalities asked for")
    clear = true != 0.0
    positive, guess = (true[clear] > 0).astype(np.int64), (given[clear] > 0).astype(np.int64)
    classes = [np.rint(np.clip(side, -SCALE, SCALE)) for side in (true, given)]
    return {
        "mae": float(np.abs(true - given).mean()),
        "corr": pearson(true, given),
        "acc2_has0": float(np.mean((true >= 0) == (given >= 0))),
        "acc2_non0": accuracy(positive, guess) if clear.any() else 0.0,
        "f1_non0": weighted_f1(positive, guess) if clear.any() else 0.0,
        "acc7": float(np.mean(classes[0] == classes[1])),
    }
