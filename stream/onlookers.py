"""Who is shown what a live session sees and hears, beside the session: landmarks for clients, calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from miar_rt.signals import Array, FeatureFrame
from stream.events import AudioChunk, Landmarks, VideoFrame

LANDMARKS_RATE = 15.0
"""Landmark events a second at most: the rate of the network's window, and enough for a face that moves."""

PLACES = 4


class Onlooker:
    """Is called from the threads that look and listen, which wait for it; by itself it does nothing."""

    def saw(self, frame: VideoFrame, found: FeatureFrame, landmarks: Array | None) -> None:
        """Take a picture, its face frame, and the landmarks ``[478, 3]`` in pixels of the picture, if any."""

    def heard(self, chunk: AudioChunk | None, found: Sequence[FeatureFrame]) -> None:
        """Take a chunk of sound, or none, and the frames that came out with it."""


class Onlookers(list[Onlooker], Onlooker):
    """Several at once; may grow while they are called."""

    def saw(self, frame: VideoFrame, found: FeatureFrame, landmarks: Array | None) -> None:
        """As ``Onlooker``."""
        for one in self:
            one.saw(frame, found, landmarks)

    def heard(self, chunk: AudioChunk | None, found: Sequence[FeatureFrame]) -> None:
        """As ``Onlooker``."""
        for one in self:
            one.heard(chunk, found)


class LandmarkFeed(Onlooker):
    """Publishes ``landmarks`` for as long as anybody wants them.

    Parameters
    ----------
    publish
        Takes the events.
    wanted
        Whether anybody listens; asked for every picture.
    """

    def __init__(self, publish: Callable[[Landmarks], None], wanted: Callable[[], bool]) -> None:
        self._publish = publish
        self._wanted = wanted
        self._due = -math.inf

    def saw(self, frame: VideoFrame, found: FeatureFrame, landmarks: Array | None) -> None:  # noqa: ARG002
        """As ``Onlooker``."""
        if frame.t < self._due or not self._wanted():
            return
        # late by a little keeps the average rate, late by a lot does not lead to a burst
        self._due = max(self._due + 1.0 / LANDMARKS_RATE, frame.t + 0.5 / LANDMARKS_RATE)
        self._publish(of_picture(frame, landmarks))


def of_picture(frame: VideoFrame, landmarks: Array | None) -> Landmarks:
    """The event for a picture and its landmarks in pixels ``[478, 3]``."""
    height, width = frame.image.shape[:2]
    points = None
    if landmarks is not None:
        points = np.round(landmarks.astype(np.float64) / (width, height, width), PLACES).tolist()
    return Landmarks(media_time=round(frame.t, 3), aspect=round(width / height, PLACES), points=points)
