"""Picture and sound of a media file, in media time and as fast as they are consumed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

from stream.events import SAMPLE_RATE, AudioChunk, SignalGap, VideoFrame
from stream.sources import CHUNK_SAMPLES, SourceError
from stream.sources.cut_off import lacks_its_end
from stream.sources.decoding import (
    Kind,
    MonoMaker,
    PictureMaker,
    decoded,
    frame_rotation,
    frame_time,
    opened,
    packets_end,
    picture_end,
    pixel_aspect,
    stated_end,
)
from stream.sources.resample import MonoResampler

MediaItem: TypeAlias = AudioChunk | VideoFrame | SignalGap

_JUMP = Fraction(1, 10)
"""Stated and counted time of sound may differ by these seconds before it is taken for missing sound."""

_LONGEST_GAP = 600
"""Seconds of missing sound that are believed; a stamp that leaps further is wrong."""

_SHORT_SECONDS = 1
"""So much may be missing at the end of a file before it counts as cut off: lengths are rounded and estimated."""

_ASSUMED_PERIOD = Fraction(1, 25)
_KINDS: tuple[Kind, Kind] = ("video", "audio")


def due(item: MediaItem) -> float:
    """Media time at which a device would have handed the item out: a chunk is complete at its end."""
    if isinstance(item, VideoFrame):
        return item.t
    return item.t_end if isinstance(item, AudioChunk) else item.t1


class MediaFile:
    """One file's first moving picture and first sound, by PyAV.

    Times start at 0 where the earlier of the two starts, so that their offset is kept. The same file gives the
    same items every time. Constructing probes: the first picture and the first sound are decoded.

    Parameters
    ----------
    path
        A file, whatever its name looks like.
    loop
        Begin again at the end, for ever: time goes on, and from its first sample on the sound is one unbroken
        run, filled with silence where the picture is longer.
    video, audio
        Whether pictures and sound are wanted; times do not depend on it.

    Attributes
    ----------
    has_video, has_audio
        Whether pictures and sound will come: wanted, and at least one can be decoded.
    duration
        Seconds, as far as the file tells; ``None`` when it does not.
    rotation
        Degrees counter-clockwise by which the file asks to turn its pictures (portrait phones): 0, 90, 180 or
        270. ``packets`` has done it.
    damage
        ``None``, or after iterating one line on what could not be read.

    Raises
    ------
    SourceError
        Missing, a directory, empty, no media file, damaged beyond use, or neither picture nor sound in it.
    """

    time_base = "presentation times of the file"

    def __init__(self, path: str | Path, loop: bool = False, *, video: bool = True, audio: bool = True) -> None:
        self.path = Path(path)
        self.loop = loop
        self.damage: str | None = None
        with opened(self.path) as container:
            self.duration = None if container.duration is None else container.duration / 1_000_000
        first = {kind: next(decoded(self.path, kind, self._damaged), None) for kind in _KINDS}
        self.has_video = video and first["video"] is not None
        self.has_audio = audio and first["audio"] is not None
        if not (self.has_video or self.has_audio):
            wanted = " nor ".join(kind for kind, asked in (("picture", video), ("sound", audio)) if asked)
            why = self.damage or f"there is no {wanted} in it"
            raise SourceError(f"cannot use {self.path}: {why}; give a video or sound file that plays elsewhere")
        if self.has_audio:
            _check_mixable(self.path, first["audio"])
        self.damage = None
        self.rotation = frame_rotation(first["video"]) if self.has_video else 0
        self._origin = min(frame_time(frame) or Fraction(0) for frame in first.values() if frame is not None)
        self._picture_samples: int | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def identifier(self) -> str:
        """The file's absolute path."""
        return str(self.path.absolute())

    def packets(self) -> Iterator[MediaItem]:
        """Pictures and sound in chunks of 20 ms, in the order in which devices would hand them out.

        A picture counts at its time and a chunk at its end. Sound that the file's time stamps leap over reads as
        a ``SignalGap``. A damaged file is given as far as it can be read.
        """
        start, last = 0, 0.0
        while True:
            end = start
            for item in heapq.merge(self._sound(start), self._pictures(start), key=due):
                if isinstance(item, AudioChunk):
                    end = _position(item) + len(item.samples)
                last = due(item)
                yield item
            if not self.loop:
                self._look_for_the_end(last)
                return
            start = max(end, start + self._picture_end(), start + 1)

    __iter__ = packets

    def _look_for_the_end(self, last: float) -> None:
        """See whether the file is as long as it says, once all of it was given and its last was due at ``last``."""
        if self.damage:
            return
        stated = stated_end(self.path)
        if stated is not None and last + self._origin <= stated - _SHORT_SECONDS:
            # what was not asked for may go on
            end = packets_end(self.path)
            if end < stated - _SHORT_SECONDS:
                self._damaged(f"it breaks off at {float(end):.1f} s and says that it lasts {float(stated):.1f} s")
        if not self.damage and lacks_its_end(self.path):
            self._damaged(f"it breaks off at {float(packets_end(self.path)):.1f} s")

    def _damaged(self, what: str) -> None:
        self.damage = what

    def _picture_end(self) -> int:
        """Samples at 16 kHz that a pass over the pictures takes."""
        if self._picture_samples is None:
            end = picture_end(self.path) if self.has_video else None
            self._picture_samples = 0 if end is None else -int(-(end - self._origin) * SAMPLE_RATE // 1)
        return self._picture_samples

    def _pictures(self, start: int) -> Iterator[VideoFrame]:
        """Pictures in order; ones that do not come after the one before are left out, as players do."""
        if not self.has_video:
            return
        maker = PictureMaker(pixel_aspect(self.path))
        offset = Fraction(start, SAMPLE_RATE) - self._origin
        last: Fraction | None = None
        for frame in decoded(self.path, "video", self._damaged):
            stated = frame_time(frame)
            t = (last or Fraction(0)) + _ASSUMED_PERIOD if stated is None else stated + offset
            if last is None or t > last:
                last = t
                yield VideoFrame(float(t), maker.make(frame))

    def _sound(self, start: int) -> Iterator[AudioChunk | SignalGap]:
        """Sound as whole chunks; in a loop with silence before (but for the first pass) and after it."""
        if not self.has_audio:
            return
        cutter = _Cutter(start)
        for position, samples in self._stretches():
            begin = start + position
            if cutter.untouched and start == 0:
                cutter.position = begin
            elif self.loop:
                yield from cutter.push(_silence(begin - cutter.end))
            elif begin > cutter.end:
                yield from cutter.rest()
                yield SignalGap("audio", cutter.end / SAMPLE_RATE, begin / SAMPLE_RATE, "missing in the file")
                cutter.position = begin
            yield from cutter.push(samples)
        if self.loop:
            yield from cutter.push(_silence(start + self._picture_end() - cutter.end))
        yield from cutter.rest()

    def _stretches(self) -> Iterator[tuple[int, NDArray[np.int16]]]:
        """Sound at 16 kHz and its position in samples, which goes on unbroken unless the file leaps."""
        stretch: _Stretch | None = None
        for frame in decoded(self.path, "audio", self._damaged):
            stated = frame_time(frame)
            t = None if stated is None else stated - self._origin
            if stretch is None or not stretch.continues(frame, t):
                if stretch is not None:
                    yield stretch.flush()
                    t = stretch.end if t is None else max(t, stretch.end)
                stretch = _Stretch(frame, t or Fraction(0))
            yield stretch.push(frame)
        if stretch is not None:
            yield stretch.flush()


class _Stretch:
    """A run of sound of one format without leaps in time, on its way to 16 kHz."""

    def __init__(self, frame: Any, begin: Fraction) -> None:
        self._format = _sound_format(frame)
        self._maker = MonoMaker()
        self._resampler = MonoResampler(frame.sample_rate)
        self.end = begin
        self._position = round(begin * SAMPLE_RATE)

    def continues(self, frame: Any, t: Fraction | None) -> bool:
        """Whether a frame at media time ``t`` belongs to this run; a leap beyond belief is a wrong stamp."""
        leap = None if t is None else t - self.end
        return _sound_format(frame) == self._format and (leap is None or not _JUMP < leap <= _LONGEST_GAP)

    def push(self, frame: Any) -> tuple[int, NDArray[np.int16]]:
        self.end += Fraction(frame.samples, frame.sample_rate)
        return self._counted(self._resampler.push(self._maker.make(frame)))

    def flush(self) -> tuple[int, NDArray[np.int16]]:
        return self._counted(self._resampler.flush())

    def _counted(self, samples: NDArray[np.int16]) -> tuple[int, NDArray[np.int16]]:
        position = self._position
        self._position += len(samples)
        return position, samples


class _Cutter:
    """Cuts a run of samples into chunks of ``CHUNK_SAMPLES``; positions count samples of media time."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.untouched = True
        self._held = np.zeros(0, np.int16)

    @property
    def end(self) -> int:
        """Position after the last sample taken."""
        return self.position + len(self._held)

    def push(self, samples: NDArray[np.int16]) -> Iterator[AudioChunk]:
        self.untouched = False
        self._held = np.concatenate([self._held, samples])
        while len(self._held) >= CHUNK_SAMPLES:
            yield self._cut(CHUNK_SAMPLES)

    def rest(self) -> Iterator[AudioChunk]:
        if len(self._held):
            yield self._cut(len(self._held))

    def _cut(self, samples: int) -> AudioChunk:
        chunk = AudioChunk(self.position / SAMPLE_RATE, self._held[:samples].copy())
        self._held = self._held[samples:]
        self.position += samples
        return chunk


def _position(chunk: AudioChunk) -> int:
    return round(chunk.t * SAMPLE_RATE)


def _silence(samples: int) -> NDArray[np.int16]:
    return np.zeros(max(samples, 0), np.int16)


def _check_mixable(path: Path, frame: Any) -> None:
    try:
        MonoMaker().make(frame)
    except av.error.FFmpegError as error:
        count = frame.layout.nb_channels
        raise SourceError(
            f"cannot use {path}: its {count} channels of sound cannot be mixed; give a file with at most 8"
        ) from error


def _sound_format(frame: Any) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name
