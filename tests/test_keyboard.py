"""Keys at a real terminal: a pseudo-terminal with the program at its other end."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runs import ROOT
from media_makers import quadrants, tone, write_video

from stream.keyboard import Keyboard

LONG = 240.0


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Our end and the program's."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def test_keys_come_without_enter_and_the_terminal_is_left_as_it_was(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = terminal
    with os.fdopen(os.dup(theirs)) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(theirs)
        with Keyboard() as keyboard:
            assert not echoes(theirs)
            assert keyboard.pressed() == ""
            os.write(ours, b"pp")
            deadline = time.monotonic() + LONG
            got = ""
            while got != "pp":
                assert time.monotonic() < deadline
                got += keyboard.pressed()
        assert termios.tcgetattr(theirs) == before


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        for stdin in (None, nothing):
            monkeypatch.setattr(sys, "stdin", stdin)
            with Keyboard() as keyboard:
                assert keyboard.pressed() == ""


class Screen:
    """What a program has drawn so far."""

    def __init__(self, ours: int) -> None:
        self._ours = ours
        self.drawn = b""

    def wait_for(self, text: bytes) -> None:
        """Read on until ``text`` has come since the last time."""
        deadline = time.monotonic() + LONG
        while text not in self.drawn:
            assert time.monotonic() < deadline, self.drawn[-4000:]
            if select.select([self._ours], [], [], 0.5)[0]:
                self.drawn += os.read(self._ours, 65_536)
        self.drawn = self.drawn.partition(text)[2]


def test_p_pauses_a_live_run_and_p_goes_on(terminal: tuple[int, int], tmp_path: Path) -> None:
    ours, theirs = terminal
    clip = write_video(tmp_path / "clip.mkv", [quadrants(64, 48)] * 25, sound=tone(1.0, 16_000))
    options = ["--loop", "--engine", "onnx", "--asr", "off"]
    code = "import sys; sys.argv[0] = 'miar-live'; from stream.cli import live_main; live_main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--no-server", "--input", clip, *options],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm"},
    )
    try:
        screen = Screen(ours)
        screen.wait_for(b"p pauses")
        screen.wait_for(b" on onnx")
        os.write(ours, b"p")
        screen.wait_for(b"paused: p goes on")
        os.write(ours, b"p")
        screen.wait_for(b"p pauses")
        process.send_signal(signal.SIGTERM)
        screen.wait_for(b"results in")
        assert process.wait(LONG) == 0
    finally:
        process.kill()
        process.wait()
    assert echoes(theirs)
