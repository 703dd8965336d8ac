"""Whole runs: signals, pipes, warnings, what is closed when something is wrong, and the session others embed."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cli_runs import run, start
from live_parts import Camera, Microphone, Words
from media_makers import quadrants, tone, write_video, write_wav

from miar_rt.features.text import TextEncoder, TextEncoderUnavailable
from stream import Result, Session
from stream.clock import CaptureClock
from stream.sources import NoDefaultDevice

LONG = 60.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    return write_video(path, [quadrants(64, 48)] * 10, fps=20, sound=tone(0.5, 16_000))


@pytest.fixture
def quiet(random_checkpoint_folder: Path) -> list[str]:
    return ["--checkpoint", str(random_checkpoint_folder), "--asr", "off", "--no-server"]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what was complained about."""
    try:
        _, complaints = process.communicate(timeout=LONG)
    finally:
        process.kill()
    return process.returncode, complaints


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_live_run_cleanly(clip: Path, quiet: list[str], number: signal.Signals) -> None:
    process = start("miar-live", "--input", clip, "--loop", "--json", *quiet)
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(number)
    code, complaints = ended(process)
    assert {line["type"] for line in lines} <= {"result", "status"}
    assert code == 0
    assert "Traceback" not in complaints
    assert "left behind" not in complaints


def test_a_reader_that_leaves_ends_a_live_run_quietly(clip: Path, quiet: list[str]) -> None:
    process = start("miar-live", "--input", clip, "--loop", "--json", *quiet)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["version"] == 1
    process.stdout.close()
    process.stdout = None
    code, complaints = ended(process)
    assert code == 0
    assert "Traceback" not in complaints
    assert "Broken" not in complaints


def test_results_that_cannot_be_written_are_a_failure(clip: Path, quiet: list[str]) -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("there is no /dev/full")
    with full.open("w") as stdout:
        code, complaints = ended(start("miar-live", "--input", clip, "--json", *quiet, stdout=stdout))
    assert code == 1
    assert complaints.splitlines()[-1] == "miar-live: cannot write results to stdout: No space left on device"
    assert "Traceback" not in complaints


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_analysis_leaves_nothing(
    tmp_path: Path, random_checkpoint_folder: Path, number: signal.Signals
) -> None:
    noise = np.random.default_rng(0).normal(0, 2000, (16_000 * 600, 1)).astype(np.int16)
    path, out = write_wav(tmp_path / "noise.wav", noise, 16_000), tmp_path / "deep" / "report"
    process = start("miar", "analyze", path, "--out", out, "--asr", "off", "--checkpoint", random_checkpoint_folder)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("engine onnx")
    assert process.stderr.readline() == "words are off, as asked\n"
    while not any(out.glob(".unfinished-*/results.jsonl")):
        assert process.poll() is None
    process.send_signal(number)
    code, complaints = ended(process)
    assert (code, complaints) == (130, "")
    assert [path.name for path in tmp_path.iterdir()] == ["noise.wav"]


