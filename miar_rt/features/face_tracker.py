"""FaceMesh and its face detector, as the mediapipe wheel carries them, without their log lines."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import Array

Image = NDArray[np.uint8]

_STDERR = 2
_redirection = threading.Lock()
_CHATTER = (
    "XNNPACK delegate",
    "before absl::InitializeLog()",
    "inference_feedback_manager.cc",
    "landmark_projection_calculator.cc",
    "gl_context",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep mediapipe's known chatter off the terminal and let every other line through afterwards.

    Its native libraries write to the file descriptor itself, and no setting of theirs stops them all.
    """
    with _redirection, tempfile.TemporaryFile() as caught:
        try:
            kept = os.dup(_STDERR)
        except OSError:
            kept = -1
        if kept < 0:
            yield
            return
        os.dup2(caught.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            caught.seek(0)
            _pass_on(caught.read().decode(errors="replace"))


def _pass_on(text: str) -> None:
    lines = [line for line in text.splitlines(keepends=True) if not any(noise in line for noise in _CHATTER)]
    if lines and sys.stderr is not None:
        sys.stderr.write("".join(lines))


class Mesh:
    """One FaceMesh graph.

    Parameters
    ----------
    static
        Look for faces anew in every picture instead of following one.
    faces
        How many faces at most.
    confidence
        Least confidence of the detector.
    """

    _met_a_face = False

    def __init__(self, *, static: bool, faces: int, confidence: float) -> None:
        with quiet():
            from mediapipe.python.solutions.face_mesh import FaceMesh

            self._graph: Any = FaceMesh(
                static_image_mode=static,
                max_num_faces=faces,
                refine_landmarks=True,
                min_detection_confidence=confidence,
            )
            # The graph's threads write most of their lines while they take their first picture.
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def find(self, image: Image) -> list[Array]:
        """Landmarks float32 ``[478, 3]`` in pixels of each face; z is scaled as x is."""
        if Mesh._met_a_face:
            answer = self._graph.process(image)
        else:
            with quiet():
                answer = self._graph.process(image)
        faces = answer.multi_face_landmarks or []
        Mesh._met_a_face = Mesh._met_a_face or bool(faces)
        height, width = image.shape[:2]
        size = np.array([width, height, width], np.float32)
        return [np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * size for face in faces]

    def restart(self) -> None:
        """Forget the face that is being followed."""
        with quiet():
            self._graph.reset()
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def close(self) -> None:
        """Free the graph."""
        with suppress(ValueError), quiet():
            self._graph.close()
