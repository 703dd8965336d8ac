"""Ids of faces: kept through movement, crossing and short loss, new for who is new; and which face is primary."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miar_rt.features.face_ids import FORGET_SECONDS, SETTLE_SECONDS, FaceIds, Sighting

FPS = 25
WIDTH = 100.0


def look(person: str, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """How a person looks: one direction for each, and how far it strays from that."""
    values = np.random.default_rng(ord(person)).normal(size=64)
    values = values / np.linalg.norm(values)
    values += noise * np.random.default_rng(seed).normal(size=64) / 8.0
    return (values / np.linalg.norm(values)).astype(np.float32)


def seen(person: str, x: float, y: float = 200.0, width: float = WIDTH, seed: int = 0) -> Sighting:
    box = (x - width / 2, y - width / 2, x + width / 2, y + width / 2)
    return Sighting(box, look(person, 0.4, seed))


def follow(ids: FaceIds, step: int, places: Mapping[str, float]) -> dict[str, int | None]:
    """The ids of persons at these places, seen in an order that says nothing."""
    persons = sorted(places, key=lambda person: ord(person) * step % 7)
    found = ids.follow(step / FPS, [seen(person, places[person], seed=step) for person in persons])
    return dict(zip(persons, found, strict=True))


def test_four_faces_keep_their_ids() -> None:
    ids = FaceIds()
    first = follow(ids, 0, {"a": 100.0, "b": 300.0, "c": 500.0, "d": 700.0})
    assert sorted(first.values()) == [1, 2, 3, 4]  # type: ignore[type-var]
    for step in range(1, 100):
        moved = {person: 100.0 + 200.0 * i + 2.0 * step for i, person in enumerate("abcd")}
        assert follow(ids, step, moved) == first


@settings(max_examples=40, deadline=None)
@given(speed=st.floats(2.0, 12.0), hidden=st.floats(0.0, 0.9), swapped=st.booleans())
def test_ids_outlast_a_crossing(speed: float, hidden: float, swapped: bool) -> None:
    """``b`` goes behind ``a``, who comes the other way, and is not seen while they overlap by that much."""
    ids, names = FaceIds(), "ba" if swapped else "ab"
    first: dict[str, int | None] = {}
    for step in range(120):
        a, b = 400.0 + speed * (step - 50), 400.0 - speed * (step - 50)
        places = {"a": a, "b": b} if abs(a - b) > hidden * WIDTH else {"a": a}
        found = follow(ids, step, {person: places[person] for person in names if person in places})
        first = first or found
        assert all(found[person] in {first[person], None} for person in found)
    assert found == first


@pytest.mark.parametrize("lost", [0.2, 1.0, FORGET_SECONDS - 0.1])
def test_a_face_that_is_lost_for_a_moment_keeps_its_id(lost: float) -> None:
    ids = FaceIds()
    first = follow(ids, 0, {"a": 100.0, "b": 300.0})
    for step in range(1, round(lost * FPS)):
        assert follow(ids, step, {"b": 300.0}) == {"b": first["b"]}
    assert follow(ids, round(lost * FPS), {"a": 130.0, "b": 300.0}) == first


def test_who_comes_back_later_is_another() -> None:
    ids = FaceIds()
    first = follow(ids, 0, {"a": 100.0, "b": 300.0})
    step = round((FORGET_SECONDS + 0.2) * FPS)
    for early in range(1, step):
        follow(ids, early, {"b": 300.0})
    assert follow(ids, step, {"a": 100.0, "b": 300.0}) == {"a": 3, "b": first["b"]}


def test_somebody_else_in_the_place_of_a_hidden_face_is_awaited_and_then_new() -> None:
    ids = FaceIds()
    follow(ids, 0, {"a": 100.0})
    told = [follow(ids, step, {"z": 105.0})["z"] for step in range(20, 20 + FPS)]
    sure = told.index(2)
    assert told == [None] * sure + [2] * (FPS - sure)
    assert sure / FPS == pytest.approx(SETTLE_SECONDS, abs=1.5 / FPS)


def primary_after(ids: FaceIds, begin: int, steps: int, widths: Mapping[str, float]) -> int | None:
    places = {"a": 150.0, "b": 550.0}
    for step in range(begin, begin + steps):
        ids.follow(step / FPS, [seen(person, places[person], width=width) for person, width in widths.items()])
    return ids.primary


def test_the_largest_face_is_primary_until_another_is_clearly_larger() -> None:
    ids = FaceIds()
    assert primary_after(ids, 0, 10, {"b": 80.0, "a": 100.0}) == 2
    assert primary_after(ids, 10, 50, {"b": 115.0, "a": 100.0}) == 2
    assert primary_after(ids, 60, 50, {"b": 140.0, "a": 100.0}) == 1


def test_the_primary_face_is_given_up_once_it_is_gone() -> None:
    ids = FaceIds()
    assert primary_after(ids, 0, 10, {"a": 120.0, "b": 100.0}) == 1
    assert primary_after(ids, 10, 9, {"b": 100.0}) == 1
    assert primary_after(ids, 19, 4, {"b": 100.0}) == 2
    assert primary_after(ids, 23, 10, {"a": 120.0, "b": 100.0}) == 2
    assert primary_after(ids, 33, 80, {}) is None
