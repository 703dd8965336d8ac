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
_INNER_CORNER, _OUTER_CORNER = ((133,), (362,)), ((33,), (263,))
_INNER_BROW, _MID_BROW, _OUTER_BROW = ((55, 107), (285, 336)), ((52, 105), (282, 334)), ((46, 70), (276, 300))
_CHEEK, _CHEEKBONE = ((50, 205), (280, 425)), ((118, 101), (347, 330))
_NOSTRIL, _LIP_CORNER, _UPPER_LIP = ((48, 64), (278, 294)), ((61,), (291,)), ((37, 39), (267, 269))
_BRIDGE, _NOSE_BASE, _CHIN = (6, 168), (2,), (152,)
Pair = tuple[Group, Group]


def _both(weight: float, a: Pair, b: Pair) -> list[Term]:
    """The mean of the right and the left side."""
    return [(weight / 2, a[side], b[side]) for side in (0, 1)]


def _middle(weight: float, a: Pair, b: Group) -> list[Term]:
    """The mean of the right and the left side's distance to a point on the middle line."""
    return [(weight / 2, a[side], b) for side in (0, 1)]


_MEASURES: dict[str, list[Term]] = {
    # inner, then outer end of the brow away from the eye
    "AU01": _both(1.0, _INNER_BROW, _INNER_CORNER),
    "AU02": _both(1.0, _OUTER_BROW, _OUTER_CORNER),
    # brows together and down
    "AU04": [(-1.0, *_INNER_BROW), *_both(-0.5, _INNER_BROW, _INNER_CORNER), *_both(-0.5, _MID_BROW, _LOWER_LID)],
    # upper lid towards the brow
    "AU05": [*_both(1.0, _UPPER_LID, _LOWER_LID), *_both(-0.5, _UPPER_LID, _MID_BROW)],
    # cheek towards the lower lid; lower lid towards the upper one, the brow being where it is
    "AU06": [*_both(-1.0, _CHEEK, _OUTER_CORNER), *_both(-0.5, _CHEEKBONE, _LOWER_LID)],
    "AU07": [*_both(-1.0, _UPPER_LID, _LOWER_LID), *_both(-0.5, _LOWER_LID, _CHEEKBONE)],
    # nostrils, then upper lip towards the bridge of the nose
    "AU09": _middle(-1.0, _NOSTRIL, _BRIDGE),
    "AU10": _middle(-1.0, _UPPER_LIP, _NOSE_BASE),
    # lip corners up and out; drawn in and back; down
    "AU12": [*_both(-1.0, _LIP_CORNER, _OUTER_CORNER), (0.5, *_LIP_CORNER)],
    "AU14": [(1.0, *_LIP_CORNER), (-1.0, (0,), (17,))],
    "AU15": [*_both(1.0, _LIP_CORNER, _OUTER_CORNER), *_middle(-0.5, _LIP_CORNER, _CHIN)],
    # lower lip pushed up by the chin
    "AU17": [(-1.0, (17,), _NOSE_BASE), (0.5, (17,), _CHIN)],
    "AU20": [(1.0, *_LIP_CORNER)],
    # red of the lips narrow
    "AU23": [(-1.0, (0,), (13,)), (-1.0, (14,), (17,))],
    "AU25": [(1.0, (13,), (14,))],
    "AU26": [(1.0, _NOSE_BASE, _CHIN)],
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
