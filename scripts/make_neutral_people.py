"""Make miar_rt/features/neutral_people.npz: what voices and faces are like when people are neutral.

Usage: python scripts/make_neutral_people.py DATA, a folder with ravdess/, ravdess_au.npz and fer2013_train.npz.
What is extracted is kept in the feature cache.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miar_rt.input_spec import SPEC
from miar_rt.neutral import POPULATION, estimator, telling
from miar_rt.signals import EMOTIONS, Array
from miar_rt.training.action_units import read_action_units
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import Clip, read_fer2013, read_ravdess
from miar_rt.training.extract import extract_clips, extract_stills, face_rows, mirrored
from miar_rt.training.persons import PLAIN_NEUTRAL
from miar_rt.training.recipe import Recipe

Floats = NDArray[np.float64]
Parts = dict[str, Floats]


def training_clips(data: Path) -> list[Clip]:
    """RAVDESS without the actors that are validated on."""
    return [c for c in read_ravdess(data / "ravdess") if c.actor not in Recipe().validation_actors]


def voices(data: Path) -> Parts:
    """Over actors: the middle one's neutral, the usual spread within one, how they differ, what moods do."""
    clips = training_clips(data)
    grids = extract_clips(clips, 0, FeatureCache(), progress=True)
    found = []
    for actor in sorted({clip.actor for clip in clips}):
        one = estimator("audio")
        for i, clip in enumerate(clips):
            if clip.actor == actor and clip.emotion == PLAIN_NEUTRAL:
                one.add(telling("audio", grids[i]))
        found.append(one.neutral())
    own = dict(zip(sorted({clip.actor for clip in clips}), (n.location for n in found), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # channels that are no traits are NaN in everybody
        moved = [np.nanmedian(telling("audio", grids[i]), axis=0) - own[clip.actor] for i, clip in enumerate(clips)]
        return {
            "location": np.nanmedian([n.location for n in found], axis=0),
            "spread": np.nanmedian([n.spread for n in found], axis=0),
            "between": np.nanstd([n.location for n in found], axis=0),
            "moods": by_class(moved, [clip.label for clip in clips]),
        }


def by_class(values: Sequence[Floats] | Floats, labels: Sequence[int] | NDArray[np.int64]) -> Floats:
    """Mean of ``values [n, channels]`` in each class."""
    rows, of = np.asarray(values), np.asarray(labels)
    return np.stack([np.nanmean(rows[of == label], axis=0) for label in range(len(EMOTIONS))])


def still_rows(data: Path) -> tuple[Array, NDArray[np.int64]]:
    """Face channels of FER2013's faces, each way round, and their labels."""
    stills = read_fer2013(data / "fer2013_train.npz")
    landmarks = extract_stills(stills.images, FeatureCache(), progress=True)
    found = np.isfinite(landmarks[:, 0, 0])
    height, width = stills.images.shape[1:]
    both = [face_rows(p, width, height) for p in (landmarks[found], mirrored(landmarks[found], width))]
    return np.concatenate(both), np.tile(stills.labels[found], 2)


def faces(rows: Array, labels: NDArray[np.int64]) -> Parts:
    """The middle face, how faces differ, what moods do.

    How much one person's neutral face varies cannot be told from stills: left open.
    """
    told = telling("vision", rows).astype(np.float64)
    neutral = told[labels == EMOTIONS.index("neutral")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # channels that are no traits are NaN in everybody
        location = np.nanmedian(neutral, axis=0)
        moods = by_class(told, labels) - np.nanmean(neutral, axis=0)
        return {
            "location": location,
            "spread": np.full(rows.shape[1], np.nan),
            "between": np.nanstd(neutral, axis=0),
            "moods": moods,
        }


def openface(data: Path, measures: Floats, neutral: Floats) -> tuple[Floats, Floats]:
    """What takes OpenFace's intensities to our ``measures [n, 17]``, of which ``neutral [17]`` is the middle."""
    units, clips = read_action_units(data / "ravdess_au.npz"), training_clips(data)
    given = np.stack([units[clip.path.stem] for clip in clips]).astype(np.float64)
    gain = measures.std(axis=0) / given.std(axis=0)
    plain = given[[clip.emotion == PLAIN_NEUTRAL for clip in clips]]
    return gain, neutral - gain * plain.mean(axis=0)


def main() -> None:
    """Write the file."""
    data = Path(sys.argv[1])
    target = Path(__file__).parent.parent / "miar_rt" / "features" / POPULATION
    rows, labels = still_rows(data)
    parts = {"audio": voices(data), "vision": faces(rows, labels)}
    named = {f"{name}_{what}": part for name, one in parts.items() for what, part in one.items()}
    units = SPEC.vision_groups["units"]
    gain, offset = openface(data, rows[:, units].astype(np.float64), parts["vision"]["location"][units])
    named |= {"openface_gain": gain, "openface_offset": offset}
    np.savez_compressed(target, **{name: part.astype(np.float32) for name, part in named.items()})
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
