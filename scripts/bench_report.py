"""What every benchmark needs: the machine in words, percentiles, and its section of the page it belongs on."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from miar_rt.engines.gpu import find_gpu

PACKAGES = ("numpy", "torch", "onnxruntime", "onnxruntime-gpu", "tensorrt", "torch-tensorrt", "tensorrt-rtx")

DOCS = Path(__file__).resolve().parents[1] / "docs"
ELSEWHERE = {
    "Words by": "benchmarks-words.md",
    "Attacks": "benchmarks-serving.md",
    "Many clients": "benchmarks-serving.md",
    "Clients that stop reading": "benchmarks-serving.md",
    "What clients add": "benchmarks-serving.md",
    "Pages": "benchmarks-serving.md",
}
"""Sections, by how their names begin, that have left docs/benchmarks.md."""


def machine() -> str:
    """Processor, cores, memory, graphics card and software, in one line."""
    gpu = find_gpu()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB",
        f"{gpu.name}, driver {gpu.driver}" if gpu else "no GPU",
        f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
    ]
    return "; ".join(parts)


def _processor() -> str:
    for file, pattern in (("/proc/cpuinfo", r"model name\s*:\s*(.+)"), ("/proc/device-tree/model", r"([^\0]+)")):
        with contextlib.suppress(OSError):
            found = re.search(pattern, Path(file).read_text())
            if found:
                return found.group(1).strip()
    return platform.machine()


def software() -> str:
    """Releases of what computes, and the power mode where the board has one, in one line."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join([*found, *_power()])


def _power() -> list[str]:
    """What a Jetson says of its power mode and clocks, or which governor a processor has."""
    said = []
    for command, wanted in ((["nvpmodel", "-q"], "NV Power Mode"), (["jetson_clocks", "--show"], "GPU MinFreq")):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
            said += [line.strip() for line in answer.splitlines() if wanted in line]
    with contextlib.suppress(OSError):
        said.append(f"governor {Path('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor').read_text().strip()}")
    return said


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the greatest of ``values``."""
    array = np.asarray(values, dtype=np.float64)
    return {
        "p50": float(np.percentile(array, 50)),
        "p95": float(np.percentile(array, 95)),
        "p99": float(np.percentile(array, 99)),
        "max": float(array.max()),
    }


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with as many digits as they deserve."""
    lines = [header, ["---"] * len(header), *[[_cell(value) for value in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def section(name: str, command: str, body: str) -> str:
    """A section of the benchmarks page: what was run, when, on what, and what came out."""
    return f"## {name}\n\n`{command}`, {today()}, {machine()}.\n\n{body}\n"


def today() -> str:
    """The date, in UTC."""
    return str(datetime.datetime.now(tz=datetime.timezone.utc).date())


def page_of(name: str) -> Path:
    """The page that a section belongs on."""
    found = [page for start, page in ELSEWHERE.items() if name.startswith(start)]
    return DOCS / (found[0] if found else "benchmarks.md")


def publish(name: str, text: str, page: Path | None = None) -> None:
    """Put a section into its page, or into ``page``, in place of the one of that name."""
    page = page or page_of(name)
    page.parent.mkdir(exist_ok=True)
    old = page.read_text() if page.exists() else "# Benchmarks\n\nEvery section is written by the command in it.\n"
    start = old.find(f"## {name}\n")
    if start < 0:
        page.write_text(old.rstrip() + "\n\n" + text)
        return
    end = old.find("\n## ", start)
    page.write_text(old[:start] + text + ("" if end < 0 else old[end:]))
