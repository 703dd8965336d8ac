"""What the aligned face looks like, as 64 numbers: what landmarks lack, such as wrinkles, teeth and gaze."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from miar_rt.engines.sessions import Graph, frugal_options, start_session
from miar_rt.features.face_crop import face_crop
from miar_rt.features.face_tracker import Image
from miar_rt.input_spec import APPEARANCE_SLOTS
from miar_rt.signals import Array

GRAPH = Path(__file__).with_name("appearance.onnx")
"""Trained by ``scripts/train_appearance.py`` on FER2013's training part."""


BATCH = 256
"""Crops at a time: enough to gain from, few enough to stay small in memory."""


class AppearanceUnavailable(RuntimeError):  # noqa: N818 - what is the matter, in one word
    """The checkpoint was trained with another appearance network than the one that ships."""


class Appearance:
    """The network of ``miar_rt.training.appearance`` by onnxruntime, on one thread.

    Attributes
    ----------
    name
        For checkpoints, to tell which network they were trained with.
    """

    def __init__(self, graph: Path | None = None) -> None:
        graph = graph or GRAPH
        self.name = f"appearance {hashlib.sha256(graph.read_bytes()).hexdigest()[:12]}"
        self._graph = Graph(lambda providers: start_session(str(graph), frugal_options(), providers))

    @classmethod
    def wanted_by(cls, extractors: Mapping[str, str]) -> Appearance | None:
        """The network that a checkpoint with these ``extractors`` was trained with; ``None`` if with none.

        Raises
        ------
        AppearanceUnavailable
            When it was another than the one that ships.
        """
        wanted = extractors.get("appearance")
        if wanted is None:
            return None
        appearance = cls()
        if appearance.name != wanted:
            raise AppearanceUnavailable(
                f"the checkpoint was trained with {wanted} and this version has {appearance.name}: train it again"
            )
        return appearance

    def embed(self, image: Image, landmarks: Array) -> Array:
        """Embedding float32 ``[64]`` of the face with ``landmarks`` ``[478, 3]`` in ``image``, uint8 RGB."""
        (embedding,) = self.embed_crops(face_crop(image, landmarks)[None])
        return np.asarray(embedding, np.float32)

    def embed_crops(self, crops: Array) -> Array:
        """Embeddings float32 ``[n, 64]`` of crops ``[n, 48, 48]``."""
        parts = [crops[i : i + BATCH] for i in range(0, len(crops), BATCH)]
        found = [self._graph.run(["embedding"], {"crops": part})[0] for part in parts]
        return np.concatenate([np.zeros((0, APPEARANCE_SLOTS), np.float32), *found])
