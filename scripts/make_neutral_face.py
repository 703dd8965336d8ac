"""Make miar_rt/features/neutral_face.npz: the average neutral face that every mesh is laid onto.

Usage: python scripts/make_neutral_face.py PATH/fer2013_train.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miar_rt.features.face_geometry import LANDMARKS, LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS, RIGID, fit_similarity
from miar_rt.features.face_tracker import FaceOfStill

FACES = 1500
ROUNDS = 5
MIRROR = np.array([-1.0, 1.0, 1.0])
Points = NDArray[np.float64]


def read_landmarks(path: Path) -> Points:
    """Landmarks ``[faces, 478, 3]`` in pixels of the first neutral pictures."""
    with np.load(path) as data:
        images = data["images"][data["labels"] == 0][:FACES]
    finder = FaceOfStill()
    faces = (finder.find(0.0, np.repeat(image[:, :, None], 3, axis=2)) for image in images)
    found = [face for face in faces if face is not None]
    finder.close()
    return np.array(found, np.float64)


def average(faces: Points) -> Points:
    """Median of the faces after generalised Procrustes analysis on the rigid points."""
    mean = upright(faces.mean(axis=0))
    for _ in range(ROUNDS):
        laid = []
        for face in faces:
            scale, rotation, shift = fit_similarity(face[list(RIGID)], mean[list(RIGID)])
            laid.append((face - shift) @ rotation / scale)
        mean = upright(symmetrical(np.median(laid, axis=0)))
    return mean


def upright(face: Points) -> Points:
    """The face with the middle between its eyes at the origin and its eyes one unit apart."""
    right, left = face[list(RIGHT_EYE_CORNERS)].mean(axis=0), face[list(LEFT_EYE_CORNERS)].mean(axis=0)
    return (face - (right + left) / 2) / np.linalg.norm(left - right)


def symmetrical(face: Points) -> Points:
    """The mean of the face and its mirror image; twins are the points nearest to each other's mirror place.

    Points that have no twin yet, as some have in the first round, stay where they are.
    """
    mirrored = face * MIRROR
    twin = np.linalg.norm(face[:, None] - mirrored[None], axis=2).argmin(axis=1)
    mutual = twin[twin] == np.arange(LANDMARKS)
    return np.where(mutual[:, None], (face + mirrored[twin]) / 2, face)


def main() -> None:
    """Write the file."""
    faces = read_landmarks(Path(sys.argv[1]))
    mean = average(faces)
    target = Path(__file__).parent.parent / "miar_rt" / "features" / "neutral_face.npz"
    np.savez_compressed(target, landmarks=mean.round(4).astype(np.float32))
    print(f"{target}: median of {len(faces)} faces, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
