"""What probabilities and intervals of a checkpoint are worth on validation parts: tables, and figures when asked.

python scripts/reliability.py --data DIR [--checkpoint DIR] [--limit N] [--out DIR]

ECE with 15 bins before and after temperature for every availability pattern, reliability diagrams, risk against
coverage, and how often the 80 % interval of sentiment holds the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bench_report import table

from calibration.temperature import negative_log_likelihood, pattern_name, softmax
from miar_rt.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from miar_rt.engines import Scores
from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.features.appearance import Appearance
from miar_rt.features.text_onnx import open_encoder
from miar_rt.metrics import Floats, Integers, expected_calibration_error
from miar_rt.signals import MODALITIES, Array
from miar_rt.training.cache import FeatureCache
from miar_rt.training.calibrate import SINGLE_EXAMS, fit_to_samples, matched_logits
from miar_rt.training.corpora import read_ravdess
from miar_rt.training.evaluate import takes_exam
from miar_rt.training.exams import Answers, Exam, Score, ask, clips_exam, make_exam, mean_by_owner
from miar_rt.training.material import HELD_OUT, TAKES
from miar_rt.training.pairing import ALL, PAIRS
from miar_rt.training.recipe import read_recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 15
INTERVAL = 0.8
SEED = 1
"""Not the one that temperatures of several modalities are fitted with."""

BEFORE, AFTER = "#b9bec7", "#0072b2"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Samples under one availability pattern: probabilities ``[n, classes]`` before and after, truth ``[n]``.

    ``crossed`` are those with a temperature that was fitted on the other half of the samples, where that is how it
    was fitted.
    """

    name: str
    corpus: str
    before: Floats
    after: Floats
    truth: Integers
    crossed: Floats | None = None


