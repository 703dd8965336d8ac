"""One engine tried on this machine: opened or built, held against float64, timed; ``miar doctor --engine NAME``."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import numpy as np

from miar_rt.checkpoint import Checkpoint, load_checkpoint
from miar_rt.engines import Engine
from miar_rt.engines.choose import choose_engine
from miar_rt.engines.gpu import find_gpu
from miar_rt.engines.parity import LIMITS, PATTERNS, SIZES, Parity, check, everywhere, random_batch
from stream.doctor_packages import DISTRIBUTION

PACKAGES = ("torch", "onnxruntime", "onnxruntime-gpu", "tensorrt", "torch-tensorrt", "tensorrt-rtx")
WARM_UP, TIMED = 5, 50


class Trial(msgspec.Struct, frozen=True):
    """What came of one number of windows.

    Attributes
    ----------
    difference, other_labels
        See ``Parity``.
    p50_ms, p95_ms
        Of a score with four patterns a window.
    """

    windows: int
    difference: float
    other_labels: int
    p50_ms: float
    p95_ms: float


class EngineReport(msgspec.Struct, frozen=True):
    """All that is worth knowing of an engine on a machine.

    Attributes
    ----------
    line
        What is said when it starts.
    lasted
        ``None``, or which engine took over and why.
    """

    engine: str
    line: str
    precision: str
    limit: float
    machine: dict[str, str]
    ready_s: float
    trials: list[Trial]
    lasted: str | None
    ok: bool


def run_engine_doctor(name: str, checkpoint: Path | None, as_json: bool) -> bool:
    """Try an engine and print a report; whether it does what it promises.

    Raises
    ------
    CheckpointError, EngineUnavailable, ValueError
        As ``load_scorer``.
    """
    report = try_engine(name, load_checkpoint(checkpoint))
    print(as_document(report) if as_json else as_text(report))  # noqa: T201 - the command's output
    return report.ok


def try_engine(name: str, checkpoint: Checkpoint, sizes: tuple[int, ...] = SIZES) -> EngineReport:
    """Open an engine, compare it with float64 and time it, by number of windows."""
    began = time.perf_counter()
    engine, line = choose_engine(name, checkpoint)
    ready, chosen, precision = time.perf_counter() - began, engine.name, engine.precision
    with contextlib.closing(engine):
        parities = check(engine, checkpoint, sizes)
        trials = [_trial(engine, windows, parity) for windows, parity in parities.items()]
        lasted = None if engine.name == chosen else f"{engine.name}: {engine.describe()}"
    right = all(parity.within(precision) for parity in parities.values())
    return EngineReport(
        engine=chosen,
        line=line,
        precision=precision,
        limit=LIMITS[precision],
        machine=_machine(),
        ready_s=round(ready, 2),
        trials=trials,
        lasted=lasted,
        ok=right and lasted is None,
    )


def _trial(engine: Engine, windows: int, parity: Parity) -> Trial:
    batch, presence = random_batch(windows), everywhere(windows, PATTERNS[:4])
    times = []
    for _ in range(WARM_UP + TIMED):
        began = time.perf_counter()
        engine.score(batch, presence)
        times.append((time.perf_counter() - began) * 1e3)
    p50, p95 = (round(float(np.percentile(times[WARM_UP:], share)), 3) for share in (50, 95))
    return Trial(windows, parity.difference, parity.other_labels, p50, p95)


def _machine() -> dict[str, str]:
    gpu = find_gpu()
    found = {"system": f"{platform.system()} {platform.release()} on {platform.machine()}"}
    found["python"] = platform.python_version()
    if gpu:
        found["gpu"] = (
            f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}, driver {gpu.driver}"
        )
    for package in (DISTRIBUTION, *PACKAGES):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def as_document(report: EngineReport) -> str:
    """One JSON object."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def as_text(report: EngineReport) -> str:
    """Markdown, to paste into an issue."""
    rows = [
        f"| {t.windows} | {t.difference:.1e} | {t.other_labels} | {t.p50_ms} | {t.p95_ms} |" for t in report.trials
    ]
    return "\n".join(
        [
            f"### {report.line}",
            "",
            _listed(report.machine),
            "",
            f"Ready after {report.ready_s:g} s. Against float64, all seven patterns; allowed is {report.limit:g} "
            f"for {report.precision}:",
            "",
            "| windows | difference | other labels | p50 ms | p95 ms |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            _verdict(report),
        ]
    )


def _listed(machine: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in machine.items())


def _verdict(report: EngineReport) -> str:
    if report.lasted:
        return f"It did NOT last: {report.lasted}."
    return "It does what it promises." if report.ok else "Its answers are NOT those of the network."
