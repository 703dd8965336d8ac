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

from miar_rt.signals import Array, Box

Image = NDArray[np.uint8]

LOOK_SECONDS = 1.0
CLEARLY_LARGER = 1.25
TURN_TRIES = 3
COMPANY = 0.5
"""A second face counts from this share of the first one's width: who passes in the background does not."""

SETTLING_ROUNDS = 2
STILL_SIDE = 256
"""Smaller stills are enlarged to this before the detector sees them."""
STILL_MARGINS = (0.25, 0.5, 0.0)
"""Black margins around a still, as fractions of its longer side, tried in turn: the detector misses faces that fill
the picture. On 300 FER2013 faces 0.25 alone finds 98.7 %, no margin 94 %."""

_BLANK: Image = np.zeros((64, 64, 3), np.uint8)

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
    if lines:
        os.write(_STDERR, "".join(lines).encode(errors="replace"))


@contextmanager
def _no_recording() -> Iterator[None]:
    """Keep mediapipe from its sound tasks' library, which starts PortAudio.

    PortAudio can hang or spin when a sound server dies: the one that records has a process of its own.
    """
    name = "sounddevice"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


class Mesh:
    """FaceMesh following ``faces`` faces; ``confidence`` is the least that its detector must have in a face."""

    _met_a_face = False

    def __init__(self, confidence: float, faces: int = 1) -> None:
        with quiet(), _no_recording():
            from mediapipe.python.solutions.face_mesh import FaceMesh

            self._graph: Any = FaceMesh(
                max_num_faces=faces, refine_landmarks=True, min_detection_confidence=confidence
            )
            # The graph's threads write most of their lines while they take their first picture.
            self._graph.process(_BLANK)

    def find(self, image: Image) -> Array | None:
        """Landmarks float32 ``[478, 3]`` in pixels of the face; z is scaled as x is."""
        return next(iter(self.find_all(image)), None)

    def find_all(self, image: Image) -> list[Array]:
        """As ``find``, of every face."""
        if Mesh._met_a_face:
            answer = self._graph.process(image)
        else:
            with quiet():
                answer = self._graph.process(image)
        if not answer.multi_face_landmarks:
            return []
        Mesh._met_a_face = True
        height, width = image.shape[:2]
        size = np.array([width, height, width], np.float32)
        faces = [[(p.x, p.y, p.z) for p in face.landmark] for face in answer.multi_face_landmarks]
        return [np.array(points, np.float32) * size for points in faces]

    def close(self) -> None:
        """Free the graph."""
        with suppress(ValueError), quiet():
            self._graph.close()


class FaceOfStill:
    """Finds the largest face of pictures that have nothing to do with each other, however small or tightly cut.

    A still is followed for a few rounds as if it were a stream: landmarks right after detection differ from those
    FaceMesh settles on by 0.02 eye distances, a good part of an expression, and streams are mostly settled.
    """

    company = False

    def __init__(self) -> None:
        self._face = PrimaryFace(confidence=0.2)

    def find(self, t: float, image: Image) -> Array | None:  # noqa: ARG002
        """Landmarks float32 ``[478, 3]`` in pixels of the picture; ``t`` makes no difference."""
        for margin in STILL_MARGINS:
            enlarged, scale, border = _enlarge(image, margin)
            face = self._settled(enlarged)
            if face is not None:
                return (face - np.array([border, border, 0], np.float32)) / np.float32(scale)
        return None

    def _settled(self, image: Image) -> Array | None:
        self._face.forget()
        face = self._face.find(0.0, image)
        for _ in range(SETTLING_ROUNDS if face is not None else 0):
            again = self._face.find(0.0, image)
            face = face if again is None else again
        return face

    def close(self) -> None:
        """Free the networks."""
        self._face.close()


def _enlarge(image: Image, margin: float) -> tuple[Image, float, int]:
    """The picture at least ``STILL_SIDE`` large within a black margin; its scale and the margin's pixels."""
    import cv2

    side = max(image.shape[:2])
    scale = max(1.0, STILL_SIDE / side)
    border = round(side * scale * margin)
    larger = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1.0 else image
    framed = cv2.copyMakeBorder(larger, border, border, border, border, cv2.BORDER_CONSTANT)
    return np.asarray(framed, np.uint8), scale, border


