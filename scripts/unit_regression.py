"""Logistic regression on RAVDESS's action units: what baselines, given or learned, are worth to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from bench_report import table
from numpy.typing import NDArray

from calibration.adaptation import People, RunningNeutral
from calibration.temperature import softmax
from miar_rt.input_spec import SPEC
from miar_rt.metrics import Floats, Integers, unweighted_average_recall
from miar_rt.signals import EMOTIONS, Array
from miar_rt.training.action_units import CLIP_SECONDS, face_baselines
from miar_rt.training.corpora import Clip
from miar_rt.training.persons import PLAIN_NEUTRAL

UNITS = SPEC.vision_groups["units"]
FOLDS = 5
COUNTS = (1, 2, 4)
HEARD = ((0, 1), (1, 4), (4, 8), (8, 16), (16, 30), (30, 60))
HEARD_NAMES = tuple(f"{low}-{high - 1}" if high - low > 1 else str(low) for low, high in HEARD)
LONG = 400
"""Clips of one kind in a row: some 25 minutes."""

Weight = Callable[[Floats], float]


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Clips in some orders ``[courses, steps]``: truth, answer, whether it counts; and the order of each course."""

    truth: Integers
    answer: Integers
    scored: NDArray[np.bool_]
    order: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """A classifier and the actors it has not seen.

    ``weights`` float64 ``[18, classes]`` are for standardised units and a constant, ``people`` are those it was
    fitted to, ``units [n, 17]`` and ``clips`` those of the actors it is asked about.
    """

    weights: Floats
    location: Floats
    scale: Floats
    people: People
    clips: Sequence[Clip]
    rows: Array
    everybody: Sequence[tuple[Clip, Floats]]

    @property
    def units(self) -> Floats:
        """Of the clips it is asked about."""
        return self.rows[:, UNITS].astype(np.float64)

    def answer(self, units: Floats) -> Floats:
        """Probabilities ``[n, classes]`` of units ``[n, 17]``."""
        return softmax((units - self.location) / self.scale @ self.weights[:-1] + self.weights[-1])


def folds(clips: Sequence[Clip], rows: Array) -> list[Regression]:
    """One for each fold of actors, fitted to the others: as they are, and with their own neutral taken away."""
    units, actor = rows[:, UNITS].astype(np.float64), np.array([clip.actor for clip in clips])
    label, plain = np.array([c.label for c in clips]), np.array([c.emotion == PLAIN_NEUTRAL for c in clips])
    own = {int(one): units[plain & (actor == one)].mean(axis=0) for one in np.unique(actor)}
    everybody, made = list(zip(clips, units, strict=True)), []
    for tested in np.array_split(np.array(sorted(own)), min(FOLDS, len(own))):
        there = ~np.isin(actor, tested)
        neutrals = np.stack([own[one] for one in own if one not in tested])
        middle = neutrals.mean(axis=0)
        moved = units[there] - np.stack([own[one] for one in actor[there]]) + middle
        moods = np.stack([moved[label[there] == c].mean(axis=0) - middle for c in range(len(EMOTIONS))])
        fitted = fit(np.concatenate([moved, units[there]]), np.tile(label[there], 2))
        asked = np.flatnonzero(~there)
        mine = [clips[i] for i in asked]
        made.append(Regression(*fitted, People(middle, neutrals.std(axis=0), moods), mine, rows[asked], everybody))
    return made


