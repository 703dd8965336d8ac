"""The commands that record, replay, list and delete sessions: whole runs, kills, full disks, wrong folders."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
from cli_runs import Outcome, run, start
from live_parts import Words
from media_makers import quadrants, tone, write_video
from session_records import Recorded
from websockets.exceptions import ConnectionClosed

from miar_rt.features.text import TextEncoder, TextEncoderUnavailable
from miar_rt.signals import Word, WordsUpdate
from stream.recording_format import EVENTS, MANIFEST, read_manifest
from stream.replay import Recording
from stream.report import FILES, RESULTS
from stream.serving.client import SyncMiarClient

LONG = 60.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    astronaut = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()
    pictures = [astronaut] * 12 + [quadrants(512, 512)] * 3
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mkv", pictures, fps=15, sound=tone(1.0, 16_000))


@pytest.fixture
def quiet(random_checkpoint_folder: Path) -> list[str]:
    return ["--checkpoint", str(random_checkpoint_folder), "--asr", "off", "--no-server"]


def replay(capfd: pytest.CaptureFixture[str], folder: Path, checkpoint: Path, *more: object) -> Outcome:
    return run(capfd, "miar", "replay", folder, "--checkpoint", checkpoint, *more)


def test_a_live_run_is_replayed_and_reported(
    clip: Path,
    tmp_path: Path,
    random_checkpoint_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        TextEncoder()
    except TextEncoderUnavailable as error:
        pytest.skip(str(error))
    last = WordsUpdate(0.9, "sphinx", (Word(0.1, 0.3, "good"), Word(0.3, 0.6, "bye")), speech_final=True)
    monkeypatch.setattr("stream.app.choose_recogniser", lambda *_: (Words(updates=(last,)), "words by nobody"))
    folder, checkpoint = tmp_path / "session", random_checkpoint_folder
    call = ["--record", folder, "--purpose", "to see", "--json", "--no-server", "--checkpoint", checkpoint]
    live = run(capfd, "miar-live", "--input", clip, *call)
    assert live.code == 0
    assert len([line for line in live.err.splitlines() if "the transcript" in line and str(folder) in line]) == 1
    shown = [line for line in map(json.loads, live.out.splitlines()) if line["type"] == "result"]
    manifest = read_manifest(folder)
    assert (manifest.purpose, manifest.asr, manifest.engine) == ("to see", "sphinx", "onnx")
    assert manifest.end is not None
    assert manifest.end.results == len(shown)

    outs = [tmp_path / name for name in ("first", "second")]
    for out in outs:
        again = replay(capfd, folder, checkpoint, "--out", out)
        assert again.code == 0
        assert f"{len(shown)} of {len(shown)} results identical" in again.err
    assert [(outs[0] / name).read_bytes() for name in FILES] == [(outs[1] / name).read_bytes() for name in FILES]
    replayed = [json.loads(line) for line in (outs[0] / "results.jsonl").read_text().splitlines()]
    assert replayed == [{**result, "time": None, "latency_ms": None} for result in shown]
    assert json.loads((outs[0] / "summary.json").read_text())["transcript"]["text"] == "good bye"


def test_a_recording_is_served_as_if_it_were_live(
    recorded: Recorded, tmp_path: Path, random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    call = ["--checkpoint", random_checkpoint_folder, "--serve", "--port", 0, "--out", tmp_path]
    process = start("miar", "replay", recorded.folder, *call, "--speed", 4)
    assert process.stderr is not None
    url = next(line for line in iter(process.stderr.readline, "") if line.startswith("dashboard ")).split()[1]
    heard = {}
    with contextlib.suppress(OSError, ConnectionClosed):
        for result in SyncMiarClient(url.replace("http", "ws"), reconnect=False):
            heard[result.seq] = result.emotions
    assert "results identical" in process.communicate(timeout=LONG)[1]
    assert process.returncode == 0
    written = {
        one["seq"]: one["emotions"] for one in map(json.loads, (tmp_path / RESULTS).read_text().splitlines())
    }
    # whoever is late is given the newest, here as in a live run
    assert len(heard) > len(written) / 2
    assert [seq for seq, emotions in heard.items() if emotions != written[seq]] == []
    assert max(heard) == max(written)
    for speed in ("0", "inf"):
        said = replay(capfd, recorded.folder, random_checkpoint_folder, "--speed", speed)
        assert_refused(said, "--speed must be more than 0")


def begin(clip: Path, folder: Path, quiet: list[str]) -> tuple[subprocess.Popen[str], float]:
    """A live run with a recording, once that holds something; and the media time reached."""
    process = start("miar-live", "--input", clip, "--loop", "--json", "--record", folder, *quiet)
    assert process.stdout is not None
    for line in process.stdout:
        reached = json.loads(line)["media_time"]
        if reached > 2.0 and (folder / EVENTS).stat().st_size > 10_000:
            return process, reached
    pytest.fail(str(process.communicate()))


def test_a_killed_session_has_lost_a_second_at_most(
    clip: Path, tmp_path: Path, quiet: list[str], random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process, last = begin(clip, tmp_path / "session", quiet)
    assert run(capfd, "miar", "sessions", "list", tmp_path).out.endswith("(still running)\n")
    assert_refused(run(capfd, "miar", "sessions", "delete", tmp_path / "session"), "is being recorded now")
    process.kill()
    process.communicate(timeout=LONG)
    assert run(capfd, "miar", "sessions", "list", tmp_path).out.endswith("(cut short)\n")
    again = replay(capfd, tmp_path / "session", random_checkpoint_folder)
    assert again.code == 0
    recording = Recording(tmp_path / "session")
    assert recording.read_through().seconds > last - 1.0
    (warning,) = [line for line in again.err.splitlines() if line.startswith("warning")]
    assert f"breaks off at {recording.seconds:.1f} s" in warning
    assert f"{recording.results} of {recording.results} results identical" in again.err


def test_a_full_disk_ends_the_recording_and_nothing_else(
    clip: Path, tmp_path: Path, quiet: list[str], random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process, _ = begin(clip, tmp_path / "session", quiet)
    assert process.stdout is not None
    assert process.stderr is not None
    size = (tmp_path / "session" / EVENTS).stat().st_size + 1000
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
    while "ended after" not in (line := process.stderr.readline()):
        assert line
    assert line.startswith(f"recording into {tmp_path / 'session'} ended after")
    assert "File too large" in line
    after = json.loads(process.stdout.readline())["media_time"]
    while json.loads(process.stdout.readline())["media_time"] < after + 1.0:
        pass
    process.send_signal(signal.SIGINT)
    assert "Traceback" not in process.communicate(timeout=LONG)[1]
    assert process.returncode == 0
    again = replay(capfd, tmp_path / "session", random_checkpoint_folder)
    assert again.code == 0
    assert len([line for line in again.err.splitlines() if line.startswith("warning")]) == 1


def test_a_client_records_the_middle_of_a_run_and_it_is_replayed_by_its_name(
    clip: Path,
    tmp_path: Path,
    random_checkpoint_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    call = ["--asr", "off", "--port", "0", "--token", "secret", "--checkpoint", random_checkpoint_folder]
    process = start("miar-live", "--input", clip, "--loop", *call)
    try:
        assert process.stderr is not None
        url = next(line for line in iter(process.stderr.readline, "") if line.startswith("dashboard "))
        client = SyncMiarClient(f"ws{url[len('dashboard http') :].split('#')[0]}", token="secret")  # noqa: S106
        results = (message for message in client if message.media_time > 1.0)
        next(results)
        assert client.request("record", action="start", name="middle")["recording"]["name"] == "middle"
        for _ in range(15):
            next(results)
        ended = client.request("record", action="stop")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LONG)
    assert ended["results"] >= 10
    again = replay(capfd, Path("middle"), random_checkpoint_folder, "--out", tmp_path / "report")
    assert again.code == 0
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert 1.0 < summary["source"]["began"] <= summary["first_result"]
    assert f"{ended['results']} of {ended['results']} results identical" in again.err
    assert "middle  " in run(capfd, "miar", "sessions", "list").out
    assert run(capfd, "miar", "sessions", "delete", "middle").code == 0
    assert list((tmp_path / "data/miar-live/recordings").iterdir()) == []


def assert_refused(said: Outcome, *parts: object) -> None:
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert [part for part in parts if str(part) not in line] == []


def test_folders_that_cannot_be_recorded_into(
    recorded: Recorded,
    clip: Path,
    tmp_path: Path,
    quiet: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    kept = {path: path.read_bytes() for path in recorded.folder.iterdir()}
    for folder, why in [
        (recorded.folder, "it holds a recording"),
        (tmp_path / "full", "it is not empty"),
        (tmp_path / "file", "File exists"),
        (tmp_path / "file" / "below", "Not a directory"),
        (Path("/proc/recording"), "give a new folder"),
    ]:
        said = run(capfd, "miar-live", "--input", clip, "--record", folder, *quiet)
        assert_refused(said, f"cannot record into {folder}: {why}" if "give" not in why else why)
    assert {path: path.read_bytes() for path in recorded.folder.iterdir()} == kept
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "notes.txt"]
    assert_refused(run(capfd, "miar-live", "--input", clip, "--purpose", "x", *quiet), "--purpose needs --record")


def test_a_run_that_does_not_begin_leaves_no_recording(
    clip: Path, tmp_path: Path, quiet: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").touch()
    call = ["--input", clip, "--record", tmp_path / "session", "--csv", tmp_path / "mine.csv", *quiet]
    said = run(capfd, "miar-live", *call)
    assert (said.code, "mine.csv is there already" in said.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_folders_that_cannot_be_replayed(
    recorded: Recorded,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    random_checkpoint_folder: Path,
) -> None:
    folder = recorded.copy(tmp_path / "session")
    manifest = json.loads((folder / MANIFEST).read_text())
    for content, why in [
        ('{"format": "other"}', "is no recording"),
        ("[" * 10_000, "is no recording"),
        (json.dumps({**manifest, "version": 2}), "is of format 2, this program reads format 1"),
        (json.dumps({**manifest, "config": {"rate": 1000}}), "is damaged: rate must be 1 to 60"),
        (json.dumps({**manifest, "config": {"half_life": 1e-320}}), "is damaged: half_life must be 0.001 to 1000"),
    ]:
        (folder / MANIFEST).write_text(content)
        assert_refused(replay(capfd, folder, random_checkpoint_folder), folder, why)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    for spoil, why in [
        (lambda path: path.write_bytes(b"this is no table\n" * 99), "cannot be replayed (events.arrow: "),
        (Path.unlink, "cannot be replayed (events.arrow: No such file"),
        (os.mkfifo, "cannot be replayed (events.arrow: it is no regular file)"),
    ]:
        spoil(folder / EVENTS)
        assert_refused(replay(capfd, folder, random_checkpoint_folder), folder, why)
        listed = run(capfd, "miar", "sessions", "list", tmp_path)
        assert (listed.code, listed.err) == (0, "")
        assert listed.out.startswith(f"session  {folder} {why}")
    (folder / MANIFEST).unlink()
    for nothing in (folder, tmp_path / "nowhere", tmp_path / "session" / EVENTS):
        assert_refused(replay(capfd, nothing, random_checkpoint_folder), f"{nothing} is no recording")


def test_another_checkpoint_is_refused_unless_it_is_named(
    recorded: Recorded, capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path
) -> None:
    said = run(capfd, "miar", "replay", recorded.folder)
    assert_refused(said, "was recorded with checkpoint random-1", "give it by --checkpoint")
    assert_refused(run(capfd, "miar", "replay", recorded.folder, "--engine", "abacus"), "unknown engine 'abacus'")
    named = replay(capfd, recorded.folder, random_checkpoint_folder)
    (warning,) = [line for line in named.err.splitlines() if line.startswith("warning")]
    assert "was recorded with checkpoint random-1" in warning


def test_a_recording_of_other_input_channels_is_refused(
    recorded: Recorded, tmp_path: Path, capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path
) -> None:
    folder = shutil.copytree(recorded.folder, tmp_path / "older")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"inputs": "1-0123456789ab"}))
    assert_refused(replay(capfd, folder, random_checkpoint_folder), f"{folder} holds other input channels")


def test_recordings_are_listed_and_deleted(
    recorded: Recorded, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = recorded.copy(tmp_path / "deep" / "session")
    cut = recorded.copy(tmp_path / "cut")
    manifest = msgspec.structs.replace(read_manifest(cut), end=None)
    (cut / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    listed = run(capfd, "miar", "sessions", "list", tmp_path)
    assert listed.code == 0
    first, second = listed.out.splitlines()
    for line, name in ((first, "cut"), (second, "deep/session")):
        assert line.startswith(f"{name}  {manifest.created}  6.0 s  ")
        assert "MB  a test" in line
    assert "cut short" in first
    assert "cut short" not in second
    one, other = json.loads(run(capfd, "miar", "sessions", "list", tmp_path, "--json").out)
    assert (one["name"], one["finished"], one["purpose"]) == ("cut", False, "a test")
    assert (other["name"], other["finished"]) == ("deep/session", True)
    assert other["seconds"] == pytest.approx(6.0, abs=0.05)
    assert other["path"] == str(folder)

    (cut / "notes.txt").write_text("mine")
    for one in (folder, cut):
        assert run(capfd, "miar", "sessions", "delete", one).code == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cut", "deep", "notes.txt"]
    assert (cut / "notes.txt").read_text() == "mine"
    for none in (cut, tmp_path, tmp_path / "nowhere"):
        assert_refused(run(capfd, "miar", "sessions", "delete", none), f"{none} is no recording")
    assert run(capfd, "miar", "sessions", "list", tmp_path).out == f"no recordings below {tmp_path}\n"
    assert_refused(run(capfd, "miar", "sessions", "list", tmp_path / "nowhere"), "is no folder")
