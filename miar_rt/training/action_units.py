"""Faces of which somebody else's tool has read off the action units: one vector a clip.

OpenFace's intensities (0 to 5) and the measures of our mesh (eye distances) have other units. They are brought
together where they mean the same: OpenFace's mean over neutral clips becomes the average neutral face, and its
spread over clips that of our measures over faces (``scripts/make_neutral_people.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from calibration.baseline import Baseline
from miar_rt.input_spec import ACTION_UNITS, SPEC, InputSpec
from miar_rt.neutral import POPULATION, estimator, personal, telling
from miar_rt.signals import Array
from miar_rt.training.corpora import Clip
from miar_rt.training.persons import neutral_clips

COLUMNS = tuple(f"{name}_r" for name in ACTION_UNITS)
"""OpenFace's names of its intensities."""

CLIP_SECONDS = 3.7
"""For how long the face of a RAVDESS clip is seen, which its means do not say."""

Units = Mapping[str, Array]


def read_action_units(path: Path) -> Units:
    """Clip means of OpenFace's 17 intensities, float32 ``[17]`` in its own unit, by the sound file's stem.

    Parameters
    ----------
    path
        npz with ``audio_name [n]``, ``au_cols [c]`` and ``au_static_mean [n, c]``, which was made without
        calibration to a video.

    Raises
    ------
    ValueError
        When the file cannot be read, or an array is missing or misshapen.
    """
    needed = ("audio_name", "au_cols", "au_static_mean")
    try:
        # opened here, because numpy leaves a file open that turns out to be no archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in needed if name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, BadZipFile) as error:
        raise ValueError(f"{path}: not a readable npz file") from error
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise ValueError(f"{path}: lacks the arrays {', '.join(missing)}")
    names, columns, means = ([*map(str, arrays["audio_name"].flat)], *(arrays[name] for name in needed[1:]))
    order = {str(name): i for i, name in enumerate(columns.flat)}
    absent = [name for name in COLUMNS if name not in order]
    if absent:
        raise ValueError(f"{path}: lacks the action units {', '.join(absent)}")
    if means.shape != (len(names), len(order)) or not np.issubdtype(means.dtype, np.number):
        raise ValueError(f"{path}: au_static_mean must hold a number for each audio_name and each of au_cols")
    chosen = means[:, [order[name] for name in COLUMNS]].astype(np.float32)
    if not np.isfinite(chosen).all():
        raise ValueError(f"{path}: au_static_mean holds what is no number")
    return dict(zip(names, chosen, strict=True))


def unit_rows(clips: Sequence[Clip], units: Units, spec: InputSpec = SPEC) -> Array:
    """Face channels float32 ``[clips, channels]``: the action units as our mesh would measure them, NaN elsewhere.

    A clip whose face is not among ``units`` is NaN throughout.
    """
    rows = np.full((len(clips), spec.widths["vision"]), np.nan, np.float32)
    gain, offset = _scale()
    for row, clip in zip(rows, clips, strict=True):
        if clip.path.stem in units:
            row[spec.vision_groups["units"]] = units[clip.path.stem] * gain + offset
    return rows


def face_baseline(rows: Iterable[Array]) -> Baseline:
    """The face baseline of somebody who is neutral in all of ``rows``, float32 ``[channels]``, one a clip."""
    one = estimator("vision")
    for row in rows:
        one.add(telling("vision", np.tile(row, (round(CLIP_SECONDS * SPEC.vision_rate), 1))))
    return personal({"vision": one.neutral()})["vision"]


def face_baselines(clips: Sequence[Clip], rows: Array, most: int = 4) -> dict[int, Baseline]:
    """The face baseline of every actor of ``clips``, whose faces are ``rows``, as ``persons.voice_baselines``."""
    seen = np.isfinite(rows).any(axis=1)
    chosen = {actor: [i for i in some if seen[i]][:most] for actor, some in neutral_clips(clips).items()}
    return {actor: face_baseline(rows[i] for i in some) for actor, some in chosen.items() if some}


@cache
def _scale() -> tuple[Array, Array]:
    with (files("miar_rt.features") / POPULATION).open("rb") as stream, np.load(stream) as stored:
        return stored["openface_gain"], stored["openface_offset"]