def fit(values: Floats, labels: Integers) -> tuple[Floats, Floats, Floats]:
    """Weights, location and scale, with a ridge penalty of 1 in all."""
    location, scale = values.mean(axis=0), values.std(axis=0) + 1e-9
    inputs, target = torch.from_numpy((values - location) / scale), torch.from_numpy(labels)
    weights = torch.zeros(values.shape[1] + 1, len(EMOTIONS), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        wrong = torch.nn.functional.cross_entropy(inputs @ weights[:-1] + weights[-1], target, reduction="sum")
        total = wrong + weights[:-1].square().sum() / 2.0
        total.backward()
        return total

    optimizer.step(loss)
    return weights.detach().numpy(), location, scale


def _scored(regression: Regression) -> tuple[NDArray[np.bool_], Integers]:
    """Which of its clips are scored, and the truth of all."""
    scored = np.array([clip.emotion != PLAIN_NEUTRAL for clip in regression.clips])
    return scored, np.array([clip.label for clip in regression.clips])


def _uar(parts: Sequence[tuple[Integers, Integers]]) -> float:
    truth, answer = (np.concatenate(side) for side in zip(*parts, strict=True))
    return unweighted_average_recall(truth, answer)


def given(regressions: Sequence[Regression]) -> list[float]:
    """UAR without a baseline, with one, two and four neutral clips, and with the next actor's four."""
    columns = []
    for most in (None, *COUNTS, -max(COUNTS)):
        parts = []
        for one in regressions:
            scored, truth = _scored(one)
            units = one.units if most is None else moved(one, abs(most), wrong=most < 0)
            parts.append((truth[scored], one.answer(units)[scored].argmax(axis=1)))
        columns.append(_uar(parts))
    return columns


def moved(regression: Regression, most: int, *, wrong: bool) -> Floats:
    """Units with each actor's baseline, or with that of the next actor of the fold."""
    known = face_baselines(regression.clips, regression.rows, most)
    actors = sorted(known)
    other = dict(zip(actors, [*actors[1:], actors[0]], strict=True))
    rows = [
        known[other[clip.actor] if wrong else clip.actor].apply(row)
        for clip, row in zip(regression.clips, regression.rows, strict=True)
    ]
    return np.stack(rows)[:, UNITS].astype(np.float64)


def bound(regressions: Sequence[Regression]) -> list[str]:
    """UAR where every actor's units are standardised over all of their clips, which no live system has."""
    parts = []
    for one in regressions:
        scored, truth = _scored(one)
        asked = {clip.actor for clip in one.clips}
        actor, label = (np.array([getattr(clip, what) for clip, _ in one.everybody]) for what in ("actor", "label"))
        units = np.stack([values for _, values in one.everybody])
        for person in np.unique(actor):
            his = units[actor == person]
            units[actor == person] = (his - his.mean(axis=0)) / (his.std(axis=0) + 1e-3)
        there = ~np.isin(actor, list(asked))
        fitted = fit(units[there], label[there])
        answer = replace(one, weights=fitted[0], location=fitted[1], scale=fitted[2]).answer(units[~there])
        parts.append((truth[scored], answer[scored].argmax(axis=1)))
    return [""] * (len(HEARD) - 1) + [f"{_uar(parts):.3f}"]


WAYS: dict[str, tuple[bool, Weight]] = {
    "clips that are scored neutral with 0.5 or more": (False, lambda p: float(p[0] >= 0.5)),
    "all, weighted by the score of neutral": (False, lambda p: float(p[0])),
    "all, less what the mood that was scored does (as built)": (True, lambda _: 1.0),
}
BUILT = list(WAYS.values())[-1]


def follow(
    regression: Regression, courses: Sequence[Integers], way: tuple[bool, Weight]
) -> tuple[Integers, list[RunningNeutral]]:
    """Answers ``[courses, steps]`` to clips in some orders, by what was learned before; and what was learned."""
    less_moods, weight = way
    people = regression.people
    people = people if less_moods else replace(people, moods=np.zeros_like(people.moods))
    running, found, units = [RunningNeutral(people) for _ in courses], [], regression.units
    for numbers in np.transpose(courses):
        given = np.stack([_known(one, units[i]) for one, i in zip(running, numbers, strict=True)])
        probabilities = regression.answer(given)
        for one, i, answer in zip(running, numbers, probabilities, strict=True):
            if share := weight(answer):
                one.add(units[i], answer, share * CLIP_SECONDS)
        found.append(probabilities.argmax(axis=1))
    return np.transpose(found), running


def _known(running: RunningNeutral, units: Floats) -> Floats:
    baseline = running.baseline()
    return units if baseline is None else baseline.apply(units)


def learned(
    regressions: Sequence[Regression], orders: int, seed: int, way: tuple[bool, Weight] = BUILT
) -> list[str]:
    """UAR by clips heard before."""
    random, parts = np.random.default_rng(seed), []
    for one in regressions:
        scored, truth = _scored(one)
        actor = np.array([clip.actor for clip in one.clips])
        his = [np.flatnonzero(actor == person) for person in np.unique(actor)]
        courses = np.stack([random.permutation(numbers) for numbers in his for _ in range(orders)])
        answer, _ = follow(one, list(courses), way)
        parts.append(Learned(truth[courses], answer, scored[courses], np.tile(np.arange(orders), len(his))))
    return by_heard(parts)


def by_heard(parts: Sequence[Learned]) -> list[str]:
    """Mean and deviation over orders of the UAR of the clips that came after so many."""
    cells = []
    for low, high in HEARD:
        scores = []
        for order in np.unique(parts[0].order):
            answered = []
            for one in parts:
                course = one.order == order
                kept = one.scored[course, low:high]
                answered.append((one.truth[course, low:high][kept], one.answer[course, low:high][kept]))
            if sum(len(truth) for truth, _ in answered):
                scores.append(_uar(answered))
        cells.append(f"{np.mean(scores):.3f} ± {np.std(scores):.3f}" if scores else "")
    return cells


def report(regressions: Sequence[Regression], orders: int, seed: int) -> str:
    """Ways to learn, and what comes of hearing one kind of clips alone."""
    ways = [(name, *learned(regressions, orders, seed, way)) for name, way in WAYS.items()]
    return "\n\n".join(
        [
            "Logistic regression, learned from other clips than those of all moods alike; by clips heard before:",
            table(("learned from", *HEARD_NAMES), ways),
            f"The way that is built after {LONG} clips of one kind (70 % neutral: the others of any kind), then "
            "all clips of the actor with what was learned from them:",
            monotony(regressions, seed),
        ]
    )


def monotony(regressions: Sequence[Regression], seed: int) -> str:
    """UAR before and after hearing one kind of clips, and how many of these are taken for neutral."""
    rows = []
    for kind in ("anger", "happiness", "sadness", "neutral", "70 % neutral"):
        before, after = [], []
        for one in regressions:
            random, (_, truth) = np.random.default_rng(seed), _scored(one)
            actor = np.array([clip.actor for clip in one.clips])
            for person in np.unique(actor):
                his = np.flatnonzero(actor == person)
                _, (running,) = follow(one, [_course(his, truth[his], kind, random)], BUILT)
                known = np.stack([_known(running, units) for units in one.units[his]])
                before.append((truth[his], one.answer(one.units[his]).argmax(axis=1)))
                after.append((truth[his], one.answer(known).argmax(axis=1)))
        shown = EMOTIONS.index(kind) if kind in EMOTIONS else 0
        rows.append((kind, _uar(before), _uar(after), _neutral_share(before, shown), _neutral_share(after, shown)))
    return table(("heard", "UAR without", "UAR after", "of that kind taken for neutral, without", "after"), rows)


def _course(numbers: Integers, truth: Integers, kind: str, random: np.random.Generator) -> Integers:
    if kind in EMOTIONS:
        return random.choice(numbers[truth == EMOTIONS.index(kind)], LONG)
    calm = random.random(LONG) < 0.7
    return np.where(calm, random.choice(numbers[truth == 0], LONG), random.choice(numbers, LONG))


def _neutral_share(parts: Sequence[tuple[Integers, Integers]], kind: int) -> float:
    truth, answer = (np.concatenate(side) for side in zip(*parts, strict=True))
    return float((answer[truth == kind] == 0).mean())
