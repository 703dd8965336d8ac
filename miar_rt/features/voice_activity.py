"""Is somebody speaking? The Silero v6 network that the faster-whisper wheel carries, streamed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.engines.sessions import ON_CPU, frugal_options, start_session
from miar_rt.signals import Array, FeatureFrame

SAMPLE_RATE = 16000
CHUNK = 512
CHUNK_SECONDS = CHUNK / SAMPLE_RATE
_CONTEXT = 64
_STATE_SHAPE = (1, 1, 128)


def silero_path() -> Path:
    """The network's file, found without importing faster-whisper, which would take a second.

    Raises
    ------
    FileNotFoundError
        The package or the file is not there.
    """
    spec = importlib.util.find_spec("faster_whisper")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "assets" / "silero_vad_v6.onnx"
        if path.is_file():
            return path
    raise FileNotFoundError("faster-whisper with assets/silero_vad_v6.onnx (release 1.2 or later) is not installed")


class VoiceActivity:
    """Probability of speech for every 32 ms of sound.

    Parameters
    ----------
    t0
        Capture time of the first sample, in seconds.
    """

    def __init__(self, t0: float = 0.0) -> None:
        self._session = _open_session(silero_path())
        self.reset(t0)

    def reset(self, t0: float = 0.0) -> None:
        """Forget the sound so far; the next sample was captured at ``t0``."""
        self._hidden = np.zeros(_STATE_SHAPE, np.float32)
        self._cell = np.zeros(_STATE_SHAPE, np.float32)
        # the last samples of the chunk before, then samples that do not fill a chunk yet
        self._waiting = np.zeros(_CONTEXT, np.float32)
        self.rebase(t0)

    def rebase(self, t: float) -> None:
        """Say that the next sample was captured at ``t``; what was heard before is kept."""
        self._t = t - (len(self._waiting) - _CONTEXT) / SAMPLE_RATE
        self._chunks = 0

    def push(self, samples: NDArray[np.int16]) -> list[FeatureFrame]:
        """Take int16 ``[n]`` at 16 kHz, any number; one frame for each chunk they complete.

        Values are float32 ``[1]``; the time is the end of the chunk.
        """
        self._waiting = np.concatenate([self._waiting, samples.astype(np.float32) / np.float32(32768.0)])
        chunks = (len(self._waiting) - _CONTEXT) // CHUNK
        if not chunks:
            return []
        windows = np.lib.stride_tricks.sliding_window_view(self._waiting, _CONTEXT + CHUNK)[
            : chunks * CHUNK : CHUNK
        ]
        probabilities = self._infer(np.ascontiguousarray(windows))
        self._waiting = self._waiting[chunks * CHUNK :]
        first = self._chunks + 1
        self._chunks += chunks
        return [
            FeatureFrame("voice", self._t + (first + i) * CHUNK_SECONDS, probabilities[i : i + 1])
            for i in range(chunks)
        ]

    def _infer(self, windows: Array) -> Array:
        inputs = {"input": windows, "h": self._hidden, "c": self._cell}
        probabilities, self._hidden, self._cell = self._session.run(None, inputs)
        return np.asarray(probabilities, np.float32).reshape(-1)


def _open_session(path: Path) -> Any:
    # 0.1 ms on the CPU: a copy to a GPU and back would cost as much
    return start_session(str(path), frugal_options(), ON_CPU)


@dataclass
class SpeechGate:
    """Speech or not, from probabilities: quick to open, slow to close.

    Attributes
    ----------
    onset, offset
        Probability at or above which speech begins; below which it may end.
    onset_seconds
        How long the probability must stay up before speech is believed.
    hangover_seconds
        How long it must stay down before speech is over: bridges pauses between words.
    speaking, above, below
        Whether speech is on; seconds for which the probability has been up and down.
    """

    onset: float = 0.5
    offset: float = 0.35
    onset_seconds: float = 0.06
    hangover_seconds: float = 0.6
    speaking: bool = False
    above: float = 0.0
    below: float = 0.0

    def push(self, probability: float, seconds: float = CHUNK_SECONDS) -> bool:
        """Take the probability of the next ``seconds`` of sound; True while somebody speaks."""
        self.above = self.above + seconds if probability >= self.onset else 0.0
        self.below = self.below + seconds if probability < self.offset else 0.0
        if self.speaking:
            self.speaking = self.below < self.hangover_seconds
        else:
            self.speaking = probability >= self.onset and self.above >= self.onset_seconds
        return self.speaking
