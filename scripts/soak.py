"""A long run: whether the age of results, memory, threads, files or queues grow.

With ``--devices`` a file plays into a real PulseAudio microphone and a real MJPEG camera; else it is looped.

Example
-------
    python scripts/soak.py talk.mp4 --devices --minutes 45 --publish
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from bench_report import publish, section, table
from live_probe import CAMERA, Run
from numpy.typing import NDArray
from stand_ins import MjpegCamera, PulseMicrophone, jpegs

from stream.events import SAMPLE_RATE, AudioChunk, VideoFrame
from stream.sources.media_file import MediaFile

SETTLE_SECONDS = 60.0
"""Caches fill in the first minute; a slope is what goes on after it."""


def slope(times: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """Median, change an hour by least squares, and the standard error of that change.

    Neighbouring values are alike, so that many of them tell less than as many independent ones would.
    """
    t, y = np.asarray(times) / 3600.0, np.asarray(values, np.float64)
    design = np.stack([t, np.ones_like(t)], axis=1)
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    residual = y - design @ solution
    squares = residual @ residual
    alike = np.clip(residual[1:] @ residual[:-1] / max(squares, 1e-12), 0.0, 0.999)
    error = np.sqrt(squares / max(len(y) - 2, 1) / ((t - t.mean()) ** 2).sum() * (1.0 + alike) / (1.0 - alike))
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


@contextlib.contextmanager
def devices(file: Path, minutes: float) -> Iterator[tuple[str, ...]]:
    """A file played into devices; the options that ask for them, of which the last ``--camera`` counts."""
    media = MediaFile(file)
    items = list(media.packets())
    pictures = [item.image for item in items if isinstance(item, VideoFrame)]
    sound = np.concatenate([item.samples for item in items if isinstance(item, AudioChunk)])
    with tempfile.TemporaryDirectory(prefix="soak") as name, contextlib.ExitStack() as held:
        folder = Path(name)
        camera, microphone = (
            MjpegCamera(jpegs(pictures), len(pictures) / (media.duration or 1.0)),
            PulseMicrophone(folder),
        )
        os.environ.update(microphone.variables)
        held.callback(microphone.stop)
        microphone.start()
        held.callback(camera.stop)
        camera.start()
        microphone.play(looped(sound, minutes + 5.0, folder / "sound.wav"))
        yield "--camera", camera.url


def looped(sound: NDArray[np.int16], minutes: float, path: Path) -> Path:
    """Sound again and again in a little noise, because a room is never digitally silent."""
    noise = np.random.default_rng(1).integers(-20, 21, len(sound))
    once = np.clip(sound + noise, -32768, 32767).astype(np.int16).tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for _ in range(int(minutes * 60.0 * SAMPLE_RATE / len(sound))):
            file.writeframes(once)
    return path


def main() -> None:
    """Run, print, and publish if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--devices", action="store_true", help="play the file into stand-ins for devices")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds at the start left out")
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    arguments = parser.parse_args()
    given = devices(arguments.file, arguments.minutes) if arguments.devices else contextlib.nullcontext(())
    with given as more:
        file = CAMERA if arguments.devices else arguments.file
        run = Run(file, arguments.minutes * 60.0, checkpoint=arguments.checkpoint, more=more)
    if run.returncode:
        raise SystemExit(f"miar-live failed: {run.complaint.strip()}")
    shown = table(["what", "median", "change an hour", "standard error"], rows_of(run, arguments.settle))
    dropped = ", ".join(f"{n} {name}" for name, n in run.statuses[-1]["dropped"].items()) if run.statuses else ""
    load = f"The machine, of {os.cpu_count()} cores, had a load of {os.getloadavg()[2]:.1f} in the last 15 minutes"
    told = f"{len(run.results)} results in {arguments.minutes:g} minutes; dropped: {dropped}."
    body = f"{told} {load}.\n\n{shown}"
    call = f"python scripts/soak.py FILE{' --devices' if arguments.devices else ''} --minutes {arguments.minutes:g}"
    text = section("A long run", f"{call} --settle {arguments.settle:g}", body)
    print(text)
    if arguments.publish:
        publish("A long run", text)


if __name__ == "__main__":
    main()
