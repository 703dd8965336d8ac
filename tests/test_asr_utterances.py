from __future__ import annotations

import numpy as np
import pytest

from stream.asr.utterances import BLOCK, Piece, UtteranceCutter

RATE = 16_000


def ramp(n: int) -> np.ndarray:
    return (np.arange(n) % 30_000).astype(np.int16)


def feed(
    cutter: UtteranceCutter, sound: np.ndarray, speech: np.ndarray, chunk: int, t0: float = 5.0
) -> list[Piece]:
    """Push in chunks; ``speech`` has one flag per 20 ms block and chunks never straddle different flags."""
    pieces: list[Piece] = []
    start = 0
    while start < len(sound):
        block_end = (start // BLOCK + 1) * BLOCK
        end = min(start + chunk, len(sound), block_end if chunk < BLOCK else start + chunk)
        pieces += cutter.push(t0 + start / RATE, sound[start:end], bool(speech[start // BLOCK]))
        start = end
    return pieces


def one_utterance() -> tuple[np.ndarray, np.ndarray]:
    """Three seconds with speech from 1 s to 1.5 s."""
    speech = np.zeros(150, bool)
    speech[50:75] = True
    return ramp(3 * RATE), speech


@pytest.mark.parametrize("chunk", [320, 100, 7])
def test_an_utterance_has_its_pre_roll_and_ends_after_the_hangover(chunk: int):
    sound, speech = one_utterance()
    pieces = feed(UtteranceCutter(hangover_s=0.4), sound, speech, chunk)
    assert [piece.first for piece in pieces].count(True) == 1
    assert pieces[0].first
    assert [piece.last for piece in pieces].count(True) == 1
    assert pieces[-1].last
    assert pieces[0].t == pytest.approx(5.7)
    assert pieces[-1].t_end == pytest.approx(6.9)
    heard = np.concatenate([piece.samples for piece in pieces])
    np.testing.assert_array_equal(heard, sound[round(0.7 * RATE) : round(1.9 * RATE)])


def test_silence_gives_nothing():
    cutter = UtteranceCutter()
    assert list(cutter.push(0.0, ramp(RATE), speech=False)) == []
    assert list(cutter.end()) == []


def test_a_pause_shorter_than_the_hangover_does_not_cut():
    speech = np.ones(150, bool)
    speech[60:75] = False
    pieces = feed(UtteranceCutter(hangover_s=0.4), ramp(3 * RATE), speech, 320)
    assert not any(piece.last for piece in pieces)
    assert pieces[0].t == 5.0


def test_the_sound_stopping_mid_word_ends_the_utterance_with_every_sample():
    cutter = UtteranceCutter()
    pieces = [*cutter.push(0.0, ramp(500), speech=True), *cutter.end()]
    assert sum(len(piece.samples) for piece in pieces) == 500
    assert pieces[-1].last
    assert pieces[-1].t_end == pytest.approx(500 / RATE)


def test_a_jump_of_the_clock_ends_the_utterance():
    cutter = UtteranceCutter()
    list(cutter.push(0.0, ramp(3200), speech=True))
    pieces = list(cutter.push(1.0, ramp(3200), speech=True))
    assert [piece.last for piece in pieces][:2] == [True, False]
    assert pieces[0].t_end == pytest.approx(0.2)
    assert pieces[1].first
    assert pieces[1].t == 1.0
