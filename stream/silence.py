"""Libraries that talk to the terminal of whoever runs us are not heard there."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_turn = threading.Lock()


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Close file descriptor 2 to what C libraries write while they look around."""
    # of two threads at once, one would restore what the other had closed
    with _turn:
        sys.stderr.flush()
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)
