"""Acoustic low-level descriptors of a stream: eGeMAPSv02 at 100 Hz, equal to openSMILE in one batch.

Beside them go the mel bands that eGeMAPS makes its four cepstral coefficients from. Four keep the broad shape of a
spectrum; a network that hears all of it tells the emotions of strangers better (docs/training.md).
"""

from __future__ import annotations

from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from miar_rt.features.acoustic_graph import SAMPLE_RATE, AcousticError, AcousticGraph
from miar_rt.input_spec import ACOUSTICS
from miar_rt.signals import Array, FeatureFrame

__all__ = ["LOOKAHEAD_SECONDS", "AcousticError", "AcousticExtractor", "check_samples", "describe"]

HOP = SAMPLE_RATE // 100
SHORTEST_WINDOW = 2 * HOP

LOOKAHEAD_SECONDS = 0.6
"""Sound after ``t`` that must have been pushed before every frame up to ``t`` is sure to come out.

The pitch tracker decides at the latest 40 frames on (0.4 s), over windows of 60 ms that are smoothed with
their neighbours. Usually a frame comes out after about 30 ms.
"""


class AcousticExtractor:
    """Descriptors of sound as it comes; a context manager.

    Frame ``i`` describes the sound from sample ``160 i`` on and carries the capture time of sample
    ``160 i + 320``, the end of its shortest window: ``t0 + 0.01 i + 0.02``.

    Parameters
    ----------
    t0
        Capture time of the first sample, in seconds.

    Raises
    ------
    AcousticError
        openSMILE could not be started, or stopped; raised by the next call.
    """

    def __init__(self, t0: float = 0.0) -> None:
        self._graph = AcousticGraph()
        self._anchors: list[tuple[int, float]] = [(0, t0)]
        self._pushed = 0
        self._taken = 0

    def __enter__(self) -> AcousticExtractor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop openSMILE and drop what it has not given yet; may be called again."""
        self._graph.close()

    def push(self, samples: NDArray[np.int16]) -> None:
        """Take the next samples, int16 ``[n]`` at 16 kHz, any number of them.

        Raises
        ------
        AcousticError
            openSMILE stopped.
        BufferError
            Two minutes of frames were not polled.
        TypeError, ValueError
            ``samples`` is not int16 of one dimension.
        """
        check_samples(samples)
        self._graph.write(samples)
        self._pushed += len(samples)

    def rebase(self, t: float) -> None:
        """Say that the next sample was captured at ``t``: after a gap, or to correct drift.

        The graph runs on: the frames whose windows span the splice (at most six) describe both sides of it.
        """
        if self._anchors[-1][0] == self._pushed:
            self._anchors.pop()
        self._anchors.append((self._pushed, t))

    def poll(self) -> list[FeatureFrame]:
        """Frames that have come out since the last call, in order; never waits."""
        return self._stamp(self._graph.take())

    def wait_for(self, frames: int, timeout: float = 5.0) -> list[FeatureFrame]:
        """Exactly the next ``frames`` frames, waiting for them.

        Raises
        ------
        TimeoutError
            They did not come: less than ``LOOKAHEAD_SECONDS`` of sound after the last one was pushed.
        """
        if not self._graph.wait(frames, timeout):
            raise TimeoutError(f"{self._graph.pending} of {frames} acoustic frames came within {timeout:g} s")
        return self._stamp(self._graph.take(frames))

    def wait_until(self, t: float, timeout: float = 5.0) -> list[FeatureFrame]:
        """Exactly the frames with a capture time up to ``t`` that were not taken yet, waiting for them.

        Deterministic where sound up to ``t + LOOKAHEAD_SECONDS`` has been pushed.
        """
        last = self._taken
        while self._time_of(last) <= t:
            last += 1
        return self.wait_for(last - self._taken, timeout)

    def finish(self, timeout: float = 30.0) -> list[FeatureFrame]:
        """End of the sound: all frames that remain. Nothing can be pushed afterwards."""
        self._graph.end(timeout)
        return self.poll()

    def _stamp(self, rows: list[Array]) -> list[FeatureFrame]:
        frames = [FeatureFrame("acoustic", self._time_of(self._taken + i), row) for i, row in enumerate(rows)]
        self._taken += len(rows)
        end = HOP * self._taken + SHORTEST_WINDOW
        while len(self._anchors) > 1 and self._anchors[1][0] < end:
            self._anchors.pop(0)
        return frames

    def _time_of(self, frame: int) -> float:
        end = HOP * frame + SHORTEST_WINDOW
        sample, t = next(anchor for anchor in reversed(self._anchors) if anchor[0] < end)
        return t + (end - sample) / SAMPLE_RATE


def check_samples(samples: NDArray[np.int16]) -> None:
    """``TypeError`` where they are not int16, ``ValueError`` where they have not one dimension."""
    if not isinstance(samples, np.ndarray) or samples.dtype != np.int16:
        raise TypeError(f"samples must be int16, not {getattr(samples, 'dtype', type(samples).__name__)}")
    if samples.ndim != 1:
        raise ValueError(f"samples must have one dimension, [n], not the shape {list(samples.shape)}")


def describe(samples: NDArray[np.int16]) -> Array:
    """All descriptors of a recording: int16 ``[n]`` at 16 kHz to float32 ``[frames, 51]``."""
    rows: list[Array] = []
    with AcousticExtractor() as extractor:
        for start in range(0, len(samples), SAMPLE_RATE):
            extractor.push(samples[start : start + SAMPLE_RATE])
            rows += [frame.values for frame in extractor.poll()]
        rows += [frame.values for frame in extractor.finish()]
    return np.stack(rows) if rows else np.empty((0, len(ACOUSTICS)), np.float32)
