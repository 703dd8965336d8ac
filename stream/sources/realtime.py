"""A media file played in real time, in the place of a camera and a microphone."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from stream.clock import CaptureClock
from stream.events import AudioChunk, SignalGap, VideoFrame
from stream.sources import CLOSE_SECONDS, SourceError
from stream.sources.mailboxes import LatestFrame, SoundQueue
from stream.sources.media_file import MediaFile, MediaItem, due

HELD_UP_SECONDS = 0.5


class RealtimeMedia:
    """Hands a file's pictures and sound out when they are due, as devices would.

    Keeps the contracts of ``stream.sources.VideoSource`` and ``AudioSource`` at once. Constructing probes the
    file and raises ``SourceError`` as ``MediaFile`` does.

    Parameters
    ----------
    path, loop, video, audio
        As ``MediaFile`` takes them.
    clock
        Paces the playing.
    origin
        Capture time of media time 0. With 0.0 capture times are media times to the last bit, whatever is late
        by then being played at once. ``None`` for the moment of entering: then playing that falls behind by
        ``HELD_UP_SECONDS`` goes on from there, as a player's that stutters, for nothing would catch up again on
        a machine that is too slow.
    """

    def __init__(
        self,
        path: str | Path,
        clock: CaptureClock,
        loop: bool = False,
        origin: float | None = None,
        *,
        video: bool = True,
        audio: bool = True,
    ) -> None:
        self.media = MediaFile(path, loop, video=video, audio=audio)
        self.origin = origin
        self._slips = origin is None
        self._clock = clock
        self._frames = LatestFrame(clock.now)
        self._sound = SoundQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="media", daemon=True)
        self._finished = False
        self.lost = False

    @property
    def name(self) -> str:
        """The file's name."""
        return self.media.name

    @property
    def identifier(self) -> str:
        """The file's absolute path."""
        return self.media.identifier

    @property
    def time_base(self) -> str:
        """Where the stamps come from."""
        return self.media.time_base

    @property
    def has_video(self) -> bool:
        """Whether pictures will come."""
        return self.media.has_video

    @property
    def has_audio(self) -> bool:
        """Whether sound will come."""
        return self.media.has_audio

    @property
    def ended(self) -> bool:
        """Whether the file was played to its end and all of it was read."""
        return self._finished and self._frames.empty and self._sound.empty

    @property
    def drift(self) -> float:
        """None: a file has no clock of its own."""
        return 0.0

    @property
    def dropped_frames(self) -> int:
        """Pictures that were played and not read in time."""
        return self._frames.dropped

    @property
    def dropped_samples(self) -> int:
        """Samples at 16 kHz that were played and not read in time."""
        return self._sound.dropped

    def __enter__(self) -> RealtimeMedia:
        if self.origin is None:
            self.origin = self._clock.now()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)

    def read_latest(self, max_age: float, timeout: float) -> VideoFrame | None:
        """The newest picture not read yet; see ``VideoSource``."""
        return self._frames.take(max_age, timeout)

    def read(self, timeout: float) -> list[AudioChunk | SignalGap]:
        """All sound not read yet; see ``AudioSource``."""
        return self._sound.take(timeout)

    def _play(self) -> None:
        origin = self.origin or 0.0
        try:
            for item in self.media.packets():
                early = origin + due(item) - self._clock.now()
                if self._stop.wait(max(0.0, early)):
                    return
                if self._slips and early < -HELD_UP_SECONDS:
                    origin -= early
                self._hand_out(_shifted(item, origin))
            self._finished = True
        except SourceError:
            self.lost = True
        finally:
            self._frames.close()
            self._sound.close()

    def _hand_out(self, item: MediaItem) -> None:
        if isinstance(item, VideoFrame):
            self._frames.put(item)
        else:
            self._sound.put(item)


def _shifted(item: MediaItem, by: float) -> MediaItem:
    if isinstance(item, VideoFrame):
        return VideoFrame(item.t + by, item.image)
    if isinstance(item, AudioChunk):
        return AudioChunk(item.t + by, item.samples)
    return SignalGap(item.modality, item.t0 + by, item.t1 + by, item.cause)
