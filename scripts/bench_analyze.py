"""`miar analyze` on files: the same bytes twice, how much faster than real time, and what it said was present.

Example
-------
    python scripts/bench_analyze.py clips/*.mp4 --looped clips/talk.mp4 --publish
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench_report import publish, section, table

from miar_rt.features.appearance import Appearance
from miar_rt.features.text_onnx import open_encoder
from stream.analyze import Analyzer
from stream.app_analyze import run_analyze
from stream.asr.choose import choose_recogniser
from stream.options import AnalyzeOptions
from stream.scoring import load_scorer
from stream.session import Session
from stream.sources.media_file import MediaFile


def twice(file: Path, checkpoint: Path | None) -> list[object]:
    """A row: whether two runs agree to the byte, presence and reasons by modality, and what was said."""
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder) / name for name in ("first", "second")]
        for out in outs:
            run_analyze(file, out, AnalyzeOptions(asr="sphinx", checkpoint=checkpoint))
        same = len({(out / "results.jsonl").read_bytes() for out in outs}) == 1
        results = [json.loads(line) for line in (outs[0] / "results.jsonl").read_text().splitlines()]
    return [
        file.name,
        len(results),
        "yes" if same else "NO",
        *(states(results, m) for m in ("text", "audio", "vision")),
        labels(results),
        changes_a_minute(results),
    ]


def states(results: list[dict[str, Any]], modality: str) -> str:
    """Shares of the states of a modality, as ``present 80 %, silence 20 %``."""
    counts = Counter(str(result["modalities"][modality]["reason"] or "present") for result in results)
    return ", ".join(f"{name} {count / len(results):.0%}" for name, count in counts.most_common())


def labels(results: list[dict[str, Any]]) -> str:
    """Shares of the labels, the most frequent first."""
    counts = Counter(str(result["label"]) for result in results if result["label"])
    return ", ".join(f"{name} {count / counts.total():.0%}" for name, count in counts.most_common(4))


def changes_a_minute(results: list[dict[str, Any]]) -> float:
    """How often the label becomes another."""
    said = [result for result in results if result["label"]]
    changes = sum(before["label"] != now["label"] for before, now in pairwise(said))
    return 60.0 * changes / max(said[-1]["media_time"] - said[0]["media_time"], 1.0) if said else 0.0


def speed(file: Path, seconds: float, checkpoint: Path | None) -> float:
    """How many times faster than real time a looped file is analysed, start-up apart."""
    recogniser, _ = choose_recogniser("sphinx", "en")
    with contextlib.ExitStack() as held:
        scorer, _ = load_scorer(checkpoint, "onnx")
        held.callback(scorer.engine.close)
        model = scorer.checkpoint
        session = Session(scorer, open_encoder(None, model.extractors, model.text_adapter))
        if recogniser is not None:
            held.callback(recogniser.close)
        analyzer = held.enter_context(Analyzer(session, recogniser, Appearance.wanted_by(model.extractors)))
        began = time.perf_counter()
        for _ in analyzer.run(MediaFile(file, loop=True), seconds):
            pass
        return seconds / (time.perf_counter() - began)


def main() -> None:
    """Measure, print, and publish if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--looped", type=Path, help="file to loop for the speed; the first otherwise")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    arguments = parser.parse_args()
    rows = [twice(file, arguments.checkpoint) for file in arguments.files]
    factor = speed(arguments.looped or arguments.files[0], arguments.seconds, arguments.checkpoint)
    body = (
        table(
            ["file", "results", "same bytes twice", "text", "audio", "vision", "labels", "changes a minute"], rows
        )
        + f"\n\nLooped to {arguments.seconds:.0f} s: {factor:.2f} times faster than real time, start-up apart."
    )
    text = section("Analysis of files", "python scripts/bench_analyze.py FILES", body)
    print(text)
    if arguments.publish:
        publish("Analysis of files", text)


if __name__ == "__main__":
    main()
