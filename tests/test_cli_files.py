"""Targets and files that commands refuse before they work, in one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Outcome, assert_one_line, run, start
from media_makers import write_wav


@pytest.mark.parametrize("what", ["device", "link to a device", "folder", "missing folder"])
def test_an_export_replaces_files_alone(
    capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path, tmp_path: Path, what: str
) -> None:
    out = tmp_path / "x.onnx"
    if what == "device":
        os.mkfifo(out)
    elif what == "link to a device":
        out.symlink_to("/dev/null")
    elif what == "folder":
        out.mkdir()
    else:
        out = tmp_path / "none" / "x.onnx"
    kind = out.lstat().st_mode if out.exists() else None
    said = run(capfd, "miar", "export", "--checkpoint", random_checkpoint_folder, "--out", out)
    assert_one_line(said, "miar", f"cannot write {out}")
    assert (out.lstat().st_mode if out.exists() else None) == kind


def test_an_export_through_a_link_writes_where_it_leads(
    capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "link.onnx").symlink_to(tmp_path / "file.onnx")
    call = ["export", "--checkpoint", random_checkpoint_folder, "--out", tmp_path / "link.onnx"]
    assert run(capfd, "miar", *call) == Outcome(0, "", "")
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "file.onnx").stat().st_size > 1000


def test_a_checkpoint_cannot_be_trained_into_a_file(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = run(capfd, "miar", "train", "--data", tmp_path, "--out", tmp_path / "file")
    assert_one_line(said, "miar", "is no folder")


def test_too_many_channels(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.ones((1600, 200), np.int16), 16_000)
    said = run(capfd, "miar", "analyze", path, "--out", tmp_path / "out")
    assert_one_line(said, "miar", "its 200 channels of sound cannot be mixed")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        process = start("miar", "profiles", "list", stdout=full)
        assert process.communicate(timeout=60.0)[1] == "miar: No space left on device\n"
    assert process.returncode == 1
