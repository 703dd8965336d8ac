"""Single keys of the terminal that a command was started from."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
from types import TracebackType

PAUSE_KEY = "p"


class Keyboard:
    """Gives keys as they are pressed, without Enter; a context manager that leaves the terminal as it was.

    Where nobody sits at a terminal there are none. Ctrl-C, Ctrl-Z and the rest do what they always do.
    """

    def __init__(self) -> None:
        self._terminal = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
        self._before: list[object] | None = None

    def __enter__(self) -> Keyboard:
        if self._terminal is not None and self._ours():
            self._before = termios.tcgetattr(self._terminal)
            modes = termios.tcgetattr(self._terminal)
            modes[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(self._terminal, termios.TCSANOW, modes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal is not None and self._before is not None and self._ours():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._before)  # type: ignore[arg-type]

    def pressed(self) -> str:
        """The keys pressed since; never waits."""
        if self._terminal is None or not self._ours() or not select.select([self._terminal], [], [], 0.0)[0]:
            return ""
        with contextlib.suppress(OSError):
            return os.read(self._terminal, 64).decode(errors="ignore")
        return ""

    def _ours(self) -> bool:
        """Whether the terminal listens to us: the system stops a program that uses it from the background."""
        try:
            return os.tcgetpgrp(self._terminal or 0) == os.getpgrp()
        # a terminal that controls nobody stops nobody
        except OSError:
            return True
