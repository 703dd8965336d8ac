"""Help that is quick, and one line for every call that is wrong."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import typer
from cli_runs import ROOT, Outcome, assert_one_line, run, start, typed
from media_makers import quadrants, write_video, write_wav

from stream import cli
from stream.options import CONFLICTS

LONG = 120.0
HEAVY = {"av", "cv2", "mediapipe", "numpy", "onnxruntime", "opensmile", "pocketsphinx", "pyarrow", "torch"}
COMMANDS = sorted(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("function", ["main", "live_main"])
def test_help_loads_nothing_heavy(function: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--help']; from stream.cli import {function}\n"
        f"try: {function}()\nexcept SystemExit as left: print('left with', left.code, *sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    text, _, modules = said.stdout.partition("left with 0 ")
    assert "Usage: " in text
    assert "typer" in modules.split()
    assert HEAVY & set(modules.split()) == set()
    assert said.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capfd: pytest.CaptureFixture[str], command: str) -> None:
    said = run(capfd, "miar", command, "--help")
    assert (said.code, said.err) == (0, "")
    assert f"Example:  miar {command} " in said.out


def test_the_live_command_has_examples(capfd: pytest.CaptureFixture[str]) -> None:
    said = run(capfd, "miar-live", "--help")
    assert (said.code, said.err) == (0, "")
    assert "Examples:  miar-live --camera 0" in said.out


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mkv", [quadrants(64, 48)] * 5)


@pytest.fixture(scope="module")
def tone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("tone") / "t.wav", np.full((8000, 1), 99, np.int16), 16_000)


def missing(folder: Path) -> Path:
    return folder / "nowhere.mp4"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text(folder: Path) -> Path:
    (folder / "notes.mp4").write_text("this is no film\n" * 50)
    return folder / "notes.mp4"


def truncated(folder: Path) -> Path:
    path = write_video(folder / "cut.mp4", [quadrants()] * 25)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def directory(folder: Path) -> Path:
    (folder / "films").mkdir()
    return folder / "films"


@pytest.mark.parametrize("make", [missing, empty, text, truncated, directory])
@pytest.mark.parametrize("program", ["miar", "miar-live"])
def test_useless_files(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    random_checkpoint_folder: Path,
    program: str,
    make: Callable[[Path], Path],
) -> None:
    path, out = make(tmp_path), tmp_path / "report"
    call = ["analyze", path, "--out", out] if program == "miar" else ["--input", path, "--no-server"]
    assert_one_line(run(capfd, program, *call, "--checkpoint", random_checkpoint_folder), program, path)
    assert not out.exists()


def file_in_the_way(folder: Path) -> Path:
    (folder / "report").write_text("mine")
    return folder / "report"


@pytest.mark.parametrize(
    "make",
    [file_in_the_way, lambda folder: file_in_the_way(folder) / "deeper", lambda _: Path("/proc/no-report-here")],
)
def test_a_report_that_cannot_be_written(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    random_checkpoint_folder: Path,
    clip: Path,
    make: Callable[[Path], Path],
) -> None:
    out = make(tmp_path)
    said = run(capfd, "miar", "analyze", clip, "--out", out, "--checkpoint", random_checkpoint_folder)
    assert_one_line(said, "miar", out)
    assert [path.name for path in tmp_path.iterdir() if path.name != "report"] == []
    assert not (tmp_path / "report").exists() or (tmp_path / "report").read_text() == "mine"


def damaged(folder: Path) -> None:
    weights = next(folder.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)


def foreign(folder: Path) -> None:
    (folder / "model.json").write_text('{"architectures": ["BertModel"], "hidden_size": 384}')


def of_other_channels(folder: Path) -> None:
    document = json.loads((folder / "model.json").read_text())
    document["input_spec"]["audio_rate"] = 50
    (folder / "model.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damaged, "damaged"),
        (foreign, "another program"),
        (of_other_channels, "audio_rate"),
        (shutil.rmtree, "no checkpoint"),
    ],
)
@pytest.mark.parametrize("program", ["miar", "miar-live"])
def test_useless_checkpoints(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    random_checkpoint_folder: Path,
    clip: Path,
    program: str,
    spoil: Callable[[Path], None],
    says: str,
) -> None:
    folder, out = tmp_path / "checkpoint", tmp_path / "report"
    shutil.copytree(random_checkpoint_folder, folder)
    spoil(folder)
    call = ["analyze", clip, "--out", out] if program == "miar" else ["--input", clip, "--no-server"]
    assert_one_line(run(capfd, program, *call, "--checkpoint", folder), program, folder, says)
    assert not out.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--rate", "0.5", "1 to 60"),
        ("--rate", "61", "1 to 60"),
        ("--rate", "nan", "1 to 60"),
        ("--rate", "often", "--rate"),
        ("--engine", "warp", "unknown engine 'warp': choose one of auto, tensorrt"),
        ("--engine", "tensorrt", "engine not available here: tensorrt ("),
        ("--asr", "ears", "'ears': use auto, whisper"),
        ("--language", "de", "pocketsphinx knows English only"),
        ("--smell", "on", "--smell"),
    ],
)
@pytest.mark.parametrize("program", ["miar", "miar-live"])
def test_wrong_values(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    random_checkpoint_folder: Path,
    tone_file: Path,
    program: str,
    wrong: tuple[str, str, str],
) -> None:
    option, value, says = wrong
    out = tmp_path / "report"
    call = ["analyze", tone_file, "--out", out] if program == "miar" else ["--input", tone_file, "--no-server"]
    asr = [] if option == "--asr" else ["--asr", "sphinx"]
    said = run(capfd, program, *call, *asr, "--checkpoint", random_checkpoint_folder, option, value)
    assert_one_line(said, program, says)
    assert not out.exists()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use(
    capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path, clip: Path, taken_port: int
) -> None:
    call = ["--input", clip, "--port", taken_port, "--checkpoint", random_checkpoint_folder]
    assert_one_line(run(capfd, "miar-live", *call), "miar-live", taken_port)


def test_a_camera_that_does_not_answer(random_checkpoint_folder: Path, taken_port: int) -> None:
    """It accepts the connection, as its listening socket does, and says nothing.

    The end must not wait for the thread that hangs in OpenCV by then, nor unwind it, which aborts.
    """
    url = f"http://127.0.0.1:{taken_port}/video"
    call = ["--camera", url, "--no-mic", "--no-server", "--checkpoint", random_checkpoint_folder]
    process = start("miar-live", *call)
    out, err = process.communicate(timeout=LONG)
    assert_one_line(Outcome(process.returncode, out, err), "miar-live", url, "within 5 s")


@pytest.mark.parametrize("option", ["--camera", "--mic"])
def test_a_named_device_that_is_not_there(
    capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path, option: str
) -> None:
    other = "--no-mic" if option == "--camera" else "--no-camera"
    call = [option, "the moon", other, "--asr", "off", "--no-server", "--checkpoint", random_checkpoint_folder]
    assert_one_line(run(capfd, "miar-live", *call), "miar-live", "the moon")


def test_no_default_device_of_either_kind(
    capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.sources.camera.discover_cameras", list)
    monkeypatch.setattr("stream.sources.microphone._inputs", lambda *_: ([], []))
    said = run(capfd, "miar-live", "--asr", "off", "--no-server", "--checkpoint", random_checkpoint_folder)
    assert_one_line(said, "miar-live", "nothing to look at or listen to (there is no camera", "--input FILE")
    assert "--no-" not in said.err


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["--no-camera", "--no-mic"], "nothing to look at or listen to"),
        (["--input", "TONE", "--no-mic"], "there is no picture in it"),
        (["--input", "CLIP", "--text-only"], "there is no sound in it"),
        (["--input", "TONE", "--text-only", "--asr", "off"], "nothing left to score with --text-only"),
        (["--loop"], "--loop needs --input FILE"),
        (["--input", "CLIP", "--seconds", "0"], "--seconds must be more than 0"),
        (["--input", "CLIP", "--seconds", "nan"], "--seconds must be more than 0"),
        (["--input", "CLIP", "--seconds", "inf"], "--seconds must be more than 0 and finite, not inf"),
        (["--input", "CLIP", "--tls-cert", "c.pem"], "--tls-cert and --tls-key go together"),
        (["--input", "CLIP", "--tls-cert", "no.pem", "--tls-key", "no.key"], "no.pem"),
        (["--input", "CLIP", "--port", "70000"], "--port"),
        (["--input"], "--input"),
    ],
)
def test_calls_that_cannot_be_meant(
    capfd: pytest.CaptureFixture[str],
    random_checkpoint_folder: Path,
    clip: Path,
    tone_file: Path,
    call: list[str],
    says: str,
) -> None:
    files = {"CLIP": str(clip), "TONE": str(tone_file)}
    call = ["--checkpoint", str(random_checkpoint_folder), *(files.get(part, part) for part in call)]
    assert_one_line(run(capfd, "miar-live", *call), "miar-live", says)


@pytest.mark.parametrize(("first", "second"), CONFLICTS)
def test_options_that_exclude_each_other(
    capfd: pytest.CaptureFixture[str], clip: Path, first: str, second: str
) -> None:
    values = {"--input": [clip], "--camera": ["0"], "--mic": ["0"]}
    call = [first, *values.get(first, []), second, *values.get(second, [])]
    assert_one_line(run(capfd, "miar-live", *call), "miar-live", first, second)


@pytest.mark.parametrize(
    ("program", "call", "says"),
    [
        ("miar", [], "missing command"),
        ("miar", ["sing"], "no such command 'sing'"),
        ("miar-live", ["--profil", "me"], "no such option: --profil"),
        ("miar", ["analyze", "a.mp4", "--out", ""], "--out is empty"),
        ("miar", ["analyze", "a.mp4", "--out="], "--out is empty"),
        ("miar", ["analyze", "", "--out", "a"], "analyze is empty"),
        ("miar-live", ["--input", ""], "--input is empty"),
    ],
)
def test_usage_errors_say_where_help_is(
    capfd: pytest.CaptureFixture[str], program: str, call: list[str], says: str
) -> None:
    said = run(capfd, program, *call)
    assert_one_line(said, program, f"see {program} --help")
    assert says in said.err.lower()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["analyze"], "Missing argument 'file'; see miar analyze --help"),
        (["analyze", "a.mp4"], "Missing option '--out'; see miar analyze --help"),
        (["profiles", "show"], "Missing argument 'name'; see miar profiles show --help"),
        (["train", "--out", "a"], "see miar train --help"),
    ],
)
def test_usage_errors_of_a_subcommand_name_its_own_help(
    capfd: pytest.CaptureFixture[str], call: list[str], says: str
) -> None:
    assert_one_line(run(capfd, "miar", *call), "miar", says)


@pytest.mark.parametrize("call", [[], ["profiles"], ["sessions"]])
def test_no_summary_is_cut_at_80_columns(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, call: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    summaries = run(capfd, "miar", *call, "--help").out.partition("Commands:\n")[2].splitlines()
    assert len(summaries) > 2
    assert [line for line in summaries if line.endswith("...")] == []


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(("function", "code"), [("miar", 130), ("live", 0)])
def test_stopped_while_it_loads_it_goes_without_a_word(function: str, code: int, number: str) -> None:
    program = (
        "import os, signal, sys\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == 'typer': os.kill(os.getpid(), signal.{number})\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        f"from stream.commands import {function}; {function}()"
    )
    stopped = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT, check=False)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (code, b"", b"")


def test_a_closed_stdout_cannot_take_results(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert_one_line(run(capfd, "miar-live", "--input", clip, "--json"), "miar-live", "stdout, which is closed")


def test_what_the_caller_closed_is_nobody_elses() -> None:
    """Else the first file or socket becomes stdout, and whoever prints writes into it."""
    program = (
        "import os; from stream.commands import _fill_descriptors as fill\n"
        "fill(); os.write(1, b'lost'); os.write(2, os.read(0, 9) or b'empty')"
    )
    call = ["sh", "-c", 'exec "$0" -c "$1" <&- >&-', sys.executable, program]
    said = subprocess.run(call, capture_output=True, cwd=ROOT, check=True)
    assert said.stderr == b"empty"


@pytest.mark.parametrize("program", ["miar", "miar-live"])
def test_version(capfd: pytest.CaptureFixture[str], program: str) -> None:
    assert run(capfd, program, "--version") == Outcome(0, f"miar-live {metadata.version('miar-live')}\n", "")


@pytest.mark.parametrize(("program", "code"), [("miar", 130), ("miar-live", 0)])
def test_interrupted_while_it_prepares(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    clip: Path,
    tmp_path: Path,
    program: str,
    code: int,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"stream.{'app_analyze' if program == 'miar' else 'app'}.load_scorer", interrupt)
    call = ["analyze", clip, "--out", tmp_path / "report"] if program == "miar" else ["--input", clip]
    assert run(capfd, program, *call) == Outcome(code, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_is_1_and_debug_shows_where(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out\nof order")

    monkeypatch.setattr("stream.app.load_scorer", fail)
    assert run(capfd, "miar-live", "--input", clip) == Outcome(1, "", "miar-live: out of order\n")
    with typed("miar-live", "--input", clip, "--debug") as main, pytest.raises(RuntimeError, match="order"):
        main()
