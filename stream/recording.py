"""Sessions stored as they happen: what a session was told, in the order it was told, and what it answered.

The stream is appended to twice a second: after a crash it is readable up to the last append. Pictures and
sound never come here, ``recorded_media`` has them where they are wanted; the words that were said do.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
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
    Summed,
    describe_session,
    locked,
    private_file,
    schema,
    time_of,
    to_batch,
    write_manifest,
)
from stream.resuming import ResumableSession, State
from stream.scoring import Scorer
from stream.session import SessionConfig
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

    Attributes
    ----------
    end
        Once it is closed: what it came to; ``None`` where it ended too early.
    failure
        Why that was.
    failed
        Called then, from the thread that writes, with one line.

    Raises
    ------
    RecordingError
        When the folder holds anything already or cannot be written.
    """

    def __init__(self, folder: Path, manifest: Manifest, media: MediaRecorder | None = None) -> None:
        self.folder, self.manifest, self.media = folder, manifest, media
        self.end: End | None = None
        self.failure: Exception | None = None
        self.failed: Callable[[str], object] = lambda _: None
        self._waiting: Mailbox[Entry] = Mailbox(WAITING_ROWS)
        self._closing = threading.Event()
        self._ended = False
        self._lost = self._results = 0
        self._began = self._seconds = 0.0
        self._thread = threading.Thread(target=self._write, name="miar-record", daemon=True)
        try:
            self._open()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RecordingError(
                f"cannot record into {folder}: {reason}; give a new folder that can be written"
            ) from error

    def _open(self) -> None:
        with contextlib.ExitStack() as undo:
            if not self.folder.is_dir():
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                undo.callback(_remove, self.folder)
            if any(self.folder.iterdir()):
                what = "holds a recording" if (self.folder / MANIFEST).exists() else "is not empty"
                raise RecordingError(f"cannot record into {self.folder}: it {what}; give a new folder")
            # of two that begin at once one makes it, and has the folder
            self._file = Summed(locked(private_file(self.folder / EVENTS)))
            undo.callback(_remove, self.folder / EVENTS, self.folder / MANIFEST)
            undo.callback(self._file.close)
            self._begin()
            self._undo = undo.pop_all()

    def _begin(self) -> None:
        import pyarrow as pa

        write_manifest(self.folder, self.manifest)
        options = pa.ipc.IpcWriteOptions(compression=COMPRESSION)
        self._writer = pa.ipc.new_stream(self._file, schema(), options=options)
        self._file.flush()

    def abandon(self) -> None:
        """Leave nothing where it was never entered."""
        self._undo.close()

    def __enter__(self) -> Recorder:
        self._undo.pop_all()
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
            missing = (self.media.pictures_lost, self.media.sound_lost) if self.media else (0, 0)
            end = End(self._length, self._results, self._lost, *missing, self._began, self._file.sha256)
            write_manifest(self.folder, msgspec.structs.replace(self.manifest, end=end))
            self.end = end
        # whatever it is, the session goes on
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            self.failure = error
            log.warning("recording into %s ended after %.1f s: %s", self.folder, self._length, reason)
            self.failed(str(reason))
        finally:
            self._ended = True
            self._waiting.take(0.0)

    @property
    def _length(self) -> float:
        return max(self._seconds - self._began, 0.0)

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
        self._began = next((entry.t for entry in entries if isinstance(entry, State)), self._began)
        self._seconds = max([self._seconds, *(t for entry in entries if (t := time_of(entry)) is not None)])


class RecordedSession(ResumableSession):
    """A session that writes down what it is told once it has taken it, as long as it has a recorder."""

    def __init__(
        self, recorder: Recorder | None, scorer: Scorer, encoder: Encoder | None, config: SessionConfig
    ) -> None:
        super().__init__(scorer, encoder, config)
        self._recorder = recorder
        for name, baseline in scorer.builder.baseline.items():
            self._put(_personal(name, baseline, None))

    def record(self, recorder: Recorder | None) -> None:
        """From now on write with ``recorder``, first what is needed to go on from here; ``None``: no more."""
        self._recorder = recorder
        if recorder is None:
            return
        self._put(Rate(self.config.rate))
        self._put_person()
        for signal in self.remembered():
            self._put(signal)
        self._put(self.state)

    def take(self, event: Outgoing) -> None:
        """As ``Recorder``, by the one it has."""
        if self._recorder is not None:
            self._recorder.take(event)

    def push_features(self, frame: FeatureFrame) -> None:
        """As ``Session``."""
        super().push_features(frame)
        self._put(frame)

    def push_words(self, update: WordsUpdate) -> None:
        """As ``Session``."""
        super().push_words(update)
        self._put(update)

    def set_status(self, status: DeviceStatus) -> None:
        """As ``Session``."""
        super().set_status(status)
        self._put(status)

    def set_rate(self, rate: float) -> None:
        """As ``Session``."""
        super().set_rate(rate)
        self._put(Rate(rate))

    def set_person(self, profile: str | None, baseline: Mapping[Modality, Baseline]) -> None:
        """As ``Session``."""
        super().set_person(profile, baseline)
        self._put_person()

    def advance(self, now: float) -> list[Outgoing]:
        """As ``Session``; an instant without any answer changes nothing and is not written down."""
        outbox = super().advance(now)
        if outbox:
            self._put(Instant(now))
        return outbox

    def finish(self, now: float) -> list[Outgoing]:
        """As ``Session``."""
        outbox = super().finish(now)
        self._put(Instant(now, last=True))
        return outbox

    def _put_person(self) -> None:
        for name in MODALITIES:
            self._put(_personal(name, self._scorer.builder.baseline.get(name), self.config.profile))

    def _put(self, entry: Entry) -> None:
        if self._recorder is not None:
            self._recorder.put(entry)


def _remove(*paths: Path) -> None:
    """What was made for nothing; a folder that another one uses by now stays."""
    for path in paths:
        with contextlib.suppress(OSError):
            (path.rmdir if path.is_dir() else path.unlink)()


def _personal(name: Modality, baseline: Baseline | None, profile: str | None) -> Personal:
    if baseline is None:
        return Personal(name, [], [], profile)
    return Personal(name, baseline.gain.tolist(), baseline.offset.tolist(), profile)


def open_recorder(
    options: LiveOptions,
    scorer: Scorer,
    config: SessionConfig,
    asr: str | None,
    held: contextlib.ExitStack,
    lines: list[str],
) -> Recorder | None:
    """What ``miar-live --record`` writes with, if that was asked for, and in ``lines`` what it writes.

    ``held`` takes it away again where the run does not come to begin.

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
    held.callback(recorder.abandon)
    lines.append(
        f"recording into {options.record}: features, results and the transcript, so that what is said can be read "
        f"there; {f'and picture and sound, in {MEDIA}' if media else 'no picture and no sound'}"
    )
    return recorder
