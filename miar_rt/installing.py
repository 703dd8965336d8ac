"""The command that adds to this installation: it is on no package index, and was made from a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install_command(extra: str = "", *flags: str) -> str:
    """What to type, from anywhere, to install this program again or with an extra."""
    source = ROOT if (ROOT / "pyproject.toml").is_file() else "FOLDER OF MIAR-LIVE"
    wanted = f"'{source}[{extra}]'" if extra else f"'{source}'"
    return " ".join([f"{sys.prefix}/bin/pip install", *flags, "-e", wanted])
