"""From windows to a person's neutral and back: which rows and channels tell what a person is like at rest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

import numpy as np

from calibration.baseline import Baseline, Neutral, NeutralEstimator, Population
from miar_rt.input_spec import ACOUSTICS, SPEC, VOICED_DESCRIPTORS, InputSpec
from miar_rt.signals import Array, FeatureFrame, Modality
from miar_rt.window import WindowBuilder

MEASURED: tuple[Modality, ...] = ("audio", "vision")
"""Modalities that a person has a neutral in. Words have none: everybody means the same by them."""

SPEECH = 0.5
"""Voice-activity probability from which a row counts as the person's voice."""

LOCATION_SECONDS: Mapping[Modality, float] = {"audio": 2.0, "vision": 1.0}
SPREAD_SECONDS: Mapping[Modality, float] = {"audio": 8.0, "vision": 8.0}
"""Of voiced sound or seen face: after so long a person's own counts half. Chosen on RAVDESS actors 1 to 16 by
classifiers that had not heard or seen the actor; results are flat around them (docs/calibration.md)."""

POPULATION = "neutral_people.npz"


def inputs_name(spec: InputSpec = SPEC) -> str:
    """Short name of an input table, by which a profile knows its own."""
    table = json.dumps(spec.to_json(), sort_keys=True).encode()
    return f"{spec.version}-{hashlib.sha256(table).hexdigest()[:12]}"


@cache
def population() -> Mapping[Modality, Population]:
    """What people are like when neutral, by modality (``scripts/make_neutral_people.py``)."""
    with (files("miar_rt.features") / POPULATION).open("rb") as stream, np.load(stream) as stored:
        return {
            name: Population(
                stored[f"{name}_location"].astype(np.float64),
                stored[f"{name}_spread"].astype(np.float64),
                LOCATION_SECONDS[name],
                SPREAD_SECONDS[name],
            )
            for name in MEASURED
        }


def personal(neutral: Mapping[str, Neutral]) -> dict[Modality, Baseline]:
    """The baselines of a person of whom ``neutral`` was measured."""
    return {name: Baseline.of(neutral[name], population()[name]) for name in MEASURED if name in neutral}


def estimator(modality: Modality, spec: InputSpec = SPEC) -> NeutralEstimator:
    """An estimator for the rows of a modality."""
    return NeutralEstimator(spec.widths[modality], spec.audio_rate if modality == "audio" else spec.vision_rate)


def telling(modality: Modality, rows: Array, spec: InputSpec = SPEC) -> Array:
    """The rows ``[n, channels]`` that tell what a person is like, with NaN in channels that do not.

    Sound counts while there is a voice, and pitch-bound descriptors, which are NaN elsewhere, while it has a
    pitch. Of a face its shape counts and not its place.
    """
    kept = np.full_like(rows, np.nan)
    if modality == "audio":
        kept[:, : len(ACOUSTICS)] = rows[:, : len(ACOUSTICS)]
        return np.asarray(kept[np.nan_to_num(rows[:, -1]) >= SPEECH])
    for group in ("mesh", "units"):
        columns = spec.vision_groups[group]
        kept[:, columns] = rows[:, columns]
    return np.asarray(kept[np.isfinite(kept).any(axis=1)])


def measure(frames: Iterable[FeatureFrame], spec: InputSpec = SPEC) -> dict[str, Neutral]:
    """What a stretch of feature frames tells of one person, by modality; nothing of what was not there.

    The rows are those of the window, so that a baseline is in the units it is applied to.
    """
    kept = list(frames)
    if not kept:
        return {}
    begin, end = min(frame.t for frame in kept), max(frame.t for frame in kept)
    seconds = math.ceil(end - begin) + 1.0
    builder = WindowBuilder(replace(spec, audio_seconds=seconds, vision_seconds=seconds))
    for frame in kept:
        builder.push(frame)
    window = builder.raw(end)
    found: dict[str, Neutral] = {}
    for name in MEASURED:
        rows = telling(name, window.values[name], spec)
        if len(rows):
            one = estimator(name, spec)
            one.add(rows)
            found[name] = one.neutral()
    return found


def known_seconds(modality: Modality, neutral: Neutral) -> float:
    """Seconds of voiced sound or of a seen face that a neutral rests on."""
    return float(neutral.seconds[VOICED_DESCRIPTORS].max() if modality == "audio" else neutral.seconds.max())
