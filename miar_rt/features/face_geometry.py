"""From 478 landmarks to what the network sees: aligned mesh, head pose and action-unit-like measures; pure numpy.

Axes everywhere: x to the picture's right, y down, z away from the camera. Lengths of aligned meshes are in eye
distances (between the midpoints of the two eyes) of the average neutral face.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import Array

LANDMARKS = 478
RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 127, 356, 234, 454, 10, 151, 9)
"""Points that the bones move and the face muscles hardly do: eye corners, nose bridge, temples, mid-forehead."""

RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS = (33, 133), (362, 263)


@cache
def neutral_face() -> Array:
    """The average neutral face, frontal and symmetrical, float32 ``[478, 3]``, one eye distance wide.

    Median of neutral FER2013 faces after generalised Procrustes analysis (``scripts/make_neutral_face.py``).
    """
    with (files("miar_rt.features") / "neutral_face.npz").open("rb") as stream, np.load(stream) as stored:
        return np.asarray(stored["landmarks"], np.float32)


def fit_similarity(points: NDArray[np.float64], template: NDArray[np.float64]) -> tuple[float, Array, Array]:
    """Scale, rotation and shift that take ``template`` onto ``points`` with the least squared error.

    Both are ``[n, 3]``; ``points`` is close to ``scale * template @ rotation.T + shift``.
    Umeyama, IEEE TPAMI 13(4), 1991; points of no extent give a scale of 0.
    """
    centre, origin = points.mean(axis=0), template.mean(axis=0)
    a, b = points - centre, template - origin
    u, singular, vt = np.linalg.svd(a.T @ b)
    if np.linalg.det(u) * np.linalg.det(vt) < 0.0:
        u[:, -1] = -u[:, -1]
        singular[-1] = -singular[-1]
    rotation = u @ vt
    scale = float(singular.sum() / np.square(b).sum())
    return scale, rotation, centre - scale * rotation @ origin


def align(landmarks: Array) -> tuple[Array, Array, float, Array]:
    """Take position, scale and rotation out of a face.

    Parameters
    ----------
    landmarks
        ``[478, 3]`` in any one unit, the same for x, y and z.

    Returns
    -------
    mesh
        float32 ``[478, 3]``, laid onto the neutral face, in eye distances.
    rotation
        ``[3, 3]``, from the upright frontal face to the picture.
    scale
        The fitted eye distance in the unit of ``landmarks``: that of the face turned to the camera.
    centre
        ``[3]``: where the middle between the eyes lies, in the unit of ``landmarks``.
    """
    rigid = list(RIGID)
    scale, rotation, shift = fit_similarity(landmarks[rigid].astype(np.float64), _rigid_template())
    mesh = (landmarks - shift) @ (rotation / max(scale, 1e-9))
    return mesh.astype(np.float32), rotation, scale, shift


@cache
def _rigid_template() -> NDArray[np.float64]:
    return neutral_face()[list(RIGID)].astype(np.float64)


def head_angles(rotation: Array) -> tuple[float, float, float]:
    """Pitch, yaw and roll in radians of ``rotation = roll(z) @ yaw(y) @ pitch(x)``.

    Positive: looking up, nose to the picture's left, head tilted clockwise in the picture.
    """
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2])
    yaw = -np.arcsin(np.clip(rotation[2, 0], -1.0, 1.0))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return float(pitch), float(yaw), float(roll)
