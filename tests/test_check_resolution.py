"""The constraints agree with pyproject.toml and with the traps that are known; uv itself needs the index."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_resolution", ROOT / "scripts/check_resolution.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def requirements(python: str, machine: str, left_out: tuple[str, ...] = ("rtx", "trt")) -> list[Requirement]:
    """What pyproject.toml asks for on one Python, extras included."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for name in extras if name not in left_out for line in extras[name])]
    where = {"python_version": python, "platform_machine": machine}
    asked = [Requirement(line) for line in lines]
    return [one for one in asked if one.marker is None or one.marker.evaluate(where)]


def pins_for(checker: ModuleType, python: str, machine: str) -> dict[str, str]:
    """The one pin of each package on a machine; fails where there are two or none."""
    chosen = {}
    for name, pins in checker.read_pins(checker.constraints_file(python).read_text()).items():
        fitting = [
            version
            for version, marker in pins
            if not marker or Requirement(f"{name} ; {marker}").marker.evaluate({"platform_machine": machine})
        ]
        assert len(fitting) == 1, f"{name} is pinned {len(fitting)} times on {machine}"
        chosen[name] = fitting[0]
    return chosen


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", PYTHONS)
def test_each_requirement_is_pinned_inside_its_range(checker: ModuleType, python: str, machine: str) -> None:
    pins = pins_for(checker, python, machine)
    for asked in requirements(python, machine):
        assert pins[checker.canonical(asked.name)] in asked.specifier, f"{asked} against the pin on {python}"


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_stay_clear_of_the_known_traps(checker: ModuleType, python: str) -> None:
    pins = {name: Version(version) for name, version in pins_for(checker, python, "x86_64").items()}
    assert pins["numpy"] < Version("2")
    assert pins["protobuf"] < Version("5")
    assert pins["opencv-python"] == pins["opencv-contrib-python"]
    assert pins["pyarrow"] < Version("26")
    assert pins["mediapipe"] == Version("0.10.21")
    assert pins_for(checker, python, "aarch64")["mediapipe"] == "0.10.18"


def test_every_python_we_name_has_constraints_and_no_other(checker: ModuleType) -> None:
    named = [line.split(" :: ")[-1] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert tuple(named) == PYTHONS == checker.PYTHONS
    assert {path.name for path in (ROOT / "constraints").iterdir()} == {
        checker.constraints_file(python).name for python in PYTHONS
    }


def test_a_pin_is_exact_or_refused(checker: ModuleType) -> None:
    assert checker.read_pins('A_b==1.0 ; python_version < "3.11"\n# note\n') == {
        "a-b": [("1.0", 'python_version < "3.11"')]
    }
    with pytest.raises(ValueError, match="not an exact pin: 'numpy>=1'"):
        checker.read_pins("numpy>=1")


def test_what_is_not_pinned_is_named(checker: ModuleType) -> None:
    resolved = {"numpy": "1.26.4", "newcomer": "1.0", "nvidia-cublas": "13", "triton": "3"}
    assert checker.unpinned(resolved, "numpy==1.26.4") == "not pinned: newcomer"
    assert checker.unpinned({"numpy": "1.26.4"}, "numpy==1.26.4") == ""


def test_the_table_tells_failure_from_success(checker: ModuleType) -> None:
    outcomes = [checker.Outcome("3.11", {"torch": "2.13.0"}), checker.Outcome("3.12", {}, "no solution")]
    lines = checker.table(outcomes).splitlines()
    assert lines[1].startswith("3.11")
    assert lines[1].endswith("ok")
    assert lines[2].endswith("FAILED")
    assert lines[3] == "3.12: no solution"
