"""Feature frames of somebody who speaks and is looked at, as the extractors give them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from miar_rt.input_spec import ACOUSTICS, SPEC, VOICED_DESCRIPTORS
from miar_rt.signals import FeatureFrame

PITCH, WIDTH = VOICED_DESCRIPTORS.start, len(ACOUSTICS)
UNITS = SPEC.vision_groups["units"]


def voice_frames(seconds: float, speech: float = 1.0, pitch: float = 30.0) -> Iterator[FeatureFrame]:
    """Speech in the first ``speech`` of the time, voiced in every second 40 ms, at level 2; then noise at 9."""
    random = np.random.default_rng(0)
    for i in range(round(seconds * 100)):
        t, speaking = 0.01 * i, 0.01 * i < speech * seconds
        voiced = speaking and i // 4 % 2 == 0
        values = np.full(WIDTH, 2.0 if speaking else 9.0, np.float32)
        values += random.normal(0, 0.1, WIDTH).astype(np.float32)
        values[PITCH] = pitch + random.normal() if voiced else 0.0
        yield FeatureFrame("acoustic", t, values)
        if i % 3 == 0:
            yield FeatureFrame("voice", t, np.array([0.9 if speaking else 0.1], np.float32))


def face_frames(seconds: float, unit: float = 0.1, seen: float = 1.0) -> Iterator[FeatureFrame]:
    random = np.random.default_rng(1)
    for i in range(round(seconds * 15)):
        values = random.normal(0.0, 0.01, SPEC.widths["vision"]).astype(np.float32)
        values[UNITS] += unit
        valid = i / 15 < seen * seconds
        yield FeatureFrame("face", i / 15, values if valid else np.full_like(values, np.nan), valid)
