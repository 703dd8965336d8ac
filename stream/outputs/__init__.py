"""Results for other programs (a file, Lab Streaming Layer, OSC), each from a thread that nobody waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

from stream.clock import CaptureClock
from stream.events import Outgoing, Result
from stream.options import LiveOptions
from stream.workers import Mailbox

WAITING_RESULTS = 600
"""Ten seconds of results at the highest rate; then the oldest are lost, and that is said."""

SEND_SECONDS = 0.05
CLOSE_SECONDS = 1.0

log = logging.getLogger("miar.live")


class OutputError(ValueError):
    """An output that cannot be had; one line says why and what would be right."""


class Output:
    """Takes results as they come and sends them from a thread; a context manager.

    Whatever goes wrong once it has begun ends this output with one warning and nothing else.

    Attributes
    ----------
    name
        What it sends to, for people.
    """

    name: str

    def __init__(self) -> None:
        self._waiting: Mailbox[Result] = Mailbox(WAITING_RESULTS)
        self._closing = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="miar-output", daemon=True)

    def open(self) -> str:
        """Open it; a line about it for people. ``OutputError`` when that cannot be."""
        raise NotImplementedError

    def send(self, results: Sequence[Result]) -> None:
        """Send results, in order."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what ``open`` has opened."""
        raise NotImplementedError

    def __enter__(self) -> Output:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        if self._waiting.dropped:
            log.warning("%s was too slow for %d results", self.name, self._waiting.dropped)

    def take(self, event: Outgoing) -> None:
        """Keep a result to be sent; never waits."""
        if isinstance(event, Result) and not self._ended:
            self._waiting.put(event)

    def _run(self) -> None:
        try:
            self._send_all()
        # whatever it is, the session goes on
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            log.warning("%s ended: %s", self.name, reason)
        finally:
            self._ended = True
            self._waiting.take(0.0)

    def _send_all(self) -> None:
        try:
            while not self._closing.is_set():
                self._send(self._waiting.take(SEND_SECONDS))
            self._send(self._waiting.take(0.0))
        finally:
            self.close()

    def _send(self, results: Sequence[Result]) -> None:
        if results:
            self.send(results)


def make_outputs(options: LiveOptions, clock: CaptureClock, listens_to: Mapping[str, str]) -> list[Output]:
    """The outputs that were asked for, not opened yet.

    Parameters
    ----------
    clock
        What results are stamped on.
    listens_to
        Names of the sources by modality.

    Raises
    ------
    OutputError
        When one cannot be had.
    """
    outputs: list[Output] = []
    if options.csv is not None:
        from stream.outputs.csv_file import CsvFile

        outputs.append(CsvFile(options.csv))
    if options.lsl:
        from stream.outputs.lsl import LslOutlet

        outputs.append(LslOutlet(clock, listens_to))
    if options.osc is not None:
        from stream.outputs.osc import OscSender

        outputs.append(OscSender(options.osc))
    return outputs
