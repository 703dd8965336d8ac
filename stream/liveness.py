"""Whether what a device gives is the present, and whether a person can be seen and heard in it.

A device can go on handing out signal that says nothing: a camera that froze, a microphone that is muted. Pure:
watches are given what was read and when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.events import AudioChunk, Hint, Reason, SignalGap, VideoFrame

AWAY_SECONDS = 0.6
"""A device that gives nothing for so long is said to be lost; it is given up and opened anew later."""

FROZEN_SECONDS = 2.0
"""Noise changes some of what every sensor gives; the same for so long is not the present any more."""

HINT_SECONDS = 2.0
DARK = 50
"""Of 255, when nine tenths of a picture are darker."""

FULL_SCALE = 32_700
CLIPPED_SHARE = 1e-3
QUIET_PEAK = 330
"""Speech that never gets louder than -40 dB of full scale."""


class Watch:
    """What every watch knows.

    Parameters
    ----------
    name
        Of the device, for people.
    device
        Whether it is one: a file may pause, and hold a still picture or silence.

    Attributes
    ----------
    found
        The reason why what comes now must not be scored, ``None`` when it may be, and that in words; ``None``
        before anything has come.
    hints
        What keeps a person from being seen or heard well; a new list whenever it changes.
    """

    def __init__(self, name: str, device: bool = True) -> None:
        self._name = name
        self._device = device
        self._empty: float | None = None
        self._same: float | None = None
        self.found: tuple[Reason | None, str] | None = None
        self.hints: list[Hint] = []

    @property
    def live(self) -> bool:
        """Whether what came last may be used."""
        return self.found is None or self.found[0] is None

    def _nothing(self, now: float) -> None:
        """A read gave nothing."""
        self._empty = now if self._empty is None else self._empty
        if self._device and self.found is not None and now - self._empty > AWAY_SECONDS:
            self.found = "device_lost", f"{self._name} gives nothing"

    def _something(self, t: float, same: bool, complaint: str) -> None:
        """Signal came that was captured at ``t``; ``same`` is whether it is what came before."""
        self._empty = None
        self._same = (t if self._same is None else self._same) if same and self._device else None
        frozen = self._same is not None and t - self._same >= FROZEN_SECONDS
        self.found = ("stale", f"{self._name} {complaint}") if frozen else (None, self._name)


class PictureWatch(Watch):
    """Watches a camera."""

    def __init__(self, name: str, device: bool = True) -> None:
        super().__init__(name, device)
        self._before: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._dark: float | None = None

    def take(self, now: float, frame: VideoFrame | None) -> None:
        """What reading the camera gave at ``now``."""
        if frame is None:
            self._nothing(now)
            return
        same = np.array_equal(frame.image, self._before)
        self._before = frame.image
        self._something(frame.t, same, f"has given the same picture for {FROZEN_SECONDS:.0f} s: it froze")
        dark = float(np.percentile(frame.image[::8, ::8, 1], 90)) < DARK
        self._dark = (frame.t if self._dark is None else self._dark) if dark else None
        self.hints = ["too_dark"] if self._dark is not None and frame.t - self._dark >= HINT_SECONDS else []


@dataclass(frozen=True, slots=True)
class _Level:
    """How loud a chunk was: samples, how many of them at full scale, the greatest, and whether it was speech."""

    t: float
    samples: int
    clipped: int
    peak: int
    speech: bool


class SoundWatch(Watch):
    """Watches a microphone."""

    def __init__(self, name: str, device: bool = True) -> None:
        super().__init__(name, device)
        self._levels: deque[_Level] = deque()

    def take(self, now: float, items: Sequence[AudioChunk | SignalGap]) -> None:
        """What reading the microphone gave at ``now``."""
        if not items:
            self._nothing(now)
        for item in items:
            if isinstance(item, AudioChunk):
                same = not item.samples.any()
                self._something(item.t, same, f"has given only zeros for {FROZEN_SECONDS:.0f} s: is it muted?")

    def measure(self, chunk: AudioChunk, speech: bool) -> None:
        """Look at the level of a chunk; ``speech`` is whether somebody speaks in it."""
        loudness = np.abs(chunk.samples.astype(np.int32))
        clipped = int((loudness >= FULL_SCALE).sum())
        self._levels.append(_Level(chunk.t, len(loudness), clipped, int(loudness.max(initial=0)), speech))
        if chunk.t - self._levels[0].t >= HINT_SECONDS:
            self.hints = list(_complaints(self._levels))
            self._levels.clear()


def _complaints(levels: Iterable[_Level]) -> Iterator[Hint]:
    levels = list(levels)
    samples = sum(level.samples for level in levels)
    speech = [level for level in levels if level.speech]
    if sum(level.clipped for level in levels) > CLIPPED_SHARE * samples:
        yield "clipping"
    if sum(level.samples for level in speech) > samples / 2 and max(level.peak for level in speech) < QUIET_PEAK:
        yield "too_quiet"
