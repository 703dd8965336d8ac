"""Real synthetic speech for tests and benchmarks: flite's voices at 16 kHz."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
BLOCK = 320


def flite_missing() -> bool:
    """Whether the flite program is absent from this machine."""
    return shutil.which("flite") is None


def speak(text: str, voice: str = "rms", before: float = 0.5, after: float = 0.8) -> NDArray[np.int16]:
    """Speech int16 ``[n]`` with ``before`` and ``after`` seconds of near-silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        with wave.open(str(path)) as file:
            assert file.getframerate() == RATE
            spoken = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    quiet = [np.zeros(round(seconds * RATE), np.int16) for seconds in (before, after)]
    return np.concatenate([quiet[0], spoken, quiet[1]])


def loud(sound: NDArray[np.int16], floor: float = 200.0) -> NDArray[np.bool_]:
    """A plain energy gate, held for 0.3 s: one flag per block of 20 ms."""
    blocks = sound[: len(sound) // BLOCK * BLOCK].reshape(-1, BLOCK).astype(np.float64)
    raw = np.sqrt((blocks**2).mean(axis=1)) > floor
    return np.array([bool(raw[max(0, i - 15) : i + 1].any()) for i in range(len(raw))])


def word_errors(truth: str, heard: str) -> int:
    """Levenshtein distance in words."""
    reference, hypothesis = truth.split(), heard.split()
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
