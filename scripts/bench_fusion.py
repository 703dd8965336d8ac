"""MIAR against its peers, in one run on the same inputs, and without its own parts; writes docs/fusion.md's tables.

python scripts/bench_fusion.py --data DIR [--runs FILE] [--only "c minilm" ...] [--workers N] [--report]

Every run trains a network at two learning rates and keeps the one that validates better. Runs that FILE holds are
not repeated; --report runs nothing and writes the page from what there is. After --hours it stops.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from fusion_report import publish_all
from fusion_testbeds import TESTBEDS, Testbed

from miar_rt.input_spec import SPEC
from miar_rt.network import Miar
from miar_rt.signals import MODALITIES
from miar_rt.training.ablations import ABLATIONS, CHANGES, REMEDIES
from miar_rt.training.fusion import Plan, answer, fit_network, make_network
from miar_rt.training.peers import PEERS, make_peer

RATES = (1e-3, 3e-4)
PLANS = {
    "a": Plan(epochs=10, patience=3, batch=128),
    "b": Plan(epochs=20, patience=5, batch=64),
    "c": Plan(epochs=15, patience=4, batch=64),
}
SEEDS = {"a": 3, "b": 1, "c": 1}
ABLATED = {"a": 5, "b own": 1, "c minilm context": 1}
"""Testbeds that the ablations run on, with seeds; five folds make five paired runs of one seed."""

MAJORITY = "majority"


@dataclass(frozen=True)
class Job:
    """One network on one fold with one seed."""

    testbed: str
    network: str
    fold: int
    seed: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What tells it from others."""
        return self.testbed, self.network, self.fold, self.seed


@lru_cache(maxsize=1)
def opened(name: str, data: Path) -> Testbed:
    """A testbed, read once for the runs that follow each other on it."""
    return TESTBEDS[name](data)


def networks(testbed: Testbed) -> list[str]:
    """MIAR as it is and otherwise, its peers, every modality alone, and who always says the same."""
    tried = [f"miar {name}" for name in REMEDIES]
    return ["miar", *tried, *PEERS, *(f"only {name}" for name in testbed.singles), MAJORITY]


def jobs(name: str, testbed: Testbed) -> Iterator[Job]:
    """All runs on a testbed; a seed's runs before the next seed's, so that what is interrupted is balanced."""
    for seed in range(max(SEEDS[name[0]], ABLATED.get(name, 0))):
        for fold in range(len(testbed.folds)):
            if seed < SEEDS[name[0]]:
                yield from (Job(name, network, fold, seed) for network in networks(testbed))
            elif seed < ABLATED.get(name, 0):
                yield Job(name, "miar", fold, seed)
    for seed in range(ABLATED.get(name, 0)):
        for fold in range(len(testbed.folds)):
            yield from (Job(name, f"miar {ablation}", fold, seed) for ablation in ABLATIONS)


def run(job: Job, testbed: Testbed, plan: Plan) -> dict[str, Any]:
    """Train and score; see ``record`` for what comes out."""
    started = time.monotonic()
    if job.network == MAJORITY:
        return record(job, testbed, *_constant(testbed, job.fold), parameters=0, seconds=0.0)
    ablation = CHANGES.get(job.network.removeprefix("miar "))
    parts = testbed.parts(job.fold, ablation is None or ablation.standardised)
    if job.network.startswith("only "):
        alone = next(name for name in MODALITIES if job.network == f"only {name}")
        train, valid = (part.only(alone) for part in parts[:2])
        plan = replace(plan, missing=False)
    else:
        train, valid = parts[:2]
    if ablation is not None:
        plan = replace(plan, **ablation.plan)

    def make() -> torch.nn.Module:
        if ablation is not None:
            return ablation.make(testbed.config, testbed.shapes)
        name = "concat-mlp" if job.network.startswith("only ") else job.network
        return make_network(name, testbed.config, testbed.shapes)

    tried = [fit_network(make, train, valid, replace(plan, learning_rate=rate), job.seed) for rate in RATES]
    best = max(tried, key=lambda one: one.score)
    scored = parts[2].only(alone) if job.network.startswith("only ") else parts[2]
    logits, sentiment = answer(best.network, scored)
    parameters = sum(weight.numel() for weight in best.network.parameters())
    return record(job, testbed, logits, sentiment, parameters=parameters, seconds=time.monotonic() - started)


def _constant(testbed: Testbed, fold: int) -> tuple[Any, Any]:
    """The commonest class, or the median rating, of the training part; for every pattern."""
    train, _, test = testbed.folds[fold]
    logits = np.zeros((len(test), 7, len(testbed.classes)))
    sentiment = np.zeros((len(test), 7))
    if testbed.labels is None:
        sentiment += np.median(testbed.truth[train])
    else:
        logits[:, :, np.bincount(testbed.labels[train]).argmax()] = 1.0
    return logits, sentiment


