"""Where signal comes from: cameras, microphones, media files; all keep the contract written here.

A source is a context manager: entering opens it, leaving closes it within about a second whatever the device
does. Constructors touch no device. Everything handed out is stamped on the ``CaptureClock`` it was given, and
``time_base`` says in words where its stamps come from.

Failure modes
-------------
- cannot be opened: entering raises ``SourceError``, one line that says what is wrong and what would be right;
- nobody named a device and there is none: entering raises ``NoDefaultDevice``, which a caller may survive;
- goes away later (unplugged, server stopped, no signal for ``SILENT_DEVICE_SECONDS`` at most): ``lost`` turns true,
  reads return nothing at once, and stay so; leave it, and enter a new source when the device may be back;
- a file is played to its end: ``ended`` turns true once the last of it has been read;
- the reader is slow: video keeps the newest frame only, sound keeps ``MAILBOX_SECONDS`` and then loses the oldest,
  which reads as a ``SignalGap``; either way ``dropped`` counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol

from stream.events import AudioChunk, SignalGap, VideoFrame

LONGER_SIDE = 960
"""Pixels of a picture's longer side at most; larger ones are scaled down where they are captured."""

CHUNK_SAMPLES = 320
"""Samples of a chunk of sound from a file: 20 ms."""

MAILBOX_SECONDS = 2.0
OPEN_SECONDS = 5.0
CLOSE_SECONDS = 1.0
SILENT_DEVICE_SECONDS = 2.0


class SourceError(Exception):
    """A source cannot be used; the message is one line: what is wrong, and what would be right."""


class NoDefaultDevice(SourceError):  # noqa: N818 - an absence to be survived, as StopIteration is
    """No device was named and there is none to take."""


@dataclass(frozen=True, slots=True)
class Device:
    """A camera or microphone that could be opened.

    ``identifier`` stays the same over reboots where the system offers such a name; it, ``name`` and ``index``
    are all accepted by ``Camera`` and ``Microphone``.
    """

    kind: Literal["camera", "microphone"]
    index: int
    name: str
    identifier: str
    default: bool = False


class Source(Protocol):
    """What every source has."""

    @property
    def name(self) -> str:
        """For people, without credentials."""

    @property
    def identifier(self) -> str:
        """Stable name of the device or file."""

    @property
    def time_base(self) -> str:
        """Where the stamps come from; settled once the first signal has been read."""

    @property
    def lost(self) -> bool:
        """Whether the device went away after it was opened."""

    @property
    def ended(self) -> bool:
        """Whether a file was played to its end and everything of it was read; never true of a device."""

    def __enter__(self) -> Source:
        """Open and return itself; raises ``SourceError``."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, within about a second; nothing is handed out any more."""


class VideoSource(Source, Protocol):
    """A source of pictures, latest-wins."""

    @property
    def dropped_frames(self) -> int:
        """Pictures that were captured and replaced or grown too old before they were read."""

    def read_latest(self, max_age: float, timeout: float) -> VideoFrame | None:
        """The newest picture not handed out yet and at most ``max_age`` seconds old.

        Waits up to ``timeout`` seconds for one; ``None`` when none came, the device was lost or the file ended.
        """


class AudioSource(Source, Protocol):
    """A source of sound, lossless up to ``MAILBOX_SECONDS``."""

    @property
    def dropped_samples(self) -> int:
        """Samples at 16 kHz that were captured and never read because the reader was slow."""

    @property
    def drift(self) -> float:
        """Seconds by which the device's clock has run ahead of the capture clock; the stamps are free of it."""

    def read(self, timeout: float) -> list[AudioChunk | SignalGap]:
        """All sound not handed out yet, in order, with a ``SignalGap`` wherever some is missing.

        Waits up to ``timeout`` seconds for any; empty when none came, the device was lost or the file ended.
        """
