"""After training: temperatures by availability pattern and the width of the sentiment interval."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from calibration.temperature import HIGH, LOW, Temperatures, fit_temperature, pattern_name, softmax
from miar_rt.signals import MODALITIES, Array, Modality
from miar_rt.training.batches import network_inputs
from miar_rt.training.exams import BATCH, Answers, Exam, Score, ask, grade, mean_by_owner
from miar_rt.training.pairing import ALL, CLASSES, PAIRS
from miar_rt.window import Statistics

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SINGLE_EXAMS: Mapping[Modality, str] = {"text": "meld", "audio": "ravdess", "vision": "fer2013"}
MATCHED = 600
INTERVAL = 0.8


def fit_temperatures(
    exams: Mapping[str, Exam], answers: Mapping[str, Answers], score: Score, statistics: Statistics, seed: int = 0
) -> Temperatures:
    """One temperature for each availability pattern, from validation samples.

    Single modalities are fitted to their own corpus, by the answers to whole samples: that mean over windows is
    what is read of the live path too, which smooths in time. Matched samples of several modalities are independent
    given the label, which makes them easier than life: their temperature is raised until the mean confidence
    is no higher than that of the surest of their modalities alone.
    """
    found = {modality: fit_to_samples(exams[name], answers[name].logits) for modality, name in SINGLE_EXAMS.items()}
    several = np.array([*PAIRS, ALL], np.float32)
    joint, labels = matched_logits(exams, score, statistics, several, np.random.default_rng(seed))
    alone = {
        modality: _confidence(answers[name].logits, found[modality]) for modality, name in SINGLE_EXAMS.items()
    }
    by_pattern: dict[str, float] = dict(found.items())
    for column, pattern in enumerate(several):
        present = [bool(here) for here in pattern]
        members = [name for name, here in zip(MODALITIES, present, strict=True) if here]
        fitted = fit_temperature(joint[:, column], labels)
        ceiling = max(alone[name] for name in members)
        by_pattern[pattern_name(present, MODALITIES)] = _no_surer_than(joint[:, column], fitted, ceiling)
    return Temperatures({name: float(np.clip(value, LOW, HIGH)) for name, value in by_pattern.items()})


def fit_to_samples(exam: Exam, logits: Floats, samples: Integers | None = None) -> float:
    """Temperature of an exam's ``logits [windows, classes]``, fitted to all samples answered or to some of them."""
    chosen = np.unique(exam.owner) if samples is None else samples
    labels = exam.truth[chosen].astype(np.int64)
    return fit_temperature(logits, labels, lambda windows: mean_by_owner(windows, exam)[chosen])


def _confidence(logits: Floats, temperature: float) -> float:
    return float(softmax(logits / temperature).max(axis=-1).mean())


def _no_surer_than(logits: Floats, temperature: float, ceiling: float) -> float:
    """The least temperature from ``temperature`` up at which the mean confidence is not above ``ceiling``."""
    if _confidence(logits, temperature) <= ceiling:
        return temperature
    low, high = temperature, HIGH
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _confidence(logits, middle) > ceiling else (low, middle)
    return high


def matched_logits(
    exams: Mapping[str, Exam],
    score: Score,
    statistics: Statistics,
    patterns: Array,
    random: np.random.Generator,
    *,
    astray: Modality | None = None,
    noise: Modality | None = None,
) -> tuple[Floats, Integers]:
    """Logits ``[n, P, classes]`` of matched validation samples under ``patterns [P, 3]``; labels ``[n]``.

    One modality may be ``astray``, of a sample with another label, or ``noise``, of which every row is.
    """
    labels = random.integers(CLASSES, size=MATCHED)
    others = (labels + random.integers(1, CLASSES, size=MATCHED)) % CLASSES
    chosen = {
        modality: _windows_of(exams[name], others if modality == astray else labels, random)
        for modality, name in SINGLE_EXAMS.items()
    }
    parts = []
    for start in range(0, MATCHED, BATCH):
        rows = slice(start, start + BATCH)
        windows = {m: exams[SINGLE_EXAMS[m]].windows(numbers[rows]) for m, numbers in chosen.items()}
        batch = network_inputs(windows, statistics)
        if noise is not None:
            batch[noise] = (
                random.standard_normal(batch[noise].shape, np.float32) * batch[f"{noise}_mask"][..., None]
            )
        parts.append(score(batch, np.repeat(patterns[None], len(labels[rows]), axis=0)).logits)
    return np.concatenate(parts).astype(np.float64), labels


def _windows_of(exam: Exam, labels: Integers, random: np.random.Generator) -> Integers:
    """A window of each wanted class; of any class where an exam lacks it."""
    classes = exam.truth[exam.owner]
    pools = [np.flatnonzero(classes == label) for label in range(CLASSES)]
    everything = np.arange(len(classes))
    return np.array([random.choice(pools[label] if len(pools[label]) else everything) for label in labels])


def worse_with_baseline(
    trials: Mapping[Modality, tuple[Exam, Exam]], score: Score, statistics: Statistics
) -> list[Modality]:
    """Modalities whose validation exam goes worse with personal baselines than without, by UAR.

    ``trials`` holds the exam without and with them.
    """
    nothing = Temperatures({})
    uars = {
        name: [grade(exam, ask(exam, score, statistics), nothing)["uar"] for exam in pair]
        for name, pair in trials.items()
    }
    return [name for name, (without, with_it) in uars.items() if with_it < without]


def interval_factor(exams: Mapping[str, Exam], answers: Mapping[str, Answers]) -> float:
    """Half-width of the 80 % sentiment interval in units of the spread, over the rated validation texts."""
    ratios = [
        np.abs(exam.truth[exam.owner] - answers[name].sentiment) / answers[name].spread
        for name, exam in exams.items()
        if exam.rated
    ]
    return float(np.quantile(np.concatenate(ratios), INTERVAL))
