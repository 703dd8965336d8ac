from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miar_rt.signals import Word
from stream.asr.agreement import LocalAgreement, trim_point


def words(text: str, t0: float = 0.0, step: float = 0.5) -> list[Word]:
    return [Word(t0 + i * step, t0 + (i + 1) * step, w, False) for i, w in enumerate(text.split())]


def texts(found: tuple[Word, ...]) -> str:
    return " ".join(word.text for word in found)


def test_words_are_committed_when_two_hypotheses_agree():
    agreement = LocalAgreement()
    committed, partial = agreement.update(2.0, words("what a wander full"))
    assert (texts(committed), texts(partial)) == ("", "what a wander full")
    committed, partial = agreement.update(2.5, words("what a wonderful day"))
    assert (texts(committed), texts(partial)) == ("what a", "wonderful day")
    assert all(word.final for word in committed)
    assert not any(word.final for word in partial)
    assert texts(agreement.finish(words("what a wonderful day today"))) == "wonderful day today"


def test_case_and_punctuation_do_not_stop_agreement():
    agreement = LocalAgreement()
    agreement.update(1.0, words("Well, then"))
    assert texts(agreement.update(1.0, words("well then"))[0]) == "well then"


def test_a_change_of_mind_about_committed_sound_is_ignored():
    agreement = LocalAgreement()
    agreement.update(1.0, words("recognise speech"))
    agreement.update(1.0, words("recognise speech"))
    assert texts(agreement.finish(words("wreck a nice beach now", step=0.25))) == "now"


def test_a_moved_boundary_does_not_repeat_the_word():
    agreement = LocalAgreement()
    agreement.update(1.0, words("very good"))
    agreement.update(1.0, words("very good"))
    moved = [Word(0.8, 1.3, "good", False), Word(1.3, 1.6, "day", False)]
    assert texts(agreement.finish(moved)) == "day"


def test_a_word_said_twice_is_committed_twice():
    agreement = LocalAgreement()
    agreement.update(1.0, words("very"))
    agreement.update(1.0, words("very"))
    assert texts(agreement.finish(words("very very good"))) == "very good"


def test_words_settle_before_they_are_committed():
    agreement = LocalAgreement(settle_s=1.0)
    agreement.update(1.5, words("one two three"))
    assert texts(agreement.update(2.0, words("one two three"))[0]) == "one two"


@pytest.mark.parametrize(
    ("t", "limit", "expected"),
    [(5.0, 15.0, 0.0), (16.0, 15.0, 3.0), (16.0, 12.5, 4.0), (30.0, 15.0, 15.0)],
    ids=["nothing to do", "sentence end", "word end", "nothing committed"],
)
def test_trim_point(t: float, limit: float, expected: float):
    committed = [Word(0.0, 1.0, "hello"), Word(1.0, 3.0, "there."), Word(3.0, 4.0, "you")]
    assert trim_point(committed, 0.0, t, limit) == expected


@st.composite
def hypotheses(draw: st.DrawFn) -> list[tuple[float, list[Word]]]:
    """Successive hypotheses over growing sound, each with words in time order and unrelated to the truth."""
    passes = []
    now = 0.0
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.floats(0.1, 3.0))
        cuts = sorted(draw(st.lists(st.floats(0.0, now), max_size=8, unique=True)))
        spoken = [draw(st.sampled_from(["yes", "no", "Yes,", "maybe"])) for _ in cuts[1:]]
        passes.append((now, [Word(a, b, w, False) for a, b, w in zip(cuts, cuts[1:], spoken, strict=False)]))
    return passes


@given(hypotheses(), st.sampled_from([0.0, 0.5]))
def test_times_never_go_back_whatever_the_hypotheses(passes: list[tuple[float, list[Word]]], settle: float):
    agreement = LocalAgreement(settle)
    committed: list[Word] = []
    for now, hypothesis in passes:
        new, partial = agreement.update(now, hypothesis)
        committed += new
        line = [*committed, *partial]
        assert all(a.t0 <= a.t1 for a in line)
        assert all(a.t1 <= b.t0 for a, b in pairwise(line))
        assert all(word.t1 <= now - settle + 1e-5 for word in new)
    committed += agreement.finish(passes[-1][1])
    assert all(a.t1 <= b.t0 for a, b in pairwise(committed))


@given(hypotheses())
def test_what_is_said_twice_in_a_row_is_committed_exactly_once(passes: list[tuple[float, list[Word]]]):
    agreement = LocalAgreement()
    for now, hypothesis in passes:
        first, pending = agreement.update(now, hypothesis)
        second, left = agreement.update(now, hypothesis)
        assert texts(second) == texts(pending)
        assert left == ()
        assert agreement.update(now, hypothesis) == ((), ())
        assert len(first) + len(second) <= len(hypothesis)


@given(
    st.lists(st.floats(0.0, 40.0), max_size=10).map(sorted),
    st.floats(0.0, 40.0),
    st.floats(0.0, 40.0),
    st.floats(1.0, 15.0),
)
def test_a_trimmed_buffer_is_bounded_and_only_shrinks(ends: list[float], t0: float, length: float, limit: float):
    committed = [Word(max(0.0, end - 0.3), end, "word." if i % 3 else "word") for i, end in enumerate(ends)]
    cut = trim_point(committed, t0, t0 + length, limit)
    assert t0 <= cut <= t0 + length
    assert t0 + length - cut <= limit + 1e-9
