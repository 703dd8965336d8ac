"""A place for a source that can be lost and opened anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from stream.sources import Source, SourceError
from stream.workers import DeviceGone, DeviceLost, Worker

Some = TypeVar("Some", bound=Source)


class Slot(Generic[Some]):
    """Holds a source that was opened already, so that failing to open it the first time is the caller's to tell.

    Parameters
    ----------
    source
        Opened.
    reopen
        Gives a fresh, unopened one in its place; ``None`` for what cannot come back, as a file.
    """

    def __init__(self, source: Some, reopen: Callable[[], Some] | None = None) -> None:
        self._source: Some | None = source
        self._reopen = reopen
        self._outdated = False

    @property
    def device(self) -> bool:
        """Whether it is a device, which can come back."""
        return self._reopen is not None

    @contextmanager
    def hold(self) -> Iterator[Some]:
        """The source, opened anew if it was lost: ``DeviceLost`` when it is not back yet, ``DeviceGone`` if never.

        Losing it inside closes it; any other error leaves it open for the next holder.
        """
        source = self._source or self._open()
        try:
            yield source
        except DeviceLost:
            self.close()
            raise

    def renew(self) -> None:
        """Let whoever holds the source lose it and open anew, which may give another device by now."""
        self._outdated = True

    def serves(self, worker: Worker) -> bool:
        """Whether a worker is to go on with what it holds; ``DeviceLost`` when that was to be renewed."""
        if self._outdated:
            raise DeviceLost("another device was chosen")
        return not worker.stopping

    def drain(self, read: Callable[[Some], object], worker: Worker) -> None:
        """Read what nobody uses, until it is over or the worker is to stop."""
        with self.hold() as source:
            while not worker.stopping and not over(source):
                read(source)

    def close(self) -> None:
        """Close the source if there is one."""
        source, self._source = self._source, None
        if source is not None:
            source.__exit__(None, None, None)

    def _open(self) -> Some:
        if self._reopen is None:
            raise DeviceGone("it cannot be opened again")
        self._outdated = False
        source = self._reopen()
        try:
            source.__enter__()
        except SourceError as error:
            raise DeviceLost(str(error)) from error
        self._source = source
        return source


def over(source: Source) -> bool:
    """Whether a file has ended; raises ``DeviceLost`` when a device is gone."""
    if source.lost:
        raise DeviceLost(f"{source.name} is gone")
    return source.ended
