from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from stream.clock import CaptureClock
from stream.events import VideoFrame
from stream.sources import OPEN_SECONDS, SourceError
from stream.sources.camera import Camera

if TYPE_CHECKING:
    from stand_ins import MjpegCamera

pytestmark = pytest.mark.device

LIMIT = 60.0


def number(frame: VideoFrame) -> int:
    """Which of the 16 pictures it is, by its bar."""
    return round(float(frame.image[-16:-8].mean()) / 255 * 15)


def next_frame(camera: Camera) -> VideoFrame:
    frame = camera.read_latest(max_age=LIMIT, timeout=LIMIT)
    assert frame is not None
    return frame


def test_pictures_arrive_as_they_were_sent(mjpeg_camera: MjpegCamera) -> None:
    face = pytest.importorskip("skimage.data").astronaut()
    clock = CaptureClock()
    with Camera(mjpeg_camera.url, clock) as camera:
        frames = [next_frame(camera) for _ in range(20)]
        assert frames[-1].t <= clock.now()
        assert not camera.lost
        assert not camera.ended
    assert camera.time_base == "moment at which each picture was grabbed"
    for frame in frames:
        assert frame.image.shape == (512, 512, 3)
        assert np.abs(frame.image[:400].astype(int) - face[:400]).mean() < 4.0
    times = [f.t for f in frames]
    assert times == sorted(times)
    assert len(set(times)) == 20
    steps = np.diff([number(f) for f in frames]) % 16
    assert steps.min() >= 1


def test_the_latest_picture_wins(mjpeg_camera: MjpegCamera) -> None:
    """A reader that looked away for 12 pictures gets a recent one, and the others are counted."""
    mjpeg_camera.fps = 50.0
    with Camera(mjpeg_camera.url, CaptureClock()) as camera:
        next_frame(camera)
        dropped, sent = camera.dropped_frames, mjpeg_camera.sent
        while mjpeg_camera.sent < sent + 12 or camera.dropped_frames < dropped + 8:
            threading.Event().wait(0.02)
        late = next_frame(camera)
        assert camera.read_latest(max_age=0.0, timeout=0.0) is None
    assert late.t > 0.0
    assert camera.dropped_frames >= dropped + 8


def test_a_camera_that_goes_away_is_noticed(mjpeg_camera: MjpegCamera) -> None:
    clock = CaptureClock()
    with Camera(mjpeg_camera.url, clock) as camera:
        next_frame(camera)
        mjpeg_camera.stop()
        while not camera.lost:
            camera.read_latest(LIMIT, 0.05)
            assert clock.now() < LIMIT
        camera.read_latest(LIMIT, 0.0)
        assert camera.read_latest(LIMIT, LIMIT) is None
    assert clock.now() < LIMIT


def test_a_camera_that_freezes_is_noticed(mjpeg_camera: MjpegCamera) -> None:
    """The connection stays open and nothing comes any more."""
    clock = CaptureClock()
    with Camera(mjpeg_camera.url, clock) as camera:
        next_frame(camera)
        mjpeg_camera.fps = 1.0 / LIMIT
        while not camera.lost:
            camera.read_latest(LIMIT, 0.05)
            assert clock.now() < LIMIT
    assert clock.now() < LIMIT


def test_a_camera_can_come_back(mjpeg_camera: MjpegCamera) -> None:
    for _ in range(2):
        with Camera(mjpeg_camera.url, CaptureClock()) as camera:
            assert next_frame(camera).image.shape == (512, 512, 3)


def refused(url: str, capfd: pytest.CaptureFixture[str]) -> str:
    clock = CaptureClock()
    with pytest.raises(SourceError) as caught, Camera(url, clock):
        pass
    assert clock.now() < 2 * OPEN_SECONDS
    assert capfd.readouterr() == ("", "")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_port_that_nobody_serves(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://someone:secret@127.0.0.1:{free.getsockname()[1]}/stream.mjpg"
    message = refused(url, capfd)
    assert "gives no video" in message
    assert "secret" not in message


def test_a_server_that_never_answers(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        message = refused(f"http://127.0.0.1:{silent.getsockname()[1]}/stream.mjpg", capfd)
    assert "within 5 s" in message or "gives no video" in message


def test_a_page_is_no_camera(mjpeg_camera: MjpegCamera, capfd: pytest.CaptureFixture[str]) -> None:
    mjpeg_camera.pictures[:] = [Path(__file__).read_bytes()]
    message = refused(mjpeg_camera.url, capfd)
    assert "gave no picture within 5 s" in message or "gives no video" in message
