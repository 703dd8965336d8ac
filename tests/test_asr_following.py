"""A recogniser that cannot follow is stopped until it is level again, and what was missed is told."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miar_rt.signals import RecogniserKind, Word, WordsUpdate
from stream.asr.following import MAX_LAG_S, Follower

CHUNK_S = 0.1
CHUNK = np.zeros(1600, np.int16)


class Slow:
    """Says a word for each chunk, which takes it ``cost`` seconds."""

    kind: RecogniserKind = "sphinx"
    name = "slow"

    def __init__(self, cost: float = 0.0) -> None:
        self.cost = cost
        self.now = 0.0
        self.abandoned = 0
        self.closed = False

    def push(self, t: float, samples: np.ndarray, speech: bool) -> list[WordsUpdate]:  # noqa: ARG002 - the contract's
        self.now += self.cost
        return [WordsUpdate(t + CHUNK_S, self.kind, (Word(t, t + CHUNK_S, "word"),))]

    def gap(self, t0: float, t1: float) -> None:
        """Nothing to end."""

    def abandon(self) -> list[WordsUpdate]:
        self.abandoned += 1
        return [WordsUpdate(self.now, self.kind, speech_final=True)]

    def finish(self) -> list[WordsUpdate]:
        return []

    def close(self) -> None:
        self.closed = True


def play(slow: Slow, chunks: int) -> tuple[list[WordsUpdate], float]:
    follower = Follower(slow, lambda: slow.now)
    updates, worst = list[WordsUpdate](), 0.0
    for i in range(chunks):
        t = i * CHUNK_S
        slow.now = max(slow.now, t + CHUNK_S)
        updates += follower.push(t, CHUNK, True)
        worst = max(worst, slow.now - t)
    return updates + follower.finish(), worst


def covered(updates: list[WordsUpdate]) -> list[tuple[float, float]]:
    words = [(word.t0, word.t1) for update in updates for word in update.committed]
    return sorted(words + [update.gap for update in updates if update.gap])


def test_one_that_keeps_up_is_left_alone() -> None:
    slow = Slow(0.05)
    updates, _ = play(slow, 100)
    assert len(updates) == 100
    assert slow.abandoned == 0


@settings(deadline=None)
@given(st.floats(0.0, 3.0), st.integers(1, 400))
def test_lag_is_bounded_and_all_sound_is_either_decoded_or_a_gap(cost: float, chunks: int) -> None:
    updates, worst = play(Slow(cost), chunks)
    assert worst <= MAX_LAG_S + CHUNK_S + cost + 1e-6
    spans = covered(updates)
    assert spans[0][0] == 0.0
    assert all(b[0] == pytest.approx(a[1], abs=1e-6) for a, b in pairwise(spans))
    assert spans[-1][1] == pytest.approx(chunks * CHUNK_S)


def test_sound_that_never_came_is_a_gap() -> None:
    follower = Follower(Slow(), None)
    assert not any(update.gap for update in follower.push(0.0, CHUNK, True))
    follower.gap(0.1, 5.0)
    assert follower.push(5.0, CHUNK, True)[0].gap == (0.1, 5.0)
    assert not any(update.gap for update in follower.push(5.1, CHUNK, True))


def test_what_the_recogniser_gives_up_belongs_to_the_gap() -> None:
    class GivesUp(Slow):
        def abandon(self) -> list[WordsUpdate]:
            return [WordsUpdate(self.now, self.kind, gap=(0.04, 0.1))]

    slow = GivesUp()
    follower = Follower(slow, lambda: slow.now)
    follower.push(0.0, CHUNK, True)
    slow.now = 20.0
    assert follower.push(0.1, CHUNK, True) == []
    assert follower.push(19.85, CHUNK, True)[0].gap == (0.04, 19.85)
    follower.close()
    assert slow.closed
