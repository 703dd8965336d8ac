"""Picture and sound beside a recording: what was seen and heard, bounded, and only where it was asked for."""

from __future__ import annotations

import json
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cli_runs import assert_one_line, run
from media_makers import assert_tone, corner_colours, pictures_of, quadrants, sound_of, tone, write_video

from miar_rt.signals import FeatureFrame
from stream import recorded_media
from stream.events import SAMPLE_RATE, AudioChunk, VideoFrame
from stream.recorded_media import WAITING_PICTURES, MediaRecorder
from stream.recording_format import EVENTS, MANIFEST, MEDIA, read_manifest
from stream.sources import CHUNK_SAMPLES
from stream.sources.media_file import MediaFile

LONG = 30.0
FACE = FeatureFrame("face", 0.0, np.zeros(1, np.float32), False)


def seen(recorder: MediaRecorder, times: Sequence[float], image: np.ndarray | None = None) -> None:
    for t in times:
        recorder.saw(VideoFrame(t, quadrants() if image is None else image), FACE, None)


def heard(recorder: MediaRecorder, start: float, seconds: float) -> None:
    samples = np.rint(tone(seconds, SAMPLE_RATE)[0] * 32767).astype(np.int16)
    for begin in range(0, len(samples), CHUNK_SAMPLES):
        recorder.heard(AudioChunk(start + begin / SAMPLE_RATE, samples[begin : begin + CHUNK_SAMPLES]), [])


def wait_for_size(path: Path, size: int) -> None:
    deadline = time.monotonic() + LONG
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_film_shows_and_says_what_there_was_and_when(tmp_path: Path) -> None:
    with MediaRecorder(tmp_path, sees=True, hears=True) as recorder:
        heard(recorder, 1.0, 2.0)
        for second in (1.0, 1.5, 2.0, 2.5):
            seen(recorder, [second + n / 20 for n in range(10)])
            time.sleep(0.2)
    assert (recorder.pictures_lost, recorder.sound_lost) == (0, 0)
    assert stat.S_IMODE((tmp_path / MEDIA).stat().st_mode) == 0o600
    film = MediaFile(tmp_path / MEDIA)
    items = list(film.packets())
    # a file's time begins with what comes first in it
    assert [round(picture.t, 2) for picture in pictures_of(items)] == [round(n / 20, 2) for n in range(40)]
    assert corner_colours(pictures_of(items)[20].image) == ["red", "green", "blue", "white"]
    assert len(sound_of(items)) == 2 * SAMPLE_RATE
    assert_tone(sound_of(items))


@pytest.mark.parametrize(("sees", "hears"), [(True, False), (False, True)])
def test_only_what_there_is(tmp_path: Path, sees: bool, hears: bool) -> None:
    with MediaRecorder(tmp_path, sees=sees, hears=hears) as recorder:
        seen(recorder, [0.1, 0.2] if sees else [])
        heard(recorder, 0.0, 0.5 if hears else 0.0)
    film = MediaFile(tmp_path / MEDIA)
    assert (film.has_video, film.has_audio) == (sees, hears)


def test_pictures_of_another_size_or_of_the_same_time(tmp_path: Path) -> None:
    with MediaRecorder(tmp_path, sees=True, hears=False) as recorder:
        seen(recorder, [0.1, 0.2], quadrants(321, 241))
        seen(recorder, [0.3, 0.3], quadrants(640, 480))
    assert recorder.pictures_lost == 1
    found = pictures_of(list(MediaFile(tmp_path / MEDIA).packets()))
    assert [one.image.shape for one in found] == [(240, 320, 3)] * 3
    assert corner_colours(found[2].image) == ["red", "green", "blue", "white"]


def test_a_writer_that_is_too_slow_loses_pictures_and_counts_them(tmp_path: Path) -> None:
    recorder = MediaRecorder(tmp_path, sees=True, hears=False)
    seen(recorder, [n / 30 for n in range(100)])
    with recorder:
        pass
    assert recorder.pictures_lost == 100 - WAITING_PICTURES
    assert len(pictures_of(list(MediaFile(tmp_path / MEDIA).packets()))) == WAITING_PICTURES


