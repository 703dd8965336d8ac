"""Word errors, delays, cost and false words of a recogniser behind the live path's own speech gate.

Example
-------
    python scripts/bench_asr.py --asr sphinx --publish
    python scripts/bench_asr.py --voices slt --conditions clean --sentences 5 --noise-seconds 20
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench_report import percentiles, publish, section, table  # noqa: E402
from bench_sounds import RATE, Sound, babble, mixed, white, without_speech  # noqa: E402
from flite_speech import BLOCK, speak, word_errors  # noqa: E402

from miar_rt.features.voice_activity import SpeechGate, VoiceActivity  # noqa: E402
from miar_rt.signals import WordsUpdate  # noqa: E402
from stream.asr import Recogniser  # noqa: E402
from stream.asr.choose import choose_recogniser  # noqa: E402

VOICES = ("slt", "awb", "rms", "kal16")
CONDITIONS = ("clean", "white 20", "white 10", "white 5", "babble 20", "babble 10", "babble 5")
SENTENCES = tuple((Path(__file__).parent / "bench_sentences.txt").read_text(encoding="utf-8").splitlines())
HEADER = ("voice", "condition", "WER %", "partial p50 s", "partial p95 s", "commit p50 s", "commit p95 s",
          "real-time factor", "CPU s per s")  # fmt: skip

NOISE_HEADER = ("sound", "seconds", "committed words", "partial words", "said")


@dataclass(frozen=True)
class Heard:
    """What a recogniser said of some sound, and what that took: wall and CPU seconds."""

    updates: list[WordsUpdate]
    seconds: float
    cpu: float

    @property
    def committed(self) -> str:
        """Committed words, lower case and bare."""
        words = (word.text for update in self.updates for word in update.committed)
        return " ".join(word.strip(".,?!").lower() for word in words)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asr", default="sphinx")
    parser.add_argument("--sentences", type=int, default=len(SENTENCES))
    parser.add_argument("--voices", default=",".join(VOICES))
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="clean, or noise and decibels")
    parser.add_argument("--noise-seconds", type=float, default=600.0, help="of each sound without speech")
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    asked = parser.parse_args()
    sentences = SENTENCES[: asked.sentences]
    rows = [
        speech(asked.asr, voice, condition, sentences)
        for condition in asked.conditions.split(",")
        for voice in asked.voices.split(",")
    ]
    false = [
        [kind, f"{len(sound) / RATE:.0f}", *false_words(asked.asr, sound)]
        for kind, sound in (without_speech(asked.noise_seconds) if asked.noise_seconds else ())
    ]
    name = f"Words by {asked.asr}" + ("" if "clean" in asked.conditions else " in noise")
    body = (
        f"{len(sentences)} sentences by each of flite's voices. A delay counts from a word's end to the first "
        f"update that shows it, and to its commitment.\n\n{table(HEADER, rows)}"
        + (f"\n\nSound in which nobody speaks:\n\n{table(NOISE_HEADER, false)}" if false else "")
    )
    how = "" if asked.conditions == ",".join(CONDITIONS) else f" --conditions '{asked.conditions}'"
    text = section(name, f"python scripts/bench_asr.py --asr {asked.asr}{how}", body)
    print(text)
    if asked.publish:
        publish(name, text)


def speech(asr: str, voice: str, condition: str, sentences: Sequence[str]) -> list[object]:
    """A row: errors, delays and cost over ``sentences`` said one after the other to one recogniser."""
    sound = under_noise(said(voice, sentences), voice, condition, sentences)
    heard = hear(make(asr), sound)
    errors = word_errors(" ".join(sentences), heard.committed)
    commits = [update.t - word.t1 for update in heard.updates for word in update.committed]
    delays = [percentiles(values or [float("nan")]) for values in (first_seen(heard.updates), commits)]
    return [
        voice,
        condition,
        100.0 * errors / sum(len(sentence.split()) for sentence in sentences),
        *(delay[which] for delay in delays for which in ("p50", "p95")),
        heard.seconds / (len(sound) / RATE),
        heard.cpu / (len(sound) / RATE),
    ]


def said(voice: str, sentences: Sequence[str]) -> Sound:
    """The sentences by one voice with pauses between them."""
    return np.concatenate([speak(sentence, voice, 0.7, 0.8) for sentence in sentences])


def under_noise(sound: Sound, voice: str, condition: str, sentences: Sequence[str]) -> Sound:
    """``sound`` in a condition, as ``clean`` or ``babble 10``: babble is the other voices, in another order."""
    kind, _, decibels = condition.partition(" ")
    if kind == "clean":
        return sound
    around = [other for other in VOICES if other != voice]
    others = [said(other, [*sentences[i + 1 :], *sentences[: i + 1]]) for i, other in enumerate(around)]
    return mixed(sound, white(len(sound)) if kind == "white" else babble(others), float(decibels))


def false_words(asr: str, sound: Sound) -> list[object]:
    """How many words were committed and how many partial ones shown, and the first committed ones."""
    heard = hear(make(asr), sound)
    partial = sum(len(update.partial) for update in heard.updates)
    return [len(heard.committed.split()), partial, " ".join(heard.committed.split()[:8])]


def make(asr: str) -> Recogniser:
    """The recogniser, or an end of the program in one line."""
    recogniser, line = choose_recogniser(asr, "en")
    if recogniser is None:
        raise SystemExit(line)
    return recogniser


def hear(recogniser: Recogniser, sound: Sound) -> Heard:
    """Push 20 ms at a time behind the gate; the gate's cost is not counted."""
    activity, gate = VoiceActivity(), SpeechGate()
    updates: list[WordsUpdate] = []
    seconds, cpu_before = 0.0, cpu_seconds()
    for start in range(0, len(sound), BLOCK):
        block = sound[start : start + BLOCK]
        for frame in activity.push(block):
            gate.push(float(frame.values[0]))
        before = time.perf_counter()
        updates += recogniser.push(start / RATE, block, gate.speaking)
        seconds += time.perf_counter() - before
    updates += recogniser.finish()
    cpu = cpu_seconds() - cpu_before
    recogniser.close()
    return Heard(updates, seconds, cpu)


def cpu_seconds() -> float:
    """CPU seconds of the recogniser's process, or of this one where it has none of its own."""
    children = psutil.Process().children()
    times = [process.cpu_times() for process in children or [psutil.Process()]]
    return sum(time.user + time.system for time in times)


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


if __name__ == "__main__":
    main()
