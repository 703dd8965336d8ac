"""Prove that the packages of pyproject.toml and constraints/ resolve for each Python, without downloading them.

uv reads the index's metadata only, so torch's CUDA build of several GB stays where it is. The ``rtx`` and ``trt``
extras are left out: their libraries come as source packages or from NVIDIA's own index.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12")
EXTRAS = ("demo", "dev", "lsl", "mic", "offline", "osc", "train")
BUILT_FROM_SOURCE = {"x86_64": ("pyaudio",), "aarch64": ("pyaudio", "pocketsphinx")}
"""Packages without a wheel; all others must have one."""

BROUGHT_BY_TORCH = re.compile(r"^(nvidia-|cuda-|triton$)")
"""What the constraints leave to torch."""


@dataclass(frozen=True)
class Outcome:
    """What became of one Python: the resolved versions, or why there are none."""

    python: str
    versions: dict[str, str]
    problem: str = ""


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(text: str) -> dict[str, list[tuple[str, str]]]:
    """Pins of a constraints file: name to (version, marker) pairs.

    Raises
    ------
    ValueError
        A line is no exact pin.
    """
    pins: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        requirement = line.split("#")[0].strip()
        if not requirement:
            continue
        match = re.fullmatch(r"([\w.\-]+)==([\w.+!]+)\s*(?:;\s*(.+))?", requirement)
        if match is None:
            raise ValueError(f"not an exact pin: {requirement!r}")
        name, version, marker = match.groups()
        pins.setdefault(canonical(name), []).append((version, marker or ""))
    return pins


def constraints_file(python: str) -> Path:
    """Where the pins of one Python lie."""
    return ROOT / "constraints" / f"py{python.replace('.', '')}.txt"


def uv_command() -> list[str] | None:
    """How to call uv, or None where it is not installed."""
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    return [found] if found else None


def resolve(uv: list[str], python: str, machine: str) -> Outcome:
    """Ask uv for one Python's versions on Linux."""
    extras = [part for extra in EXTRAS for part in ("--extra", extra)]
    source = [part for name in BUILT_FROM_SOURCE[machine] for part in ("--no-binary", name)]
    platform = ["--python-version", python, "--python-platform", f"{machine}-manylinux_2_28"]
    constraints = ["-c", str(constraints_file(python))]
    style = ["--no-annotate", "--no-header", "-q", "--only-binary", ":all:"]
    command = [
        *uv,
        "pip",
        "compile",
        str(ROOT / "pyproject.toml"),
        *extras,
        *constraints,
        *platform,
        *style,
        *source,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return Outcome(python, {}, done.stderr.strip() or f"uv ended with {done.returncode}")
    versions = {name: pins[0][0] for name, pins in read_pins(done.stdout).items()}
    return Outcome(python, versions, unpinned(versions, constraints_file(python).read_text()))


def unpinned(versions: dict[str, str], constraints: str) -> str:
    """Name what was resolved without a pin; empty where all of it is pinned."""
    pins = read_pins(constraints)
    loose = sorted(name for name in versions if name not in pins and not BROUGHT_BY_TORCH.match(name))
    return f"not pinned: {', '.join(loose)}" if loose else ""


SHOWN = ("torch", "mediapipe", "numpy", "onnxruntime", "av", "pocketsphinx", "websockets")


def table(outcomes: list[Outcome]) -> str:
    """The outcomes, a line a Python."""
    lines = ["python  packages  " + "".join(f"{name:15}" for name in SHOWN)]
    for outcome in outcomes:
        cells = "".join(f"{outcome.versions.get(name, '-'):15}" for name in SHOWN)
        lines.append(f"{outcome.python:8}{len(outcome.versions):<10}{cells}{'FAILED' if outcome.problem else 'ok'}")
    lines += [f"{outcome.python}: {outcome.problem}" for outcome in outcomes if outcome.problem]
    return "\n".join(lines)


def main() -> int:
    """Resolve for the Pythons named; 0 when all of them do, 1 when one does not, 2 without uv."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "pythons", nargs="*", default=PYTHONS, metavar="PYTHON", help="3.10, 3.11, 3.12 (default: all)"
    )
    parser.add_argument("--machine", choices=sorted(BUILT_FROM_SOURCE), default="x86_64")
    arguments = parser.parse_args()
    uv = uv_command()
    if uv is None:
        print("check_resolution: this needs uv: pip install uv", file=sys.stderr)
        return 2
    if strange := [python for python in arguments.pythons if python not in PYTHONS]:
        print(
            f"check_resolution: no constraints for {', '.join(strange)}; there are {', '.join(PYTHONS)}",
            file=sys.stderr,
        )
        return 2
    outcomes = [resolve(uv, python, arguments.machine) for python in arguments.pythons]
    print(table(outcomes))
    return int(any(outcome.problem for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
