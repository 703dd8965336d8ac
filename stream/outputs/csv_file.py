"""Live results as a table of text: one line a result, readable while it grows."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from stream.events import Result
from stream.outputs import Output, OutputError
from stream.recording_format import private_file
from stream.report_table import Column, columns

LIVE = (
    Column("time", "float64", lambda r: r.time),
    Column("latency_ms", "float64", lambda r: None if r.latency_ms is None else r.latency_ms.total),
)
"""What only a live run knows."""


class CsvFile(Output):
    """A file with the columns of ``report_table`` behind those of ``LIVE``; what is ``None`` is left empty.

    It is new and its owner's only, because the words are in it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._columns = (*LIVE, *columns())
        self.name = str(path)

    def open(self) -> str:
        """Make the file and write the names of the columns."""
        try:
            self._file = io.TextIOWrapper(private_file(self._path), "utf-8", newline="")
            self._begin()
        except FileExistsError as error:
            raise OutputError(f"{self._path} is there already: give --csv a new file") from error
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}; give --csv another file") from error
        return f"results go to {self._path}, with the words that are said"

    def _begin(self) -> None:
        self._writer = csv.writer(self._file)
        self._writer.writerow(column.name for column in self._columns)
        try:
            self._file.flush()
        except OSError:
            self._path.unlink()
            # it tries to write once more
            with contextlib.suppress(OSError):
                self._file.close()
            raise

    def send(self, results: Sequence[Result]) -> None:
        """Append lines."""
        self._writer.writerows([column.value(result) for column in self._columns] for result in results)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
