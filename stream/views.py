"""What a run shows on the terminal it was started from: a live view, JSON lines, or nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from types import TracebackType

import msgspec

from stream.events import Outgoing, Result, Status
from stream.keyboard import Keyboard
from stream.workers import Mailbox

REFRESH_SECONDS = 0.1
WAITING_LINES = 1024
LAST_LINES_SECONDS = 0.5


class View:
    """Takes events from the scoring thread and shows them from the main one; this one shows nothing.

    Attributes
    ----------
    abandoned
        Whether the one it was shown to has gone.
    failure
        Why the one it was shown to did not get all of it, though still there; one line.
    paused
        Whether to say that nothing is looked at or listened to.
    """

    abandoned = False
    failure: str | None = None
    paused = False

    def __init__(self, waiting: int = 1) -> None:
        self.events: Mailbox[Outgoing] = Mailbox(waiting)

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def take(self, event: Outgoing) -> None:
        """Keep an event for ``show``; never waits."""
        self.events.put(event)

    def show(self) -> None:
        """Show what has come; waits a little when nothing has."""
        self.events.take(REFRESH_SECONDS)

    def pressed(self) -> str:
        """Keys pressed since, where there are keys."""
        return ""


class JsonLines(View):
    """One JSON object a line on stdout, written by a thread: a reader that stalls must not hold up the end.

    Raises
    ------
    ValueError
        When stdout is closed.
    """

    def __init__(self) -> None:
        if sys.stdout is None:
            raise ValueError("--json writes to stdout, which is closed: leave it open, or leave --json out")
        super().__init__(WAITING_LINES)
        self._encoder = msgspec.json.Encoder()
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write, name="miar-json", daemon=True)

    def __enter__(self) -> JsonLines:
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._writer.join(LAST_LINES_SECONDS)
        if self._writer.is_alive():
            self._let_go()

    def show(self) -> None:
        """Wait a little; the thread writes."""
        self._over.wait(REFRESH_SECONDS)

    def _write(self) -> None:
        while not self.abandoned:
            over = self._over.is_set()
            lines = [self._encoder.encode(event) + b"\n" for event in self.events.take(REFRESH_SECONDS)]
            try:
                _write_all(b"".join(lines))
            except OSError as error:
                if not isinstance(error, BrokenPipeError):
                    self.failure = f"cannot write results to stdout: {error.strerror}"
                self._let_go()
                self.abandoned = True
            if over and not lines:
                return

    def _let_go(self) -> None:
        # what is left must go somewhere, or Python complains when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_all(data: bytes) -> None:
    """Write to stdout without its lock, which a stalled write would keep to the very end of the program."""
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


class LiveView(View):
    """The newest result as bars, redrawn in place, and the keys of the terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        from stream.terminal import TerminalView

        super().__init__()
        self._screen = TerminalView(Console(stderr=True))
        self._keys = Keyboard()

    def __enter__(self) -> LiveView:
        self._keys.__enter__()
        self._screen.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._screen.__exit__(kind, error, trace)
        self._keys.__exit__(kind, error, trace)

    def show(self) -> None:
        """As ``View``; the screen redraws by itself."""
        self._screen.paused = self.paused
        super().show()

    def pressed(self) -> str:
        """As ``View``."""
        return self._keys.pressed()

    def take(self, event: Outgoing) -> None:
        """Hand the event to the screen, which redraws by itself."""
        self._screen.update(event)
        super().take(event)


class Tally:
    """What a run came to, in one line at its end."""

    def __init__(self) -> None:
        self._labels: Counter[str] = Counter()
        self._results = 0
        self._seconds = 0.0
        self._losses: list[str] = []

    def take(self, event: Outgoing) -> None:
        """Count an event."""
        if isinstance(event, Result):
            self._results += 1
            self._seconds = event.media_time
            self._labels.update([event.label] if event.label else [])
        elif isinstance(event, Status):
            self._losses = event.losses()

    def line(self) -> str:
        """Results, seconds, shares of labels, and what was lost."""
        scored = self._labels.total() or 1
        shares = [f"{label} {count / scored:.0%}" for label, count in self._labels.most_common(3)]
        counted = f"{self._results} result{'' if self._results == 1 else 's'} in {self._seconds:.1f} s"
        return f"{counted}: {', '.join([*(shares or ['no score']), *self._losses])}"


def make_view(json: bool) -> View:
    """JSON lines when asked for, the live view on a terminal, nothing elsewhere: the dashboard has it all."""
    if json:
        return JsonLines()
    return LiveView() if sys.stderr.isatty() else View()
