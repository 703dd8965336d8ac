from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from flite_speech import BLOCK, RATE, flite_missing, loud, speak, word_errors

from miar_rt.signals import WordsUpdate
from stream.asr.sphinx import SphinxRecogniser

SENTENCE = "this is the best day of my life"
LONG = " and ".join(["the children were playing in the garden when the storm began"] * 3)

needs_flite = pytest.mark.skipif(flite_missing(), reason="flite is not installed")


def hear(
    recogniser: SphinxRecogniser, sound: np.ndarray, chunk: int = BLOCK, t0: float = 10.0
) -> list[WordsUpdate]:
    """Push all of ``sound`` in chunks of whole blocks, then finish."""
    gate = loud(sound)
    updates: list[WordsUpdate] = []
    for start in range(0, len(gate) * BLOCK, chunk):
        flags = gate[start // BLOCK : (start + chunk) // BLOCK]
        for i, flag in enumerate(flags):
            at = start + i * BLOCK
            updates += recogniser.push(t0 + at / RATE, sound[at : at + BLOCK], bool(flag))
    return updates + recogniser.finish()


def text(updates: list[WordsUpdate]) -> str:
    return " ".join(word.text for update in updates for word in update.committed)


@pytest.fixture
def sphinx() -> Iterator[SphinxRecogniser]:
    recogniser = SphinxRecogniser()
    yield recogniser
    recogniser.close()


@needs_flite
def test_speech_becomes_words_inside_the_sound(sphinx: SphinxRecogniser):
    sound = speak(SENTENCE)
    updates = hear(sphinx, sound)
    assert word_errors(SENTENCE, text(updates)) <= 1
    words = [word for update in updates for word in update.committed]
    assert words[0].t0 >= 10.4
    assert words[-1].t1 <= 10.0 + len(sound) / RATE
    assert all(a.t1 <= b.t0 for a, b in pairwise(words))
    assert all(0.0 < word.confidence <= 1.0 and word.final for word in words)
    assert [update.speech_final for update in updates].count(True) == 1
    assert updates[-1].speech_final
    assert {update.language for update in updates} == {"en"}


@needs_flite
def test_partial_words_come_before_committed_ones_and_updates_never_go_back(sphinx: SphinxRecogniser):
    updates = hear(sphinx, speak(SENTENCE))
    first_commit = next(i for i, update in enumerate(updates) if update.committed)
    assert any(update.partial for update in updates[:first_commit])
    assert updates[-1].partial == ()
    assert all(a.t <= b.t for a, b in pairwise(updates))
    committed_t1 = 0.0
    for update in updates:
        committed_t1 = max([committed_t1, *(word.t1 for word in update.committed)])
        assert all(word.t0 >= committed_t1 and not word.final for word in update.partial)


@needs_flite
def test_two_runs_are_identical():
    sound = speak(SENTENCE, "slt")
    assert hear(SphinxRecogniser(), sound) == hear(SphinxRecogniser(), sound)


@needs_flite
def test_the_way_sound_is_handed_over_does_not_matter():
    sound = speak(SENTENCE)
    rng = np.random.default_rng(1)
    ragged = SphinxRecogniser()
    updates: list[WordsUpdate] = []
    start = 0
    while start < len(sound):
        end = start + int(rng.integers(1, 3000))
        updates += ragged.push(start / RATE, sound[start:end], speech=True)
        start = end
    updates += ragged.finish()
    whole = SphinxRecogniser()
    assert text(updates) == text([*whole.push(0.0, sound, speech=True), *whole.finish()])
    assert word_errors(SENTENCE, text(updates)) <= 1


@needs_flite
def test_long_speech_is_committed_as_it_goes_and_partials_stay_bounded(sphinx: SphinxRecogniser):
    sound = speak(LONG)
    assert len(sound) > 9 * RATE
    updates = hear(sphinx, sound)
    assert word_errors(LONG, text(updates)) / len(LONG.split()) < 0.2
    assert [update.speech_final for update in updates].count(True) == 1
    assert max(len(update.partial) for update in updates) <= 12
    longest_wait = max(update.t - word.t1 for update in updates for word in update.committed)
    assert longest_wait < 4.0


@needs_flite
def test_lost_sound_ends_the_utterance_and_its_words_come_next(sphinx: SphinxRecogniser):
    sound = speak(SENTENCE, after=0.0)
    half = len(sound) // 2
    before = sphinx.push(0.0, sound[:half], speech=True)
    sphinx.gap(half / RATE, half / RATE + 1.0)
    after = sphinx.push(half / RATE + 1.0, np.zeros(BLOCK, np.int16), speech=False)
    assert after[-1].speech_final
    assert text(before + after).startswith("this is the")
    assert after[-1].t == pytest.approx(half / RATE)


def test_silence_gives_nothing(sphinx: SphinxRecogniser):
    assert hear(sphinx, np.zeros(5 * RATE, np.int16)) == []


@pytest.mark.parametrize("level", [300.0, 3000.0])
def test_noise_taken_for_speech_gives_few_words(sphinx: SphinxRecogniser, level: float):
    noise = np.random.default_rng(0).normal(0, level, 5 * RATE).astype(np.int16)
    updates = [*sphinx.push(0.0, noise, speech=True), *sphinx.finish()]
    assert sum(len(update.committed) for update in updates) <= 2


@needs_flite
@pytest.mark.parametrize("harm", ["clipped", "offset"])
def test_harmed_sound_is_still_heard(sphinx: SphinxRecogniser, harm: str):
    sound = speak(SENTENCE).astype(np.int32)
    sound = sound * 4 if harm == "clipped" else sound + 4000
    gate = loud(speak(SENTENCE))
    updates: list[WordsUpdate] = []
    for i, flag in enumerate(gate):
        block = np.clip(sound[i * BLOCK : (i + 1) * BLOCK], -32768, 32767).astype(np.int16)
        updates += sphinx.push(i * BLOCK / RATE, block, bool(flag))
    assert word_errors(SENTENCE, text(updates + sphinx.finish())) <= 3


def test_the_decoder_writes_nothing(capfd: pytest.CaptureFixture[str]):
    hear(SphinxRecogniser(), np.random.default_rng(0).normal(0, 2000, RATE).astype(np.int16))
    assert capfd.readouterr() == ("", "")
