"""Tables and figures of the fusion bench, from its runs file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import publish, section, table
from numpy.typing import NDArray

from miar_rt.metrics import sentiment_scores, unweighted_average_recall
from miar_rt.training.fusion import PATTERNS

Floats = NDArray[np.float64]
Run = Mapping[str, Any]

MISSING = tuple(i / 10 for i in range(10))
DRAWS = 2000
TITLES = {
    "a": "a, triples of our live features", "b own": "b, RAVDESS, our acoustics and action units",
    "b expert": "b, RAVDESS, voice expert and action units", "c own": "c, MOSI, its own vectors",
    "c minilm": "c, MOSI, MiniLM", "c tfidf": "c, MOSI, TF-IDF", "c hashed": "c, MOSI, hashed words",
    "c own context": "c, MOSI, its own vectors with context", "c minilm context": "c, MOSI, MiniLM with context",
}  # fmt: skip
COMMAND = "make bench-fusion"


def shares(rate: float) -> Floats:
    """How often each of ``PATTERNS`` is seen when modalities go missing at a rate, never all of them."""
    chances = np.prod(np.where(PATTERNS > 0.0, 1.0 - rate, rate), axis=1)
    return np.asarray(chances / chances.sum())


def merits(run: Run) -> Floats:
    """What each sample's answers are worth, ``[n, patterns]``: 1 for a right class, the error's negative."""
    truth, answers = np.asarray(run["truth"])[:, None], np.asarray(run["answers"])
    return np.asarray(-np.abs(answers - truth) if run["rated"] else answers == truth, np.float64)


def by_group(runs: Sequence[Run], weights: Floats) -> dict[int, dict[Any, tuple[float, int]]]:
    """For each seed and person or video, the sum of merits under pattern ``weights`` and the count."""
    sums: dict[int, dict[Any, tuple[float, int]]] = {}
    for run in runs:
        seed = sums.setdefault(run["seed"], {})
        merit = merits(run) @ weights
        for group in set(run["groups"]):
            mine = merit[np.asarray(run["groups"]) == group]
            total, count = seed.get(group, (0.0, 0))
            seed[group] = (total + float(mine.sum()), count + len(mine))
    return sums


def difference(one: Sequence[Run], other: Sequence[Run], weights: Floats) -> tuple[float, float, float]:
    """Mean advantage of one network and its 95 % interval, over groups and the seeds that both ran."""
    sides = by_group(one, weights), by_group(other, weights)
    seeds = sorted(sides[0].keys() & sides[1].keys())
    groups = sorted(set.intersection(*(set(side[seed]) for side in sides for seed in seeds)))
    gaps = np.array([[sides[0][s][g][0] - sides[1][s][g][0] for g in groups] for s in seeds])
    counts = np.array([[sides[0][s][g][1] for g in groups] for s in seeds])
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        at = np.ix_(random.integers(len(seeds), size=len(seeds)), random.integers(len(groups), size=len(groups)))
        drawn.append(gaps[at].sum() / counts[at].sum())
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(gaps.sum() / counts.sum()), float(low), float(high)


def curve(runs: Sequence[Run]) -> Floats:
    """Mean merit at every missing rate."""
    worth = np.concatenate([merits(run) for run in runs]).mean(axis=0)
    return np.array([worth @ shares(rate) for rate in MISSING])


def area(runs: Sequence[Run]) -> float:
    """Area under that curve, by its length: a merit again."""
    values = curve(runs)
    return float(((values[1:] + values[:-1]) / 2.0).mean())


def whole() -> Floats:
    """Weights that count the pattern with nothing missing alone."""
    return np.eye(len(PATTERNS))[0]


def averaged() -> Floats:
    """Weights whose merit is the area under the curve."""
    ends = np.array([0.5, *[1.0] * (len(MISSING) - 2), 0.5])[:, None]
    return np.asarray((ends * np.array([shares(rate) for rate in MISSING])).sum(axis=0) / ends.sum())


def scores(runs: Sequence[Run]) -> list[float]:
    """Accuracy and UAR, or MAE, Pearson, Acc-2 and Acc-7, with nothing missing; means over seeds."""
    rows = []
    for seed in sorted({run["seed"] for run in runs}):
        mine = [run for run in runs if run["seed"] == seed]
        truth = np.concatenate([run["truth"] for run in mine])
        given = np.concatenate([np.asarray(run["answers"])[:, 0] for run in mine])
        if mine[0]["rated"]:
            found = sentiment_scores(truth, given)
            rows.append([found[name] for name in ("mae", "corr", "acc2_non0", "acc7")])
        else:
            rows.append([float((truth == given).mean()), unweighted_average_recall(truth, given)])
    return [float(value) for value in np.mean(rows, axis=0)]


def _interval(found: tuple[float, float, float]) -> str:
    return f"{100 * found[0]:+.1f} ({100 * found[1]:+.1f} to {100 * found[2]:+.1f})"


def compared(runs: Sequence[Run]) -> str:
    """The table of one testbed: every network's scores, and what MIAR has over it."""
    of = {name: [r for r in runs if r["network"] == name] for name in dict.fromkeys(r["network"] for r in runs)}
    rated = runs[0]["rated"]
    names = ["MAE", "Pearson", "Acc-2", "Acc-7"] if rated else ["accuracy", "UAR"]
    header = ["network", *names, "area, missing 0-0.9", "MIAR's advantage", "in area", "parameters", "runs"]
    rows = []
    for name, mine in of.items():
        against = ["", ""] if name == "miar" else [
            _interval(difference(of["miar"], mine, weights)) for weights in (whole(), averaged())
        ]  # fmt: skip
        size = max(run["parameters"] for run in mine)
        rows.append([name, *(f"{v:.3f}" for v in scores(mine)), f"{area(mine):.3f}", *against, size, len(mine)])
    return table(header, rows)


