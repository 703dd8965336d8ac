"""Recording and replay: megabytes a minute, whether a replay says the same, and how fast it is.

Example
-------
    python scripts/bench_replay.py talk.mp4 --seconds 300 --publish
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_report import publish, section, table
from live_probe import Run

from miar_rt.features.text_onnx import open_encoder
from stream.recording_format import EVENTS
from stream.replay import Comparison, Recording, Replay
from stream.scoring import load_scorer


def replayed(folder: Path, checkpoint: Path | None, engine: str, times: int) -> tuple[Comparison, list[float]]:
    """How the results compare, and the seconds that each of so many replays took, start-up apart."""
    took = []
    with contextlib.ExitStack() as held:
        scorer, _ = load_scorer(checkpoint, engine)
        held.callback(scorer.engine.close)
        for _ in range(times):
            # a new encoder, because the last one remembers texts
            replay = Replay(
                Recording(folder),
                scorer,
                open_encoder(None, scorer.checkpoint.extractors, scorer.checkpoint.text_adapter),
            )
            began = time.perf_counter()
            for _ in replay.run():
                pass
            took.append(time.perf_counter() - began)
    return replay.comparison, took


def measure(arguments: argparse.Namespace, folder: Path) -> str:
    """Record, replay with each engine, and the section's body."""
    run = Run(arguments.file, arguments.seconds, checkpoint=arguments.checkpoint, more=("--record", str(folder)))
    if run.returncode:
        raise SystemExit(run.complaint)
    end = Recording(folder).read_through()
    rate = (folder / EVENTS).stat().st_size / 1e6 * 60.0 / end.seconds
    rows = []
    for engine in arguments.engines.split(","):
        found, took = replayed(folder, arguments.checkpoint, engine, arguments.times)
        speeds = [end.seconds / seconds for seconds in (float(np.median(took)), min(took))]
        rows.append([engine, f"{found.identical} of {found.compared}", found.greatest, *speeds])
    header = ["engine", "results identical", "greatest difference", "times real time, median", "fastest"]
    return (
        f"{end.seconds:.0f} s of a looped file, {end.results} results, recorded with the engine onnx: "
        f"{rate:.1f} MB a minute, {end.rows_lost} rows lost. Replayed {arguments.times} times, start-up apart.\n\n"
        + table(header, rows)
    )


def main() -> None:
    """Measure, print, and publish if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=int, default=5, help="replays with each engine")
    parser.add_argument("--engines", default="onnx,torch", help="to replay with")
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        body = measure(arguments, Path(folder) / "session")
    text = section(
        "Recording and replay", f"python scripts/bench_replay.py FILE --seconds {arguments.seconds:g}", body
    )
    print(text)
    if arguments.publish:
        publish("Recording and replay", text)


if __name__ == "__main__":
    main()
