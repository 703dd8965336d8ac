"""Which face is which from one picture to the next, and which of them is the primary one; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np

from miar_rt.features.face_tracker import CLEARLY_LARGER, breadth
from miar_rt.signals import Array, Box

FORGET_SECONDS = 2.0
"""A face that is not seen for so long is forgotten, with how it looked: it comes back as another."""

MISSED_SECONDS = 0.4
"""A face may be missed for so long (a blink of the tracker) before it counts as gone."""

REACH, SPEED = 0.75, 1.5
"""A face can be so far from where it was, in its widths, and so much further with every second it was not seen."""

LOOK_WEIGHT = 3.0
"""Faces cross within a fraction of a width: then how they look has to outweigh where they are."""

UNLIKE = 0.5
"""Faces that were hidden, and look less like what they were than this, are others."""

STRANGER = 2.0
"""What it costs to take a face for one that was not there before."""

SETTLE_SECONDS = 0.4
"""While a known face is hidden, one that is not like it may be a part of it: so long it can come forth."""

_LEARN_SECONDS = 1.0

Option: TypeAlias = "tuple[int | None, float]"
"""A known face or a new one, and what it costs to take a sighting for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A face in a picture: its box in pixels, and how it looks, float32 ``[n]`` of length 1."""

    box: Box
    look: Array


@dataclass(slots=True, eq=False)
class _Known:
    """A face as it was when it was last seen, at ``t``; look and width settle slowly."""

    t: float
    place: Array
    width: float
    look: Array

    def see(self, t: float, sighting: Sighting) -> None:
        share = min(max(t - self.t, 0.0) / _LEARN_SECONDS, 1.0)
        self.t, self.place = t, _place(sighting.box)
        self.width += share * (breadth(sighting.box) - self.width)
        look = self.look + np.float32(share) * (sighting.look - self.look)
        self.look = look / max(float(np.linalg.norm(look)), 1e-6)

    def cost(self, t: float, sighting: Sighting) -> float | None:
        """How unlikely it is that this face is seen there at ``t``; ``None`` where it cannot be."""
        gone = max(t - self.t, 0.0)
        away = float(np.hypot(*(_place(sighting.box) - self.place))) / max(self.width, breadth(sighting.box))
        unlike = 1.0 - float(self.look @ sighting.look)
        if away > REACH + SPEED * gone or (gone > MISSED_SECONDS and unlike > UNLIKE):
            return None
        return away + LOOK_WEIGHT * unlike


class FaceIds:
    """Numbers for faces, kept while they move, cross and are hidden for up to ``FORGET_SECONDS``.

    Attributes
    ----------
    primary
        The largest face when it was chosen, kept until it is gone or another is clearly larger.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._last = 0
        self._odd_since: float | None = None
        self.primary: int | None = None

    def follow(self, t: float, sightings: Sequence[Sighting]) -> list[int | None]:
        """The id of each face of the picture captured at ``t``; ``None`` where that is not sure yet."""
        self._known = {name: one for name, one in self._known.items() if t - one.t <= FORGET_SECONDS}
        matched = self._match(t, sightings)
        hidden = self._known.keys() - set(matched)
        self._odd_since = (self._odd_since or t) if hidden and None in matched else None
        awaited = self._odd_since is not None and t - self._odd_since < SETTLE_SECONDS
        found = [
            None if name is None and awaited else self._see(t, name, one)
            for name, one in zip(matched, sightings, strict=True)
        ]
        self._choose(t, [name for name in found if name is not None])
        return found

    def _match(self, t: float, sightings: Sequence[Sighting]) -> list[int | None]:
        """The known face that each one is, or ``None``, at the least cost in all."""
        choices = product(*(list(self._options(t, one)) for one in sightings))
        best = min(filter(_distinct, choices), key=lambda choice: sum(cost for _, cost in choice))
        return [name for name, _ in best]

    def _options(self, t: float, sighting: Sighting) -> Iterator[Option]:
        yield None, STRANGER
        for name, known in self._known.items():
            cost = known.cost(t, sighting)
            if cost is not None:
                yield name, cost

    def _see(self, t: float, name: int | None, sighting: Sighting) -> int:
        if name is not None:
            self._known[name].see(t, sighting)
            return name
        self._last += 1
        self._known[self._last] = _Known(t, _place(sighting.box), breadth(sighting.box), sighting.look)
        return self._last

    def _choose(self, t: float, found: Sequence[int]) -> None:
        held = self._known.get(self.primary) if self.primary is not None else None
        largest = max(found, key=lambda name: self._known[name].width, default=None)
        if largest is None:
            self.primary = None if held is None else self.primary
        elif (
            held is None or t - held.t > MISSED_SECONDS or self._known[largest].width > CLEARLY_LARGER * held.width
        ):
            self.primary = largest


def _distinct(choice: Sequence[Option]) -> bool:
    """Whether no face is in two places."""
    names = [name for name, _ in choice if name is not None]
    return len(set(names)) == len(names)


def _place(box: Box) -> Array:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], np.float32)