def paired(runs: Sequence[Run]) -> dict[str, tuple[list[Run], list[Run]]]:
    """For every ablation MIAR's runs and its own, on the folds and with the seeds that both ran."""
    whole_of = {(run["fold"], run["seed"]): run for run in runs if run["network"] == "miar"}
    pairs: dict[str, tuple[list[Run], list[Run]]] = {}
    for run in runs:
        place = run["fold"], run["seed"]
        if run["network"].startswith("miar ") and place in whole_of:
            both = pairs.setdefault(run["network"].removeprefix("miar "), ([], []))
            both[0].append(whole_of[place])
            both[1].append(run)
    return pairs


def ablated(runs: Sequence[Run]) -> str:
    """The table of what each part of MIAR is worth on a testbed."""
    rows = [
        [name, *(_interval(difference(*both, weights)) for weights in (whole(), averaged())), len(both[1])]
        for name, both in paired(runs).items()
    ]
    return table(["MIAR", "the whole's advantage", "in area", "paired runs"], rows)


def publish_all(runs: Sequence[Run], latency: Sequence[Sequence[Any]], page: Path) -> None:
    """Write a section a testbed that has runs of MIAR and a peer, one on ablations each, and one on speed."""
    for name, title in TITLES.items():
        mine = [run for run in runs if run["testbed"] == name]
        if kept := complete(mine):
            body = f"{extent(kept)}\n\n{compared(kept)}\n\n{_figure(name, kept, page)}"
            publish(title, section(title, COMMAND, body), page)
        if paired(mine):
            what = f"Ablations on {title}"
            publish(what, section(what, COMMAND, ablated(mine)), page)
    header = ["network", "parameters", "p50 ms", "p95 ms"]
    body = "One window of 48, 100 and 60 steps, torch, one thread.\n\n" + table(header, latency)
    publish("Size and speed", section("Size and speed", COMMAND, body), page)


def complete(runs: Sequence[Run]) -> list[Run]:
    """Runs of MIAR and its peers on the folds and with the seeds that all of them ran; nothing without both."""
    mine = [run for run in runs if not run["network"].startswith("miar ")]
    ran: dict[str, set[tuple[int, int]]] = {}
    for run in mine:
        ran.setdefault(run["network"], set()).add((run["fold"], run["seed"]))
    if "miar" not in ran or len(ran) < 2:
        return []
    everywhere = set.intersection(*ran.values())
    return [run for run in mine if (run["fold"], run["seed"]) in everywhere]


def extent(runs: Sequence[Run]) -> str:
    """How much has been scored, since a page may be written before all has run."""
    mine = [run for run in runs if run["network"] == "miar"]
    folds, seeds = {run["fold"] for run in mine}, {run["seed"] for run in mine}
    count = sum(len(run["truth"]) for run in mine if run["seed"] == min(seeds))
    return f"{count} samples scored, in {len(folds)} fold{'s' * (len(folds) > 1)} by {len(seeds)} of the seeds."


def _figure(name: str, kept: Sequence[Run], page: Path) -> str:
    """Draw merit over missing rate, and say where it is."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
    marks = product("os^vD", ("-", "--"))
    for network in dict.fromkeys(run["network"] for run in kept):
        mark, line = ("*", "-") if network == "miar" else next(marks)
        values = curve([run for run in kept if run["network"] == network])
        axes.plot(
            MISSING, values, marker=mark, linestyle=line, label=network, linewidth=2 if network == "miar" else 1
        )
    axes.set(xlabel="missing rate", ylabel="minus MAE" if kept[0]["rated"] else "accuracy")
    axes.legend(fontsize=7, ncols=2)
    path = page.parent / f"fusion-{name.replace(' ', '-')}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return f"![{TITLES[name]}]({path.name})"
