"""How long an answer takes: the network alone by engine, and the whole path with a file played in real time.

Examples
--------
    python scripts/latency_bench.py                                     every engine that runs here
    python scripts/latency_bench.py --engines onnx,torch --batch 1,4,16 --json bench.json
    python scripts/latency_bench.py --live talk.mp4 --seconds 60        the live path, by stage
    python scripts/latency_bench.py --live camera                       the same with the default camera
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_report import machine, publish, section, software, table, today
from engine_probe import time_engine, time_extractors, time_peers
from live_probe import CAMERA, measure_live
from stage_probe import measure_stages

from miar_rt.checkpoint import Checkpoint, load_checkpoint
from miar_rt.engines import EngineUnavailable
from miar_rt.engines.choose import AUTO, LADDER, NAMES
from miar_rt.signals import MODALITIES

TIMES = ("p50", "p95", "p99", "max")
ENGINE_COLUMNS = ("engine", "precision", "batch", "beside", *TIMES, "windows_per_s", "times_torch", "rss_mb")
GPU_COLUMNS = (
    "device_ms", "copy_in_ms", "copy_out_ms", "host_us", "kernels", "reading_ms", "launching_ms", "floor_ms",
    "times_floor", "gpu_mb",
)  # fmt: skip
ON_GPU = (
    "`device_ms`: copies and kernels by CUDA events; `host_us`: what the processor does for a score but wait; "
    "`floor_ms`: the weights read once and every kernel launched once; `gpu_mb`: in use on the whole GPU."
)
WHOLE_RUN = ("cpu_cores", "rss_mb", "first_result_s")


def bench_engines(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Rows for every engine and batch with ratios against plain torch, and for the networks that make features."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    rows: list[dict[str, Any]] = []
    absent = []
    for name in arguments.engines:
        try:
            rows += time_engine(name, checkpoint, arguments.batch, arguments.iterations, arguments.warmup)
        except EngineUnavailable as error:
            why = re.search(r"\((.*)\); available", str(error))
            absent.append(f"- `{name}` was not run: {why.group(1) if why else error}")
    compare(rows)
    others = time_extractors(arguments.iterations, arguments.warmup)
    peers = time_peers(checkpoint, arguments.iterations, arguments.warmup)
    on_gpu = any("gpu_mb" in row for row in rows)
    parts = [
        f"{software()}.",
        "Milliseconds a batch, four availability patterns a window, full windows; `times_torch` is the speed "
        "against plain torch in the same run; `busy cores`: all others were kept busy. `rss_mb` is what the engine "
        "added to the process, up to then." + (f" {ON_GPU}" if on_gpu else ""),
        shown(ENGINE_COLUMNS + (GPU_COLUMNS if on_gpu else ()), rows),
        "\n".join(absent),
        "The networks that make features, one thread, milliseconds:",
        shown(("network", "beside", *TIMES), others),
        f"MIAR beside published ways to fuse: plain torch, one CPU thread, {steps(checkpoint)} steps of text, "
        "sound and face, milliseconds for one answer. All but MulT stand on MIAR's encoders; MISA computes its "
        "loss too:",
        shown(("network", "parameters, millions", *TIMES), peers),
    ]
    return {"engines": rows, "features": others, "peers": peers}, "\n\n".join(part for part in parts if part)


def steps(checkpoint: Checkpoint) -> str:
    """Lengths of the windows."""
    return "/".join(str(checkpoint.spec.steps[name]) for name in MODALITIES)


def compare(rows: Sequence[dict[str, Any]]) -> None:
    """Add how many times as fast as plain torch, and how many times the floor, each row is."""
    plain = {(row["batch"], row.get("beside")): row["p50"] for row in rows if row["engine"] == "torch"}
    for row in rows:
        against = plain.get((row["batch"], row.get("beside")))
        row["times_torch"] = against / row["p50"] if against else None
        if "floor_ms" in row:
            row["times_floor"] = row.get("device_ms", row["p50"]) / row["floor_ms"]


def shown(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """A table of rows, with nothing where a row has nothing."""
    return table(columns, [["" if row.get(name) is None else row[name] for name in columns] for row in rows])


def bench_live(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The live path with a file, at the given rates, without its picture at the first of them, and by stage."""
    found: dict[str, Any] = {}
    rows = []
    runs: list[tuple[str, float, tuple[str, ...]]] = [(f"{rate:g}", rate, ()) for rate in arguments.rates]
    runs.append((f"{arguments.rates[0]:g}, sound only", arguments.rates[0], ("--no-camera",)))
    for name, rate, more in runs:
        options = ("--engine", arguments.engines[0], *more)
        measured = measure_live(arguments.live, arguments.seconds, rate, arguments.checkpoint, options)
        found[f"rate {name}"] = measured
        rows += [[name, what, *stage.values()] for what, stage in measured["stages"].items()]
        rows += [[name, what, measured[what], "", "", "", ""] for what in WHOLE_RUN]
    text = (
        "Milliseconds. `total` counts from the capture of the newest signal in a result to its hand-over to the "
        "sockets; `frame to result` from the capture of a picture to the first result that contains it, waiting "
        "for the rate included. `first_result_s` counts from the start of the process."
    )
    parts = [text, table(["rate", "what", "value or p50", "p95", "p99", "max", "n"], rows)]
    if arguments.live != CAMERA:
        found["stages"], stages = by_stage(arguments)
        parts.append(stages)
    return found, "\n\n".join(parts)


