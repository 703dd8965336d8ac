"""A recogniser in a process of its own.

pocketsphinx keeps Python's lock while it searches, for tenths of a second at the end of a stretch; in the process
that scores, faces and results would wait for it.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import RecogniserKind, WordsUpdate
from stream.asr import Recogniser, RecogniserUnavailable

START_SECONDS = 60.0
STOP_SECONDS = 0.5


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
    skipped_s: float

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

    def finish(self) -> list[WordsUpdate]:
        """As ``Recogniser.finish``."""
        updates: list[WordsUpdate] = self._ask("finish")
        return updates

    def close(self) -> None:
        """End the other process."""
        self._pipe.close()
        self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._make), name="recogniser", daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(START_SECONDS):
            self.close()
            raise RecogniserUnavailable(f"the recogniser's process did not start within {START_SECONDS:.0f} s")
        self.kind, self.name, self.skipped_s = self._answer()

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


def _serve(pipe: Connection, make: Callable[[], Recogniser]) -> None:
    """The other process: answer calls until the pipe is closed."""
    # Ctrl-C reaches every process of a terminal; the one that started this one decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        recogniser = make()
        pipe.send((recogniser.kind, recogniser.name, recogniser.skipped_s))
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