def record(
    job: Job, testbed: Testbed, logits: Any, sentiment: Any, *, parameters: int, seconds: float
) -> dict[str, Any]:
    """One line of the runs file: the run, and per scored sample its truth, group and answers to all patterns."""
    test = testbed.folds[job.fold][2]
    answers = sentiment.round(3) if testbed.labels is None else logits.argmax(axis=2)
    return {
        "testbed": job.testbed,
        "network": job.network,
        "fold": job.fold,
        "seed": job.seed,
        "rated": testbed.labels is None,
        "parameters": parameters,
        "seconds": round(seconds, 1),
        "truth": testbed.truth[test].tolist(),
        "groups": testbed.groups[test].tolist(),
        "answers": answers.tolist(),
    }


def finished(runs: Path) -> list[dict[str, Any]]:
    """What a runs file holds; a line that an interruption cut off is left out."""
    if not runs.exists():
        return []
    found = []
    for line in runs.read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(line))
        except msgspec.DecodeError:
            continue
    return found


def append(runs: Path, line: dict[str, Any]) -> None:
    """Add a line, on a line of its own even when the last one was cut off."""
    with runs.open("ab+") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(msgspec.json.encode(line) + b"\n")


def work(given: tuple[Job, Path, Plan]) -> dict[str, Any]:
    """One run in a process of the pool."""
    job, data, plan = given
    torch.set_num_threads(1)
    return run(job, opened(job.testbed, data), plan)


@dataclass(frozen=True)
class Wanted:
    """What is run: testbeds, networks (all of each when there are none), how, and until when."""

    testbeds: Sequence[str]
    networks: Sequence[str]
    plans: Mapping[str, Plan]
    workers: int
    until: float


def go(data: Path, runs: Path, wanted: Wanted) -> None:
    """Run what is not in the runs file yet."""
    for name in wanted.testbeds:
        done = {(r["testbed"], r["network"], r["fold"], r["seed"]) for r in finished(runs)}
        todo = [job for job in jobs(name, opened(name, data)) if job.key not in done]
        todo = [job for job in todo if not wanted.networks or job.network in wanted.networks]
        given = [(job, data, wanted.plans[name[0]]) for job in todo]
        with get_context("fork").Pool(wanted.workers) as pool:
            for i, line in enumerate(pool.imap_unordered(work, given), 1):
                append(runs, line)
                print(f"{name}: {i} of {len(todo)}, {line['network']}, {line['seconds']} s", flush=True)
                if time.monotonic() > wanted.until:
                    return


def latencies(repeats: int) -> list[list[Any]]:
    """Parameters and milliseconds (p50, p95) of one window at 48, 100 and 60 steps, on one thread."""
    torch.set_num_threads(1)
    rows = []
    for name, network in (("miar", Miar().eval()), *((name, make_peer(name).eval()) for name in PEERS)):
        times = [_once(network) for _ in range(repeats + 3)][3:]
        size = sum(weight.numel() for weight in network.parameters())
        rows.append([name, size, *(float(np.percentile(times, q)) for q in (50, 95))])
    return rows


def _once(network: torch.nn.Module) -> float:
    inputs = {name: torch.randn(1, SPEC.steps[name], SPEC.widths[name]) for name in MODALITIES}
    inputs |= {f"{name}_mask": torch.ones(1, SPEC.steps[name]) for name in MODALITIES}
    inputs |= {"groups": torch.ones(1, 4), "baseline": torch.zeros(1, 3), "presence": torch.ones(1, 1, 3)}
    started = time.perf_counter()
    with torch.inference_mode():
        network(**inputs)
    return 1000.0 * (time.perf_counter() - started)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("fusion-runs.jsonl"))
    parser.add_argument("--only", nargs="+", default=list(TESTBEDS), choices=list(TESTBEDS), metavar="TESTBED")
    parser.add_argument("--networks", nargs="+", default=[], metavar="NETWORK", help="as 'miar' or 'only text'")
    parser.add_argument("--repeats", type=int, default=50, help="windows that are timed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hours", type=float, default=3.0, help="after which nothing new is begun")
    parser.add_argument("--epochs", type=int, help="at most, instead of the plans'")
    parser.add_argument("--report", action="store_true", help="run nothing, write the page")
    parser.add_argument("--page", type=Path, default=Path(__file__).parents[1] / "docs" / "fusion.md")
    options = parser.parse_args(arguments)
    plans = PLANS if options.epochs is None else {n: replace(p, epochs=options.epochs) for n, p in PLANS.items()}
    if not options.report:
        until = time.monotonic() + 3600.0 * options.hours
        go(options.data, options.runs, Wanted(options.only, options.networks, plans, options.workers, until))
    publish_all(finished(options.runs), latencies(options.repeats), options.page)


if __name__ == "__main__":
    main()
