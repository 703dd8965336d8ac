"""Streaming extraction against batch extraction: the same numbers or not, and what each part costs.

Example
-------
    python scripts/bench_extraction.py talk.mp4 --publish
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import percentiles, publish, section, table
from numpy.typing import NDArray

from miar_rt.features.acoustic import AcousticExtractor
from miar_rt.features.face import FaceExtractor
from miar_rt.features.text import TextEncoder
from miar_rt.features.voice_activity import VoiceActivity
from miar_rt.input_spec import DESCRIPTORS
from stream.asr.sphinx import SphinxRecogniser
from stream.events import SAMPLE_RATE, AudioChunk, VideoFrame
from stream.sources.media_file import MediaFile

CHUNKS_MS = (10, 20, 50, 100)


def batch_descriptors(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Descriptors by openSMILE's own batch call."""
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
    frame = smile.process_signal(samples.astype(np.float32) / 32768.0, SAMPLE_RATE)
    return np.asarray(frame.to_numpy(), np.float32)


def streamed(samples: NDArray[np.int16], lengths: list[int]) -> NDArray[np.float32]:
    """Descriptors of the same samples pushed in chunks of ``lengths``, again and again."""
    rows, start, turn = [], 0, 0
    with AcousticExtractor() as extractor:
        while start < len(samples):
            length = lengths[turn % len(lengths)]
            extractor.push(samples[start : start + length])
            rows += extractor.poll()
            start, turn = start + length, turn + 1
        rows += extractor.finish()
    return np.stack([row.values[: len(DESCRIPTORS)] for row in rows])


def compare(samples: NDArray[np.int16]) -> str:
    """Greatest differences between streaming and batch by chunk length."""
    reference = batch_descriptors(samples)
    ragged = np.random.default_rng(0).integers(1, 4000, 997).tolist()
    cases = {f"{ms} ms": [ms * SAMPLE_RATE // 1000] for ms in CHUNKS_MS} | {"ragged, 1 to 4000 samples": ragged}
    rows = []
    for name, lengths in cases.items():
        values = streamed(samples, lengths)
        same = values.shape == reference.shape
        worst = float(np.abs(values - reference).max()) if same else float("nan")
        rows.append([name, len(values), len(reference), f"{worst:g}"])
    return table(["chunks", "frames streamed", "frames in batch", "max abs difference"], rows)


def timed(act: Callable[[Any], object], items: list[Any]) -> list[float]:
    """Milliseconds of ``act`` on each item."""
    times = []
    for item in items:
        began = time.perf_counter()
        act(item)
        times.append((time.perf_counter() - began) * 1e3)
    return times


def costs(chunks: list[AudioChunk], frames: list[VideoFrame]) -> str:
    """What each extractor takes, and the share of a core that is at the rate its signal comes."""
    seconds = sum(len(c.samples) for c in chunks) / SAMPLE_RATE
    rows = []

    def add(name: str, times: list[float], span: float) -> None:
        found = percentiles(times)
        rows.append([name, found["p50"], found["p95"], found["max"], f"{sum(times) / span / 10:.1f} %"])

    voice = VoiceActivity()
    add("voice activity, 20 ms of sound", timed(lambda c: voice.push(c.samples), chunks), seconds)
    sphinx = SphinxRecogniser()
    add("pocketsphinx, 20 ms of speech", timed(lambda c: sphinx.push(c.t, c.samples, True), chunks), seconds)
    if frames:
        with FaceExtractor() as face:
            face.extract(0.0, frames[0].image)
            span = frames[-1].t - frames[0].t
            add("face, one picture", timed(lambda f: face.extract(f.t, f.image), frames), span)
    encoder = TextEncoder()
    texts = [
        f"what a day number {i} was this for all of us here and for them over there".split() for i in range(60)
    ]
    add("words, 15 of them, 3 times a second", timed(encoder.encode, texts), len(texts) / 3)
    acoustic = timed_acoustic(chunks)
    rows.append(["openSMILE, all of the sound", "", "", "", f"{acoustic / seconds * 100:.1f} %"])
    return table(["part", "p50 ms", "p95 ms", "max ms", "share of a core"], rows)


def timed_acoustic(chunks: list[AudioChunk]) -> float:
    """Processor seconds of the streaming graph over all chunks."""
    before = time.process_time()
    with AcousticExtractor() as extractor:
        for chunk in chunks:
            extractor.push(chunk.samples)
            extractor.poll()
        extractor.finish()
    return time.process_time() - before


def main() -> None:
    """Measure one file, print, and publish if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    arguments = parser.parse_args()
    items = list(MediaFile(arguments.file).packets())
    chunks = [item for item in items if isinstance(item, AudioChunk)]
    frames = [item for item in items if isinstance(item, VideoFrame)]
    sound = np.concatenate([chunk.samples for chunk in chunks])
    body = "\n\n".join(
        ["Streaming descriptors against openSMILE in one batch:", compare(sound), "Cost:", costs(chunks, frames)]
    )
    text = section("Extraction", "python scripts/bench_extraction.py FILE", body)
    print(text)
    if arguments.publish:
        publish("Extraction", text)


if __name__ == "__main__":
    main()
