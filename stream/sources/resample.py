"""Sound of any rate and any number of channels to 16 kHz mono, for microphones and files alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from stream.events import SAMPLE_RATE

_FULL_SCALE = 32768.0


class MonoResampler:
    """Streams int16 sound at ``rate`` into int16 mono at 16 kHz.

    Output sample k lies exactly k / 16000 s after the first input sample, and the output does not depend on how
    the input is cut into blocks; only the handing-out lags, by up to 40 ms (soxr's HQ filter).

    The resampler works in float32 because soxr dithers its int16 output with a seed taken from the wall clock,
    and a file must give the same samples every time.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._stream: Any = None
        self._taken = 0
        self._given = 0
        self._start()

    @property
    def pending(self) -> float:
        """Seconds of sound taken in and not handed out yet."""
        return self._taken / self.rate - self._given / SAMPLE_RATE

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take int16 ``[n]`` or ``[n, channels]``; gives int16 ``[m]``, the sound that is ready."""
        mono = samples if samples.ndim == 1 else samples.mean(axis=1)
        self._taken += len(mono)
        if self._stream is None:
            return self._out(np.rint(mono) if mono.dtype != np.int16 else mono)
        scaled = np.ascontiguousarray(mono, dtype=np.float32) / np.float32(_FULL_SCALE)
        return self._resampled(scaled, last=False)

    def flush(self) -> NDArray[np.int16]:
        """Give what is left, int16 ``[m]``; the next sample pushed starts a new stretch of sound."""
        empty = np.zeros(0, dtype=np.float32)
        rest = self._resampled(empty, last=True) if self._stream is not None else empty.astype(np.int16)
        self._start()
        return rest

    def _start(self) -> None:
        if self.rate != SAMPLE_RATE:
            self._stream = soxr.ResampleStream(self.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        self._taken = self._given = 0

    def _resampled(self, scaled: NDArray[np.float32], last: bool) -> NDArray[np.int16]:
        out = self._stream.resample_chunk(scaled, last=last)
        return self._out(np.clip(np.rint(out * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1.0))

    def _out(self, samples: NDArray[Any]) -> NDArray[np.int16]:
        self._given += len(samples)
        return samples.astype(np.int16)