def test_a_file_plays_to_its_end_and_everything_is_told_on_stderr(
    clip: Path, quiet: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    said = run(capfd, "miar-live", "--input", clip, *quiet)
    assert (said.code, said.out) == (0, "")
    assert [line for line in said.err.splitlines() if line.startswith("engine onnx")]


def test_without_weights_for_the_words_one_warning_and_on(
    clip: Path,
    random_checkpoint_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unavailable(*_: object) -> None:
        raise TextEncoderUnavailable("MiniLM's weights are not here")

    monkeypatch.setattr("stream.app.open_encoder", unavailable)
    call = ["--asr", "sphinx", "--no-server", "--json", "--checkpoint", random_checkpoint_folder]
    said = run(capfd, "miar-live", "--input", clip, *call)
    assert said.code == 0
    (warning,) = [line for line in said.err.splitlines() if line.startswith("warning")]
    assert warning.startswith("warning: no words: MiniLM's weights are not here")
    results = [line for line in map(json.loads, said.out.splitlines()) if line["type"] == "result"]
    assert {result["modalities"]["text"]["reason"] for result in results} == {"off"}

    said = run(capfd, "miar-live", "--text-only", "--input", clip, *call)
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert "nothing left to score" in line
    assert "MiniLM's weights" in line


def test_words_alone(
    clip: Path, random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        TextEncoder()
    except TextEncoderUnavailable as error:
        pytest.skip(str(error))
    monkeypatch.setattr("stream.app.choose_recogniser", lambda *_: (Words(), "words by nobody"))
    call = ["--text-only", "--no-server", "--json", "--checkpoint", random_checkpoint_folder]
    said = run(capfd, "miar-live", "--input", clip, *call)
    assert said.code == 0
    assert "words by nobody" in said.err.splitlines()
    results = [line for line in map(json.loads, said.out.splitlines()) if line["type"] == "result"]
    states = {tuple(state["reason"] for state in result["modalities"].values()) for result in results}
    assert states == {("no_words_yet", "off", "off")}


class NoCamera(Camera):
    def __enter__(self) -> Camera:
        raise NoDefaultDevice("there is no camera")


@pytest.fixture
def microphones(monkeypatch: pytest.MonkeyPatch) -> list[Microphone]:
    """Stand-ins that were made in the place of microphones."""
    made: list[Microphone] = []

    def make(which: str | None, clock: CaptureClock) -> Microphone:
        made.append(Microphone(clock, refuses=which is not None))
        return made[-1]

    monkeypatch.setattr("stream.sources.microphone.Microphone", make)
    return made


def test_a_default_camera_that_is_absent_is_one_warning(
    quiet: list[str],
    microphones: list[Microphone],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream.sources.camera.Camera", lambda _, clock: NoCamera(clock))
    said = run(capfd, "miar-live", "--seconds", "0.6", "--json", *quiet)
    assert said.code == 0
    assert [line for line in said.err.splitlines() if "warning" in line] == [
        "warning: there is no camera; --no-camera leaves it out"
    ]
    assert len([line for line in said.err.splitlines() if "prohibited" in line]) == 1
    results = [line for line in map(json.loads, said.out.splitlines()) if line["type"] == "result"]
    assert {result["modalities"]["vision"]["reason"] for result in results} == {"off"}
    assert [(one.opened, one.closed) for one in microphones] == [(1, 1)]
    assert "prohibited" not in run(capfd, "miar-live", "--seconds", "0.2", "--accept-notice", *quiet).err


def test_what_was_opened_is_closed_when_something_else_cannot_be(
    quiet: list[str],
    microphones: list[Microphone],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cameras: list[Camera] = []

    def make(_: str | None, clock: CaptureClock) -> Camera:
        cameras.append(Camera(clock))
        return cameras[-1]

    monkeypatch.setattr("stream.sources.camera.Camera", make)
    said = run(capfd, "miar-live", "--mic", "the other", *quiet)
    assert (said.code, said.err) == (2, "miar-live: it is not back yet\n")
    assert [(one.opened, one.closed) for one in cameras] == [(1, 1)]
    assert [one.opened for one in microphones] == [0]


def test_a_session_embedded_in_another_program(random_checkpoint_folder: Path) -> None:
    """The lines of the README, fed with a picture of a face and a hum."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    try:
        session = Session.open(checkpoint=random_checkpoint_folder)
    except TextEncoderUnavailable as error:
        pytest.skip(str(error))
    hum = (tone(2.0, 16_000, hertz=150.0)[0] * 32767).astype(np.int16)
    results = []
    for i in range(20):
        t = i / 10
        session.push_audio(t, hum[i * 1600 : (i + 1) * 1600])
        session.push_frame(t, data.astronaut())
        results += [event for event in session.advance(t) if isinstance(event, Result)]
    session.close()
    seen = [result for result in results if result.modalities["vision"].present]
    assert len(seen) >= 15
    for result in seen:
        assert result.label in result.emotions
        assert result.confidence == result.emotions[result.label]
        assert result.modalities["vision"].contribution > 0.0
        assert result.modalities["text"].reason == "no_words_yet"
        assert result.time is None
