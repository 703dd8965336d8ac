"""The wheel holds what runs and nothing else, and runs away from the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("calibration", "miar_rt", "stream")


def data_files() -> set[str]:
    """Everything under the packages but Python code and what Python makes; tracked files only where git tells."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        names = set(listed.stdout.splitlines())
    else:
        names = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.*")}
    return {name for name in names if not name.endswith((".py", ".pyc")) and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that no ``build`` folder of an earlier one slips in or stays behind."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", sources / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "scripts", sources / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(sources)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of a new environment that holds the wheel and, of ours, nothing else.

    The libraries come from the environment of the tests by one line in a ``.pth`` file. Python adds such a folder
    without reading the ``.pth`` files in it, so an editable install of the checkout stays out of sight.
    """
    folder = tmp_path_factory.mktemp("clean") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n" + sysconfig.get_path("platlib") + "\n")
    return folder / "bin"


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run away from the checkout, with nothing in the environment that leads back to it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_the_wheel_holds_all_data_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert data_files() - held == set()


def test_the_wheel_holds_only_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_carries_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert "License-Expression: MIT" in archive.read(metadata).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_all_three_packages_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import calibration, miar_rt, stream as last\nfor one in calibration, miar_rt, last: print(one.__file__)"
    done = run(installed / "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(installed.parent) for line in done.stdout.splitlines())


needs_cli = pytest.mark.skipif(
    importlib.util.find_spec("stream.cli") is None, reason="this checkout has no stream/cli.py"
)


@needs_cli
def test_the_commands_answer(installed: Path, tmp_path: Path) -> None:
    for command, promised in (("miar-live", "--asr"), ("miar", "analyze")):
        done = run(installed / command, "--help", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert promised in done.stdout


def write_clip(path: Path, seconds: float = 3.0) -> None:
    """The portrait with a hum, three seconds of picture and sound."""
    import av
    import skimage.data

    picture = np.ascontiguousarray(skimage.data.astronaut()[:240, 62:382])
    hum = (0.1 * np.sin(np.arange(round(seconds * 16_000)) * 2 * np.pi * 180 / 16_000)).astype(np.float32)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=15)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for _ in range(round(seconds * 15)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        sound = av.AudioFrame.from_ndarray(hum[None], format="fltp", layout="mono")
        sound.sample_rate = 16_000
        container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


@needs_cli
def test_analyze_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    clip, out = tmp_path / "clip.mp4", tmp_path / "out"
    write_clip(clip)
    done = run(installed / "miar", "analyze", clip, "--out", out, "--asr", "sphinx", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert results
    assert {result["type"] for result in results} == {"result"}
    assert any(result["modalities"]["vision"]["present"] for result in results)
    assert pyarrow.parquet.read_table(out / "results.parquet").num_rows == len(results)
    assert (out / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / "summary.json").read_text())