def by_stage(arguments: argparse.Namespace) -> tuple[dict[str, dict[str, float]], str]:
    """The path one stage after another, without words, and the table of it."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    found = measure_stages(arguments.live, arguments.seconds, arguments.rates[0], checkpoint, arguments.engines[0])
    text = (
        "By stage, one after the other in one thread, in milliseconds: `capture` is decoding the file, `copy in` "
        "puts a window into the engine's inputs, `encode and send` ends when a websocket client on this machine "
        "has the result."
    )
    rows = [[what, *stage.values()] for what, stage in found.items()]
    return found, text + "\n\n" + table(["stage", *TIMES, "n"], rows)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--engines", default="all", help="all, or a list as onnx,torch; one with --live")
    parser.add_argument("--batch", default="1,4,16", type=lambda text: [positive(n) for n in text.split(",")])
    parser.add_argument("--iterations", type=positive, default=200)
    parser.add_argument("--warmup", type=int, default=20)
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--live", type=Path, help="measure the whole path with this file, or `camera`, instead")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rates", default="10,25", type=lambda text: [float(n) for n in text.split(",")])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the section here")
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    arguments = parser.parse_args()
    everything = (AUTO,) if arguments.live else LADDER
    arguments.engines = everything if arguments.engines == "all" else tuple(arguments.engines.split(","))
    if unknown := [name for name in arguments.engines if name not in NAMES]:
        parser.error(f"unknown engine {unknown[0]!r}: choose from {', '.join(NAMES)}")
    if arguments.live and len(arguments.engines) > 1:
        parser.error("one engine at a time with --live")
    return arguments


def positive(text: str) -> int:
    """A number above 0."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def command_of(arguments: argparse.Namespace) -> str:
    """The command line that measures this again."""
    engines = ",".join(arguments.engines)
    if arguments.live:
        rates = ",".join(f"{rate:g}" for rate in arguments.rates)
        chosen = f"--live FILE --engines {engines} --seconds {arguments.seconds:g} --rates {rates}"
    else:
        engines = "all" if arguments.engines == LADDER else engines
        batch = ",".join(map(str, arguments.batch))
        chosen = f"--engines {engines} --batch {batch} --iterations {arguments.iterations}"
    return f"python scripts/latency_bench.py {chosen}"


def main() -> None:
    """Measure, print, and write where asked."""
    arguments = parse()
    figures, body = bench_live(arguments) if arguments.live else bench_engines(arguments)
    name = "The live path" if arguments.live else "The network by engine"
    text = section(name, command_of(arguments), body)
    print(text)
    if arguments.json:
        made = {"command": command_of(arguments), "date": today(), "machine": machine(), "software": software()}
        document = {**made, "figures": figures}
        arguments.json.write_text(json.dumps(document, indent=1))
    if arguments.markdown:
        arguments.markdown.write_text(text)
    if arguments.publish:
        publish(name, text)


if __name__ == "__main__":
    sys.exit(main())
