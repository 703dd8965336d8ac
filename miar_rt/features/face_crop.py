"""The face as a small upright grey picture, for the network that looks at its appearance."""

from __future__ import annotations

import numpy as np

from miar_rt.features.face_geometry import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from miar_rt.features.face_tracker import Image
from miar_rt.signals import Array

SIDE = 48
EYE_DISTANCE, EYE_HEIGHT = 20.0, 17.5
"""Of the crop, in its pixels: about how faces lie in FER2013."""

_LEAST_CONTRAST = 4.0
"""Grey levels: what is flatter is noise and is not stretched to full contrast."""


def crop_transform(landmarks: Array) -> Array:
    """The similarity ``[2, 3]`` from the picture to the crop that brings the eyes to their place.

    Parameters
    ----------
    landmarks
        ``[478, 3]`` in pixels of the picture.
    """
    right, left = (landmarks[list(corners), :2].mean(axis=0) for corners in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS))
    along = left - right
    scale = EYE_DISTANCE / max(float(np.hypot(*along)), 1e-3)
    cosine, sine = along / max(float(np.hypot(*along)), 1e-3) * scale
    turn = np.array([[cosine, sine], [-sine, cosine]])
    shift = (SIDE / 2, EYE_HEIGHT) - turn @ ((left + right) / 2)
    return np.column_stack([turn, shift]).astype(np.float32)


def face_crop(image: Image, landmarks: Array) -> Array:
    """The aligned face, float32 ``[48, 48]``, of mean 0 and deviation 1.

    Parameters
    ----------
    image
        uint8 ``[h, w, 3]`` RGB, or grey ``[h, w]``.
    landmarks
        ``[478, 3]`` in its pixels.
    """
    import cv2

    transform = crop_transform(landmarks)
    shrink = int(1.0 / max(float(np.hypot(transform[0, 0], transform[0, 1])), 1e-3))
    if shrink > 1:
        image, transform = _reduced(image, transform, shrink)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    crop = cv2.warpAffine(grey, transform, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    values = crop.astype(np.float32)
    contrast = max(float(values.std()), _LEAST_CONTRAST)
    return np.asarray((values - values.mean()) / contrast, np.float32)


def face_look(image: Image, landmarks: Array) -> Array:
    """What tells a face from others for a few seconds, float32 ``[64]`` of length 1; as ``face_crop`` takes it.

    On four people who talk, a face keeps within 0.3 of how it began (one less the product), others are beyond 0.4.
    """
    import cv2

    coarse = cv2.resize(face_crop(image, landmarks), (8, 8), interpolation=cv2.INTER_AREA).ravel()
    return np.asarray(coarse / max(float(np.linalg.norm(coarse)), 1e-6), np.float32)


def _reduced(image: Image, transform: Array, factor: int) -> tuple[Image, Array]:
    """The part of the picture that the crop shows, ``factor`` times smaller without aliasing, and its transform."""
    import cv2

    inverse = cv2.invertAffineTransform(transform)
    corners = inverse @ np.array([[0, SIDE, 0, SIDE], [0, 0, SIDE, SIDE], [1, 1, 1, 1]], np.float32)
    height, width = image.shape[:2]
    x0, y0 = (int(np.clip(corners[i].min() - factor, 0, side - 1)) for i, side in enumerate((width, height)))
    x1, y1 = (int(np.clip(corners[i].max() + factor, 1, side)) for i, side in enumerate((width, height)))
    part = image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    size = (max(part.shape[1] // factor, 1), max(part.shape[0] // factor, 1))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    scale = np.array([part.shape[1] / size[0], part.shape[0] / size[1]], np.float32)
    moved = transform.copy()
    # pixel centres: where x_small is, x_part is (x_small + 0.5) * scale - 0.5
    moved[:, 2] += transform[:, :2] @ (0.5 * scale - 0.5 + np.array([x0, y0], np.float32))
    moved[:, :2] = transform[:, :2] * scale
    return np.asarray(small, np.uint8), moved
