"""A recogniser in a process of its own.

pocketsphinx keeps Python's lock while it searches, for tenths of a second at the end of a stretch; in the process
that scores, faces and results would wait for it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import RecogniserKind, WordsUpdate
from stream.asr import Recogniser, RecogniserUnavailable

START_SECONDS = 60.0
STOP_SECONDS = 0.5
_PROGRAM = "import sys; from stream.asr.apart import serve; serve(int(sys.argv[1]))"


class Apart:
    """Keeps the contract of a recogniser by asking one in another process.

    Parameters
    ----------
    make
        Makes the recogniser, over there: importable, without arguments.

    Raises
    ------
    RecogniserUnavailable
        As ``make`` does.
    RuntimeError
        The other process died; raised by the call that notices, the next one goes to a new process.
    """

    kind: RecogniserKind
    name: str

    def __init__(self, make: Callable[[], Recogniser]) -> None:
        self._make = make
        self._start()

    def push(self, t: float, samples: NDArray[np.int16], speech: bool) -> list[WordsUpdate]:
        """As ``Recogniser.push``."""
        updates: list[WordsUpdate] = self._ask("push", t, samples, speech)
        return updates

    def gap(self, t0: float, t1: float) -> None:
        """As ``Recogniser.gap``."""
        self._ask("gap", t0, t1)

    def abandon(self) -> list[WordsUpdate]:
        """As ``Recogniser.abandon``."""
        updates: list[WordsUpdate] = self._ask("abandon")
        return updates

    def finish(self) -> list[WordsUpdate]:
        """As ``Recogniser.finish``."""
        updates: list[WordsUpdate] = self._ask("finish")
        return updates

    def close(self) -> None:
        """End the other process."""
        self._pipe.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        # not multiprocessing: its new process would import the caller's main program again, guarded or not
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        self._pipe = Connection(ours.detach())
        try:
            self._pipe.send(self._make)
            if not self._pipe.poll(START_SECONDS):
                raise TimeoutError(f"no answer within {START_SECONDS:.0f} s")
            self.kind, self.name = self._answer()
        except (EOFError, OSError) as error:
            self.close()
            raise RecogniserUnavailable(f"the recogniser's process did not start: {error}") from error
        except RecogniserUnavailable:
            self.close()
            raise

    def _ask(self, what: str, *arguments: Any) -> Any:
        try:
            self._pipe.send((what, arguments))
            return self._answer()
        except (EOFError, OSError) as error:
            if not self._pipe.closed:
                self.close()
                self._start()
            raise RuntimeError("the recogniser's process died") from error

    def _answer(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def serve(descriptor: int) -> None:
    """The other process: answer calls that come over a socket until it is closed."""
    # Ctrl-C reaches every process of a terminal; the one that started this one decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(descriptor)
    make: Callable[[], Recogniser] = pipe.recv()
    try:
        recogniser = make()
        pipe.send((recogniser.kind, recogniser.name))
    except RecogniserUnavailable as error:
        pipe.send(error)
        return
    while True:
        try:
            what, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = getattr(recogniser, what)(*arguments)
        except Exception as error:
            answer = RuntimeError(str(error))
        pipe.send(answer)
