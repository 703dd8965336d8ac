"""Devices unplugged and plugged in again under a live session, which says so and takes them back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from live_parts import LONG, Heard, Spy, reason

from stream.clock import CaptureClock
from stream.live import Live
from stream.sources import AudioSource, Source, SourceError, VideoSource
from stream.sources.camera import Camera
from stream.sources.microphone import Microphone
from stream.sources.slot import Slot

if TYPE_CHECKING:
    from conftest import RtspCamera
    from stand_ins import MjpegCamera, PulseMicrophone

pytestmark = pytest.mark.device
Some = TypeVar("Some", bound=Source)


@contextmanager
def session(
    video: Callable[[CaptureClock], VideoSource] | None = None,
    audio: Callable[[CaptureClock], AudioSource] | None = None,
) -> Iterator[Heard]:
    """What a live session over one device says."""
    clock, heard, spy = CaptureClock(), Heard(), Spy()
    eyes = Slot(opened(lambda: video(clock)), lambda: video(clock)) if video else None
    ears = Slot(opened(lambda: audio(clock)), lambda: audio(clock)) if audio else None
    live = Live(spy, None, video=eyes, audio=ears, clock=clock, listener=heard)
    live.start()
    try:
        yield heard
        assert live.failure is None
    finally:
        live.stop()
        for slot in filter(None, (eyes, ears)):
            slot.close()


def opened(make: Callable[[], Some]) -> Some:
    """A source that is open; a sound server that just started may not show its devices yet."""
    clock = CaptureClock()
    while True:
        source = make()
        try:
            source.__enter__()
        except SourceError:
            assert clock.now() < LONG
        else:
            return source


def unplug_and_replug(heard: Heard, modality: str, well: str | None, device: MjpegCamera | PulseMicrophone) -> None:
    """Twice: a device that was away before may go again."""
    for _ in range(2):
        heard.wait_for_result(reason(modality, well))
        device.stop()
        heard.wait_for_result(reason(modality, "device_lost"))
        device.start()
    heard.wait_for_result(reason(modality, well))


def test_an_mjpeg_camera_comes_back(mjpeg_camera: MjpegCamera) -> None:
    with session(video=lambda clock: Camera(mjpeg_camera.url, clock)) as heard:
        unplug_and_replug(heard, "vision", None, mjpeg_camera)


def test_a_camera_that_hangs_comes_back(mjpeg_camera: MjpegCamera) -> None:
    with session(video=lambda clock: Camera(mjpeg_camera.url, clock)) as heard:
        heard.wait_for_result(reason("vision", None))
        mjpeg_camera.hung.set()
        heard.wait_for_result(reason("vision", "device_lost"))
        mjpeg_camera.hung.clear()
        heard.wait_for_result(reason("vision", None))


def test_an_rtsp_camera_comes_back(rtsp_camera: RtspCamera) -> None:
    with session(video=lambda clock: Camera(rtsp_camera.url, clock)) as heard:
        unplug_and_replug(heard, "vision", "no_face", rtsp_camera)  # type: ignore[arg-type]


def test_a_microphone_comes_back(pulse_microphone: PulseMicrophone, tmp_path: Path) -> None:
    import wave

    import numpy as np

    hum = tmp_path / "hum.wav"
    with wave.open(str(hum), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.random.default_rng(1).normal(0, 300, 120 * 16_000).astype(np.int16).tobytes())
    with session(audio=lambda clock: Microphone(None, clock)) as heard:
        pulse_microphone.play(hum)
        heard.wait_for_result(reason("audio", "silence"))
        for _ in range(2):
            pulse_microphone.stop()
            heard.wait_for_result(reason("audio", "device_lost"))
            pulse_microphone.start()
            pulse_microphone.play(hum)
            heard.wait_for_result(reason("audio", "silence"))
        pulse_microphone.mute()
        heard.wait_for_result(reason("audio", "stale"))
