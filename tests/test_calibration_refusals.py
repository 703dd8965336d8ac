"""What is no neutral, or cannot be stored or read: one line, and the old profile as it was."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Outcome, run
from feature_frames import face_frames, voice_frames
from flite_speech import flite_missing, speak
from media_makers import write_video, write_wav
from numpy.typing import NDArray

from calibration.profile import Profile, ProfileError, Profiles
from miar_rt.neutral import inputs_name, measure

RATE = 16_000
SMALL = 12_000
"""Bytes: less than a profile of voice and face has."""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profiles]:
    """A profile called ann, which must be the same afterwards, with nothing beside it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    store = Profiles()
    store.save(person())
    before = store.path("ann").read_bytes()
    yield store
    assert store.path("ann").read_bytes() == before
    assert [path.name for path in store.folder.iterdir()] == ["ann.json"]


def person(inputs: str | None = None) -> Profile:
    neutral = measure([*voice_frames(8.0), *face_frames(8.0)])
    return Profile("ann", 1_763_630_000.0, inputs or inputs_name(), neutral)


def calibrate(capfd: pytest.CaptureFixture[str], checkpoint: Path, *call: object) -> Outcome:
    said = run(capfd, "miar", "calibrate", "--profile", "ann", "--checkpoint", checkpoint, *call)
    assert said.out == ""
    assert len([line for line in said.err.splitlines() if line.startswith("miar: ")]) == 1
    assert "Traceback" not in said.err
    return said


def people(count: int) -> NDArray[np.uint8]:
    astronaut = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()
    return np.concatenate([astronaut[:300, 100:400]] * count, axis=1)


@pytest.mark.usefixtures("old")
def test_two_faces(tmp_path: Path, random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "two.mkv", [people(2)] * 90, fps=15)
    said = calibrate(capfd, random_checkpoint_folder, "--input", clip, "--no-mic")
    assert said.code == 1
    assert "two faces: only the person to be measured may be in the picture" in said.err.splitlines()[-1]


def test_one_face_is_enough(
    tmp_path: Path,
    random_checkpoint_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    clip = write_video(tmp_path / "one.mkv", [people(1)] * 90, fps=15)
    call = ("--profile", "ann", "--input", clip, "--no-mic", "--checkpoint", random_checkpoint_folder)
    assert run(capfd, "miar", "calibrate", *call).code == 0


@pytest.mark.usefixtures("old")
def test_music(tmp_path: Path, random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Chords that swell: they have a pitch, and nobody speaks."""
    t = np.arange(8 * RATE) / RATE
    chords = [(220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6), (164.8, 207.7, 246.9)]
    tune = sum(
        np.sin(2 * np.pi * k * np.array([chord[voice] for chord in chords])[(t // 0.5 % 4).astype(int)] * t) / k
        for voice in range(3)
        for k in (1, 2, 3)
    )
    sound = (4000 * tune * (1 - t % 0.5)).clip(-32768, 32767).astype(np.int16)
    song = write_wav(tmp_path / "song.wav", sound[:, None], RATE)
    said = calibrate(capfd, random_checkpoint_folder, "--input", song)
    assert said.code == 1
    assert "of voice and 2.0 s are needed" in said.err.splitlines()[-1]


@contextmanager
def nothing_larger_than(size: int) -> Iterator[None]:
    """No file can grow beyond ``size`` bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full(old: Profiles) -> None:
    says = r"^cannot write .*ann\.json: File too large$"
    with nothing_larger_than(SMALL), pytest.raises(ProfileError, match=says):
        old.save(person())


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize("name", ["😀", "a/b", "../ann", "x" * 300])
def test_a_name_that_cannot_be(
    tmp_path: Path, random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    sound = write_wav(tmp_path / "s.wav", np.zeros((RATE, 1), np.int16), RATE)
    call = ("--profile", name, "--input", sound, "--checkpoint", random_checkpoint_folder)
    said = run(capfd, "miar", "calibrate", *call)
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert "cannot be a profile's name" in said.err


@pytest.mark.parametrize("program", ["miar", "miar-live"])
def test_a_profile_of_other_input_channels(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    random_checkpoint_folder: Path,
    capfd: pytest.CaptureFixture[str],
    program: str,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = Profiles().save(person(inputs="2-0123456789ab"))
    before = path.read_bytes()
    sound = write_wav(tmp_path / "s.wav", np.zeros((RATE, 1), np.int16), RATE)
    call = ["analyze", sound, "--out", tmp_path / "out"] if program == "miar" else ["--input", sound, "--no-server"]
    said = run(capfd, program, *call, "--asr", "off", "--checkpoint", random_checkpoint_folder, "--profile", "ann")
    assert (said.code, len(said.err.splitlines())) == (2, 1)
    assert "profile 'ann' was made with other input channels: make it anew with miar calibrate" in said.err
    assert path.read_bytes() == before
    assert not (tmp_path / "out").exists()
    assert json.loads(before)["inputs"] == "2-0123456789ab"


@pytest.mark.skipif(flite_missing(), reason="flite is not installed")
@pytest.mark.usefixtures("old")
def test_a_voice_without_a_face(
    tmp_path: Path, random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spoken = speak("The meeting starts at nine in the morning, and the shop is closed on Sundays.")
    clip = write_video(
        tmp_path / "nobody.mkv", [np.full((48, 64, 3), 90, np.uint8)] * 60, fps=10, sound=spoken[None] / 32768
    )
    said = calibrate(capfd, random_checkpoint_folder, "--input", clip)
    assert said.code == 1
    assert "0.0 s of face" in said.err.splitlines()[-1]
