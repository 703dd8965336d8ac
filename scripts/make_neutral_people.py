"""Make miar_rt/features/neutral_people.npz: what voices and faces are like when people are neutral.

Usage: python scripts/make_neutral_people.py DATA, a folder with ravdess/ and fer2013_train.npz. What is extracted
is kept in the feature cache.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miar_rt.neutral import POPULATION, estimator, telling
from miar_rt.signals import EMOTIONS
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import read_fer2013, read_ravdess
from miar_rt.training.extract import extract_clips, extract_stills, face_rows, mirrored
from miar_rt.training.recipe import Recipe

PLAIN_NEUTRAL = 1
Floats = NDArray[np.float64]


def voices(data: Path) -> tuple[Floats, Floats]:
    """The middle actor's location, and the usual spread within one, over plain neutral clips."""
    clips = [c for c in read_ravdess(data / "ravdess") if c.actor not in Recipe().validation_actors]
    grids = extract_clips(clips, 0, FeatureCache(), progress=True)
    found = []
    for actor in sorted({clip.actor for clip in clips}):
        one = estimator("audio")
        for i, clip in enumerate(clips):
            if clip.actor == actor and clip.emotion == PLAIN_NEUTRAL:
                one.add(telling("audio", grids[i]))
        found.append(one.neutral())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # channels that are no traits are NaN in everybody
        return np.nanmedian([n.location for n in found], axis=0), np.nanmedian([n.spread for n in found], axis=0)


def faces(data: Path) -> tuple[Floats, Floats]:
    """The middle face. How much one person's neutral face varies cannot be told from stills: left open."""
    stills = read_fer2013(data / "fer2013_train.npz")
    landmarks = extract_stills(stills.images, FeatureCache(), progress=True)
    kept = landmarks[(stills.labels == EMOTIONS.index("neutral")) & np.isfinite(landmarks[:, 0, 0])]
    height, width = stills.images.shape[1:]
    rows = np.concatenate([face_rows(points, width, height) for points in (kept, mirrored(kept, width))])
    known = telling("vision", rows)
    location = np.full(rows.shape[1], np.nan)
    traits = np.isfinite(known).any(axis=0)
    location[traits] = np.nanmedian(known[:, traits], axis=0)
    return location, np.full(rows.shape[1], np.nan)


def main() -> None:
    """Write the file."""
    data = Path(sys.argv[1])
    target = Path(__file__).parent.parent / "miar_rt" / "features" / POPULATION
    parts = {"audio": voices(data), "vision": faces(data)}
    arrays = {f"{name}_{what}": part.astype(np.float32) for name, pair in parts.items()
              for what, part in zip(("location", "spread"), pair, strict=True)}  # fmt: skip
    np.savez_compressed(target, **arrays)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
