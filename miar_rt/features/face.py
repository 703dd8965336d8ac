"""Face features of pictures: aligned mesh, head pose, action-unit-like measures, appearance. Pictures stop here."""

from __future__ import annotations

from types import TracebackType

import numpy as np

from miar_rt.features.appearance import Appearance
from miar_rt.features.face_geometry import align, head_angles
from miar_rt.features.face_tracker import FaceOfStill, Image, PrimaryFace, extent
from miar_rt.features.face_units import action_units
from miar_rt.features.several_faces import SeveralFaces
from miar_rt.input_spec import SPEC
from miar_rt.signals import Array, Box, Face, FeatureFrame

__all__ = ["FaceExtractor", "face_values"]

NOTHING = np.full(SPEC.widths["vision"], np.nan, np.float32)
"""The values of a picture without a face."""

LONGEST_SIDE = 16_384
"""In pixels; mediapipe ends the whole program when a side has more than 32767."""


class FaceExtractor:
    """Features of the primary face; a context manager.

    Parameters
    ----------
    static
        For unrelated pictures: look for faces anew in each instead of following one.
    appearance
        Fills the appearance slots; without it they are NaN.
    faces
        Follow up to so many: with more than one a frame's ``faces`` hold all of them.
    """

    def __init__(self, *, static: bool = False, appearance: Appearance | None = None, faces: int = 1) -> None:
        self._appearance = appearance
        self._finder = FaceOfStill() if static else PrimaryFace() if faces == 1 else SeveralFaces(faces)
        self._landmarks: Array | None = None

    def __enter__(self) -> FaceExtractor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the network; may be called again."""
        self._finder.close()

    @property
    def landmarks(self) -> Array | None:
        """Landmarks float32 ``[478, 3]`` of the last picture's face in its pixels, or ``None``."""
        return self._landmarks

    def extract(self, t: float, image: Image) -> FeatureFrame:
        """Features of one picture, uint8 ``[h, w, 3]`` in RGB order, captured at ``t``.

        The frame is not valid, and its values are NaN, where there is no face.

        Raises
        ------
        TypeError, ValueError
            ``image`` is not uint8, not ``[h, w, 3]``, empty, or has a side longer than ``LONGEST_SIDE``.
        """
        image = _checked(image)
        self._landmarks = self._finder.find(t, image)
        faces = self._several(image, self._finder) if isinstance(self._finder, SeveralFaces) else ()
        primary = next((face.values for face in faces if face.primary), None)
        if primary is None and self._landmarks is not None:
            primary = self._values(image, self._landmarks)
        if primary is None:
            return FeatureFrame("face", t, NOTHING.copy(), valid=False, faces=faces)
        return FeatureFrame("face", t, primary, company=self._finder.company, faces=faces)

    def _several(self, image: Image, finder: SeveralFaces) -> tuple[Face, ...]:
        height, width = image.shape[:2]
        return tuple(
            Face(name, _share(extent(one), width, height), name == finder.primary, self._values(image, one))
            for name, one in finder.seen.items()
        )

    def _values(self, image: Image, landmarks: Array) -> Array:
        values = face_values(landmarks, image.shape[1], image.shape[0])
        if self._appearance is not None:
            values[SPEC.vision_groups["appearance"]] = self._appearance.embed(image, landmarks)
        return values

    def extract_still(self, image: Image) -> FeatureFrame:
        """Features of a still, however small or tightly cut; its time is 0. For ``static`` extractors."""
        return self.extract(0.0, image)


def face_values(landmarks: Array, width: int, height: int) -> Array:
    """The face channels of ``InputSpec``, float32 ``[n]``, from landmarks ``[478, 3]`` in pixels of their picture.

    The face's centre counts from the middle of the picture. Appearance slots are NaN: landmarks do not tell.
    """
    mesh, rotation, scale, centre = align(landmarks)
    place = (centre[:2] - (width / 2, height / 2)) / height
    groups = SPEC.vision_groups
    values = np.full(SPEC.widths["vision"], np.nan, np.float32)
    values[groups["mesh"]] = mesh[list(SPEC.mesh_landmarks)].ravel()
    values[groups["pose"]] = (*head_angles(rotation), *place, scale / height)
    values[groups["units"]] = action_units(mesh)
    return values


def _share(box: Box, width: int, height: int) -> Box:
    left, top, right, bottom = (
        min(max(edge / side, 0.0), 1.0) for edge, side in zip(box, (width, height) * 2, strict=True)
    )
    return left, top, right, bottom


def _checked(image: Image) -> Image:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise TypeError(f"a picture must be uint8, not {getattr(image, 'dtype', type(image).__name__)}")
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"a picture must have the shape [height, width, 3], not {list(image.shape)}")
    if max(image.shape) > LONGEST_SIDE:
        raise ValueError(f"a picture may have sides of {LONGEST_SIDE} pixels at most, not {list(image.shape[:2])}")
    return np.ascontiguousarray(image)
