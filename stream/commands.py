"""Entry points of the installed commands: quiet when they are stopped before they have begun."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _dying_quietly() -> Iterator[None]:
    """While modules load, Ctrl-C ends the program without a traceback through somebody's import."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def live() -> None:
    """``miar-live``."""
    with _dying_quietly():
        from stream.cli import live_main
    live_main()


def miar() -> None:
    """``miar``."""
    with _dying_quietly():
        from stream.cli import main
    main()
