"""Everything that moves in real time. ``stream.Session`` is the part that other programs embed."""

from __future__ import annotations

# the commands come through here before they can take a signal: typing is slow to load
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stream.events import Result, Transcript
    from stream.session import Session, SessionConfig

__all__ = ["Result", "Session", "SessionConfig", "Transcript"]

_HOMES = {
    "Result": "stream.events",
    "Session": "stream.session",
    "SessionConfig": "stream.session",
    "Transcript": "stream.events",
}


def __getattr__(name: str) -> Any:
    # who uses one module of this package should not pay for the imports of the session
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
