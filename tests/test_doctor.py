from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_struct
from packaging.requirements import Requirement
from random_checkpoint import random_checkpoint

from miar_rt.checkpoint import save_checkpoint
from miar_rt.engines.gpu import Gpu
from miar_rt.installing import install_command
from stream import doctor, doctor_engine
from stream.doctor import Check, Examiner, as_document, as_table, examine
from stream.doctor_checks import EXAMINERS
from stream.doctor_engine import try_engine
from stream.doctor_gpu import judge_threads, judge_torch, judge_whisper
from stream.doctor_packages import conflicts, installed_versions, judge, shadows, twins

CHECKOUT = Path(__file__).parents[1]


def finds(*checks: Check, essential: bool = False) -> Examiner:
    return Examiner("fixed", essential, lambda: checks)


def breaks(error: BaseException, essential: bool = True) -> Examiner:
    def find() -> Iterator[Check]:
        yield Check("first half", True, "fine")
        raise error

    return Examiner("broken", essential, find)


# ---- whatever happens, there is an answer


@pytest.mark.parametrize(
    "error", [ValueError("two\n  lines"), OSError(5, "disk"), SystemExit("gone"), MemoryError()]
)
def test_a_check_that_raises_is_one_failed_line(error: BaseException) -> None:
    (check,) = examine([breaks(error)])
    assert (check.name, check.ok, check.essential) == ("broken", False, True)
    assert check.detail.startswith(f"the check failed: {type(error).__name__}")
    assert "\n" not in check.detail


def test_a_check_that_raises_does_not_stop_the_others() -> None:
    after = Check("after", True, "here")
    checks = examine([breaks(RuntimeError("no"), essential=False), finds(after)])
    assert [check.ok for check in checks] == [False, True]
    assert not checks[0].essential


def test_a_check_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", 0.05)

    def hang() -> Iterator[Check]:
        time.sleep(2.0)
        yield Check("late", True, "late")

    (check,) = examine([Examiner("slow", True, hang)])
    assert (check.name, check.ok, check.essential) == ("slow", False, True)


def test_an_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        examine([breaks(KeyboardInterrupt())])


def test_nothing_is_fetched_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    seen: list[str | None] = []

    def look() -> list[Check]:
        seen.append(os.environ.get("HF_HUB_OFFLINE"))
        return []

    examine([Examiner("look", False, look)])
    assert seen == ["1"]
    assert "HF_HUB_OFFLINE" not in os.environ


# ---- what is shown

CHECKS = [
    Check("fine", True, "all is [bold]well[/bold]", essential=True),
    Check("known", None, "worth knowing"),
    Check("absent", False, "not here", "pip install it"),
    Check("broken", False, "does not load", "pip install --force-reinstall it", essential=True),
]


def test_json_says_it_all() -> None:
    document = json.loads(as_document(CHECKS, able=False))
    assert document["ok"] is False
    assert document["checks"][2] == {
        "name": "absent", "ok": False, "detail": "not here", "mend": "pip install it", "essential": False,
    }  # fmt: skip


def test_table_says_what_mends_and_whether_the_main_job_runs() -> None:
    table = as_table(CHECKS, able=False)
    assert "all is [bold]well[/bold]" in table
    assert "-> pip install it" in table
    assert "FAILED" in table
    assert table.endswith("cannot be scored here until what FAILED is mended.")
    assert as_table(CHECKS[:3], able=True).endswith("can be scored here; 1 thing is missing.")


@pytest.mark.parametrize(("checks", "able"), [(CHECKS[:3], True), (CHECKS, False)])
def test_only_essential_failures_decide(
    checks: list[Check], able: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stream.doctor_checks.EXAMINERS", [finds(*checks)])
    assert doctor.run_doctor(True) is able
    assert json.loads(capsys.readouterr().out)["ok"] is able


# ---- packages

GOOD = {
    "numpy": "1.26.4", "mediapipe": "0.10.21", "protobuf": "4.25.9", "pyarrow": "25.0.1",
    "opencv-python": "4.11.0.86", "opencv-contrib-python": "4.11.0.86",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "name", "mend"),
    [
        ({"numpy": "2.1.0"}, "numpy", "pip install 'numpy>=1.26,<2'"),
        ({"protobuf": "5.29.0"}, "protobuf", "pip install 'protobuf>=4.25.3,<5'"),
        ({"pyarrow": "26.0.0"}, "pyarrow", "pip install 'pyarrow<26'"),
        ({"opencv-python": "4.10.0.84"}, "opencv", "opencv-python==4.11.0.86"),
        (
            {"opencv-python-headless": "4.12.0.88"},
            "opencv",
            "pip uninstall -y opencv-python-headless && pip install --force-reinstall --no-deps "
            "opencv-contrib-python==4.11.0.86 opencv-python==4.11.0.86",
        ),
        ({"torch-tensorrt": "2.13.0", "torch-tensorrt-rtx": "2.13.0"}, "tensorrt", "pip uninstall"),
    ],
)
def test_known_conflicts_are_named(changed: dict[str, str], name: str, mend: str) -> None:
    assert list(conflicts(GOOD)) == []
    (check,) = conflicts(GOOD | changed)
    assert (check.name, check.ok, check.essential) == (f"conflict: {name}", False, True)
    assert check.mend is not None
    assert mend in check.mend