def main() -> None:
    """Score, print, and draw when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT)
    parser.add_argument("--limit", type=int, help="Samples of each corpus at most, drawn with a fixed seed.")
    parser.add_argument("--out", type=Path, help="Folder for reliability.md and its two figures.")
    options = parser.parse_args()
    cases, intervals = measure(options.checkpoint, options.data, options.limit)
    text = page(cases, intervals, load_checkpoint(options.checkpoint))
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "reliability.md").write_text(text, encoding="utf-8")
        draw(options.out / "reliability.png", cases, _diagram)
        draw(options.out / "risk_coverage.png", cases, _risk)


def measure(folder: Path, data: Path, limit: int | None) -> tuple[list[Case], str]:
    """All patterns, and the table of intervals."""
    checkpoint = load_checkpoint(folder)
    actors = read_recipe(folder / "recipe.toml").validation_actors
    exams, takes = held_out(checkpoint, data, actors)
    random = np.random.default_rng(SEED)
    exams = {name: thinned(exam, limit, random) for name, exam in exams.items()}
    engine = OnnxEngine(checkpoint)

    def score(inputs: Mapping[str, Array], presence: Array) -> Scores:
        return engine.score(checkpoint.told(inputs), presence)

    try:
        answers = {name: ask(exam, score, checkpoint.statistics) for name, exam in exams.items()}
        cases = [case(name, exams[name], answers[name], checkpoint) for name in SINGLE_EXAMS.values()]
        if takes is not None:
            few = thinned(takes, limit, random)
            found = ask(few, score, checkpoint.statistics)
            cases.append(case("ravdess, real takes", few, found, checkpoint, halves=False))
        cases += matched(exams, score, checkpoint)
    finally:
        engine.close()
    return cases, intervals({name: (exams[name], answers[name]) for name in ("mosi", "mosei")}, checkpoint)


def held_out(checkpoint: Checkpoint, data: Path, actors: Sequence[int]) -> tuple[dict[str, Exam], Exam | None]:
    """Exams of the validation parts, and of voices with their own faces where those are there."""
    clips = [clip for clip in read_ravdess(data / "ravdess") if clip.actor in actors]
    appearance = Appearance.wanted_by(checkpoint.extractors)
    encoder = open_encoder(None, checkpoint.extractors, checkpoint.text_adapter)
    exams = {"ravdess": clips_exam(clips, FeatureCache())} | {
        name: make_exam(name, data / part, FeatureCache(), encoder=encoder, appearance=appearance)
        for name, part in HELD_OUT.items()
    }
    if not (data / TAKES).exists():
        return exams, None
    return exams, takes_exam(clips, ("audio", "vision"), data / TAKES, None)


def thinned(exam: Exam, limit: int | None, random: np.random.Generator) -> Exam:
    """``limit`` of the samples of an exam that can be answered, with all of their windows."""
    there = np.unique(exam.owner)
    kept = there if limit is None or limit >= len(there) else np.sort(random.choice(there, limit, replace=False))
    numbers = np.flatnonzero(np.isin(exam.owner, kept))
    make, others = exam.windows, exam.beside
    return replace(
        exam,
        truth=exam.truth[kept],
        owner=np.searchsorted(kept, exam.owner[numbers]),
        windows=lambda some: make(numbers[some]),
        weight=None if exam.weight is None else exam.weight[numbers],
        beside={name: (lambda some, of=of: of(numbers[some])) for name, of in others.items()},  # type: ignore[misc]
    )


def case(corpus: str, exam: Exam, answers: Answers, checkpoint: Checkpoint, *, halves: bool = True) -> Case:
    """The samples of an exam."""
    pattern = "+".join(exam.modalities)
    truth = exam.truth.astype(np.int64)
    before, after = (
        mean_by_owner(probabilities, exam)
        for probabilities in (
            softmax(answers.logits),
            checkpoint.temperatures.probabilities(answers.logits, pattern),
        )
    )
    return Case(pattern, corpus, before, after, truth, _crossed(exam, answers, truth) if halves else None)


def _crossed(exam: Exam, answers: Answers, truth: Integers) -> Floats:
    """Probabilities with the temperature that the other half of the samples asks for."""
    half = np.random.default_rng(SEED).permutation(len(truth)) % 2
    probabilities = np.zeros_like(answers.logits)
    for side in (0, 1):
        mine, others = half[exam.owner] == side, np.unique(exam.owner[half[exam.owner] != side])
        fitted = fit_to_samples(exam, answers.logits, others)
        probabilities[mine] = softmax(answers.logits[mine] / fitted)
    return mean_by_owner(probabilities, exam)


def matched(exams: Mapping[str, Exam], score: Score, checkpoint: Checkpoint) -> list[Case]:
    """Several modalities: samples put together by label."""
    patterns = np.array([*PAIRS, ALL], np.float32)
    random = np.random.default_rng(SEED)
    logits, labels = matched_logits(exams, score, checkpoint.statistics, patterns, random)
    found = []
    for column, pattern in enumerate(patterns):
        name = pattern_name([bool(here) for here in pattern], MODALITIES)
        calibrated = checkpoint.temperatures.probabilities(logits[:, column], name)
        found.append(Case(name, "matched by label", softmax(logits[:, column]), calibrated, labels))
    return found


def intervals(rated: Mapping[str, tuple[Exam, Answers]], checkpoint: Checkpoint) -> str:
    """How often the interval holds the truth: with the checkpoint's factor, and with one from the other half."""
    rows = []
    for name, (exam, answers) in rated.items():
        ratio = np.abs(exam.truth[exam.owner] - np.clip(answers.sentiment, -3.0, 3.0)) / answers.spread
        half = np.random.default_rng(SEED).permutation(len(ratio)) % 2
        crossed = [ratio[half == side] <= np.quantile(ratio[half != side], INTERVAL) for side in (0, 1)]
        covered = float((ratio <= checkpoint.interval_factor).mean())
        width = float((2.0 * checkpoint.interval_factor * answers.spread).mean())
        rows.append((name, len(ratio), covered, float(np.concatenate(crossed).mean()), width))
    return table(("corpus", "n", "covered", "covered, factor from the other half", "mean width"), rows)


