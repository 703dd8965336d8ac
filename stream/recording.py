"""Sessions stored as they happen: what a session was told, in the order it was told, and what it answered.

The stream is appended to twice a second: after a crash it is readable up to the last append. Pictures and
sound never come here, ``recorded_media`` has them where they are wanted; the words that were said do.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import msgspec

from calibration.baseline import Baseline
from miar_rt.features.text import Encoder
from miar_rt.signals import MODALITIES, FeatureFrame, Modality, WordsUpdate
from stream.consent import agreed_today
from stream.events import DeviceStatus, Outgoing, Result
from stream.options import LiveOptions
from stream.recorded_media import MediaRecorder
from stream.recording_format import (
    EVENTS,
    MANIFEST,
    MEDIA,
    End,
    Entry,
    Instant,
    Lost,
    Manifest,
    Personal,
    Rate,
    RecordingError,
    describe_session,
    private_file,
    schema,
    time_of,
    to_batch,
    write_manifest,
)
from stream.scoring import Scorer
from stream.session import Session, SessionConfig
from stream.workers import Mailbox

FLUSH_SECONDS = 0.5
"""A killed program loses the rows of so many seconds at most, and of the time it takes to write them."""

WAITING_ROWS = 20_000
"""Half a minute or more of a session that waits for a slow disk; then rows are lost, and that is written down."""

CLOSE_SECONDS = 5.0
COMPRESSION = "zstd"

log = logging.getLogger("miar.live")


class Recorder:
    """Writes rows from a thread of its own; a context manager.

    Whatever goes wrong once it has begun (a full disk, a folder that goes away) ends the recording with one
    warning and nothing else.

    Parameters
    ----------
    folder
        Made when missing; readable by its owner only.
    manifest
        What makes the recording.
    media
        What stores picture and sound beside it, if they are stored at all.

    Raises
    ------
    RecordingError
        When the folder holds anything already or cannot be written.
    """

    def __init__(self, folder: Path, manifest: Manifest, media: MediaRecorder | None = None) -> None:
        self._folder = folder
        self._manifest = manifest
        self.media = media
        self._waiting: Mailbox[Entry] = Mailbox(WAITING_ROWS)
        self._closing = threading.Event()
        self._ended = False
        self._lost = self._results = 0
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._write, name="miar-record", daemon=True)
        try:
            self._open()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RecordingError(
                f"cannot record into {folder}: {reason}; give a new folder that can be written"
            ) from error

    def _open(self) -> None:
        import pyarrow as pa

        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True)
        if any(self._folder.iterdir()):
            what = "holds a recording" if (self._folder / MANIFEST).exists() else "is not empty"
            raise RecordingError(f"cannot record into {self._folder}: it {what}; give a new folder")
        write_manifest(self._folder, self._manifest)
        self._file = private_file(self._folder / EVENTS)
        options = pa.ipc.IpcWriteOptions(compression=COMPRESSION)
        self._writer = pa.ipc.new_stream(self._file, schema(), options=options)
        self._file.flush()

    def __enter__(self) -> Recorder:
        self._thread.start()
        if self.media:
            self.media.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.media:
            self.media.__exit__(kind, error, trace)
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            log.warning("the recording is still being written after %.0f s and left behind", CLOSE_SECONDS)

    def put(self, entry: Entry) -> None:
        """Take what becomes a row; never waits."""
        if not self._ended:
            self._waiting.put(entry)

    def take(self, event: Outgoing) -> None:
        """Take what the session answered as listeners get it; other events follow from the rows."""
        if isinstance(event, Result):
            self.put(event)

    def _write(self) -> None:
        try:
            with contextlib.closing(self._file):
                while not self._closing.wait(FLUSH_SECONDS):
                    self._append(self._waiting.take(0.0))
                self._append(self._waiting.take(0.0))
                self._writer.close()
            missing = (self.media.pictures_lost, self.media.sound_lost) if self.media else ()
            end = End(self._seconds, self._results, self._lost, *missing)
            write_manifest(self._folder, msgspec.structs.replace(self._manifest, end=end))
        # whatever it is, the session goes on
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            log.warning("recording into %s ended after %.1f s: %s", self._folder, self._seconds, reason)
        finally:
            self._ended = True
            self._waiting.take(0.0)

    def _append(self, entries: list[Entry]) -> None:
        dropped = self._waiting.dropped - self._lost
        if dropped:
            self._lost += dropped
            entries.insert(0, Lost(dropped))
            log.warning("the disk is too slow: %d rows of the recording are lost", dropped)
        if entries:
            self._writer.write_batch(to_batch(entries))
            self._file.flush()
        self._results += sum(isinstance(entry, Result) for entry in entries)
        self._seconds = max([self._seconds, *(t for entry in entries if (t := time_of(entry)) is not None)])


class RecordedSession(Session):
    """A session that writes down what it is told once it has taken it."""

    def __init__(self, recorder: Recorder, scorer: Scorer, encoder: Encoder | None, config: SessionConfig) -> None:
        super().__init__(scorer, encoder, config)
        self._recorder = recorder
        for name, baseline in scorer.builder.baseline.items():
            recorder.put(_personal(name, baseline, None))

    def push_features(self, frame: FeatureFrame) -> None:
        """As ``Session``."""
        super().push_features(frame)
        self._recorder.put(frame)

    def push_words(self, update: WordsUpdate) -> None:
        """As ``Session``."""
        super().push_words(update)
        self._recorder.put(update)

    def set_status(self, status: DeviceStatus) -> None:
        """As ``Session``."""
        super().set_status(status)
        self._recorder.put(status)

    def set_rate(self, rate: float) -> None:
        """As ``Session``."""
        super().set_rate(rate)
        self._recorder.put(Rate(rate))

    def set_person(self, profile: str | None, baseline: Mapping[Modality, Baseline]) -> None:
        """As ``Session``."""
        super().set_person(profile, baseline)
        for name in MODALITIES:
            self._recorder.put(_personal(name, baseline.get(name), profile))

    def advance(self, now: float) -> list[Outgoing]:
        """As ``Session``; an instant without any answer changes nothing and is not written down."""
        outbox = super().advance(now)
        if outbox:
            self._recorder.put(Instant(now))
        return outbox

    def finish(self, now: float) -> list[Outgoing]:
        """As ``Session``."""
        outbox = super().finish(now)
        self._recorder.put(Instant(now, last=True))
        return outbox


def _personal(name: Modality, baseline: Baseline | None, profile: str | None) -> Personal:
    if baseline is None:
        return Personal(name, [], [], profile)
    return Personal(name, baseline.gain.tolist(), baseline.offset.tolist(), profile)


def open_recorder(
    options: LiveOptions, scorer: Scorer, config: SessionConfig, asr: str | None, lines: list[str]
) -> Recorder | None:
    """What ``miar-live --record`` writes with, if that was asked for, and in ``lines`` what it writes.

    Raises
    ------
    RecordingError
        As ``Recorder``.
    """
    if options.record is None:
        return None
    media = None
    if options.record_media:
        heard = config.listening_to
        media = MediaRecorder(options.record, sees="vision" in heard, hears="audio" in heard)
    manifest = describe_session(scorer, config, asr, options.purpose)
    if media and not options.input:
        manifest = msgspec.structs.replace(manifest, media_consent=agreed_today())
    recorder = Recorder(options.record, manifest, media)
    lines.append(
        f"recording into {options.record}: features, results and the transcript, so that what is said can be read "
        f"there; {f'and picture and sound, in {MEDIA}' if media else 'no picture and no sound'}"
    )
    return recorder