def test_pyarrow_26_is_fine_where_numpy_is_2() -> None:
    assert list(conflicts({"numpy": "2.2.0", "pyarrow": "26.0.0"})) == []


def test_requirements_are_compared_with_what_is_installed() -> None:
    needed = [Requirement(line) for line in ("numpy>=1.26,<2", "no-such-thing>=1", "Rich>=13", "msgspec>=999")]
    versions = installed_versions()
    found = list(judge(needed, versions))
    assert [check.name for check in found] == ["package no-such-thing", "package msgspec"]
    assert "is not installed" in found[0].detail
    assert found[1].detail == f"msgspec is {versions['msgspec']}, needed is >=999"
    assert found[1].mend == "pip install --force-reinstall --no-deps 'msgspec>=999'"


def test_listed_but_deleted_is_noticed() -> None:
    (check,) = judge([Requirement("no-such-thing")], {"no-such-thing": "1.0"})
    assert "its module is not there" in check.detail


def test_a_local_or_pre_release_build_of_torch_is_in_range() -> None:
    assert list(judge([Requirement("torch>=2.3")], {"torch": "2.13.0+cpu"})) == []
    assert list(judge([Requirement("torch>=2.3")], {"torch": "2.5.0a0+872d972e41.nv24.08"})) == []


def test_two_packages_in_one_folder_are_named_and_no_failure() -> None:
    (check,) = twins(GOOD)
    assert (check.name, check.ok, check.essential) == ("opencv", None, False)
    assert "4.11.0.86 share the folder cv2" in check.detail
    assert list(twins({"opencv-contrib-python": "4.11.0.86"})) == []


def test_another_package_called_stream_is_noticed() -> None:
    assert list(shadows({"stream": ["miar-live", "Miar_Live"], "numpy": ["numpy"]})) == []
    (check,) = shadows({"stream": ["miar-live", "stream.py"]})
    assert (check.name, check.essential) == ("shadowed: stream", True)
    assert check.mend == f"pip uninstall stream.py && {AGAIN}"


# ---- this machine

AGAIN = install_command("", "--force-reinstall", "--no-deps")
WORKS_WHERE_TESTS_RUN = {"Python", "system libraries", "face", "voice", "voice activity", "words: pocketsphinx"}


@pytest.fixture(scope="module")
def here() -> list[Check]:
    return examine()


def test_real_checks_find_what_the_tests_need(here: list[Check]) -> None:
    found = {check.name: check for check in here}
    assert {name: found[name].ok for name in WORKS_WHERE_TESTS_RUN} == dict.fromkeys(WORKS_WHERE_TESTS_RUN, True)
    assert not [check for check in here if check.name.startswith(("conflict", "shadowed", "package "))]


def test_no_real_check_breaks(here: list[Check]) -> None:
    assert not [check for check in here if check.detail.startswith(("the check failed", "no answer"))]
    assert {examiner.name for examiner in EXAMINERS} - {"packages"} <= {check.name for check in here}


def test_every_failure_names_what_mends_it(here: list[Check]) -> None:
    assert not [check for check in here if check.ok is False and not check.mend]
    assert not [check for check in here if "\n" in check.detail]


def test_every_check_has_a_name_of_its_own(here: list[Check]) -> None:
    names = [check.name for check in here]
    assert sorted(names) == sorted(set(names))


def test_files_that_others_can_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    fine, notice = examined("personal files")
    assert (fine.ok, notice.ok) == (True, None)
    assert "wants a yes" in notice.detail
    (tmp_path / "miar-live").mkdir()
    (tmp_path / "miar-live" / "notice.json").write_text("{}")
    (tmp_path / "miar-live" / "notice.json").chmod(0o644)
    open_, _ = examined("personal files")
    assert (open_.ok, open_.mend) == (False, f"chmod -R go= {tmp_path / 'miar-live'}")


