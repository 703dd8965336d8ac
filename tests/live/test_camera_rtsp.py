"""A real RTSP stream from GStreamer's server, by loopback."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stream.clock import CaptureClock
from stream.sources.camera import Camera

pytestmark = pytest.mark.device

SYSTEM_PYTHON = "/usr/bin/python3"
LIMIT = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def rtsp_camera() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    script = Path(__file__).with_name("rtsp_server.py")
    try:
        server = subprocess.Popen(
            [SYSTEM_PYTHON, str(script), str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError:
        pytest.skip(f"no {SYSTEM_PYTHON}")
    with server:
        if server.stdout is None or server.stdout.readline().strip() != "ready":
            server.kill()
            pytest.skip("no GStreamer RTSP server: apt install gir1.2-gst-rtsp-server-1.0 python3-gi")
        yield f"rtsp://127.0.0.1:{port}/live", server
        server.kill()


def test_pictures_arrive_and_the_end_is_noticed(rtsp_camera: tuple[str, subprocess.Popen[str]]) -> None:
    url, server = rtsp_camera
    clock = CaptureClock()
    with Camera(url, clock) as camera:
        frames = [camera.read_latest(LIMIT, LIMIT) for _ in range(10)]
        images = [frame.image for frame in frames if frame is not None]
        assert len(images) == 10
        left, right = images[-1][40:120, 5:35].mean((0, 1)), images[-1][40:120, 285:315].mean((0, 1))
        assert images[-1].shape == (240, 320, 3)
        # the bars of the SMPTE picture go from light grey to blue: red comes first in our order
        assert np.ptp(left) < 30.0
        assert right[2] > right[0] + 100.0
        server.kill()
        while not camera.lost:
            camera.read_latest(LIMIT, 0.1)
            assert clock.now() < LIMIT
