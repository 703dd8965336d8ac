"""What is said while an engine is made ready, which can take minutes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("miar.engines")


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that ``what`` goes on, and for how long already; in a log, one line."""
    if not sys.stderr.isatty():
        log.warning("%s, which can take minutes", what)
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(what, total=None)
        yield
