"""A recogniser in a process of its own.

pocketsphinx keeps Python's lock while it searches, for tenths of a second at the end of a stretch; in the process
that scores, faces and results would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import RecogniserKind, WordsUpdate
from stream.asr import Recogniser, RecogniserUnavailable
from stream.processes import OwnProcess

START_SECONDS = 60.0


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
        self._process.close()

    def _start(self) -> None:
        self._process = OwnProcess(serve)
        pipe = self._process.pipe
        try:
            pipe.send(self._make)
            if not pipe.poll(START_SECONDS):
                raise TimeoutError(f"no answer within {START_SECONDS:.0f} s")
            self.kind, self.name = self._answer()
        except (EOFError, OSError) as error:
            self.close()
            why = str(error) or self._process.last_words
            raise RecogniserUnavailable(f"the recogniser's process did not start: {why}") from error
        except RecogniserUnavailable:
            self.close()
            raise

    def _ask(self, what: str, *arguments: Any) -> Any:
        pipe = self._process.pipe
        try:
            pipe.send((what, arguments))
            return self._answer()
        except (EOFError, OSError) as error:
            died = "the recogniser's process died"
            if not pipe.closed:
                self.close()
                died += f": {self._process.last_words}"
                self._start()
            raise RuntimeError(died) from error

    def _answer(self) -> Any:
        answer = self._process.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def serve(pipe: Connection) -> None:
    """The other process: answer calls until the pipe is closed."""
    make: Callable[[], Recogniser] = pipe.recv()
    try:
        recogniser = make()
        pipe.send((recogniser.kind, recogniser.name))
    except RecogniserUnavailable as error:
        pipe.send(error)
        return
    while True:
        what, arguments = pipe.recv()
        try:
            answer = getattr(recogniser, what)(*arguments)
        except Exception as error:
            answer = RuntimeError(str(error))
        pipe.send(answer)
