"""Recording while a session runs: asked for by ``record``, told of in every ``status``."""

from __future__ import annotations

import contextlib
import datetime
import errno
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from calibration.profile import ProfileError, checked_name
from stream.events import Outgoing, RecordingState, Status
from stream.live import Live
from stream.recording import RecordedSession, Recorder
from stream.recording_format import Manifest, RecordingError
from stream.recordings import own_recordings
from stream.serving.protocol import Record, RequestError

SPARE_BYTES = 50_000_000
"""Ten minutes: with less space none is begun."""

LET_GO_SECONDS = 1.0
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LiveRecording:
    """Starts and stops recordings of one session, all in the user's own folder; a context manager.

    Picture and sound come into none but the one that ``--record-media`` has begun.

    Parameters
    ----------
    session
        What is recorded.
    describe
        Makes the manifest of a recording that begins now, given its purpose.
    first
        What ``--record`` has begun, if that was asked for.
    """

    def __init__(
        self, session: RecordedSession, describe: Callable[[str | None], Manifest], first: Recorder | None
    ) -> None:
        self._session = session
        self._describe = describe
        self._recorder = first
        self._running = contextlib.ExitStack()
        self._live: Live | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> LiveRecording:
        if self._recorder is not None:
            self._begin(self._recorder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._live = None
            self._running.__exit__(kind, error, trace)

    def begin(self, live: Live) -> None:
        """Take requests from now on."""
        self._live = live

    @property
    def state(self) -> RecordingState | None:
        """What is being recorded, if anything is."""
        recorder = self._recorder
        if recorder is None or recorder.failure is not None:
            return None
        since = datetime.datetime.fromisoformat(recorder.manifest.created).timestamp()
        return RecordingState(_name(recorder), since)

    def told(self, event: Outgoing) -> Outgoing:
        """An event as listeners get it, a status with what is being recorded."""
        return msgspec.structs.replace(event, recording=self.state) if isinstance(event, Status) else event

    def __call__(self, request: Record) -> dict[str, Any]:
        """Do what ``request`` asks and tell the outcome; ``RequestError`` says why not."""
        with self._lock:
            if self._live is None:
                raise RequestError("busy", "the session is starting or ending")
            return self._start(self._live, request) if request.action == "start" else self._stop(self._live)

    def _start(self, live: Live, request: Record) -> dict[str, Any]:
        if (running := self.state) is not None:
            raise RequestError("busy", f"{running.name!r} is being recorded: stop that first")
        recorder = self._open(request)
        if self._recorder is not None:
            self._close(live)
        self._recorder = recorder
        self._begin(recorder)
        live.order(lambda _: self._session.record(recorder))
        live.tell("recording", _name(recorder))
        return {"recording": msgspec.to_builtins(self.state)}

    def _stop(self, live: Live) -> dict[str, Any]:
        recorder = self._recorder
        if recorder is None:
            raise RequestError("not_recording", "nothing is being recorded")
        self._close(live)
        end = recorder.end
        if end is None:
            raise _refusal(recorder.failure)
        live.tell("recorded", f"{_name(recorder)}: {end.seconds:.1f} s, {end.results} results")
        return {"name": _name(recorder), "seconds": round(end.seconds, 3), "results": end.results}

    def _begin(self, recorder: Recorder) -> None:

        def failed(why: str) -> None:
            if self._live is not None:
                self._live.tell("recording_failed", f"{_name(recorder)}: {why}")

        recorder.failed = failed
        self._running.enter_context(recorder)

    def _close(self, live: Live) -> None:
        """End a recording once the session has let go of it."""
        done = threading.Event()

        def let_go(_: object) -> None:
            self._session.record(None)
            done.set()

        live.order(let_go)
        done.wait(LET_GO_SECONDS)
        self._running.close()
        self._recorder = None

    def _open(self, request: Record) -> Recorder:
        folder = own_recordings() / _checked(request.name)
        if folder.exists():
            raise RequestError("bad_name", f"there is a recording {folder.name!r} already: give another name")
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _need_space(folder.parent)
            return Recorder(folder, self._describe(request.purpose))
        except (OSError, RecordingError) as error:
            raise _refusal(error) from error


def _name(recorder: Recorder) -> str:
    return recorder.folder.resolve().name


def _checked(name: str | None) -> str:
    try:
        return checked_name(name or time.strftime("%Y-%m-%d %H.%M.%S"), "recording")
    except ProfileError as error:
        raise RequestError("bad_name", str(error)) from error


def _need_space(folder: Path) -> None:
    if shutil.disk_usage(folder).free < SPARE_BYTES:
        raise OSError(errno.ENOSPC, f"less than {SPARE_BYTES / 1e6:.0f} MB are free on the disk")


def _refusal(error: Exception | None) -> RequestError:
    """Why something could not be written, in a stable word and a line."""
    cause = error.__cause__ if isinstance(error, RecordingError) else error
    full = isinstance(cause, OSError) and cause.errno in FULL
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else error
    return RequestError("disk_full" if full else "not_saved", f"not recorded: {why or 'the disk is too slow'}")
