"""A file in media time: the same bytes twice, honest reasons, sound that begins late, ends early or has holes."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from cli_runs import run
from flite_speech import RATE, flite_missing, speak
from live_parts import Spy, Words
from media_makers import quadrants, tone, write_video

from miar_rt.signals import Word, WordsUpdate
from stream.analyze import Analyzer
from stream.asr import Recogniser
from stream.events import Result
from stream.sources.media_file import MediaFile


def analysed(path: Path, session: Spy | None = None, recogniser: Recogniser | None = None) -> list[Result]:
    with Analyzer(session or Spy(), recogniser) as analyzer:
        return [event for event in analyzer.run(MediaFile(path)) if isinstance(event, Result)]


def reasons(results: list[Result], modality: str, begin: float, end: float) -> set[str | None]:
    """Why a modality was absent in the results of a stretch of media time; ``None`` where it was present."""
    found = {r.modalities[modality].reason for r in results if begin <= r.media_time < end}
    assert found
    return found


FACE_UNTIL, FACE_AGAIN, SPEECH_AT, LENGTH, FPS = 2.0, 3.2, 0.3, 5.6, 10


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that leaves and comes back, a sentence at the beginning, and silence."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    if flite_missing():
        pytest.skip("flite is not installed")
    face = data.astronaut()
    pictures = []
    for i in range(round(LENGTH * FPS)):
        here = not FACE_UNTIL <= i / FPS < FACE_AGAIN
        pictures.append(np.roll(face, i % 5, axis=1) if here else np.full_like(face, 90))
    sound = np.zeros((1, round(LENGTH * RATE)), np.float32)
    spoken = speak("what a wonderful day", before=SPEECH_AT, after=0.0) / np.float32(32768)
    sound[0, : len(spoken)] = spoken
    return write_video(tmp_path_factory.mktemp("talk") / "talk.mkv", pictures, fps=FPS, sound=sound)


@pytest.fixture(scope="module")
def results(talk: Path) -> list[Result]:
    return analysed(talk)


def test_two_runs_leave_the_same_bytes(
    talk: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path
) -> None:
    reports = []
    for name in ("first", "second"):
        call = ["analyze", talk, "--out", tmp_path / name, "--asr", "sphinx", "--rate", "20"]
        said = run(capfd, "miar", *call, "--checkpoint", random_checkpoint_folder)
        assert said.code == 0
        reports.append((tmp_path / name / "results.jsonl").read_bytes())
    assert reports[0] == reports[1]
    lines = [msgspec.json.decode(line, type=Result) for line in reports[0].splitlines()]
    assert all(line.time is None and line.latency_ms is None for line in lines)
    if "no words" not in said.err:
        assert "wonderful" in lines[-1].transcript.committed
        assert json.loads((tmp_path / "first/summary.json").read_text())["transcript"]["asr"] == "sphinx"


def test_a_face_is_present_while_it_is_there(results: list[Result]) -> None:
    assert reasons(results, "vision", 0.1, FACE_UNTIL) == {None}
    assert reasons(results, "vision", FACE_UNTIL + 0.5, FACE_AGAIN) == {"no_face"}
    assert reasons(results, "vision", FACE_AGAIN + 0.2, LENGTH) == {None}


def test_silence_is_said_two_seconds_after_the_last_word(results: list[Result]) -> None:
    assert reasons(results, "audio", 1.0, 2.0) == {None}
    assert reasons(results, "audio", 4.5, LENGTH) == {"silence"}
    assert results[0].modalities["audio"].reason in {"silence", "stale"}


def test_with_neither_face_nor_voice_nothing_is_scored(tmp_path: Path) -> None:
    path = write_video(tmp_path / "dull.mkv", [quadrants(64, 48)] * 40, fps=20, sound=tone(2.0, 16_000) * 0)
    results = analysed(path)
    assert len(results) > 10
    assert {(r.emotions, r.raw_emotions, r.label, r.confidence, r.sentiment) for r in results} == {(None,) * 5}
    assert reasons(results, "vision", 0.2, 2.0) == {"no_face"}
    assert reasons(results, "audio", 0.3, 2.0) == {"silence"}
    assert reasons(results, "text", 0.0, 2.0) == {"no_words_yet"}


@pytest.mark.parametrize("rate", [1.0, 4.0, 30.0])
def test_results_keep_to_the_rate(talk: Path, rate: float) -> None:
    times = [result.media_time for result in analysed(talk, Spy(rate))]
    assert LENGTH * rate * 0.85 <= len(times) <= LENGTH * rate + 2
    assert min(b - a for a, b in itertools.pairwise(times[:-1])) >= 0.5 / rate - 1e-6


def of_sound(results: list[Result]) -> float:
    """Media time of the last result that had sound at most a second old."""
    return max(r.media_time for r in results if r.modalities["audio"].reason != "stale")


@pytest.mark.parametrize(
    ("seconds", "start", "pictures"), [(1.0, 0.0, 60), (3.0, 0.0, 15), (1.0, 2.0, 60), (0.3, 0.0, 40)]
)
def test_sound_and_picture_may_begin_and_end_apart(
    tmp_path: Path, seconds: float, start: float, pictures: int
) -> None:
    path = write_video(
        tmp_path / "apart.mkv",
        [quadrants(64, 48)] * pictures,
        fps=20,
        sound=tone(seconds, 16_000),
        sound_start=start,
    )
    session = Spy()
    results = analysed(path, session)
    assert len(session.of("face")) == pictures
    assert len(session.of("acoustic")) == pytest.approx(seconds * 100, abs=6)
    assert [f.t for f in session.of("acoustic")] == pytest.approx(
        [start + 0.02 + 0.01 * i for i in range(len(session.of("acoustic")))], abs=1e-6
    )
    assert results[-1].media_time >= max(start + seconds, pictures / 20) - 0.06
    assert of_sound(results) <= start + seconds + 1.1
    if start:
        assert reasons(results, "audio", 0.0, 0.95) == {"silence"}
        assert reasons(results, "audio", 1.05, start) == {"stale"}


def hole(path: Path, begin: float, end: float) -> Path:
    """Three seconds of sound, of which the stretch from ``begin`` to ``end`` is missing in the file."""
    samples = np.rint(tone(3.0, 16_000) * 32767).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for a, b in ((0.0, begin), (end, 3.0)):
            part = np.ascontiguousarray(samples[:, round(a * 16_000) : round(b * 16_000)])
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), round(a * 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("begin", "end"), [(0.5, 0.7), (0.1, 2.5), (1.0, 2.9)])
def test_a_hole_in_the_sound_stalls_nothing(tmp_path: Path, begin: float, end: float) -> None:
    session, words = Spy(), Words()
    results = analysed(hole(tmp_path / "hole.mkv", begin, end), session, words)
    assert words.gaps == [(begin, end)]
    times = [frame.t for frame in session.of("acoustic")]
    assert len(times) == pytest.approx((begin + 3.0 - end) * 100, abs=6)
    assert times == sorted(times)
    assert not [t for t in times if begin + 0.001 < t < end]
    assert results[-1].media_time >= 3.0
    assert len(results) >= 5


def test_the_words_at_the_very_end_are_in_the_last_result(tmp_path: Path) -> None:
    path = write_video(tmp_path / "end.mkv", [quadrants(64, 48)] * 5, sound=tone(0.5, 16_000))
    last = WordsUpdate(0.5, "sphinx", (Word(0.2, 0.5, "bye"),), speech_final=True)
    results = analysed(path, recogniser=Words(updates=(last,)))
    assert results[-1].transcript.committed == "bye"
    assert results[-1].modalities["text"].reason is None


@pytest.mark.shared
def test_where_nobody_is_nobody_is_seen(shared_clips: Path) -> None:
    results = analysed(shared_clips / "no_face.mp4")
    assert results
    assert not any(result.modalities["vision"].present for result in results)


@pytest.mark.shared
def test_a_face_that_leaves_is_lost_within_a_second(shared_clips: Path) -> None:
    session = Spy()
    results = analysed(shared_clips / "face_then_none.mov", session)
    left = max(frame.t for frame in session.of("face") if frame.valid)
    after = [r for r in results if r.media_time > left + 1.0]
    assert after
    assert {r.modalities["vision"].reason for r in after} == {"no_face"}
    assert {r.modalities["vision"].reason for r in results if 0.2 < r.media_time <= left} == {None}
