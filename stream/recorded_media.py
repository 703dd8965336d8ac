"""Picture and sound of a session as a film beside its recording, where everybody has agreed to that.

Nothing waits for the film: pictures and sound that it cannot take in time are lost and counted. It takes
``BYTES_A_SECOND`` at most, and ends before the disk is full, so that the rest of the recording goes on.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from miar_rt.signals import Array, FeatureFrame
from stream.events import SAMPLE_RATE, AudioChunk, VideoFrame
from stream.onlookers import Onlooker
from stream.recording_format import MEDIA, RecordingError, private_file
from stream.workers import Mailbox

WAITING_PICTURES, WAITING_SOUND = 16, 500
"""Half a second of pictures, for they are large, and some ten seconds of sound."""

WAIT_SECONDS, FIRST_PICTURE_SECONDS, CLOSE_SECONDS = 0.1, 3.0, 2.0
BYTES_A_SECOND = 200_000
"""Sound is 32 kB of that."""

SLACK_BYTES = 1_000_000
SPARE_BYTES = 500_000_000
"""What is left free on the disk."""

BESIDE_OTHERS = 10
"""Niceness of the thread that encodes."""

USUAL_SIZE = (640, 480)
TICK = Fraction(1, 1000)
_CODEC = "libx264"
_ENCODING = {"preset": "superfast", "tune": "zerolatency", "crf": "26", "maxrate": "1200k", "bufsize": "2400k"}
_PACKING = {"flush_packets": "1", "cluster_time_limit": "500", "max_interleave_delta": "500000"}
"""A killed program loses half a second."""

log = logging.getLogger("miar.live")


class MediaRecorder(Onlooker):
    """Writes the film from a thread of its own; a context manager.

    Whatever goes wrong once it has begun ends the film with one warning and nothing else.

    Parameters
    ----------
    folder
        Where the recording is.
    sees, hears
        Whether pictures and sound are to be expected.

    Raises
    ------
    RecordingError
        Where PyAV cannot encode pictures.
    """

    def __init__(self, folder: Path, *, sees: bool, hears: bool) -> None:
        import av

        if _CODEC not in av.codecs_available:
            raise RecordingError("--record-media needs PyAV with x264: pip install --force-reinstall av")
        self._folder = folder
        self._sees, self._hears = sees, hears
        self._frames: Mailbox[VideoFrame] = Mailbox(WAITING_PICTURES)
        self._sound: Mailbox[AudioChunk] = Mailbox(WAITING_SOUND)
        self._closing = threading.Event()
        self._ended = False
        self._film: Film | None = None
        self._thread = threading.Thread(target=self._run, name="miar-film", daemon=True)

    @property
    def pictures_lost(self) -> int:
        """Pictures that were seen and are not in the film."""
        return self._frames.dropped + (self._film.left_out if self._film else 0)

    @property
    def sound_lost(self) -> int:
        """Chunks of sound that were heard and are not in the film."""
        return self._sound.dropped

    def __enter__(self) -> MediaRecorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            log.warning("%s is still being written after %.0f s and left behind", MEDIA, CLOSE_SECONDS)

    def saw(self, frame: VideoFrame, found: FeatureFrame, landmarks: Array | None) -> None:  # noqa: ARG002
        """Take a picture; never waits."""
        if not self._ended:
            self._frames.put(frame)

    def heard(self, chunk: AudioChunk | None, found: Sequence[FeatureFrame]) -> None:  # noqa: ARG002
        """Take sound; never waits."""
        if chunk is not None and not self._ended:
            self._sound.put(chunk)

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BESIDE_OTHERS)
        try:
            self._store()
        # whatever it is, the session goes on
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            log.warning("%s in %s ended: %s", MEDIA, self._folder, reason)
        finally:
            self._ended = True
            self._frames.take(0.0)
            self._sound.take(0.0)

    def _store(self) -> None:
        frames = self._first_picture()
        height, width = frames[0].image.shape[:2] if frames else USUAL_SIZE[::-1]
        self._film = Film(self._folder / MEDIA, (width, height) if self._sees else None, self._hears)
        with contextlib.closing(self._film) as film:
            over = False
            while not over:
                over = self._closing.is_set()
                waiting: list[VideoFrame | AudioChunk] = [*frames, *self._sound.take(0.0)]
                for one in sorted(waiting, key=lambda item: item.t):
                    film.add(one)
                self._leave_space()
                frames = self._frames.take(0.0 if over else WAIT_SECONDS)
            for frame in frames:
                film.add(frame)

    def _first_picture(self) -> list[VideoFrame]:
        """Its size is the film's: wait for it a while."""
        frames: list[VideoFrame] = []
        waited = 0.0
        while self._sees and not frames and waited < FIRST_PICTURE_SECONDS and not self._closing.is_set():
            frames = self._frames.take(WAIT_SECONDS)
            waited += WAIT_SECONDS
        return frames

    def _leave_space(self) -> None:
        if shutil.disk_usage(self._folder).free < SPARE_BYTES:
            raise OSError(errno.ENOSPC, f"less than {SPARE_BYTES / 1e6:.0f} MB are free on the disk")


