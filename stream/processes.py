"""A process of our own for a library that this one is to be kept safe from: slow, noisy, hanging or dying.

Started by hand and not by multiprocessing, whose new processes import the caller's main program again, guarded or
not. Light to import, for the other process does so too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

STOP_SECONDS = 0.5
FLOOD_BYTES = 1 << 20
"""What a process may write to stderr in a second: one that writes more spins."""

_KEPT_BYTES = 1 << 11
_PROGRAM = "import sys; from stream.processes import run; run(*sys.argv[1:])"


class OwnProcess:
    """A function at the other end of a pipe, in a process that ends with this one.

    What it writes to stderr blocks nobody and fills nothing: it is read, and forgotten but for its end.

    Parameters
    ----------
    serve
        Importable; called over there with its end of the pipe. The process ends when it returns.

    Attributes
    ----------
    pipe
        Our end: ``EOFError`` or ``OSError`` when the process has ended.
    """

    def __init__(self, serve: Callable[[Connection], None]) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), serve.__module__, serve.__name__],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
            )
        self.pipe = Connection(ours.detach())
        self._said = b""
        self._hearing = threading.Thread(target=self._hear, name="miar-stderr", daemon=True)
        self._hearing.start()

    @property
    def last_words(self) -> str:
        """The last line that it wrote to stderr; all of them were read once it is closed."""
        lines = self._said.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def kill(self) -> None:
        """End it from any thread; whoever waits for the pipe sees its end."""
        self._process.kill()

    def close(self) -> None:
        """End it and forget it; only when nobody waits for the pipe."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._hearing.join(STOP_SECONDS)
        self.pipe.close()
        if self._process.stdin:
            self._process.stdin.close()

    def _hear(self) -> None:
        if (stderr := self._process.stderr) is None:
            return
        began, written = 0.0, 0
        with stderr:
            while said := stderr.read1(FLOOD_BYTES):  # type: ignore[attr-defined]
                self._said = (self._said + said)[-_KEPT_BYTES:]
                if time.monotonic() - began > 1.0:
                    began, written = time.monotonic(), 0
                written += len(said)
                if written > FLOOD_BYTES:
                    self.kill()


def run(descriptor: str, module: str, name: str) -> None:
    """The other process: call a function with its end of a pipe; nothing that is left behind can delay the end."""
    # Ctrl-C reaches every process of a terminal; the one that started this one decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(sys.stdin.fileno())
    serve: Callable[[Connection], None] = getattr(import_module(module), name)
    with contextlib.suppress(EOFError, ConnectionError):
        serve(Connection(int(descriptor)))
    os._exit(0)


def _end_with(lifeline: int) -> None:
    """Let the kernel end this process when the other end of a pipe is closed, whatever it hangs in by then."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0.0)[0]:
        os._exit(0)
