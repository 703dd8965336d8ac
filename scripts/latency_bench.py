"""How long an answer takes: the network alone by engine, and the whole path with a file played in real time.

Examples
--------
    python scripts/latency_bench.py                                     every engine that runs here
    python scripts/latency_bench.py --engines onnx,torch --batch 1,4,16 --json bench.json
    python scripts/latency_bench.py --live talk.mp4 --seconds 60        the live path, by stage
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import machine, percentiles, publish, section, table
from live_probe import measure_live

from miar_rt.checkpoint import Checkpoint, load_checkpoint
from miar_rt.engines import EngineUnavailable
from miar_rt.engines.choose import LADDER, choose_engine
from miar_rt.signals import MODALITIES
from miar_rt.window import CLIP

LIVE_PATTERNS = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]], np.float32)

WHOLE_RUN = ("cpu_cores", "rss_mb", "first_result_s")


def full_batch(checkpoint: Checkpoint, windows: int) -> dict[str, Any]:
    """Windows in which every step holds something: the dearest there are."""
    spec, generator = checkpoint.spec, np.random.default_rng(0)
    batch: dict[str, Any] = {}
    for name in MODALITIES:
        shape = (windows, spec.steps[name], spec.widths[name])
        batch[name] = np.clip(generator.normal(size=shape), -CLIP, CLIP).astype(np.float32)
        batch[f"{name}_mask"] = np.ones(shape[:2], np.float32)
    batch["groups"] = np.ones((windows, len(spec.vision_groups)), np.float32)
    batch["baseline"] = np.zeros((windows, 3), np.float32)
    return batch


def time_engine(name: str, checkpoint: Checkpoint, windows: int, iterations: int, warmup: int) -> dict[str, Any]:
    """Milliseconds for a batch with the four availability patterns that live asks of every window."""
    engine, _ = choose_engine(name, checkpoint)
    batch = full_batch(checkpoint, windows)
    patterns = np.repeat(LIVE_PATTERNS[None], windows, axis=0)
    times = []
    try:
        for _ in range(warmup + iterations):
            began = time.perf_counter()
            engine.score(batch, patterns)
            times.append((time.perf_counter() - began) * 1e3)
    finally:
        engine.close()
    found = percentiles(times[warmup:])
    return {"engine": name, "batch": windows, **found, "windows_per_s": windows * 1e3 / found["p50"]}


def bench_engines(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    """Rows for every engine and batch, and the table of them with ratios against plain torch."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    names = LADDER if arguments.engines == "all" else arguments.engines.split(",")
    rows, absent = [], []
    for name in names:
        try:
            rows += [
                time_engine(name, checkpoint, windows, arguments.iterations, arguments.warmup)
                for windows in arguments.batch
            ]
        except EngineUnavailable as error:
            absent.append(f"- `{name}` was not run: {error}")
    plain = {row["batch"]: row["p50"] for row in rows if row["engine"] == "torch"}
    for row in rows:
        row["times_torch"] = plain[row["batch"]] / row["p50"] if row["batch"] in plain else None
    header = ["engine", "batch", "p50", "p95", "p99", "max", "windows_per_s", "times_torch"]
    shown = table(header, [["-" if row[name] is None else row[name] for name in header] for row in rows])
    text = (
        "Milliseconds a batch, four availability patterns a window, full windows; `times_torch` is the speed "
        "against plain torch."
    )
    return rows, "\n\n".join([text, shown, "\n".join(absent)]).strip()


def bench_live(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The live path with a file, at the given rates, and without its picture at the first of them."""
    found, rows = {}, []
    runs = [(f"{rate:g}", rate, ()) for rate in arguments.rates]
    runs.append((f"{arguments.rates[0]:g}, sound only", arguments.rates[0], ("--no-camera",)))
    for name, rate, more in runs:
        measured = measure_live(arguments.live, arguments.seconds, rate, arguments.checkpoint, more)
        found[f"rate {name}"] = measured
        rows += [[name, what, *stage.values()] for what, stage in measured["stages"].items()]
        rows += [[name, what, measured[what], "", "", "", ""] for what in WHOLE_RUN]
    text = (
        "Milliseconds. `total` counts from the capture of the newest signal in a result to its hand-over to the "
        "sockets; `frame to result` from the capture of a picture to the first result that contains it, waiting "
        "for the rate included. `first_result_s` counts from the start of the process."
    )
    return found, text + "\n\n" + table(["rate", "what", "value or p50", "p95", "p99", "max", "n"], rows)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--engines", default="all", help="all, or a list as onnx,torch")
    parser.add_argument("--batch", default="1,4,16", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--warmup", type=int, default=20)
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--live", type=Path, help="measure the whole path with this file instead")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rates", default="10,25", type=lambda text: [float(n) for n in text.split(",")])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the section here")
    parser.add_argument("--publish", action="store_true", help="put the section into docs/benchmarks.md")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write where asked."""
    arguments = parse()
    figures, body = bench_live(arguments) if arguments.live else bench_engines(arguments)
    name = "The live path" if arguments.live else "The network by engine"
    command = "python scripts/latency_bench.py" + (" --live FILE" if arguments.live else "")
    text = section(name, command, body)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1))
    if arguments.markdown:
        arguments.markdown.write_text(text)
    if arguments.publish:
        publish(name, text)


if __name__ == "__main__":
    sys.exit(main())