class Film:
    """A Matroska file with H.264 pictures and PCM sound at the session's media times.

    Parameters
    ----------
    path
        New; readable by its owner only.
    size
        Width and height of the pictures, other ones are scaled; ``None`` for no pictures.
    sound
        Whether there is sound.

    Attributes
    ----------
    left_out
        Pictures that would have been too much, or that did not come after the one before.
    """

    def __init__(self, path: Path, size: tuple[int, int] | None, sound: bool) -> None:
        import av

        private_file(path).close()
        self._av = av
        self._file: Any = av.open(f"file:{path.absolute()}", "w", format="matroska", options=_PACKING)
        self._video: Any = self._add_video(size) if size else None
        self._audio: Any = self._file.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono") if sound else None
        self._bytes = self.left_out = 0
        self._last_picture = self._sound_end = -1

    def add(self, item: VideoFrame | AudioChunk) -> None:
        """Append a picture or sound, each kind in order."""
        if isinstance(item, AudioChunk):
            self._add_sound(item)
        else:
            self._add_picture(item)

    def close(self) -> None:
        """Write what the encoder still has, and the index."""
        try:
            if self._video:
                self._mux(self._video.encode(None))
        finally:
            self._file.close()

    def _add_video(self, size: tuple[int, int]) -> Any:
        stream = self._file.add_stream(_CODEC, rate=30, options=_ENCODING)
        # chroma has half the resolution
        stream.width, stream.height = (max(side & ~1, 2) for side in size)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TICK
        stream.codec_context.gop_size = 30
        stream.codec_context.thread_count = 1
        return stream

    def _add_picture(self, frame: VideoFrame) -> None:
        tick = round(frame.t / TICK)
        too_much = self._bytes > SLACK_BYTES + BYTES_A_SECOND * frame.t
        if self._video is None or tick <= self._last_picture or too_much:
            self.left_out += 1
            return
        self._last_picture = tick
        picture = self._av.VideoFrame.from_ndarray(frame.image, format="rgb24")
        picture.pts, picture.time_base = tick, TICK
        self._mux(self._video.encode(picture))

    def _add_sound(self, chunk: AudioChunk) -> None:
        if self._audio is None:
            return
        sound = self._av.AudioFrame.from_ndarray(chunk.samples[None], format="s16", layout="mono")
        sound.sample_rate, sound.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        # a chunk begins a little before the end of the one before when the device's clock is fast
        sound.pts = max(round(chunk.t * SAMPLE_RATE), self._sound_end)
        self._sound_end = sound.pts + len(chunk.samples)
        self._mux(self._audio.encode(sound))

    def _mux(self, packets: Sequence[Any]) -> None:
        self._bytes += sum(packet.size for packet in packets)
        self._file.mux(packets)
