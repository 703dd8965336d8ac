"""The files an analysis leaves: every result, the same as a table, one picture and one summary.

Everything is written into a hidden folder inside the target and moved out of it at the very end: a run that
fails or is interrupted leaves nothing, and what an earlier run left stays whole. Nothing written depends on the
wall clock, so that two runs over the same events leave the same bytes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from stream.events import Outgoing, Result, Status, TimedWord, Transcript
from stream.report_summary import SourceInfo, Summary

__all__ = ["FILES", "Report", "ReportError", "SourceInfo", "check_writable"]

RESULTS, TABLE, PICTURE, SUMMARY = "results.jsonl", "results.parquet", "timeline.png", "summary.json"
FILES = (RESULTS, TABLE, PICTURE, SUMMARY)

_UNFINISHED = ".unfinished-"

BATCH = 4096
"""Results that are in memory at once, and in one row group of the table."""


class ReportError(Exception):
    """The report cannot be written; one line says where and why."""


def check_writable(out: Path) -> None:
    """Make sure that a report can be written into ``out``, and leave no trace of having tried.

    Raises
    ------
    ReportError
        When it cannot.
    """
    with _Staging(out):
        pass


class Report:
    """Takes events in order and leaves ``FILES`` in ``out``; a context manager.

    Parameters
    ----------
    out
        Folder, made with its parents when missing. Files of an earlier report in it are replaced at the end.
    source
        What is analysed. The attribute may be replaced until the end, because damage is known late.

    Attributes
    ----------
    results
        How many were taken.

    Raises
    ------
    ReportError
        On entering, adding or leaving, when ``out`` cannot be written.
    """

    def __init__(self, out: Path, source: SourceInfo) -> None:
        self.source = source
        self.results = 0
        self._staging = _Staging(out)
        self._encoder = msgspec.json.Encoder()
        self._words: list[TimedWord] = []
        self._notices: list[Status] = []

    def __enter__(self) -> Report:
        self._folder = self._staging.__enter__()
        self._file: BinaryIO = (self._folder / RESULTS).open("wb")
        return self

    def add(self, event: Outgoing) -> None:
        """Take one event; of a transcript only the committed words are kept."""
        if isinstance(event, Result):
            with self._staging.blamed():
                self._file.write(self._encoder.encode(event) + b"\n")
            self.results += 1
        elif isinstance(event, Transcript):
            self._words.extend(word for word in event.words if word.final)
        else:
            self._notices.append(event)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._staging.blamed():
                self._file.close()
                if kind is None:
                    self._finish()
                    self._staging.publish()
        finally:
            self._staging.__exit__(kind, error, trace)

    def _finish(self) -> None:
        """Make the other files from the first in batches: an hour needs little more memory than a minute."""
        from stream.report_plot import draw_timeline
        from stream.report_series import Series
        from stream.report_table import TableWriter

        summary, series = Summary(), Series()
        with TableWriter(self._folder / TABLE) as table:
            for batch in _batches(self._folder / RESULTS):
                table.write(batch)
                series.extend(batch)
                summary.extend(batch)
        (self._folder / SUMMARY).write_bytes(summary.to_json(self.source, self._words, self._notices))
        told = self.source.name, summary.footnote(), self.source.began
        draw_timeline(self._folder / PICTURE, series.steps(), self._words, *told)


def _batches(path: Path) -> Iterator[list[Result]]:
    decoder = msgspec.json.Decoder(Result)
    batch: list[Result] = []
    with path.open("rb") as file:
        for line in file:
            batch.append(decoder.decode(line))
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


class _Staging:
    """A hidden folder inside ``out`` for what is not finished; leaving removes it and folders made for nothing."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._made: list[Path] = []

    def __enter__(self) -> Path:
        with self.blamed():
            self._prepare()
        return self._folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)
        self._remove_made()

    def publish(self) -> None:
        """Move the finished files into place, each at once."""
        for name in FILES:
            (self._folder / name).replace(self._out / name)

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Turn what the file system says into one line about ``out``."""
        try:
            yield
        except OSError as error:
            where = f" ({error.filename})" if error.filename and Path(error.filename) != self._out else ""
            reason = error.strerror or type(error).__name__
            raise ReportError(
                f"cannot write a report into {self._out}: {reason}{where}; give a folder that can be written"
            ) from error

    def _prepare(self) -> None:
        missing = [folder for folder in (self._out, *self._out.parents) if not folder.exists()]
        try:
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
                self._made.append(folder)
            self._refuse_folders()
            self._remove_abandoned()
            self._folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._out))
            self._lock = _locked(self._folder)
        except BaseException:
            self._remove_made()
            raise

    def _remove_abandoned(self) -> None:
        """What a killed run has left; one that still runs holds its lock."""
        for folder in self._out.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(OSError):
                os.close(_locked(folder))
                shutil.rmtree(folder, ignore_errors=True)

    def _refuse_folders(self) -> None:
        for path in (self._out / name for name in FILES):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))

    def _remove_made(self) -> None:
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._made.clear()


def _locked(folder: Path) -> int:
    """A descriptor that holds the folder's lock until it is closed; ``OSError`` when another process has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
