"""Recorded sessions again: the same calls into a fresh session, as fast as it goes, and what differs."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from calibration.baseline import Baseline
from miar_rt.features.text import Encoder
from miar_rt.signals import WordsUpdate
from stream.events import Outgoing, Result
from stream.recording_format import (
    EVENTS,
    MANIFEST,
    End,
    Entry,
    Instant,
    Lost,
    Personal,
    Rate,
    RecordingError,
    being_written,
    from_batch,
    read_manifest,
    schema,
    time_of,
)
from stream.resuming import ResumableSession, State
from stream.scoring import Scorer
from stream.session import Session

PARITY = 1e-4
"""Two engines may differ so much in any number of a result; the same engine does not differ at all."""

AHEAD = 400
"""Entries, two or three seconds of them, whose words are embedded while those before them are scored."""

_DAMAGE = (OSError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)
"""What rows that were not written so can lead to; pyarrow's own errors are among them."""


class Recording:
    """A recording to be read.

    Parameters
    ----------
    folder
        As ``miar-live --record`` writes it.

    Attributes
    ----------
    manifest
        What made it.
    began, seconds, results, rows_lost
        Media time at which it begins and up to which it was read, results so far, and rows that were lost while it
        was made.
    damage
        Once read: one line on what cannot be read and from which media time on, or ``None``.

    Raises
    ------
    RecordingError
        When the folder is no recording, or one of another format, or its rows cannot be read at all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        _check_rows(folder)
        self.began = self.seconds = 0.0
        self.results = self.rows_lost = 0
        self.damage: str | None = None

    def entries(self) -> Iterator[Entry]:
        """All it holds in order, up to the first damage."""
        import pyarrow as pa

        try:
            with (self.folder / EVENTS).open("rb") as file, pa.ipc.open_stream(file) as batches:
                for batch in batches:
                    yield from map(self._count, from_batch(batch))
        except _DAMAGE as error:
            self.spoilt(error, self.seconds)
        else:
            self._require_end()

    def read_through(self) -> End:
        """What the end of the recording says or, when it was cut short, would have said."""
        for _ in self.entries():
            pass
        return End(self.length, self.results, self.rows_lost, began=self.began)

    @property
    def length(self) -> float:
        """Seconds from its beginning."""
        return max(self.seconds - self.began, 0.0)

    def spoilt(self, why: object, t: float) -> None:
        """Take note that it cannot be used from ``t`` on."""
        self.damage = f"{self.folder} is damaged from {t:.1f} s on: {' '.join(str(why).split())}"

    def _count(self, entry: Entry) -> Entry:
        self.seconds = max(self.seconds, time_of(entry) or 0.0)
        self.began = entry.t if isinstance(entry, State) else self.began
        self.results += isinstance(entry, Result)
        self.rows_lost += entry.rows if isinstance(entry, Lost) else 0
        return entry

    def _require_end(self) -> None:
        end = self.manifest.end
        if end is None:
            why = (
                "it is still being recorded"
                if being_written(self.folder)
                else "the session that wrote it did not end it"
            )
            self.damage = f"{self.folder} breaks off at {self.seconds:.1f} s: {why}"
        elif end.results != self.results:
            self.spoilt(f"{end.results - self.results} results are missing", self.seconds)
        elif end.sha256 not in {None, _sha256(self.folder / EVENTS)}:
            self.damage = (
                f"{self.folder} is damaged: {EVENTS} does not hold what was written ({MANIFEST} has its sha256)"
            )


def _check_rows(folder: Path) -> None:
    """``RecordingError`` where there are no rows to begin with."""
    import pyarrow as pa

    path = folder / EVENTS
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no regular file")
        with path.open("rb") as file, pa.ipc.open_stream(file) as batches:
            if batches.schema != schema():
                raise ValueError("it has other columns")
    except _DAMAGE as error:
        why = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
        raise RecordingError(f"{folder} cannot be replayed ({EVENTS}: {why}); copy the recording again") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Replay:
    """A fresh session that is told what a recording holds.

    Parameters
    ----------
    recording
        What to replay.
    scorer, encoder
        Checkpoint, engine and text encoder; its windows and baseline are left alone. No encoder is needed where
        no words were recorded.

    Attributes
    ----------
    comparison
        How what the session answers compares with what was recorded.
    """

    def __init__(self, recording: Recording, scorer: Scorer, encoder: Encoder | None) -> None:
        self._recording = recording
        config = recording.manifest.config
        fresh, idle = (Scorer(scorer.checkpoint, scorer.engine) for _ in range(2))
        self._builder = fresh.builder
        self._session = ResumableSession(fresh, encoder, config)
        # told of nothing but words, it fills the encoder's cache
        self._ahead = Session(idle, encoder, config)
        self._seconds = 0.0
        self.comparison = Comparison()

    def run(self) -> Iterator[Outgoing]:
        """Everything the session says, up to the first damage of the recording."""
        for entry in self._entries():
            try:
                events = self._take(entry)
            except _DAMAGE as error:
                self._recording.spoilt(error, self._seconds)
                return
            yield from events
            self._seconds = max(self._seconds, time_of(entry) or 0.0)

    def _entries(self) -> Iterator[Entry]:
        """All entries, each when its words are embedded; a thread does that ahead, and changes no result."""
        waiting: deque[tuple[Entry, Future[None] | None]] = deque()
        with ThreadPoolExecutor(1, "ahead") as thread:
            for entry in self._recording.entries():
                prepared = thread.submit(self._ahead.push, entry) if isinstance(entry, WordsUpdate) else None
                waiting.append((entry, prepared))
                if len(waiting) > AHEAD:
                    yield _ready(*waiting.popleft())
            for one in waiting:
                yield _ready(*one)

    # damaged features may be beyond what float32 can add up
    @np.errstate(over="ignore", invalid="ignore")
    def _take(self, entry: Entry) -> list[Outgoing]:
        if isinstance(entry, Instant):
            events = self._session.finish(entry.t) if entry.last else self._session.advance(entry.t)
            self.comparison.replayed(event for event in events if isinstance(event, Result))
            return events
        if isinstance(entry, Result):
            self.comparison.recorded(entry)
        elif isinstance(entry, Rate):
            self._session.set_rate(entry.rate)
        elif isinstance(entry, Personal):
            self._know(entry)
        elif isinstance(entry, State):
            self._session.resume(entry)
        elif not isinstance(entry, Lost):
            self._session.push(entry)
        return []

    def _know(self, entry: Personal) -> None:
        known = {name: one for name, one in self._builder.baseline.items() if name != entry.modality}
        if entry.gain:
            known[entry.modality] = Baseline(np.array(entry.gain, np.float64), np.array(entry.offset, np.float64))
        self._session.set_person(entry.profile or self._session.config.profile, known)


def _ready(entry: Entry, prepared: Future[None] | None) -> Entry:
    if prepared is not None:
        # what it cannot take the session itself is about to refuse
        prepared.exception()
    return entry


class Comparison:
    """Recorded results against those of the replay, all but the times that only a live run knows.

    Attributes
    ----------
    compared, identical
        Results recorded, and those of them that came out bit for bit.
    greatest
        The greatest difference between two numbers; infinite when a result differs in more than numbers, or
        did not come out at all.
    """

    def __init__(self) -> None:
        self.compared = self.identical = 0
        self.greatest = 0.0
        self._where = ""
        self._waiting: dict[int, Result] = {}

    def replayed(self, results: Iterator[Result]) -> None:
        """Take results of the replay."""
        self._waiting.update((result.seq, result) for result in results)

    def recorded(self, result: Result) -> None:
        """Take a recorded result, whose like was replayed before."""
        self.compared += 1
        expected = _timeless(result)
        found = self._waiting.pop(result.seq, None)
        if found == expected:
            self.identical += 1
            return
        differences = list(_differences(msgspec.to_builtins(expected), msgspec.to_builtins(found), ""))
        self.identical += not differences
        for path, difference in differences:
            if difference > self.greatest:
                self.greatest, self._where = difference, f"{path} of result {result.seq}"

    @property
    def alike(self) -> bool:
        """Whether all are identical or within parity bounds."""
        return self.greatest <= PARITY

    def __str__(self) -> str:
        line = f"{self.identical} of {self.compared} results identical"
        if self.identical == self.compared:
            return line
        if self.greatest == float("inf"):
            return f"{line}; others differ in more than numbers, first in {self._where}"
        return f"{line}; greatest difference {self.greatest:.1e} in {self._where}"


def _timeless(result: Result) -> Result:
    return msgspec.structs.replace(result, time=None, latency_ms=None)


def _differences(a: Any, b: Any, path: str) -> Iterator[tuple[str, float]]:
    """Where ``a`` and ``b`` differ, and by how much; engines may have different names."""
    if a == b:
        return
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a.keys() - {"engine"}:
            yield from _differences(a[key], b[key], f"{path}.{key}" if path else key)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differences(one, other, f"{path}.{i}")
    elif isinstance(a, float) and isinstance(b, float):
        yield path, abs(a - b)
    else:
        yield path or "everything", float("inf")
