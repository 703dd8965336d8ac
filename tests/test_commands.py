"""What ends an installed command, and what does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    program = "from stream.commands import STOPS; print(*(number.name for number in STOPS))"
    call = ["sh", "-c", 'trap "" HUP; exec "$0" -c "$1"', sys.executable, program]
    said = subprocess.run(call, capture_output=True, cwd=ROOT, check=True, text=True)
    assert said.stdout.split() == ["SIGINT", "SIGTERM"]
