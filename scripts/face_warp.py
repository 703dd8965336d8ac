"""A portrait whose expression can be changed by smooth warps anchored on the landmarks of its face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miar_rt.features.face_tracker import quiet

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 480
MOUTH_INSIDE = (45, 16, 20)


@dataclass(frozen=True)
class Expression:
    """Weights of the warps: 0 leaves the portrait as it is; ``rest`` takes its smile and shuts its mouth."""

    rest: float = 1.0
    frown: float = 0.0
    brows_up: float = 0.0
    inner_brows_up: float = 0.0
    brows_down: float = 0.0
    lids: float = 0.0
    jaw: float = 0.0

    def towards(self, other: Expression, share: float) -> Expression:
        """The expression ``share`` (0..1) of the way to ``other``."""
        mine, theirs = vars(self), vars(other)
        return Expression(**{name: (1 - share) * mine[name] + share * theirs[name] for name in mine})


def portrait() -> Picture:
    """The astronaut's head and shoulders, 640x480 RGB."""
    import cv2
    import skimage.data

    crop = np.asarray(skimage.data.astronaut())[0:240, 62:382]
    return np.asarray(cv2.resize(crop, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def find_landmarks(picture: Picture) -> Floats:
    """FaceMesh landmarks ``[468, 2]`` in pixels."""
    with quiet():
        import mediapipe as mp

    with quiet(), mp.solutions.face_mesh.FaceMesh(static_image_mode=True) as mesh:
        found = mesh.process(picture).multi_face_landmarks
    if not found:
        raise RuntimeError("FaceMesh finds no face in the portrait")
    return np.array([(p.x * WIDTH, p.y * HEIGHT) for p in found[0].landmark], np.float32)


UPPER_LIP, LOWER_LIP = (80, 81, 82, 13, 312, 311, 310), (88, 178, 87, 14, 317, 402, 318)
MOUTH_CORNERS, INNER_CORNERS = (61, 291), (78, 308)
BROWS, INNER_BROWS = (105, 334), (107, 336)
EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
"""Outer corner, inner corner, upper lid, lower lid."""


class FaceWarp:
    """Moves the face of one picture; distances are in units of the distance between the outer eye corners."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.points = find_landmarks(picture)
        self.unit = float(np.linalg.norm(self.points[263] - self.points[33]))
        self._fit_mouth()
        self.rows, self.columns = self._reach()
        rows, columns = np.mgrid[self.rows, self.columns]
        self.grid = np.stack([columns, rows], axis=-1).astype(np.float32)
        self.fields = self._smooth_fields()

    def _reach(self) -> tuple[slice, slice]:
        """Rows and columns that the warps touch."""
        x, y, unit = int(self.mouth_centre[0]), int(self.mouth_centre[1]), self.unit
        return slice(y - int(1.35 * unit), y + int(unit)), slice(x - int(1.15 * unit), x + int(1.15 * unit))

    def _bump(self, landmark: int, width: float, height: float) -> Floats:
        """A Gaussian hill of height 1 on a landmark."""
        away = (self.grid - self.points[landmark]) / (self.unit * np.array([width, height], np.float32))
        return np.asarray(np.exp(-0.5 * np.square(away).sum(axis=-1)), np.float32)

    def _moved(self, landmarks: tuple[int, int], inward: float, down: float, size: tuple[float, float]) -> Floats:
        """Displacement, shaped like the grid, of the left and right landmark, mirrored."""
        shift = np.zeros_like(self.grid)
        for landmark, side in zip(landmarks, (1, -1), strict=True):
            shift += self._bump(landmark, *size)[..., None] * np.array([side * inward, down], np.float32)
        return np.asarray(shift * self.unit, np.float32)

    def _smooth_fields(self) -> dict[str, Floats]:
        return {
            "rest": self._moved(MOUTH_CORNERS, 0.06, 0.085, (0.15, 0.14)),
            "frown": self._moved(MOUTH_CORNERS, -0.01, 0.10, (0.13, 0.14)),
            "brows_up": self._moved(BROWS, 0.0, -0.09, (0.20, 0.09)),
            "inner_brows_up": self._moved(INNER_BROWS, 0.02, -0.08, (0.11, 0.07)),
            "brows_down": self._moved(INNER_BROWS, 0.045, 0.085, (0.15, 0.085)),
        }

    def _fit_mouth(self) -> None:
        """The inner edges of the lips as parabolas over the line between the corners of the mouth."""
        left, right = self.points[INNER_CORNERS[0]], self.points[INNER_CORNERS[1]]
        self.mouth_centre = (left + right) / 2
        self.mouth_half = float(np.linalg.norm(right - left)) / 2
        self.along = (right - left) / (2 * self.mouth_half)
        self.across = np.array([-self.along[1], self.along[0]], np.float32)
        self.edges = []
        for lip in (UPPER_LIP, LOWER_LIP):
            off = self.points[[INNER_CORNERS[0], *lip, INNER_CORNERS[1]]] - self.mouth_centre
            self.edges.append(np.polyfit(off @ self.along, off @ self.across, 2))

    def _mouth(self, at: Floats, rest: float, jaw: float) -> tuple[Floats, Floats]:
        """Where the pixels of the mouth come from ``[..., 2]``, and how dark its inside is there ``[...]``."""
        off = at - self.mouth_centre
        u, v = off @ self.along, off @ self.across
        upper, lower = (np.polyval(edge, u).astype(np.float32) for edge in self.edges)
        gap = np.clip(lower - upper, 0, None)
        middle = (upper + lower) / 2
        inside = np.clip(1 - np.square(u / self.mouth_half), 0, 1)
        lip_up = rest * gap / 2
        lip_down = jaw * 0.24 * self.unit * inside - rest * gap / 2
        top = np.where(inside > 0, middle - gap / 2 + lip_up, middle)
        bottom = np.where(inside > 0, middle + gap / 2 + lip_down, middle)
        above, below = v < top, v > bottom
        near_top = np.exp(-np.square((v - top) / (0.16 * self.unit)))
        near_bottom = np.exp(-np.square((v - bottom) / ((0.16 + 0.3 * jaw) * self.unit)))
        move = np.where(above, lip_up * near_top, np.where(below, lip_down * near_bottom, 0))
        depth = v - top
        teeth = (0.9 - 0.75 * rest) * gap
        move = np.where(above | below, move, depth - np.minimum(depth, teeth) + lip_up)
        dark = np.clip((depth - 0.6 * teeth) / (0.3 * teeth + 1), 0, 1) * min(1.0, 6 * jaw)
        return at - move[..., None] * self.across, np.where(above | below, 0, dark)

    def _blink(self, source: Floats, lids: float) -> None:
        """Draw the skin of the upper lids over the eyes."""
        for outer, inner, upper, lower in EYES:
            centre = (self.points[outer] + self.points[inner]) / 2
            half = float(np.linalg.norm(self.points[outer] - self.points[inner])) / 2 * 1.15
            across = np.clip(1 - np.square((self.grid[..., 0] - centre[0]) / half), 0, 1)
            run, rise = self.points[inner] - self.points[outer]
            y = self.grid[..., 1] - centre[1] - rise / run * (self.grid[..., 0] - centre[0])
            opening = float(self.points[lower][1] - self.points[upper][1])
            edge = (float(self.points[lower][1]) - centre[1]) * across
            crease = edge - 2.0 * opening * across
            covered = np.clip((y - crease) / np.maximum(edge - crease, 1e-3), 0, 1) * (y < edge) * (across > 0)
            source[..., 1] -= lids * opening * across * covered

    def __call__(self, expression: Expression) -> Picture:
        """The picture with another expression, uint8 ``[480, 640, 3]``."""
        import cv2

        source = self.grid.copy()
        for name, shift in self.fields.items():
            if weight := getattr(expression, name):
                source -= weight * shift
        if expression.lids:
            self._blink(source, expression.lids)
        dark = np.zeros(source.shape[:2], np.float32)
        lower = slice(int(0.85 * self.unit), None)
        source[lower], dark[lower] = self._mouth(source[lower], max(expression.rest, 0.0), expression.jaw)
        warped = cv2.remap(self.picture, source, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        dark = cv2.GaussianBlur(dark, (0, 0), 1.2)[..., None] * 0.85
        picture = self.picture.copy()
        picture[self.rows, self.columns] = warped * (1 - dark) + np.array(MOUTH_INSIDE) * dark
        return picture
