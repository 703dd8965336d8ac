"""Whose mouth moves with the sound, and whose turn it was when."""

from __future__ import annotations

import math

import numpy as np
import pytest

from miar_rt.features.speaker import LOUDNESS, MOUTH, Speaker
from miar_rt.features.turns import MOST_TURNS, NOBODY, Turns
from miar_rt.input_spec import ACOUSTICS, SPEC
from miar_rt.signals import Face, FeatureFrame

BOX = (0.1, 0.1, 0.3, 0.3)


def syllables(seconds: float, seed: int) -> np.ndarray:
    """How loud somebody is, at 100 Hz: bursts of 0.12 to 0.3 s with pauses between them."""
    generator, found = np.random.default_rng(seed), []
    while sum(map(len, found)) < seconds * 100:
        long, pause = generator.integers(12, 30), generator.integers(4, 25)
        burst = generator.uniform(0.4, 1.0) * np.sin(np.linspace(0, np.pi, long)) ** 2
        found += [burst, np.zeros(pause)]
    return np.concatenate(found)[: round(seconds * 100)]


def mouth(opening: float) -> np.ndarray:
    values = np.zeros(SPEC.widths["vision"], np.float32)
    values[MOUTH] = opening, 0.5 * opening, 0.2 * opening
    return values


def sound(t: float, loudness: float) -> FeatureFrame:
    values = np.zeros(len(ACOUSTICS), np.float32)
    values[LOUDNESS] = loudness
    return FeatureFrame("acoustic", t, values)


def converse(speaker: Speaker, loud: np.ndarray, mouths: dict[int, np.ndarray]) -> list[int | None]:
    """Who is believed to speak, at each picture; all at 100 Hz, mouths behind the sound by 0.04 s."""
    noise, told = np.random.default_rng(0), []
    for step, loudness in enumerate(loud):
        t = step / 100
        speaker.heard(sound(t, float(loudness)))
        if step % 4 == 0:
            openings = {name: 0.2 * float(one[max(step - 4, 0)]) for name, one in mouths.items()}
            faces = [Face(name, BOX, False, mouth(one + noise.normal(0, 0.004))) for name, one in openings.items()]
            speaker.saw(t, faces)
            speaker.judge(t)
            told.append(speaker.who)
    return told


@pytest.mark.parametrize("other", ["talks to other words", "is still"])
def test_the_mouth_that_moves_with_the_sound_is_found(other: str) -> None:
    for seed in range(5):
        loud = syllables(8.0, seed)
        quiet = syllables(8.0, seed + 50) if other == "talks to other words" else np.zeros(800)
        told = converse(Speaker(), loud, {1: quiet, 2: loud})
        assert told[-1] == 2
        assert 1 not in told
        assert told.index(2) / 25 < 6.0


def test_of_four_the_one_who_speaks_is_found() -> None:
    loud = syllables(10.0, 3)
    mouths = {1: syllables(10.0, 20), 2: np.zeros(1000), 3: loud, 4: syllables(10.0, 21)}
    assert converse(Speaker(), loud, mouths)[-1] == 3


def test_the_turn_goes_over_within_three_seconds() -> None:
    first, second, still = syllables(6.0, 1), syllables(6.0, 2), np.zeros(600)
    told = converse(Speaker(), np.r_[first, second], {1: np.r_[first, still], 2: np.r_[still, second]})
    assert set(told[100:150]) == {1}
    assert set(told[225:]) == {2}


def test_where_nobody_in_the_picture_speaks_nobody_is_named() -> None:
    speaker = Speaker()
    assert set(converse(speaker, syllables(8.0, 1), {1: np.zeros(800), 2: np.zeros(800)})) == {None}
    assert all(abs(one) < 0.2 for one in speaker.judge(8.0).values())


def test_who_is_not_followed_any_more_does_not_speak() -> None:
    speaker, loud = Speaker(), syllables(6.0, 1)
    converse(speaker, loud, {1: np.zeros(600), 2: loud})
    assert speaker.who == 2
    speaker.forget([1])
    assert speaker.who is None
    assert speaker.judge(6.0).keys() == {1}


def test_five_seconds_and_the_state_are_all_there_is_to_it() -> None:
    """Sessions that are taken up in their middle are given no more."""
    loud, other = syllables(9.0, 5), syllables(9.0, 6)
    whole, later = Speaker(), Speaker()
    for step in range(900):
        for speaker in (whole, later) if step >= 400 else (whole,):
            speaker.heard(sound(step / 100, float(loud[step])))
            if step % 4 == 0:
                mouths = {1: other, 2: loud}
                faces = [Face(name, BOX, False, mouth(0.2 * float(one[step]))) for name, one in mouths.items()]
                speaker.saw(step / 100, faces)
        if step % 10 == 0:
            whole.judge(step / 100)
    later.who, later.leads = whole.who, whole.leads
    assert later.judge(8.99) == whole.judge(8.99)
    assert later.who == whole.who == 2


def test_before_there_is_enough_nothing_is_said() -> None:
    speaker = Speaker()
    assert speaker.judge(0.0) == {}
    converse(speaker, syllables(1.0, 1), {1: syllables(1.0, 1)})
    assert speaker.judge(1.0) == {}


def test_turns_tell_whose_it_was() -> None:
    turns = Turns()
    for t, who in ((1.0, 1), (3.0, 2), (2.5, 1), (4.0, None), (4.0, None)):
        turns.give(t, who)
    times = np.array([[0.0, 1.0, 2.9], [3.0, 3.9, 4.0]])
    assert turns.had(times, 1).tolist() == [[False, True, True], [True, True, False]]
    assert not turns.had(times, 2).any()
    assert turns.had(times, NOBODY).tolist() == [[True, False, False], [False, False, True]]
    assert (turns.latest(1, 9.0), turns.latest(NOBODY, 9.0), turns.latest(7, 9.0)) == (4.0, 9.0, -math.inf)


def test_only_the_last_turns_are_kept() -> None:
    turns = Turns()
    for t in range(1000):
        turns.give(float(t), 1 + t % 2)
    assert turns.had(np.arange(1000.0 - MOST_TURNS, 1000.0), 1).sum() == MOST_TURNS // 2
    assert not turns.had(np.array([100.0]), 1).any()
