"""Entry points of the installed commands: no traceback however early they are stopped, and an end in any case."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from types import FrameType

HANGUPS = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
STOPS = (signal.SIGINT, signal.SIGTERM, *HANGUPS)
"""What ends a command; under nohup a closed terminal does not."""

LAST_STANDARD = 2


def live() -> None:
    """``miar-live``."""
    _run("live_main", interrupted=0)


def miar() -> None:
    """``miar``."""
    _run("main", interrupted=130)


def _run(main: str, interrupted: int) -> None:
    """Run a command of ``stream.cli``; a signal before it can take one ends the program with ``interrupted``."""
    code = interrupted

    def leave(_number: int, _frame: FrameType | None) -> None:
        os._exit(interrupted)

    for number in STOPS:
        signal.signal(number, leave)
    # what is registered first is called last, when everything else has ended
    atexit.register(lambda: _end(code))
    _fill_descriptors()
    from stream import cli

    try:
        getattr(cli, main)()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
        raise
    except BaseException:
        code = 1
        raise


def _end(code: int) -> None:
    """Leave without Python's own end, which aborts when a thread hangs inside a library.

    It ends such a thread once the library returns, by unwinding it through C++ that must not be unwound.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _fill_descriptors() -> None:
    """What the caller has closed must not become a file or a socket of ours, for libraries write there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= LAST_STANDARD:
        pass
    os.close(descriptor)
