"""Seventeen measures that follow what OpenFace calls action units, read off the aligned mesh.

Each is a weighted sum of distances between points (or middles of points), less the same sum on the average
neutral face, in eye distances: about 0 on a neutral face, larger when the unit is more active. FACS numbers:
Ekman and Friesen 1978.
"""

from __future__ import annotations

from functools import cache
from itertools import chain

import numpy as np

from miar_rt.features.face_geometry import LANDMARKS, neutral_face
from miar_rt.input_spec import ACTION_UNITS
from miar_rt.signals import Array

Group = tuple[int, ...]
Term = tuple[float, Group, Group]

_UPPER_LID, _LOWER_LID = ((158, 159, 160), (385, 386, 387)), ((144, 145, 153), (373, 374, 380))
_INNER_CORNER, _OUTER_CORNER, _EYE = ((133,), (362,)), ((33,), (263,)), ((33, 133), (263, 362))
_INNER_BROW, _MID_BROW, _OUTER_BROW = ((55, 107), (285, 336)), ((52, 105), (282, 334)), ((63, 105), (293, 334))
_CHEEK, _CHEEKBONE, _IRIS = ((50, 205), (280, 425)), ((118, 101), (347, 330)), ((468,), (473,))
_NOSTRIL, _LIP_CORNER, _UPPER_LIP = ((48, 64), (278, 294)), ((61,), (291,)), ((37, 39), (267, 269))
_BRIDGE, _MID_NOSE, _NOSE_BASE, _CHIN = (6, 168), (6, 197), (2,), (152,)
_LIPS_TOP, _UPPER_INSIDE, _LOWER_INSIDE, _LIPS_BOTTOM = (0,), (13,), (14,), (17,)
Pair = tuple[Group, Group]


def _both(weight: float, a: Pair, b: Pair) -> list[Term]:
    """The mean of the right and the left side."""
    return [(weight / 2, a[side], b[side]) for side in (0, 1)]


def _middle(weight: float, a: Pair, b: Group) -> list[Term]:
    """The mean of the right and the left side's distance to a point on the middle line."""
    return [(weight / 2, a[side], b) for side in (0, 1)]


_MEASURES: dict[str, list[Term]] = {
    # inner, then outer half of the brow up
    "AU01": _middle(1.0, _INNER_BROW, _MID_NOSE),
    "AU02": _both(1.0, _OUTER_BROW, _OUTER_CORNER),
    # brows down and together
    "AU04": [*_both(-0.5, _INNER_BROW, _INNER_CORNER), *_both(-0.5, _MID_BROW, _EYE), (-0.25, *_INNER_BROW)],
    # upper lid away from the iris
    "AU05": _both(1.0, _UPPER_LID, _IRIS),
    # cheek towards the eye; lower lid up and the eye narrow
    "AU06": [*_both(-1.0, _CHEEK, _OUTER_CORNER), *_both(-0.5, _CHEEKBONE, _LOWER_LID)],
    "AU07": [*_both(-1.0, _LOWER_LID, _EYE), *_both(-0.3, _UPPER_LID, _LOWER_LID)],
    # nostrils up and wide; upper lip up more than the corners of the mouth
    "AU09": [*_both(-1.0, _NOSTRIL, _INNER_CORNER), (1.0, *_NOSTRIL)],
    "AU10": [*_middle(-1.0, _UPPER_LIP, _BRIDGE), *_middle(0.5, _LIP_CORNER, _BRIDGE)],
    # corners of the mouth up and apart; apart with the lips flat; down below the middle of the mouth
    "AU12": [*_both(-1.0, _LIP_CORNER, _OUTER_CORNER), (1.0, *_LIP_CORNER)],
    "AU14": [(1.0, *_LIP_CORNER), (-1.0, _LIPS_TOP, _LIPS_BOTTOM)],
    "AU15": [*_middle(1.0, _LIP_CORNER, _BRIDGE), (-1.0, (*_LIPS_TOP, *_LIPS_BOTTOM), _BRIDGE)],
    # lower lip pushed up by the chin
    "AU17": [(1.0, _LIPS_BOTTOM, _CHIN), (-0.5, _LIPS_BOTTOM, _NOSE_BASE)],
    # corners of the mouth apart without going up
    "AU20": [(1.0, *_LIP_CORNER), *_both(0.5, _LIP_CORNER, _EYE)],
    # red of the lips narrow, mouth shut
    "AU23": [
        (-1.0, _LIPS_TOP, _UPPER_INSIDE),
        (-1.0, _LOWER_INSIDE, _LIPS_BOTTOM),
        (-0.5, _UPPER_INSIDE, _LOWER_INSIDE),
    ],
    "AU25": [(1.0, _UPPER_INSIDE, _LOWER_INSIDE)],
    "AU26": [(1.0, _BRIDGE, _CHIN)],
    "AU45": _both(-1.0, _UPPER_LID, _LOWER_LID),
}


@cache
def _tables() -> tuple[Array, Array, Array]:
    """Averages ``[2 terms, 478]``, weights ``[17, terms]`` and the neutral face's own sums ``[17]``."""
    terms = list(chain.from_iterable(_MEASURES[name] for name in ACTION_UNITS))
    averages = np.zeros((2, len(terms), LANDMARKS), np.float32)
    weights = np.zeros((len(ACTION_UNITS), len(terms)), np.float32)
    owners = [row for row, name in enumerate(ACTION_UNITS) for _ in _MEASURES[name]]
    for column, (weight, *groups) in enumerate(terms):
        weights[owners[column], column] = weight
        for end, group in enumerate(groups):
            averages[end, column, list(group)] = 1.0 / len(group)
    averages = averages.reshape(2 * len(terms), LANDMARKS)
    return averages, weights, weights @ _distances(neutral_face(), averages)


def _distances(mesh: Array, averages: Array) -> Array:
    ends = averages @ mesh
    half = len(ends) // 2
    return np.asarray(np.sqrt(np.square(ends[:half] - ends[half:]).sum(axis=1)), np.float32)


def action_units(mesh: Array) -> Array:
    """Measures float32 ``[17]`` in the order of ``ACTION_UNITS`` of an aligned mesh ``[478, 3]``."""
    averages, weights, neutral = _tables()
    return np.asarray(weights @ _distances(mesh, averages) - neutral, np.float32)
