"""A long run on a looping file: whether the age of results, memory, threads, files or queues grow.

Example
-------
    python scripts/soak.py talk.mp4 --minutes 30 --publish
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_report import publish, section, table
from live_probe import Run

SETTLE_SECONDS = 60.0
"""Caches fill in the first minute; a slope is what goes on after it."""


def slope(times: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """Median, change an hour by least squares, and the standard error of that change."""
    t, y = np.asarray(times) / 3600.0, np.asarray(values, np.float64)
    design = np.stack([t, np.ones_like(t)], axis=1)
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    residual = y - design @ solution
    error = np.sqrt(residual @ residual / max(len(y) - 2, 1) / ((t - t.mean()) ** 2).sum())
    return float(np.median(y)), float(solution[0]), float(error)


def rows_of(run: Run, settle: float) -> list[list[object]]:
    """A row for everything that must not grow."""
    samples = [s for s in run.samples if s["t"] > settle]
    times = [s["t"] for s in samples]
    rows: list[list[object]] = [
        [name, *slope(times, [s[name] for s in samples])] for name in ("rss_mb", "rss_main_mb", "threads", "files")
    ]
    kept = [(t, r["latency_ms"]["total"]) for t, r in zip(run.read_at, run.results, strict=True) if t > settle]
    aged = [(t, total) for t, total in kept if total is not None]
    rows.append(["age of result, ms", *slope([t for t, _ in aged], [total for _, total in aged])])
    late = [s for s in run.statuses if s["media_time"] > settle]
    rows += [
        [f"waiting in {name}", *slope([s["media_time"] for s in late], [s["waiting"][name] for s in late])]
        for name in (late[-1]["waiting"] if late else ())
    ]
    return rows


def main() -> None:
    """Run, print, and publish if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds at the start left out")
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    arguments = parser.parse_args()
    run = Run(arguments.file, arguments.minutes * 60.0, checkpoint=arguments.checkpoint)
    if run.returncode:
        raise SystemExit(f"miar-live failed: {run.complaint.strip()}")
    shown = table(["what", "median", "change an hour", "standard error"], rows_of(run, arguments.settle))
    dropped = ", ".join(f"{n} {name}" for name, n in run.statuses[-1]["dropped"].items()) if run.statuses else ""
    body = f"{len(run.results)} results in {arguments.minutes:g} minutes; dropped: {dropped}.\n\n{shown}"
    text = section("A long run", f"python scripts/soak.py FILE --minutes {arguments.minutes:g}", body)
    print(text)
    if arguments.publish:
        publish("A long run", text)


if __name__ == "__main__":
    main()
