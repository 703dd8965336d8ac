"""The live path against the same extractors run by hand; its ends, failures, losses and pauses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live_parts import LONG, Camera, Heard, Microphone, Spy, Words, make_live, play, reason
from media_makers import pictures_of, quadrants, write_video, write_wav

from miar_rt.features.face import FaceExtractor
from miar_rt.signals import FeatureFrame, Word, WordsUpdate
from stream import live as live_module
from stream import workers
from stream.analyze import Analyzer
from stream.clock import CaptureClock
from stream.events import SAMPLE_RATE, Outgoing, Status, Transcript
from stream.live import Live
from stream.sources.media_file import MediaFile
from stream.sources.realtime import RealtimeMedia
from stream.sources.slot import Slot


def hummed(seconds: float) -> np.ndarray:
    """``[1, n]``: a voice-like buzz whose pitch glides, in a little noise."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = np.cumsum(140.0 + 60.0 * np.sin(2 * np.pi * 0.7 * t)) / SAMPLE_RATE
    noise = np.random.default_rng(3).normal(0, 0.01, len(t))
    return (0.4 * (2 * (phase % 1.0) - 1) * (np.sin(2 * np.pi * 1.5 * t) > -0.5) + noise).astype(np.float32)[None]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Less than the two seconds of sound that a source holds: none can be lost, however slow the machine."""
    face = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()
    pictures = [np.roll(face, 2 * i, axis=1) for i in range(18)] + [quadrants(512, 512)] * 6
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    return write_video(path, pictures, fps=15, sound=hummed(1.7))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pcm = (hummed(0.6).T * 32767).astype(np.int16)
    return write_wav(tmp_path_factory.mktemp("sound") / "sound.wav", pcm, SAMPLE_RATE)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "FIRST_BACKOFF", 1e-3)
    monkeypatch.setattr(workers, "LONGEST_BACKOFF", 1e-2)
    monkeypatch.setattr(workers, "LOOK_AGAIN_SECONDS", 1e-2)


def assert_equal(found: list[FeatureFrame], expected: list[FeatureFrame]) -> None:
    assert [frame.t for frame in found] == [frame.t for frame in expected]
    assert [frame.valid for frame in found] == [frame.valid for frame in expected]
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a.values, b.values, equal_nan=True)


def test_live_and_analyze_have_the_same_features(clip: Path) -> None:
    live, analysed = Spy(), Spy()
    heard, run = play(clip, live)
    with Analyzer(analysed, None) as analyzer:
        list(analyzer.run(MediaFile(clip)))
    assert len(live.of("acoustic")) > 150
    assert len(live.of("voice")) == int(1.7 / 0.032)
    assert_equal(live.of("acoustic"), analysed.of("acoustic"))
    assert_equal(live.of("voice"), analysed.of("voice"))

    pictures = pictures_of(list(MediaFile(clip).packets()))
    assert len(analysed.of("face")) == len(pictures) == 24
    assert len(live.of("face")) + run.dropped["frames"] == 24
    seen = {frame.t for frame in live.of("face")}
    with FaceExtractor() as extractor:
        expected = [extractor.extract(p.t, p.image) for p in pictures if p.t in seen]
    assert_equal(live.of("face"), expected)
    assert run.failure is None
    assert heard.results[-1].media_time >= 1.7


def test_every_result_of_a_live_run_knows_its_times(clip: Path) -> None:
    heard, _ = play(clip, Spy())
    assert [result.seq for result in heard.results] == list(range(len(heard.results)))
    for result in heard.results:
        assert result.time is not None
        assert result.latency_ms is not None
        assert result.latency_ms.score >= 0.0
        known = [result.latency_ms.text, result.latency_ms.audio, result.latency_ms.vision]
        ages = [age for age in known if age is not None]
        assert result.latency_ms.total == min(ages, default=None)
        for name, state in result.modalities.items():
            assert state.present == (getattr(result.latency_ms, name) is not None)


def test_the_end_of_a_file_waits_for_its_last_words(sound: Path) -> None:
    last = WordsUpdate(0.6, "sphinx", (Word(0.1, 0.3, "good"), Word(0.3, 0.6, "bye")), speech_final=True)
    heard, run = play(sound, Spy(), Words(updates=(last,)))
    (said,) = [event for event in heard.events if isinstance(event, Transcript)]
    assert [word.text for word in said.words] == ["good", "bye"]
    assert heard.results[-1].transcript.committed == "good bye"
    assert run.failure is None


def raise_error() -> None:
    raise RuntimeError("no ears")


@pytest.mark.usefixtures("hasty")
def test_a_recogniser_that_crashes_fails_alone(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard, run = play(sound, Spy(), Words(then=raise_error))
    assert heard.results[-1].modalities["text"].reason == "failed"
    assert heard.results[-1].modalities["audio"].reason != "failed"
    assert ("text", "failed") in heard.notices
    assert caplog.messages[-1] == "recognise gave up after 5 restarts: RuntimeError: no ears"
    assert run.failure is None


class Blind(FaceExtractor):
    def __init__(self, **_: object) -> None:
        raise RuntimeError("no eyes")


@pytest.mark.usefixtures("hasty")
def test_eyes_that_fail_do_not_keep_a_file_from_ending(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "FaceExtractor", Blind)
    session = Spy()
    heard, run = play(clip, session)
    assert heard.results[-1].modalities["vision"].reason == "failed"
    assert len(session.of("acoustic")) > 150
    assert run.failure is None


@pytest.mark.usefixtures("hasty")
def test_when_everything_that_captures_fails_the_run_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "FaceExtractor", Blind)
    path = write_video(tmp_path / "clip.mkv", [quadrants(64, 48)] * 10)
    _, run = play(path, Spy())
    assert run.failure == "look gave up after 5 restarts: RuntimeError: no eyes"


@pytest.mark.usefixtures("hasty")
def test_a_file_that_vanishes_while_it_loops_ends_the_run(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.ones((8000, 1), np.int16), 16_000)
    clock, heard = CaptureClock(), Heard()
    with RealtimeMedia(path, clock, loop=True) as media:
        live = make_live(Spy(), heard, clock=clock, audio=media)
        path.unlink()
        live.start()
        heard.wait_for(lambda: not live.going())
        live.stop()
    assert live.failure == "it cannot be opened again"
    assert ("audio", "device_lost") in heard.notices


@pytest.fixture
def clock() -> CaptureClock:
    return CaptureClock()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.mark.usefixtures("hasty")
def test_a_lost_device_is_said_and_taken_back(clock: CaptureClock, heard: Heard) -> None:
    first, last = Microphone(clock, chunks=30), Microphone(clock)
    back: Iterator[Microphone] = iter([Microphone(clock, refuses=True), Microphone(clock, refuses=True), last])
    allowed = threading.Event()

    def reopen() -> Microphone:
        return next(back) if allowed.is_set() else Microphone(clock, refuses=True)

    session = Spy()
    slot = Slot(first.__enter__(), reopen)
    live = Live(session, None, video=None, audio=slot, clock=clock, listener=heard)
    live.start()
    heard.wait_for_result(reason("audio", "device_lost"))
    allowed.set()
    heard.wait_for_result(reason("audio", "silence"))
    live.stop()
    slot.close()
    states = [state for modality, state in heard.notices if modality == "audio"]
    assert states == ["device_lost", "ok"]
    assert (first.opened, first.closed, last.opened, last.closed) == (1, 1, 1, 1)
    times = [frame.t for frame in session.of("acoustic")]
    assert times == sorted(times)
    assert live.failure is None


def test_stopping_while_a_device_is_away(clock: CaptureClock, heard: Heard) -> None:
    slot = Slot(Microphone(clock, chunks=1).__enter__(), lambda: Microphone(clock, refuses=True))
    live = Live(Spy(), None, video=None, audio=slot, clock=clock, listener=heard)
    live.start()
    heard.wait_for_result(reason("audio", "device_lost"))
    live.stop()
    assert not any(worker.running for worker in live._crew.workers)
    assert not live.going()


def test_stopping_while_the_recogniser_is_busy(
    clock: CaptureClock, heard: Heard, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "STOP_SECONDS", 0.2)
    busy, free = threading.Event(), threading.Event()

    def decode() -> None:
        busy.set()
        assert free.wait(LONG)
        raise RuntimeError("closed under its feet")

    live = make_live(Spy(), heard, clock=clock, audio=Microphone(clock).__enter__(), recogniser=Words(decode))
    live.start()
    assert busy.wait(LONG)
    live.stop()
    (recognising,) = [worker for worker in live._crew.workers if worker.running]
    assert caplog.messages == ["still busy after 0.2 s and left behind: recognise"]
    free.set()
    assert recognising.join(LONG)
    assert len(caplog.messages) == 1


def test_stopping_before_the_start_and_twice(clock: CaptureClock, heard: Heard) -> None:
    live = make_live(Spy(), heard, clock=clock, audio=Microphone(clock).__enter__())
    live.stop()
    live.stop()
    assert not live.going()


@pytest.mark.usefixtures("hasty")
def test_a_listener_that_raises_once_costs_one_event(clock: CaptureClock, heard: Heard) -> None:
    raised = threading.Event()

    def listener(event: Outgoing) -> None:
        if not raised.is_set():
            raised.set()
            raise ValueError("hung up")
        heard(event)

    live = make_live(Spy(), listener, clock=clock, audio=Microphone(clock).__enter__())
    live.start()
    heard.wait_for(lambda: len(heard.results) > 2)
    live.stop()
    assert live.failure is None


@pytest.mark.usefixtures("hasty")
def test_a_listener_that_always_raises_ends_the_run_aloud(
    clock: CaptureClock, caplog: pytest.LogCaptureFixture
) -> None:
    def listener(_: Outgoing) -> None:
        raise ValueError("hung up")

    live = make_live(Spy(), listener, clock=clock, audio=Microphone(clock).__enter__())
    live.start()
    assert live._finished.wait(LONG)
    assert not live.going()
    live.stop()
    assert live.failure == "score gave up after 5 restarts: ValueError: hung up"
    assert live.failure in caplog.messages


def test_while_paused_nothing_captured_is_used(
    clock: CaptureClock, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "STATUS_SECONDS", 0.1)
    session = Spy()
    sources = {"audio": Microphone(clock).__enter__(), "video": Camera(clock).__enter__()}
    live = make_live(session, heard, clock=clock, **sources)
    live.start()
    heard.wait_for(lambda: session.of("acoustic") and session.of("face"))
    live.pause(True)
    heard.wait_for_result(reason("vision", "stale"))
    heard.wait_for_result(reason("audio", "stale"))
    assert (None, "paused") in heard.notices
    paused_at = heard.results[-1].media_time
    before = len(session.frames)
    live.pause(False)
    heard.wait_for_result(reason("audio", "silence"))
    heard.wait_for_result(reason("vision", "no_face"))
    live.stop()
    faces = [frame.t for frame in session.frames[before:] if frame.kind == "face"]
    assert min(faces) > paused_at - 1e-3
    assert heard.notices[-1] == (None, "running")


def test_what_waits_and_what_was_dropped_is_told(
    clock: CaptureClock, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "STATUS_SECONDS", 0.05)
    live = make_live(Spy(), heard, clock=clock, audio=Microphone(clock).__enter__(), recogniser=Words())
    live.start()
    heard.wait_for(lambda: heard.notices)
    live.stop()
    status = next(event for event in heard.events if isinstance(event, Status))
    assert status.waiting.keys() == {"inbox", "speech"}
    assert status.dropped == {"frames": 0, "samples": 0, "inbox": 0, "speech": 0}


def test_the_rate_can_change_on_the_way(clock: CaptureClock, heard: Heard) -> None:
    live = make_live(Spy(rate=60.0), heard, clock=clock, audio=Microphone(clock).__enter__())
    live.start()
    heard.wait_for_result(bool)
    with pytest.raises(ValueError, match="1 to 60"):
        live.set_rate(0.0)
    live.set_rate(2.0)
    settled = len(heard.results) + 3
    heard.wait_for(lambda: len(heard.results) >= settled + 2)
    live.stop()
    first, second = (result.media_time for result in heard.results[settled : settled + 2])
    assert second - first >= 0.25
