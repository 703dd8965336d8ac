"""Landmarks for clients: what is sent, how often, and that nothing is made for nobody."""

from __future__ import annotations

import json

import numpy as np
import pytest
from live_parts import Camera, Heard, Spy, make_live

from miar_rt.features.face import FaceExtractor
from miar_rt.input_spec import SPEC
from miar_rt.signals import FeatureFrame
from stream.clock import CaptureClock
from stream.events import Landmarks, VideoFrame
from stream.onlookers import LandmarkFeed, of_picture
from stream.serving import protocol

NOBODY = FeatureFrame("face", 0.0, np.full(SPEC.widths["vision"], np.nan, np.float32), valid=False)


def picture(t: float, width: int = 64, height: int = 48) -> VideoFrame:
    return VideoFrame(t, np.zeros((height, width, 3), np.uint8))


def test_points_are_fractions_of_the_picture() -> None:
    pixels = np.array([[0.0, 0.0, 0.0], [32.0, 48.0, -6.4]], np.float32)
    event = of_picture(picture(1.23456), pixels)
    assert (event.media_time, event.aspect) == (1.235, 1.3333)
    assert event.points == [[0.0, 0.0, 0.0], [0.5, 1.0, -0.1]]
    assert json.loads(protocol.encode(event, "json"))["points"][1] == [0.5, 1.0, -0.1]
    assert of_picture(picture(2.0), None).points is None


@pytest.mark.parametrize(("fps", "expected"), [(120, 15), (30, 15), (25, 15), (10, 10)])
def test_there_are_at_most_fifteen_a_second(fps: int, expected: int) -> None:
    told: list[Landmarks] = []
    feed = LandmarkFeed(told.append, lambda: True)
    for i in range(fps * 20):
        feed.saw(picture(i / fps), NOBODY, None)
    assert len(told) / 20 == pytest.approx(expected, rel=0.05)
    assert len(told) <= 15 * 20 + 1


def test_nothing_is_made_for_nobody() -> None:
    told: list[Landmarks] = []
    feed = LandmarkFeed(told.append, lambda: False)
    # what cannot be turned into an event is not even looked at
    feed.saw(picture(0.0), NOBODY, np.empty((0, 0), np.float32))
    assert told == []


def test_a_live_session_shows_the_points_of_the_face_it_sees() -> None:
    skimage = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    face = np.ascontiguousarray(skimage.astronaut()[:256, 96:352])

    class Portrait(Camera):
        def read_latest(self, max_age: float, timeout: float) -> VideoFrame | None:
            frame = super().read_latest(max_age, timeout)
            return frame and VideoFrame(frame.t, face)

    clock, heard = CaptureClock(), Heard()
    live = make_live(Spy(), heard, clock=clock, video=Portrait(clock))
    live.onlookers.append(LandmarkFeed(heard, lambda: True))
    live.start()
    heard.wait_for(lambda: any(isinstance(event, Landmarks) and event.points for event in heard.events))
    live.stop()
    first = next(event for event in heard.events if isinstance(event, Landmarks) and event.points)
    with FaceExtractor() as extractor:
        extractor.extract(0.0, face)
        assert extractor.landmarks is not None
        expected = extractor.landmarks / 256
    assert np.abs(np.array(first.points) - expected).max() < 0.02
