from __future__ import annotations

import pytest

from miar_rt.signals import Word
from stream.asr.plausible import Segment, believed

THANKS = (Word(1.0, 1.3, "thank"), Word(1.3, 1.6, "you"))
SPOKEN = [(0.9, 1.7)]


@pytest.mark.parametrize(
    ("no_speech", "log_probability", "compression", "kept"),
    [
        (0.05, -0.3, 1.1, True),
        (0.7, -0.2, 1.1, True),
        (0.7, -0.7, 1.1, False),
        (0.95, -0.1, 1.1, False),
        (0.05, -1.4, 1.1, False),
        (0.05, -0.3, 3.0, False),
    ],
    ids=["plain", "sure enough", "doubtful silence", "surely silence", "guessed", "looping"],
)
def test_segments_are_judged_by_their_own_doubts(
    no_speech: float, log_probability: float, compression: float, kept: bool
):
    segment = Segment(THANKS, no_speech, log_probability, compression)
    assert believed([segment], SPOKEN) == (list(THANKS) if kept else [])


def test_words_outside_detected_speech_are_dropped():
    segment = Segment((*THANKS, Word(4.0, 4.4, "bye")), 0.1, -0.2, 1.0)
    assert believed([segment], SPOKEN) == list(THANKS)
    assert believed([segment], []) == []


def test_a_word_mostly_in_speech_is_kept_though_its_end_is_late():
    segment = Segment((Word(1.5, 2.3, "well"),), 0.1, -0.2, 1.0)
    assert len(believed([segment], SPOKEN)) == 1
