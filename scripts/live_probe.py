"""Runs ``miar-live`` on a file as a user would, and measures it from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from bench_report import percentiles

POLL_SECONDS = 0.5

CAMERA = Path("camera")
"""In place of a file: the default camera and microphone."""


def command(file: Path, seconds: float, rate: float, checkpoint: Path | None, more: Sequence[str]) -> list[str]:
    """The command line measured."""
    program = [sys.executable, "-c", "from stream.cli import live_main; live_main()"]
    given = ["--camera", "0", "--accept-notice"] if file == CAMERA else ["--input", str(file), "--loop"]
    options = [*given, "--seconds", f"{seconds:g}", "--rate", f"{rate:g}"]
    chosen = ["--checkpoint", str(checkpoint)] if checkpoint else []
    return [*program, *options, "--asr", "sphinx", "--json", "--port", "0", *chosen, *more]


class Run:
    """One run: its results with the moment each was read, and samples of what the process used."""

    def __init__(
        self,
        file: Path,
        seconds: float,
        rate: float = 10.0,
        checkpoint: Path | None = None,
        more: Sequence[str] = (),
    ) -> None:
        self.results: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.read_at: list[float] = []
        self.samples: list[dict[str, float]] = []
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            command(file, seconds, rate, checkpoint, more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        self._read()
        watcher.join()
        self.returncode = self._process.wait()
        self.complaint = self._process.stderr.read() if self._process.stderr else ""

    def _read(self) -> None:
        for line in self._process.stdout or ():
            event = json.loads(line)
            if event["type"] == "result":
                self.results.append(event)
                self.read_at.append(time.monotonic() - self.began)
            elif event["type"] == "status":
                self.statuses.append(event)

    def _watch(self) -> None:
        process = psutil.Process(self._process.pid)
        try:
            while self._process.poll() is None:
                family = [process, *process.children(recursive=True)]
                used = [one.cpu_times() for one in family]
                self.samples.append(
                    {
                        "t": time.monotonic() - self.began,
                        "cpu": sum(times.user + times.system for times in used),
                        "rss_mb": sum(one.memory_info().rss for one in family) / 2**20,
                        "rss_main_mb": process.memory_info().rss / 2**20,
                        "threads": sum(one.num_threads() for one in family),
                        "files": sum(one.num_fds() for one in family),
                    }
                )
                time.sleep(POLL_SECONDS)
        except psutil.NoSuchProcess:
            return


def measure_live(
    file: Path, seconds: float, rate: float, checkpoint: Path | None, more: Sequence[str] = ()
) -> dict[str, Any]:
    """Stages in milliseconds, cores used once it runs, greatest resident memory, seconds to the first result."""
    run = Run(file, seconds, rate, checkpoint, more)
    if run.returncode or len(run.results) < 2:
        raise SystemExit(f"miar-live failed: {run.complaint.strip() or 'too few results'}")
    steady = [s for s in run.samples if s["t"] >= run.read_at[0] + 2.0]
    cores = (steady[-1]["cpu"] - steady[0]["cpu"]) / (steady[-1]["t"] - steady[0]["t"])
    return {
        "stages": stages(run.results),
        "results": len(run.results),
        "cpu_cores": round(cores, 3),
        "rss_mb": round(max(s["rss_mb"] for s in run.samples), 1),
        "first_result_s": round(run.read_at[0], 2),
        "dropped": run.statuses[-1]["dropped"] if run.statuses else {},
    }


def stages(results: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Percentiles of each latency over results that have it."""
    newest_face, newest_sound = [], []
    for result in results:
        latency = result["latency_ms"]
        if latency["total"] is not None and latency["total"] == latency["vision"]:
            newest_face.append(latency["total"])
        elif latency["total"] is not None and latency["total"] == latency["audio"]:
            newest_sound.append(latency["total"])
    found = {
        "total, face newest": newest_face,
        "total, sound newest": newest_sound,
        "score": [r["latency_ms"]["score"] for r in results],
        "age of words": [r["latency_ms"]["text"] for r in results if r["latency_ms"]["text"] is not None],
        "frame to result": frames_to_results(results),
    }
    return {name: {**percentiles(values), "n": len(values)} for name, values in found.items() if values}


def frames_to_results(results: list[dict[str, Any]]) -> list[float]:
    """Milliseconds from the capture of each picture to the first result that contains it.

    Pictures come evenly: those between the newest ones of two results are counted at even steps between.
    """
    seen = [
        (r["media_time"] - r["modalities"]["vision"]["age_ms"] / 1e3, r["latency_ms"]["vision"])
        for r in results
        if r["modalities"]["vision"]["age_ms"] is not None
    ]
    steps = [b - a for (a, _), (b, _) in pairwise(seen) if b - a > 1e-3]
    if not steps:
        return []
    spacing = frame_spacing(steps)
    return [
        latency + i * spacing * 1e3
        for (before, _), (newest, latency) in pairwise(seen)
        for i in range(round((newest - before) / spacing))
    ]


def frame_spacing(steps: list[float]) -> float:
    """Seconds between pictures: the usual rate whose multiples the steps come nearest to."""
    rates = (24.0, 25.0, 29.97, 30.0, 50.0, 60.0)
    return min((1.0 / rate for rate in rates), key=lambda s: sum(abs(x / s - round(x / s)) for x in steps))
