"""Sound to try recognisers on: speech in noise, and sound in which nobody speaks. The same every time."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Sound = NDArray[np.int16]
Floats = NDArray[np.float64]

_HEARD = 100.0
"""Samples below are the silence around speech: power is that of what sounds."""

_MUSIC = (
    "synth",
    "pluck",
    "E2",
    "synth",
    "pluck",
    "mix",
    "B2",
    "synth",
    "pluck",
    "mix",
    "G#3",
    "tremolo",
    "4",
    "40",
)


def mixed(speech: Sound, noise: Floats, snr_db: float) -> Sound:
    """``noise`` float ``[n]``, repeated as needed, under ``speech`` at a ratio of powers of ``snr_db`` decibels."""
    values = speech.astype(np.float64)
    under = np.resize(noise, len(values))
    wanted = np.mean(values[np.abs(values) > _HEARD] ** 2) / 10 ** (snr_db / 10)
    return _as_int16((values + under * np.sqrt(wanted / np.mean(under**2))) / 32768.0)


def white(samples: int) -> Floats:
    """White noise of unit power."""
    return np.random.default_rng(0).normal(0.0, 1.0, samples)


def babble(voices: list[Sound]) -> Floats:
    """Several people speaking at once, each from another place on."""
    length = max(len(voice) for voice in voices)
    return np.asarray(sum(np.roll(np.resize(v, length), i * RATE).astype(np.float64) for i, v in enumerate(voices)))


def without_speech(seconds: float) -> Iterator[tuple[str, Sound]]:
    """Silence, white noise, hum, music (by sox, where it is installed), breaths and laughter-like bursts."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * RATE)) / RATE
    soft = np.convolve(white(len(t)), np.ones(12) / 12, mode="same")
    # nobody breathes or laughs like a clock
    sway = 1.0 + 0.3 * np.interp(t, np.arange(0.0, seconds + 1.0), rng.normal(0, 1, int(seconds) + 1))
    kinds = {
        "silence": np.zeros(len(t)),
        "white noise": 0.1 * white(len(t)),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * t) + 0.05 * np.sin(2 * np.pi * 150 * t),
        "breathing": 0.3 * sway * soft * np.maximum(0, np.sin(2 * np.pi * 0.3 * t)) ** 2,
        "laughter-like bursts": sway * _laughter(t, soft),
    }
    for kind, values in kinds.items():
        yield kind, _as_int16(values)
    if shutil.which("sox"):
        yield "music", music(seconds)


def _laughter(t: Floats, breath: Floats) -> Floats:
    """Five voiced bursts a second for one and a half seconds of every four, falling in pitch as laughter does."""
    within = t % 4.0
    pitch = 320.0 - 60.0 * within
    voiced = sum(np.sin(2 * np.pi * np.cumsum(pitch * k) / RATE) / k for k in range(1, 8))
    bursts = np.maximum(0, np.sin(2 * np.pi * 5 * t)) ** 3 * (within < 1.5)
    return np.asarray(bursts * (0.15 * voiced + 0.3 * breath))


def music(seconds: float) -> Sound:
    """Plucked chords with a drum-like tremolo, synthesised by sox."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "music.wav"
        bar = ["sox", "-n", "-r", str(RATE), "-b", "16", "-c", "1", str(path)]
        synth = [*_MUSIC, "trim", "0", "2", "gain", "-n", "-6", "repeat", str(int(seconds // 2))]
        subprocess.run([*bar, *synth], check=True, capture_output=True)
        with wave.open(str(path)) as file:
            return np.frombuffer(file.readframes(round(seconds * RATE)), np.int16)


def _as_int16(values: Floats) -> Sound:
    return np.clip(values * 32768.0, -32768, 32767).astype(np.int16)