def page(cases: Sequence[Case], intervals: str, checkpoint: Checkpoint) -> str:
    """Everything in words and numbers."""
    rows = [
        (
            one.name,
            one.corpus,
            len(one.truth),
            float((one.after.argmax(axis=1) == one.truth).mean()),
            *(expected_calibration_error(p, one.truth, BINS) for p in (one.before, one.after)),
            "" if one.crossed is None else expected_calibration_error(one.crossed, one.truth, BINS),
            *(negative_log_likelihood(p, one.truth) for p in (one.before, one.after)),
            float(risk(one.after, one.truth)[1].mean()),
        )
        for one in cases
    ]
    head = ("present", "samples", "n", "accuracy", "ECE before", "ECE after", "ECE, fitted on the other half",
            "NLL before", "NLL after", "area under risk-coverage")  # fmt: skip
    return PAGE.format(
        name=checkpoint.name,
        sha256=checkpoint.sha256[:12],
        patterns=table(head, rows),
        factor=checkpoint.interval_factor,
        intervals=intervals,
    )


PAGE = """# What the probabilities are worth

`scripts/reliability.py`, checkpoint {name} (sha256 {sha256}), validation parts. ECE with 15 bins; before:
temperature 1; after: the checkpoint's. A sample's probabilities are the mean over its windows. Temperatures of
single modalities were fitted on these very samples, so one column says what comes out when they are fitted on the
other half.
Those of several modalities were fitted on pairs that share nothing but their label, which are easier than life, and
then raised until they are no surer than the surest single one: on such pairs they are too modest on purpose, and
real takes tell more.

{patterns}

![Reliability](reliability.png)

![Risk against coverage](risk_coverage.png)

Intervals of sentiment that shall hold 80 % of the truths: a quantile of error over predicted spread (split
conformal prediction: Lei et al., JASA 113, 2018), factor {factor:.3f}.

{intervals}
"""


def risk(probabilities: Floats, truth: Integers) -> tuple[Floats, Floats]:
    """Share of samples that are answered, the surest first, and the share of errors among them."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = (probabilities.argmax(axis=1) != truth)[order]
    answered = np.arange(1, len(truth) + 1)
    return answered / len(truth), np.cumsum(wrong) / answered


def draw(path: Path, cases: Sequence[Case], one: Callable[[Axes, Case], None]) -> None:
    """One panel a case."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 3.2 * -(-len(cases) // 4)), layout="constrained")
    panels = figure.subplots(-(-len(cases) // 4), 4, squeeze=False).flat
    for panel, shown in zip(panels, cases, strict=False):
        one(panel, shown)
        panel.set_title(f"{shown.name}\n{shown.corpus}, n = {len(shown.truth)}", fontsize=9)
    for empty in list(panels)[len(cases) :]:
        empty.set_visible(False)
    figure.savefig(path, dpi=110)


def _diagram(panel: Axes, shown: Case) -> None:
    """Accuracy by confidence, before and after; the dashed line is where they are equal."""
    panel.plot([0, 1], [0, 1], "--", color="black", linewidth=0.8)
    for probabilities, color, label in ((shown.before, BEFORE, "before"), (shown.after, AFTER, "after")):
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == shown.truth
        index = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        count = np.bincount(index, minlength=BINS)
        there = count > 0
        x, y = (np.bincount(index, what, BINS)[there] / count[there] for what in (confidence, right))
        ece = expected_calibration_error(probabilities, shown.truth, BINS)
        panel.plot(x, y, color=color, linewidth=1.0)
        panel.scatter(x, y, s=4 + 200 * count[there] / count.sum(), color=color, label=f"{label}, ECE {ece:.3f}")
    panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    panel.legend(fontsize=8, loc="upper left", frameon=False)


def _risk(panel: Axes, shown: Case) -> None:
    """Errors among the surest share."""
    for probabilities, color, label in ((shown.before, BEFORE, "before"), (shown.after, AFTER, "after")):
        coverage, errors = risk(probabilities, shown.truth)
        panel.plot(coverage, errors, color=color, label=f"{label}, area {errors.mean():.3f}")
    panel.set(xlim=(0, 1), ylim=(0, None), xlabel="share answered, the surest first", ylabel="share of errors")
    panel.legend(fontsize=8, loc="upper left", frameon=False)


if __name__ == "__main__":
    main()
