"""PyAV on one file: frames of one kind, their times, and pictures and sound as this program has them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from stream.sources import LONGER_SIDE, SourceError

Kind: TypeAlias = Literal["video", "audio"]

_WITHOUT_LENGTH, _GUESSED = {"aac", "mp3"}, 0.02
"""Formats whose length is worked out from size and bit rate unless the file tells it, and how exactly."""

_DECODER_THREADS = 1
"""More would compete with the extractors for the same few cores."""


def opened(path: Path) -> Any:
    """The file's container, to be used in a ``with``.

    Raises
    ------
    SourceError
        Missing, a directory, empty, not readable, or nothing that FFmpeg knows.
    """
    _check_file(path)
    try:
        # with "file:" a colon in a name is no protocol and a pattern in it no image sequence
        return av.open(f"file:{path.absolute()}", metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise SourceError(
            f"cannot read {path}: {_reason(error)}; give a video or sound file that plays elsewhere"
        ) from error


def _check_file(path: Path) -> None:
    try:
        here = path.exists()
    except OSError as error:
        raise SourceError(f"cannot read a file of that name: {error.strerror}; give the path of a file") from error
    if not here:
        raise SourceError(f"no such file: {path}; give the path of a video or sound file")
    if not path.is_file():
        what = "a directory" if path.is_dir() else "no regular file"
        raise SourceError(f"{path} is {what}; give the path of a video or sound file")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; make the file readable") from error
    if empty:
        raise SourceError(f"{path} is empty; give a video or sound file that plays elsewhere")


def _reason(error: Any) -> str:
    return str(error.strerror or error).split("\n")[0].lower()


def first_stream(container: Any, kind: Kind) -> Any:
    """The first stream of a kind that moves (a cover picture does not), or ``None``."""
    for stream in getattr(container.streams, kind):
        cover = kind == "video" and bool(stream.disposition & Disposition.attached_pic)
        if not cover and stream.codec_context is not None:
            return stream
    return None


def pixel_aspect(path: Path) -> float:
    """Width of the first stream's pixels over their height."""
    with opened(path) as container:
        stream = first_stream(container, "video")
        ratio = None if stream is None else stream.sample_aspect_ratio
        return float(ratio) if ratio else 1.0


def stated_end(path: Path) -> Fraction | None:
    """Presentation time at which the file says that it ends; ``None`` where that is only guessed from its size."""
    with opened(path) as container:
        if container.duration is None:
            return None
        duration = Fraction(container.duration, av.time_base)
        rate = sum(stream.codec_context.bit_rate or 0 for stream in container.streams.audio)
        guessed = rate and abs(container.size * 8 / rate / duration - 1) < _GUESSED
        return None if container.format.name in _WITHOUT_LENGTH and guessed else duration


def packets_end(path: Path) -> Fraction:
    """Presentation time at which the last packet of any kind ends."""
    end = Fraction(0)
    with opened(path) as container, contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return end


def picture_end(path: Path) -> Fraction | None:
    """Presentation time at which the last picture has been shown, from the packets alone."""
    end: Fraction | None = None
    with opened(path) as container:
        stream = first_stream(container, "video")
        if stream is None:
            return None
        usual = 1 / (stream.average_rate or Fraction(25))
        with contextlib.suppress(av.error.FFmpegError):
            for packet in container.demux(stream):
                if packet.pts is not None:
                    length = packet.duration * packet.time_base if packet.duration else usual
                    end = max(end or Fraction(0), packet.pts * packet.time_base + length)
    return end


def decoded(path: Path, kind: Kind, on_damage: Callable[[str], None]) -> Iterator[Any]:
    """Frames of the first stream of a kind in order of presentation.

    What cannot be decoded is left out and the rest goes on; where the file cannot be read any further the frames
    end. Both are said in words to ``on_damage``.
    """
    with opened(path) as container:
        stream = first_stream(container, kind)
        if stream is None:
            return
        stream.codec_context.thread_count = _DECODER_THREADS
        try:
            for packet in container.demux(stream):
                yield from _frames(packet, kind, on_damage)
        except av.error.FFmpegError as error:
            on_damage(f"its {kind} cannot be read to the end ({_reason(error)})")


def _frames(packet: Any, kind: Kind, on_damage: Callable[[str], None]) -> list[Any]:
    try:
        return list(packet.decode())
    except av.error.EOFError:
        return []
    except av.error.FFmpegError as error:
        on_damage(f"parts of its {kind} cannot be decoded ({_reason(error)})")
        return []


def frame_time(frame: Any) -> Fraction | None:
    """Presentation time in seconds, exact; ``None`` where the file gives none."""
    return None if frame.pts is None else Fraction(frame.pts * frame.time_base)


def frame_rotation(frame: Any) -> int:
    """Degrees, a multiple of 90, by which a picture is to be turned counter-clockwise to stand upright."""
    return round(getattr(frame, "rotation", 0) / 90) * 90 % 360


class PictureMaker:
    """Decoded pictures as uint8 ``[h, w, 3]`` RGB, upright, square pixels, longer side at most ``LONGER_SIDE``.

    Parameters
    ----------
    aspect
        Width of a pixel over its height.
    """

    def __init__(self, aspect: float) -> None:
        self._aspect = aspect
        self._reformatter: Any = VideoReformatter()
        # pictures are small: sharing one among threads costs more than it saves; older PyAV never does
        shares = "threads" in (VideoReformatter.reformat.__doc__ or "")
        self._options = {"threads": 1} if shares else {}

    def make(self, frame: Any) -> NDArray[np.uint8]:
        """The picture of one frame."""
        width, height = frame.width * self._aspect, float(frame.height)
        scale = min(1.0, LONGER_SIDE / max(width, height))
        small = self._reformatter.reformat(
            frame,
            width=max(1, round(width * scale)),
            height=max(1, round(height * scale)),
            format="rgb24",
            interpolation="BILINEAR" if scale == 1.0 else "AREA",
            **self._options,
        )
        image: NDArray[np.uint8] = small.to_ndarray()
        turns = frame_rotation(frame) // 90
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class MonoMaker:
    """Decoded sound as int16 ``[n]`` mono at the file's own rate; FFmpeg's own down-mix of surround."""

    def __init__(self) -> None:
        self._resampler: Any = av.AudioResampler(format="s16", layout="mono")

    def make(self, frame: Any) -> NDArray[np.int16]:
        """The sound of one frame."""
        parts = [part.to_ndarray()[0] for part in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)