class _Detector:
    """The short-range face detector by itself: all faces within about two metres, no landmarks."""

    def __init__(self) -> None:
        with quiet(), _no_recording():
            from mediapipe.python.solutions.face_detection import FaceDetection

            self._graph: Any = FaceDetection(model_selection=0, min_detection_confidence=0.5)
            self._graph.process(_BLANK)

    def boxes(self, image: Image) -> list[Box]:
        height, width = image.shape[:2]
        found = [d.location_data.relative_bounding_box for d in self._graph.process(image).detections or ()]
        return [
            (b.xmin * width, b.ymin * height, (b.xmin + b.width) * width, (b.ymin + b.height) * height)
            for b in found
        ]

    def close(self) -> None:
        with suppress(ValueError), quiet():
            self._graph.close()


class PrimaryFace:
    """Follows one face: the largest when it is met, then the same one until another is clearly larger.

    Following one face FaceMesh takes the most certain one and costs 1.8 ms a picture less than following two;
    so the detector looks for larger faces only when a face is met and once a second after.

    Attributes
    ----------
    company
        Whether there was a second face when the detector last looked.
    """

    def __init__(self, confidence: float = 0.5) -> None:
        self._mesh = Mesh(confidence)
        self._detector = _Detector()
        self._held: Array | None = None
        self._looked_at = -np.inf
        self.company = False

    def find(self, t: float, image: Image) -> Array | None:
        """Landmarks float32 ``[478, 3]`` of the primary face of the picture captured at ``t``, in pixels."""
        met = self._held is None
        self._held = self._mesh.find(image)
        if self._held is not None and (met or not 0.0 <= t - self._looked_at < LOOK_SECONDS):
            self._looked_at = t
            self._held = self._prefer_largest(self._held, image, 1.0 if met else CLEARLY_LARGER)
        return self._held

    def forget(self) -> None:
        """Let go of the face, so that the next picture has nothing to do with this one."""
        self._mesh.find(_BLANK)
        self._held = None

    def close(self) -> None:
        """Free both networks."""
        self._mesh.close()
        self._detector.close()

    def _prefer_largest(self, held: Array, image: Image, factor: float) -> Array:
        boxes = self._detector.boxes(image)
        place = held[:, :2].mean(axis=0)
        own = next((box for box in boxes if _within(place, box)), extent(held))
        others = [box for box in boxes if not _within(place, box)]
        target = max(others, key=breadth, default=own)
        self.company = bool(others) and breadth(target) >= COMPANY * breadth(own)
        if breadth(target) <= factor * breadth(own):
            return held
        face = self._turn_to(target, [own, *others], image)
        return held if face is None else face

    def _turn_to(self, target: Box, boxes: list[Box], image: Image) -> Array | None:
        """Show FaceMesh the picture without the other faces until it has let go of them and taken the target."""
        shown = _only(image, target, [box for box in boxes if box != target])
        for _ in range(TURN_TRIES):
            face = self._mesh.find(shown)
            if face is not None and _within(face[:, :2].mean(axis=0), target):
                return face
        return None


def breadth(box: Box) -> float:
    """How wide a box is."""
    return box[2] - box[0]


def _within(place: Array, box: Box) -> bool:
    return bool(box[0] <= place[0] <= box[2] and box[1] <= place[1] <= box[3])


def extent(landmarks: Array) -> Box:
    """The box around landmarks ``[478, 3]``, in their pixels."""
    (left, top), (right, bottom) = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _only(image: Image, target: Box, others: list[Box]) -> Image:
    shown = image.copy()
    for box in others:
        shown[_region(box, image, margin=0.25)] = 0
    kept = _region(target, image, margin=0.0)
    shown[kept] = image[kept]
    return shown


def _region(box: Box, image: Image, margin: float) -> tuple[slice, slice]:
    grow = margin * breadth(box)
    height, width = image.shape[:2]
    left, right = (int(np.clip(x, 0, width)) for x in (box[0] - grow, box[2] + grow))
    top, bottom = (int(np.clip(y, 0, height)) for y in (box[1] - grow, box[3] + grow))
    return slice(top, bottom), slice(left, right)
