"""Every kind of file that must work, through both commands as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import run
from media_makers import quadrants, tone, write_video, write_wav

from stream.report import FILES

EMOTIONS = {"neutral", "happiness", "sadness", "anger", "surprise", "disgust", "fear"}
FIELDS = {
    "type", "version", "seq", "time", "media_time", "emotions", "raw_emotions", "label", "confidence", "sentiment",
    "modalities", "gate", "transcript", "latency_ms", "model", "profile",
}  # fmt: skip


def pcm(rate: int, channels: int, seconds: float = 1.0) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.rint(tone(seconds, rate, channels).T * 32767).astype(np.int16)


def picture_and_sound(folder: Path) -> Path:
    return write_video(folder / "both.mkv", [quadrants()] * 25, sound=tone(1.0, 16_000))


def picture_only(folder: Path) -> Path:
    return write_video(folder / "silent.mp4", [quadrants()] * 25)


def sound_only(folder: Path) -> Path:
    return write_wav(folder / "sound.wav", pcm(16_000, 1), 16_000)


def eight_bit(folder: Path) -> Path:
    return write_wav(folder / "old.wav", np.rint(tone(1.0, 8000).T * 127 + 128).astype(np.uint8), 8000)


def stereo(folder: Path) -> Path:
    return write_wav(folder / "stereo.wav", pcm(44_100, 2), 44_100)


def surround(folder: Path) -> Path:
    return write_wav(folder / "surround.wav", pcm(48_000, 6), 48_000)


def four_k(folder: Path) -> Path:
    return write_video(folder / "4k.mp4", [quadrants(3840, 2160)] * 3, fps=3)


def portrait(folder: Path) -> Path:
    return write_video(folder / "tall.mp4", [quadrants(720, 1280)] * 10, fps=10)


def grey(folder: Path) -> Path:
    image = np.repeat(np.tile(np.arange(0, 240, 2, dtype=np.uint8), (96, 1))[:, :, None], 3, axis=2)
    return write_video(folder / "grey.mkv", [image] * 10, fps=10, codec="ffv1", pix_fmt="gray")


def fast(folder: Path) -> Path:
    return write_video(folder / "fast.mp4", [quadrants()] * 120, fps=120)


def variable(folder: Path) -> Path:
    times = [Fraction(n, 1000) for n in (0, 33, 66, 300, 310, 700, 1000)]
    return write_video(folder / "variable.mkv", [quadrants()] * 7, times=times)


def odd_path(folder: Path) -> Path:
    (folder / "my clips 🎬").mkdir()
    return sound_only(folder).rename(folder / "my clips 🎬" / "a clip 😀 100%d.wav")


ROWS: dict[str, tuple[Callable[[Path], Path], set[str]]] = {
    "picture and sound": (picture_and_sound, {"audio", "vision"}),
    "picture only": (picture_only, {"vision"}),
    "sound only": (sound_only, {"audio"}),
    "8 bit": (eight_bit, {"audio"}),
    "44.1 kHz stereo": (stereo, {"audio"}),
    "48 kHz 5.1": (surround, {"audio"}),
    "4K": (four_k, {"vision"}),
    "portrait": (portrait, {"vision"}),
    "grey": (grey, {"vision"}),
    "120 fps": (fast, {"vision"}),
    "variable frame rate": (variable, {"vision"}),
    "spaces and emoji": (odd_path, {"audio"}),
}


def check_results(lines: list[str], here: set[str], live: bool) -> None:
    """Each line is a full result; what the file does not have is off, what it has is not."""
    results = [json.loads(line) for line in lines]
    assert [r["seq"] for r in results] == list(range(len(results)))
    assert results
    for result in results:
        assert set(result) == FIELDS
        assert (result["type"], result["version"]) == ("result", 1)
        assert (result["time"] is not None, result["latency_ms"] is not None) == (live, live)
        off = {name for name, state in result["modalities"].items() if state["reason"] == "off"}
        assert off == {"text", "audio", "vision"} - here
        check_scores(result)


def check_scores(result: dict[str, Any]) -> None:
    present = {name for name, state in result["modalities"].items() if state["present"]}
    if not present:
        scores = ("emotions", "raw_emotions", "label", "confidence", "sentiment")
        assert [result[name] for name in scores] == [None] * 5
        return
    assert set(result["emotions"]) == set(result["raw_emotions"]) == EMOTIONS
    for name in ("emotions", "raw_emotions"):
        assert sum(result[name].values()) == pytest.approx(1.0, abs=1e-4)
    assert sum(state["contribution"] for state in result["modalities"].values()) == pytest.approx(1.0, abs=1e-4)
    assert result["sentiment"]["low"] <= result["sentiment"]["value"] <= result["sentiment"]["high"]


@pytest.mark.parametrize("row", ROWS)
def test_analyze(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path, row: str
) -> None:
    make, here = ROWS[row]
    out = tmp_path / "report"
    path = make(tmp_path)
    said = run(
        capfd, "miar", "analyze", path, "--out", out, "--asr", "off", "--checkpoint", random_checkpoint_folder
    )
    assert (said.code, said.out) == (0, "")
    assert {file.name for file in out.iterdir()} == set(FILES)
    check_results((out / "results.jsonl").read_text().splitlines(), here, live=False)


@pytest.mark.parametrize("row", ["picture and sound", "picture only", "48 kHz 5.1", "4K", "spaces and emoji"])
def test_live(tmp_path: Path, capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path, row: str) -> None:
    make, here = ROWS[row]
    call = ["--input", make(tmp_path), "--seconds", "1", "--no-server", "--asr", "off", "--json"]
    said = run(capfd, "miar-live", *call, "--checkpoint", random_checkpoint_folder)
    assert said.code == 0
    lines = [line for line in said.out.splitlines() if json.loads(line)["type"] == "result"]
    check_results(lines, here, live=True)
    assert "Traceback" not in said.err


def test_what_cannot_be_scored_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_wav(tmp_path / "quiet.wav", np.zeros((16_000, 1), np.int16), 16_000)
    call = ["--out", tmp_path / "report", "--asr", "off", "--engine", "onnx"]
    said = run(capfd, "miar", "analyze", path, *call)
    assert said.code == 0
    assert "warning: nothing in quiet.wav was scored: nobody was seen or heard in it" in said.err.splitlines()


def test_a_file_that_breaks_off_is_said_by_both(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path
) -> None:
    path = write_wav(tmp_path / "cut.wav", pcm(16_000, 1, 2.0), 16_000)
    path.write_bytes(path.read_bytes()[:36_000])
    call = ["--asr", "off", "--checkpoint", random_checkpoint_folder]
    for said in (
        run(capfd, "miar-live", "--input", path, *call, "--no-server", "--json"),
        run(capfd, "miar", "analyze", path, *call, "--out", tmp_path / "report"),
    ):
        assert said.code == 0
        assert "warning: it breaks off at 1.1 s" in said.err.splitlines()


@pytest.mark.parametrize("samples", [160, 560])
def test_what_is_too_short_for_a_result_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], samples: int
) -> None:
    path = write_wav(tmp_path / "quiet.wav", np.zeros((samples, 1), np.int16), 16_000)
    said = run(capfd, "miar", "analyze", path, "--out", tmp_path / "report", "--asr", "off", "--engine", "onnx")
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith(f"miar: {path} is too short for a result")
    assert [one.name for one in tmp_path.iterdir()] == ["quiet.wav"]
