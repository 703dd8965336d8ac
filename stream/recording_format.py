"""What a recording is made of: a folder with ``recording.json`` and ``events.arrow``, and their parts.

``recording.json`` says what made the recording; ``events.arrow`` is an Arrow IPC stream of ``schema``, a row for
everything a session was told and for every result. ``docs/recording.md`` describes the rows.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from miar_rt.neutral import inputs_name
from miar_rt.signals import Array, Box, Face, FeatureFrame, FeatureKind, Modality, WordsUpdate
from stream.consent import Consent
from stream.events import DeviceStatus, Result
from stream.report_summary import package_versions
from stream.resuming import State
from stream.scoring import Scorer
from stream.session import SessionConfig, Signal

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT, FORMAT_VERSION = "miar-recording", 1
MANIFEST, EVENTS, MEDIA = "recording.json", "events.arrow", "media.mkv"


class RecordingError(ValueError):
    """A recording that cannot be made, read or removed; one line names the folder and what would be right."""


class End(msgspec.Struct, frozen=True):
    """Written when a recording is closed in order: its length in media time, and how much it holds or lacks.

    ``pictures_lost`` and ``sound_lost``, in chunks, are missing in the film, where there is one. ``began`` is the
    media time at which it began, in the middle of a session. ``sha256`` is that of ``events.arrow``.
    """

    seconds: float
    results: int
    rows_lost: int
    pictures_lost: int = 0
    sound_lost: int = 0
    began: float = 0.0
    sha256: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """``recording.json``: what made the recording. ``end`` is ``None`` while it runs and when it was cut short.

    ``inputs`` names the table of input channels its features are of, as ``neutral.inputs_name`` does.
    ``media_consent`` says when those in view and hearing had agreed to picture and sound being stored.
    """

    format: str = FORMAT
    version: int = FORMAT_VERSION
    created: str
    purpose: str | None
    checkpoint: str
    checkpoint_sha256: str
    engine: str
    asr: str | None
    config: SessionConfig
    versions: dict[str, str | None]
    inputs: str | None = None
    media_consent: Consent | None = None
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Instant:
    """The session was told that it is ``t``; ``last``: and that nothing more comes."""

    t: float
    last: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """The session was told to score at most ``rate`` times a second from now on."""

    rate: float


@dataclass(frozen=True, slots=True)
class Personal:
    """From here on a modality is scored with a person's baseline, of ``calibration.baseline``.

    Empty lists: without one again. ``profile`` names the person where that changed while the session ran.
    """

    modality: Modality
    gain: list[float]
    offset: list[float]
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Here ``rows`` could not be written in time."""

    rows: int


@dataclass(frozen=True, slots=True)
class _Followed:
    """One of several faces in a picture, but for its values."""

    id: int
    box: Box
    primary: bool


Entry: TypeAlias = Signal | Instant | Rate | Personal | State | Result | Lost
Row: TypeAlias = tuple[str, float | None, Array | None, bool | None, object]

DETAILED: dict[str, type[WordsUpdate | DeviceStatus | Rate | Personal | State | Result | Lost]] = {
    "words": WordsUpdate,
    "status": DeviceStatus,
    "rate": Rate,
    "baseline": Personal,
    "state": State,
    "result": Result,
    "lost": Lost,
}
"""Kinds of rows whose column ``detail`` holds all there is, as JSON."""

_KIND = {kind: name for name, kind in DETAILED.items()}


