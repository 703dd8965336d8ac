"""Word errors, delays and false words of a recogniser behind the live path's own speech gate.

    python scripts/bench_asr.py --asr sphinx --sentences 40
    python scripts/bench_asr.py --noise-seconds 600

Speech comes from flite's voices; noise is made here. One JSON object a line on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from flite_speech import BLOCK, RATE, speak, word_errors  # noqa: E402

from miar_rt.features.voice_activity import SpeechGate, VoiceActivity  # noqa: E402
from miar_rt.signals import WordsUpdate  # noqa: E402
from stream.asr import Recogniser  # noqa: E402
from stream.asr.choose import choose_recogniser  # noqa: E402

Sound = NDArray[np.int16]
VOICES = ("slt", "awb", "rms", "kal16")
SENTENCES = tuple((Path(__file__).parent / "bench_sentences.txt").read_text(encoding="utf-8").splitlines())


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asr", default="sphinx")
    parser.add_argument("--sentences", type=int, default=40)
    parser.add_argument("--voices", default=",".join(VOICES))
    parser.add_argument("--snr", default="clean", help="comma-separated: clean or decibels of white noise")
    parser.add_argument("--noise-seconds", type=float, default=0.0, help="false words in sound without speech")
    options = parser.parse_args()
    for snr in options.snr.split(",") if options.sentences else ():
        for voice in options.voices.split(","):
            print(json.dumps(speech(options.asr, voice, snr, SENTENCES[: options.sentences])), flush=True)
    if options.noise_seconds:
        for kind, sound in noises(options.noise_seconds):
            print(json.dumps(false_words(options.asr, kind, sound)), flush=True)


def speech(asr: str, voice: str, snr: str, sentences: tuple[str, ...]) -> dict[str, object]:
    """Errors and delays over ``sentences`` said by ``voice``, one after the other to one recogniser."""
    sound = np.concatenate([speak(sentence, voice, 0.7, 0.8) for sentence in sentences])
    if snr != "clean":
        sound = with_noise(sound, float(snr))
    updates, cpu = hear(make(asr), sound)
    words = [word for update in updates for word in update.committed]
    errors = word_errors(" ".join(sentences), " ".join(word.text.strip(".,?!").lower() for word in words))
    commits = [update.t - word.t1 for update in updates for word in update.committed]
    return {
        "asr": asr,
        "voice": voice,
        "snr": snr,
        "wer": round(errors / sum(len(s.split()) for s in sentences), 4),
        "first_partial_s": percentiles(first_seen(updates)),
        "commit_s": percentiles(commits),
        "cpu_per_second": round(cpu / (len(sound) / RATE), 3),
    }


def false_words(asr: str, kind: str, sound: Sound) -> dict[str, object]:
    """Words committed in sound in which nobody speaks."""
    updates, _ = hear(make(asr), sound)
    words = [word.text for update in updates for word in update.committed]
    return {"asr": asr, "noise": kind, "seconds": len(sound) / RATE, "words": len(words), "said": words[:8]}


def make(asr: str) -> Recogniser:
    """The recogniser, or an end of the program in one line."""
    recogniser, line = choose_recogniser(asr, "en")
    if recogniser is None:
        raise SystemExit(line)
    return recogniser


def hear(recogniser: Recogniser, sound: Sound) -> tuple[list[WordsUpdate], float]:
    """Push 20 ms at a time behind the gate; updates and the recogniser's CPU seconds."""
    activity, gate = VoiceActivity(), SpeechGate()
    updates: list[WordsUpdate] = []
    cpu = 0.0
    for start in range(0, len(sound), BLOCK):
        block = sound[start : start + BLOCK]
        for frame in activity.push(block):
            gate.push(float(frame.values[0]))
        before = time.process_time()
        updates += recogniser.push(start / RATE, block, gate.speaking)
        cpu += time.process_time() - before
    updates += recogniser.finish()
    recogniser.close()
    return updates, cpu


def first_seen(updates: list[WordsUpdate]) -> list[float]:
    """Seconds from the end of each committed word to the first update that showed it at its place."""
    shown: dict[str, list[tuple[float, float]]] = {}
    for update in updates:
        for word in (*update.partial, *update.committed):
            shown.setdefault(word.text, []).append((word.t0, update.t))
    return [
        next(t for t0, t in shown[word.text] if abs(t0 - word.t0) <= 0.2) - word.t1
        for update in updates
        for word in update.committed
    ]


def percentiles(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    p50, p95 = np.percentile(values, [50, 95]) if values else (float("nan"), float("nan"))
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def with_noise(sound: Sound, snr_db: float) -> Sound:
    """White noise at ``snr_db`` below the power of the parts that sound."""
    values = sound.astype(np.float64)
    power = np.mean(values[np.abs(values) > 100.0] ** 2)
    noise = np.random.default_rng(0).normal(0, np.sqrt(power / 10 ** (snr_db / 10)), len(sound))
    return np.clip(values + noise, -32768, 32767).astype(np.int16)


def noises(seconds: float) -> Iterator[tuple[str, Sound]]:
    """Sound without speech: silence, white noise, hum, a tune, breaths, laughter-like bursts."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * RATE)) / RATE
    white = rng.normal(0, 1, len(t))
    soft = np.convolve(white, np.ones(12) / 12, mode="same")
    notes = 220 * 2 ** (rng.integers(0, 24, int(seconds * 3) + 1) / 12)
    tune = np.sin(2 * np.pi * np.cumsum(notes[(t * 3).astype(int)]) / RATE)
    kinds = {
        "silence": np.zeros(len(t)),
        "white noise": 0.1 * white,
        "hum": 0.2 * np.sin(2 * np.pi * 50 * t) + 0.05 * np.sin(2 * np.pi * 150 * t),
        "tune": 0.3 * tune * np.exp(-3 * (t * 3 % 1)),
        "breathing": 0.3 * soft * np.maximum(0, np.sin(2 * np.pi * 0.3 * t)) ** 2,
        "laughter": 0.5 * soft * (t % 4 < 1.5) * np.maximum(0, np.sin(2 * np.pi * 5 * t)) ** 3,
    }
    for kind, values in kinds.items():
        yield kind, np.clip(values * 32767, -32768, 32767).astype(np.int16)


if __name__ == "__main__":
    main()
