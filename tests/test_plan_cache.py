"""Engines that took minutes to build are found again, and only where they belong."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from random_checkpoint import random_checkpoint

from miar_rt.engines import tensorrt_plan
from miar_rt.engines.gpu import Gpu
from miar_rt.engines.plan_cache import UnusablePlan, cache_folder, digest_of, keep, notes

KEY = {"engine": "tensorrt", "gpu": "NVIDIA Test", "driver": "570.1", "checkpoint": "abc", "precision": "float16"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


class Builder:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.built = 0

    def __call__(self) -> bytes:
        self.built += 1
        return b"engine" * 1000


def kept(builder: Builder, key: dict[str, str] = KEY, start: Callable[[bytes], bytes] = bytes) -> bytes:
    return keep(key, builder, start)


def plans(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.plan"))


def test_what_was_built_is_kept(folder: Path) -> None:
    builder = Builder()
    assert kept(builder) == kept(builder) == b"engine" * 1000
    assert builder.built == 1
    assert [path.name.partition("-")[0] for path in plans(folder)] == ["tensorrt"]


@pytest.mark.parametrize("part", sorted(KEY))
def test_whatever_it_depends_on_is_another_engine(part: str) -> None:
    builder = Builder()
    kept(builder)
    kept(builder, {**KEY, part: "another"})
    assert builder.built == 2


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"something of another program"),
        Path.unlink,
    ],
)
def test_what_is_damaged_is_built_again(folder: Path, damage: Callable[[Path], None]) -> None:
    builder = Builder()
    kept(builder)
    damage(plans(folder)[0])
    assert kept(builder) == kept(builder) == b"engine" * 1000
    assert builder.built == 2


def test_what_the_runtime_refuses_is_built_again(caplog: pytest.LogCaptureFixture) -> None:
    builder = Builder()
    kept(builder)
    refusals = iter([True, False])

    def start(plan: bytes) -> bytes:
        if next(refusals):
            raise UnusablePlan("of another driver")
        return plan

    kept(builder, start=start)
    assert builder.built == 2
    assert "is built again: of another driver" in caplog.text


def test_what_is_refused_though_new_is_told() -> None:
    def start(_: bytes) -> bytes:
        raise UnusablePlan("not for this card")

    with pytest.raises(UnusablePlan, match="not for this card"):
        kept(Builder(), start=start)


@pytest.mark.parametrize("home", ["/proc/nowhere", "{}/a-file"])
def test_a_folder_that_cannot_be_written_costs_a_build_at_each_start(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", home.format(tmp_path))
    builder = Builder()
    with caplog.at_level(logging.WARNING):
        assert kept(builder) == kept(builder) == b"engine" * 1000
    assert builder.built == 2
    assert "cannot be written" in caplog.text
    assert left_by_builds(2) == ["", ""]


def left_by_builds(count: int) -> list[str]:
    """What each build finds that the one before it noted."""
    found = []
    for i in range(count):
        with notes({"engine": "timing"}) as file:
            found.append(file.read_text() if file.exists() else "")
            file.write_text(f"build {i}")
    return found


def test_a_build_finds_the_notes_of_the_last_one_unless_they_are_damaged(folder: Path) -> None:
    kept(Builder())
    assert left_by_builds(3) == ["", "build 0", "build 1"]
    flipped(next(folder.glob("timing-*")))
    assert left_by_builds(1) == [""]


def test_a_build_that_fails_leaves_no_notes(folder: Path) -> None:
    def failing() -> None:
        with notes({"engine": "timing"}) as file:
            file.touch()
            raise RuntimeError

    kept(Builder())
    with pytest.raises(RuntimeError):
        failing()
    assert not list(folder.glob("timing-*"))


def test_something_else_in_its_place_is_left_alone(folder: Path) -> None:
    builder = Builder()
    kept(builder)
    path = plans(folder)[0]
    path.unlink()
    path.mkdir()
    kept(builder)
    assert builder.built == 2
    assert path.is_dir()


SLOW = (
    "import sys; from miar_rt.engines.plan_cache import keep\n"
    "def build():\n"
    "    print('builds', flush=True); sys.stdin.readline(); return b'engine'\n"
    "print(keep({'engine': 'slow'}, build, bytes).decode(), flush=True)\n"
)


def slow() -> subprocess.Popen[str]:
    """Builds until it is told a line."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", SLOW], **pipes, text=True)  # type: ignore[call-overload, no-any-return]


def building() -> subprocess.Popen[str]:
    process = slow()
    assert process.stdout is not None
    assert process.stdout.readline() == "builds\n"
    return process


def test_who_comes_while_another_builds_waits_and_says_so() -> None:
    first, second = building(), slow()
    assert second.stderr is not None
    assert second.stderr.readline().startswith("waiting for the engine that another process builds")
    assert first.communicate("\n")[0] == "engine\n"
    assert second.communicate()[0] == "engine\n"


def test_who_dies_while_building_blocks_nobody(folder: Path) -> None:
    first = building()
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert slow().communicate("\n")[0] == "builds\nengine\n"
    assert not [path for path in folder.iterdir() if path.suffix not in {".plan", ".lock"}]


def test_engines_of_long_ago_are_forgotten(folder: Path) -> None:
    kept(Builder(), {**KEY, "driver": "old"})
    kept(Builder(), {**KEY, "driver": "recent"})
    old = next(path for path in plans(folder) if b'"old"' in path.read_bytes())
    os.utime(old, (0, time.time() - 100 * 86400))
    kept(Builder())
    assert old not in plans(folder)
    assert len(plans(folder)) == 2


def test_the_network_is_part_of_the_name() -> None:
    checkpoint = random_checkpoint()
    name, weights = next(iter(checkpoint.state.items()))
    others = [
        replace(checkpoint, state={**checkpoint.state, name: weights + np.float32(1e-3)}),
        replace(checkpoint, config={**checkpoint.config, "heads": 2}),
        replace(checkpoint, graph=replace(checkpoint.graph, model=checkpoint.graph.model + b" ")),
    ]
    assert digest_of(checkpoint) == digest_of(replace(checkpoint, name="renamed"))
    assert len({digest_of(one) for one in (checkpoint, *others)}) == 4


def test_the_machine_is_part_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(gpu: Gpu, release: str) -> dict[str, str]:
        monkeypatch.setattr(tensorrt_plan, "find_gpu", lambda: gpu)
        return tensorrt_plan.machine_key(SimpleNamespace(__version__=release))

    card = Gpu("NVIDIA Test", (8, 9), "570.1")
    one = key(card, "11.0")
    others = [
        key(replace(card, **other), "11.0") for other in ({"name": "x"}, {"capability": (9, 0)}, {"driver": "1"})
    ]
    assert one not in [*others, key(card, "11.1")]
    assert one["torch"]