def test_it_takes_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_media, "SLACK_BYTES", 20_000)
    monkeypatch.setattr(recorded_media, "BYTES_A_SECOND", 50_000)
    monkeypatch.setattr(recorded_media, "WAITING_PICTURES", 1000)
    recorder = MediaRecorder(tmp_path, sees=True, hears=False)
    noise = np.random.default_rng(3)
    for n in range(60):
        seen(recorder, [n / 30], noise.integers(0, 255, (240, 320, 3), dtype=np.uint8))
    with recorder:
        pass
    shown = len(pictures_of(list(MediaFile(tmp_path / MEDIA).packets())))
    assert 0 < shown < 60
    assert recorder.pictures_lost == 60 - shown
    assert (tmp_path / MEDIA).stat().st_size < 20_000 + 2.0 * 50_000 + 60_000


def test_a_disk_that_fills_up_ends_the_film_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorded_media, "SPARE_BYTES", 1 << 62)
    with MediaRecorder(tmp_path, sees=True, hears=False) as recorder:
        seen(recorder, [0.0, 0.1])
        wait_for_size(tmp_path / MEDIA, 100)
    seen(recorder, [0.2])
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"{MEDIA} in {tmp_path} ended: less than")


def test_a_killed_program_leaves_what_was_there(tmp_path: Path) -> None:
    with MediaRecorder(tmp_path, sees=True, hears=True) as recorder:
        for second in range(3):
            heard(recorder, second, 1.0)
            seen(recorder, [second + n / 10 for n in range(10)])
            time.sleep(0.3)
        wait_for_size(tmp_path / MEDIA, 70_000)
        shutil.copy(tmp_path / MEDIA, tmp_path / "cut.mkv")
    items = list(MediaFile(tmp_path / "cut.mkv").packets())
    assert len(sound_of(items)) >= 2 * SAMPLE_RATE
    assert len(pictures_of(items)) >= 15


# ---- as users ask for it


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    return write_video(folder / "clip.mkv", [quadrants()] * 30, sound=tone(1.2, 16_000))


def test_a_session_with_its_film(
    clip: Path, tmp_path: Path, random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, checkpoint = tmp_path / "session", ["--checkpoint", random_checkpoint_folder, "--engine", "onnx"]
    call = ["--input", clip, "--asr", "off", "--no-server", *checkpoint, "--record", folder, "--record-media"]
    live = run(capfd, "miar-live", *call)
    assert live.code == 0
    assert f"and picture and sound, in {MEDIA}" in live.err
    manifest = read_manifest(folder)
    assert manifest.media_consent is None
    assert manifest.end is not None
    items = list(MediaFile(folder / MEDIA).packets())
    # how many pictures are looked at is a matter of the machine, sound is heard to the last
    assert len(sound_of(items)) > SAMPLE_RATE
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}

    again = run(capfd, "miar", "replay", folder, *checkpoint)
    assert again.code == 0
    assert "results identical" in again.err
    assert "with picture and sound" in run(capfd, "miar", "sessions", "list", tmp_path).out
    assert run(capfd, "miar", "sessions", "delete", folder).code == 0
    assert list(tmp_path.iterdir()) == []


def test_without_a_yes_nothing_is_opened(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "session"
    camera = ["--camera", "http://127.0.0.1:9/", "--no-mic", "--no-server"]
    refused = run(capfd, "miar-live", *camera, "--record", folder, "--record-media")
    assert_one_line(refused, "miar-live", "must have agreed", "--accept-notice")
    assert not folder.exists()
    assert_one_line(
        run(capfd, "miar-live", *camera, "--record-media"), "miar-live", "--record-media needs --record"
    )
    words = run(capfd, "miar-live", "--text-only", "--record", folder, "--record-media")
    assert_one_line(words, "miar-live", "--text-only and --record-media exclude each other")


def test_older_recordings_have_no_word_on_it(recorded_manifest: dict[str, object], tmp_path: Path) -> None:
    del recorded_manifest["media_consent"]
    (tmp_path / MANIFEST).write_text(json.dumps(recorded_manifest))
    assert read_manifest(tmp_path).media_consent is None


@pytest.fixture
def recorded_manifest(recorded: object) -> dict[str, object]:
    folder: Path = recorded.folder  # type: ignore[attr-defined]
    assert (folder / EVENTS).exists()
    assert not (folder / MEDIA).exists()
    found: dict[str, object] = json.loads((folder / MANIFEST).read_text())
    return found
