"""Several faces followed at once, each under a number of its own."""

from __future__ import annotations

from collections.abc import Mapping

from miar_rt.features.face_crop import face_look
from miar_rt.features.face_ids import FaceIds, Sighting
from miar_rt.features.face_tracker import COMPANY, Image, Mesh, breadth, extent
from miar_rt.signals import Array

MOST_FACES = 4


class SeveralFaces:
    """Follows up to ``faces`` faces; FaceMesh looks for more in every picture while there are fewer.

    Attributes
    ----------
    seen
        Landmarks ``[478, 3]`` of every face of the last picture, in its pixels, by id.
    company
        Whether another face is not much smaller than the primary one.
    """

    def __init__(self, faces: int) -> None:
        self._mesh = Mesh(confidence=0.5, faces=faces)
        self._ids = FaceIds()
        self.seen: Mapping[int, Array] = {}
        self.company = False

    @property
    def primary(self) -> int | None:
        """Id of the primary face, if there is one; it may be missing among ``seen``."""
        return self._ids.primary

    def find(self, t: float, image: Image) -> Array | None:
        """Landmarks float32 ``[478, 3]`` of the primary face of the picture captured at ``t``, in pixels."""
        found = self._mesh.find_all(image)
        sightings = [Sighting(extent(face), face_look(image, face)) for face in found]
        named = zip(self._ids.follow(t, sightings), found, strict=True)
        self.seen = {name: face for name, face in named if name is not None}
        primary = self.seen.get(self.primary) if self.primary is not None else None
        if primary is not None:
            least = COMPANY * breadth(extent(primary))
            self.company = sum(breadth(extent(face)) >= least for face in found) > 1
        return primary

    def close(self) -> None:
        """Free the network."""
        self._mesh.close()