def examined(name: str) -> list[Check]:
    return examine([examiner for examiner in EXAMINERS if examiner.name == name])


def test_a_checkpoint_is_loaded_and_its_engine_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, replace(random_checkpoint(), corpora={"samples": {"ravdess": 960}}))
    monkeypatch.setattr("miar_rt.checkpoint.DEFAULT", tmp_path)
    checkpoint, licence, engine = examined("checkpoint")
    assert (checkpoint.ok, checkpoint.detail) == (True, "random-1 loads; trained on ravdess")
    assert "CC BY-NC-SA" in licence.detail
    assert (engine.ok, engine.essential) == (True, True)
    assert engine.detail.startswith("available: ")
    assert "onnx" in engine.detail


def test_without_a_checkpoint_media_cannot_be_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miar_rt.checkpoint.DEFAULT", tmp_path)
    (check,) = examined("checkpoint")
    assert (check.ok, check.essential) == (False, True)
    assert check.mend == AGAIN


def test_a_port_in_use_is_said_and_another_offered() -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 8765))
        except OSError:
            pytest.skip("port 8765 belongs to another program here")
        taken.listen()
        (check,) = examined("port")
    assert (check.ok, check.essential, check.mend) == (False, False, "miar-live --port 8766")


def test_a_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    (check,) = examined("cache")
    assert (check.ok, check.essential) == (False, False)
    assert "/proc/nowhere/miar-live cannot be written" in check.detail


def test_examining_imports_nothing_heavy() -> None:
    code = (
        "import sys; from stream.doctor import examine; examine();"
        "print([m for m in ('torch', 'mediapipe', 'opensmile', 'av', 'matplotlib') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout.strip() == "[]"


# ---- engines, cards and threads


def test_an_engine_is_tried_and_a_report_made() -> None:
    report = try_engine("onnx", random_checkpoint(), sizes=(1, 2))
    assert report.ok
    assert [trial.windows for trial in report.trials] == [1, 2]
    assert all(0.0 < trial.p50_ms <= trial.p95_ms and trial.difference <= 1e-5 for trial in report.trials)
    text = doctor_engine.as_text(report)
    assert text.startswith("### engine onnx: onnxruntime ")
    assert "allowed is 1e-05 for float32" in text
    assert text.endswith("It does what it promises.")
    assert json.loads(doctor_engine.as_document(report))["machine"]["onnxruntime"]


def test_an_engine_that_is_off_or_does_not_last_is_said() -> None:
    report = try_engine("onnx", random_checkpoint(), sizes=(1,))
    off = doctor_engine.as_text(replace_struct(report, ok=False))
    assert off.endswith("Its answers are NOT those of the network.")
    lost = doctor_engine.as_text(replace_struct(report, ok=False, lasted="onnx: since tensorrt gave out: gone"))
    assert lost.endswith("It did NOT last: onnx: since tensorrt gave out: gone.")


CARD = Gpu("NVIDIA Test", (8, 7), "540.4")


def test_a_torch_that_leaves_the_card_idle_is_noticed() -> None:
    assert judge_torch(CARD, "torch 2.13.0, a CUDA build", True, "x86_64").ok
    idle = judge_torch(CARD, "torch 2.13.0, a CPU build", False, "x86_64")
    assert (idle.ok, idle.mend) == (None, "pip install --force-reinstall torch")
    assert "docs/jetson.md" in (judge_torch(CARD, "torch, a CPU build", False, "aarch64").mend or "")


def test_whisper_without_cuda_is_noticed_on_arm_alone() -> None:
    (check,) = judge_whisper("aarch64", lambda: 0)
    assert check.mend is not None
    assert not list(judge_whisper("aarch64", lambda: 1))
    assert not list(judge_whisper("x86_64", lambda: 0))


@pytest.mark.parametrize(
    ("environment", "mend"),
    [
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "export OMP_WAIT_POLICY=passive"),
        ({"OMP_NUM_THREADS": "64"}, "export OMP_NUM_THREADS=1"),
        ({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}, None),
        ({}, None),
    ],
)
def test_threads_that_get_in_each_others_way_are_noticed(environment: dict[str, str], mend: str | None) -> None:
    check = judge_threads(environment, cores=4)
    assert (check.ok, check.mend) == (mend is None, mend)
