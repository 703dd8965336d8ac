"""Telling people before anything is captured, and remembering that they were told."""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from platformdirs import user_config_path

from calibration.profile import write_private

NOTICE_VERSION = 1
"""Raised when the notice says something else: who agreed to the older one is asked again."""

NOTICE = (
    "miar-live looks at faces and listens to voices to estimate emotions. Everything stays on this machine and "
    "nothing is stored without --record. People in view must know; in the EU inferring emotions at work or in "
    "education is prohibited except for medical or safety reasons. (--accept-notice hides this, --text-only uses "
    "words alone)"
)


MEDIA_NOTICE = (
    "--record-media stores picture and sound: who has the recording sees the faces and hears the voices in it. "
    "Everybody in view and hearing must have agreed to that"
)


class Consent(msgspec.Struct, frozen=True):
    """That somebody agreed to a version of the notice, and on which day."""

    version: int
    date: str


def consent_file() -> Path:
    """Where the agreement is kept."""
    return user_config_path("miar-live") / "notice.json"


def has_agreed(file: Path | None = None) -> bool:
    """Whether somebody has agreed to the present notice; a damaged file says no."""
    try:
        kept = msgspec.json.decode((file or consent_file()).read_bytes(), type=Consent)
    except (OSError, msgspec.DecodeError):
        return False
    return kept.version == NOTICE_VERSION


def can_answer() -> bool:
    """Whether somebody sits at a terminal."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty())


def ask(say: Callable[[str], None], file: Path | None = None) -> bool:
    """Show the notice where nobody has agreed to it yet, and want a yes, once; whether anything may be captured."""
    if has_agreed(file):
        return True
    say(NOTICE)
    import typer

    if not typer.confirm("Do the people in view know, and may it start?", err=True):
        return False
    _remember(file or consent_file())
    return True


def ask_about_media(say: Callable[[str], None]) -> bool:
    """Show what storing picture and sound means and want a yes, each time: others may be in view than before."""
    say(MEDIA_NOTICE)
    import typer

    return typer.confirm("Has everybody in view and hearing agreed?", err=True)


def agreed_today() -> Consent:
    """An agreement to the present notice."""
    return Consent(NOTICE_VERSION, datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat())


def _remember(file: Path) -> None:
    # where nothing can be written the question comes again
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, msgspec.json.encode(agreed_today()))
