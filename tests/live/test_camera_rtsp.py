"""A real RTSP stream from GStreamer's server, by loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from stream.clock import CaptureClock
from stream.sources.camera import Camera

if TYPE_CHECKING:
    from conftest import RtspCamera

pytestmark = pytest.mark.device

LIMIT = 60.0


def test_pictures_arrive_and_the_end_is_noticed(rtsp_camera: RtspCamera) -> None:
    clock = CaptureClock()
    with Camera(rtsp_camera.url, clock) as camera:
        frames = [camera.read_latest(LIMIT, LIMIT) for _ in range(10)]
        images = [frame.image for frame in frames if frame is not None]
        assert len(images) == 10
        left, right = images[-1][40:120, 5:35].mean((0, 1)), images[-1][40:120, 285:315].mean((0, 1))
        assert images[-1].shape == (240, 320, 3)
        # the bars of the SMPTE picture go from light grey to blue: red comes first in our order
        assert np.ptp(left) < 30.0
        assert right[2] > right[0] + 100.0
        rtsp_camera.stop()
        while not camera.lost:
            camera.read_latest(LIMIT, 0.1)
            assert clock.now() < LIMIT
