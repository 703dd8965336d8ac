"""People are told before anything is captured, and asked once where somebody can answer."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from stream.app import tell
from stream.consent import NOTICE, can_answer, has_agreed

PROGRAM = (
    "import sys; from pathlib import Path; from stream.consent import ask, ask_about_media; "
    "say = lambda line: print(line, file=sys.stderr); "
    "print('AGREED' if {asks} else 'REFUSED')"
)


def at_a_terminal(file: Path, answer: str, asks: str = "ask(say, Path(sys.argv[1]))") -> str:
    """What is shown to somebody who types ``answer``."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(asks=asks), str(file)], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.write(ours, f"{answer}\n".encode())
        assert process.wait(60) == 0
        return os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_yes_is_asked_for_once_and_kept_for_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "config" / "notice.json"
    shown = at_a_terminal(file, "y")
    assert "AGREED" in shown
    assert "prohibited" in shown
    assert has_agreed(file)
    assert file.stat().st_mode & 0o777 == 0o600
    again = at_a_terminal(file, "n")
    assert "AGREED" in again
    assert "prohibited" not in again


def test_a_no_is_respected_and_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "notice.json"
    assert "REFUSED" in at_a_terminal(file, "n")
    assert not file.exists()


def test_picture_and_sound_are_asked_about_each_time(tmp_path: Path) -> None:
    for answer, came in (("y", "AGREED"), ("", "REFUSED"), ("y", "AGREED")):
        shown = at_a_terminal(tmp_path / "notice.json", answer, "ask_about_media(say)")
        assert came in shown
        assert "stores picture and sound" in shown


def test_without_a_terminal_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody is asked, and the notice comes before all else that is said."""
    monkeypatch.setattr("sys.stdin", None)
    assert not can_answer()
    lines = ["dashboard"]
    tell(lines)
    assert lines == [NOTICE, "dashboard"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 0, "date": "2020-01-01"}', b"[]"])
def test_a_damaged_or_older_agreement_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notice.json").write_bytes(content)
    assert not has_agreed(tmp_path / "notice.json")
