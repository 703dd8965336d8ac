"""The two commands as a user types them: in this process, where that is quicker, or in one of their own."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from stream import cli

ROOT = Path(__file__).parents[1]
MAIN = {"miar": cli.main, "miar-live": cli.live_main}


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@contextlib.contextmanager
def typed(program: str, *arguments: object) -> Iterator[Callable[[], None]]:
    """The command's entry point, to be called as if it had been typed; what it changes is put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    level = logging.getLogger("miar").level
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [program, *map(str, arguments)])
            yield MAIN[program]
    finally:
        logging.getLogger("miar").setLevel(level)
        for number, handler in before.items():
            signal.signal(number, handler)


def run(capfd: pytest.CaptureFixture[str], program: str, *arguments: object) -> Outcome:
    """Run a command here, with everything written to the file descriptors of stdout and stderr."""
    capfd.readouterr()
    with typed(program, *arguments) as main, pytest.raises(SystemExit) as left:
        main()
    assert isinstance(left.value.code, int)
    return Outcome(left.value.code, *capfd.readouterr())


def start(program: str, *arguments: object, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    function = {"miar": "miar", "miar-live": "live"}[program]
    code = f"import sys; sys.argv[0] = {program!r}; from stream.commands import {function}; {function}()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # a shell starts what it puts in the background deaf to Ctrl-C, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread forks
    )


def assert_one_line(said: Outcome, program: str, *names: object) -> None:
    """Exit code 2 and a single line, which holds ``names``."""
    assert said.code == cli.WRONG
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"{program}: ")
    for name in names:
        assert str(name) in line
