"""A live session whose devices freeze, are muted or fall silent, and whose threads hang."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from live_parts import LONG, Camera, Heard, Microphone, Spy, reason

from miar_rt.features.face import FaceExtractor
from miar_rt.signals import FeatureFrame
from stream import live as live_module
from stream.clock import CaptureClock
from stream.events import AudioChunk, SignalGap, Status, VideoFrame
from stream.live import Live
from stream.sources import AudioSource, VideoSource
from stream.sources.slot import Slot


class Moody(Camera):
    """A camera whose pictures differ unless it is ``frozen``, and which gives none while ``blocked``."""

    def __init__(self, clock: CaptureClock) -> None:
        super().__init__(clock)
        self.frozen, self.blocked, self.seen = threading.Event(), threading.Event(), threading.Event()
        self._rng = np.random.default_rng(1)

    def read_latest(self, max_age: float, timeout: float) -> VideoFrame | None:
        frame = super().read_latest(max_age, timeout)
        if self.blocked.is_set() or frame is None:
            return None
        self.seen.set()
        still = self.frozen.is_set()
        image = frame.image if still else self._rng.integers(0, 255, frame.image.shape).astype(np.uint8)
        return VideoFrame(frame.t, image)


class Muted(Microphone):
    """A microphone that gives zeros while ``muted``."""

    def __init__(self, clock: CaptureClock) -> None:
        super().__init__(clock)
        self.muted = threading.Event()

    def read(self, timeout: float) -> list[AudioChunk | SignalGap]:
        items = super().read(timeout)
        if not self.muted.is_set():
            return items
        return [AudioChunk(i.t, np.zeros_like(i.samples)) for i in items if isinstance(i, AudioChunk)]


@pytest.fixture
def clock() -> CaptureClock:
    return CaptureClock()


@pytest.fixture
def heard() -> Heard:
    return Heard()


def watching(
    clock: CaptureClock, heard: Heard, video: VideoSource | None = None, audio: AudioSource | None = None
) -> Live:
    """A running session over devices that could come back."""
    live = Live(
        Spy(),
        None,
        video=Slot(video.__enter__(), lambda: video) if video else None,  # type: ignore[arg-type, return-value]
        audio=Slot(audio.__enter__(), lambda: audio) if audio else None,  # type: ignore[arg-type, return-value]
        clock=clock,
        listener=heard,
    )
    live.start()
    return live


def test_a_frozen_picture_is_said_and_not_scored(clock: CaptureClock, heard: Heard) -> None:
    camera = Moody(clock)
    live = watching(clock, heard, video=camera)
    heard.wait_for_result(reason("vision", "no_face"))
    camera.frozen.set()
    heard.wait_for(lambda: ("vision", "stale") in heard.notices)
    camera.frozen.clear()
    heard.wait_for_result(reason("vision", "no_face"))
    live.stop()
    found = [event for event in heard.events if isinstance(event, Status) and event.modality == "vision"]
    assert [event.state for event in found][:2] == ["stale", "ok"]
    assert found[0].detail == "test camera has given the same picture for 2 s: it froze"


def test_a_device_that_falls_silent_is_lost_before_it_is_given_up(clock: CaptureClock, heard: Heard) -> None:
    camera = Moody(clock)
    live = watching(clock, heard, video=camera)
    # what has not come yet is no_face too, and what never came is not lost
    assert camera.seen.wait(LONG)
    camera.blocked.set()
    heard.wait_for_result(reason("vision", "device_lost"))
    camera.blocked.clear()
    heard.wait_for_result(reason("vision", "no_face"))
    live.stop()
    assert camera.opened == 1


def test_a_muted_microphone_is_said(clock: CaptureClock, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "STATUS_SECONDS", 0.1)
    microphone = Muted(clock)
    live = watching(clock, heard, audio=microphone)
    heard.wait_for_result(reason("audio", "silence"))
    microphone.muted.set()
    heard.wait_for(lambda: ("audio", "stale") in heard.notices)
    microphone.muted.clear()
    heard.wait_for_result(reason("audio", "silence"))
    live.stop()
    (*_, last) = (event for event in heard.events if isinstance(event, Status))
    assert (last.hints, last.drift_ms) == ([], 0.0)


class Hanging(FaceExtractor):
    """The first one hangs at its third picture."""

    free = threading.Event()
    made = 0

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        Hanging.made += 1
        self._first, self._seen = Hanging.made == 1, 0

    def extract(self, t: float, image: np.ndarray) -> FeatureFrame:
        self._seen += 1
        if self._first and self._seen == 3:
            assert self.free.wait(LONG)
        return super().extract(t, image)


def test_eyes_that_hang_are_replaced(clock: CaptureClock, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "FaceExtractor", Hanging)
    live = watching(clock, heard, video=Moody(clock))
    heard.wait_for(lambda: ("vision", "stale") in heard.notices)
    heard.wait_for_result(reason("vision", "no_face"))
    Hanging.free.set()
    live.stop()
    assert Hanging.made == 2
    states = [state for modality, state in heard.notices if modality == "vision"]
    assert states[:2] == ["stale", "ok"]