def schema() -> pa.Schema:
    """Columns of ``events.arrow``."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("kind", pa.string(), nullable=False),
            pa.field("t", pa.float64()),
            pa.field("values", pa.list_(pa.float32())),
            pa.field("valid", pa.bool_()),
            pa.field("detail", pa.string()),
        ]
    )


def to_batch(entries: Sequence[Entry]) -> pa.RecordBatch:
    """Rows of ``events.arrow``."""
    import pyarrow as pa

    kinds, times, values, valid, details = zip(*map(_row, entries), strict=True)
    columns = [
        pa.array(kinds, pa.string()),
        pa.array(times, pa.float64()),
        _lists(values),
        pa.array(valid, pa.bool_()),
        pa.array([None if d is None else msgspec.json.encode(d).decode() for d in details], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema())


def time_of(entry: Entry) -> float | None:
    """Seconds of media time, where an entry has one."""
    return entry.media_time if isinstance(entry, Result) else getattr(entry, "t", None)


def _row(entry: Entry) -> Row:
    if isinstance(entry, FeatureFrame) and entry.faces:
        followed = [_Followed(face.id, face.box, face.primary) for face in entry.faces]
        return entry.kind, entry.t, np.concatenate([face.values for face in entry.faces]), entry.valid, followed
    if isinstance(entry, FeatureFrame):
        return entry.kind, entry.t, entry.values, entry.valid, None
    if isinstance(entry, Instant):
        return "finish" if entry.last else "advance", entry.t, None, None, None
    return _KIND[type(entry)], time_of(entry), None, None, entry


def _lists(values: Sequence[Array | None]) -> pa.ListArray:
    """Lists of float32 as they are, bit for bit."""
    import pyarrow as pa

    flat = np.concatenate([np.zeros(0, np.float32), *(row for row in values if row is not None)])
    if flat.dtype != np.float32:
        raise TypeError(f"features are float32, not {flat.dtype}")
    offsets = np.cumsum([0, *(0 if row is None else len(row) for row in values)], dtype=np.int32)
    missing = pa.array([row is None for row in values])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), mask=missing)


def from_batch(batch: pa.RecordBatch) -> Iterator[Entry]:
    """The entries in rows of ``events.arrow``; ``ValueError`` or ``TypeError`` at one that no recorder wrote."""
    batch.validate(full=True)
    kinds, times, values, valid, details = (batch.column(name) for name in batch.schema.names)
    flat, offsets = values.values.to_numpy(), values.offsets.to_numpy()
    plain = zip(*(column.to_pylist() for column in (kinds, times, valid, details)), strict=True)
    for (kind, t, here, detail), (start, stop) in zip(plain, pairwise(offsets), strict=True):
        if kind in DETAILED:
            yield msgspec.json.decode(detail, type=DETAILED[kind])
        elif kind in {"advance", "finish"}:
            yield Instant(t, last=kind == "finish")
        else:
            yield _frame(kind, t, flat[start:stop], here, detail)


def _frame(kind: FeatureKind, t: float, values: Array, valid: bool, detail: str | None) -> FeatureFrame:
    if detail is None:
        return FeatureFrame(kind, t, values, valid)
    followed = msgspec.json.decode(detail, type=list[_Followed])
    rows = values.reshape(len(followed), -1)
    faces = tuple(Face(one.id, one.box, one.primary, row) for one, row in zip(followed, rows, strict=True))
    own = next((face.values for face in faces if face.primary), np.full_like(rows[0], np.nan))
    return FeatureFrame(kind, t, own, valid, faces=faces)


def describe_session(scorer: Scorer, config: SessionConfig, asr: str | None, purpose: str | None) -> Manifest:
    """The manifest of a recording that begins now; ``asr`` names the recogniser, ``None`` for no words."""
    return Manifest(
        created=datetime.datetime.now(tz=datetime.timezone.utc).isoformat(timespec="seconds"),
        purpose=purpose,
        checkpoint=scorer.checkpoint.name,
        checkpoint_sha256=scorer.checkpoint.sha256,
        engine=scorer.engine.name,
        asr=asr,
        config=config,
        versions=package_versions(),
        inputs=inputs_name(scorer.checkpoint.spec),
    )


def read_manifest(folder: Path) -> Manifest:
    """What made the recording in ``folder``.

    Raises
    ------
    RecordingError
        When it is no recording, or one of another format.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
        found = json.loads(content)
        name, version = found["format"], found["version"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        name = version = None
    if name != FORMAT:
        raise RecordingError(
            f"{folder} is no recording: that is a folder with {MANIFEST} and {EVENTS}, "
            "as miar-live --record writes it"
        )
    if version != FORMAT_VERSION:
        raise RecordingError(
            f"recording {folder} is of format {version}, this program reads format {FORMAT_VERSION}"
        )
    try:
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise RecordingError(f"{folder / MANIFEST} is damaged: {error}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``recording.json`` so that readers see the old one or the new, never a part."""
    content = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)
    partial = folder / f".{MANIFEST}"
    try:
        with private_file(partial) as file:
            file.write(content + b"\n")
        partial.replace(folder / MANIFEST)
    finally:
        partial.unlink(missing_ok=True)


class Summed:
    """A file to write into that knows the sha256 of all that was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    @property
    def closed(self) -> bool:
        """As of a file."""
        return self._file.closed

    @property
    def sha256(self) -> str:
        """So far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """As of a file."""
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """As of a file."""
        self._file.flush()

    def close(self) -> None:
        """As of a file."""
        self._file.close()


def private_file(path: Path) -> IO[bytes]:
    """A new file, to be written, that only its owner can read; ``OSError`` when there is one."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def locked(file: IO[bytes]) -> IO[bytes]:
    """The file, which ``being_written`` knows from now on to be in use; the kernel forgets it with the program."""
    # some network drives have no locks
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def being_written(folder: Path) -> bool:
    """Whether a program that runs is making this recording."""
    with contextlib.suppress(OSError):
        # what is no file must not make this wait
        descriptor = os.open(folder / EVENTS, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
