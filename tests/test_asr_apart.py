"""A recogniser in a process of its own says what it would say here, and its death is noticed and survived."""

from __future__ import annotations

import numpy as np
import pytest

from miar_rt.signals import RecogniserKind, Word, WordsUpdate
from stream.asr import RecogniserUnavailable
from stream.asr.apart import Apart


class Counting:
    """Commits the number of samples of every push; a loud sample is more than it can bear."""

    kind: RecogniserKind = "sphinx"
    name = "counting"

    def push(self, t: float, samples: np.ndarray, speech: bool) -> list[WordsUpdate]:  # type: ignore[type-arg]
        if samples.max(initial=0) == 32767:
            raise SystemExit(3)
        if not speech:
            raise ValueError("it is silent")
        return [WordsUpdate(t, self.kind, (Word(t, t + 1.0, str(len(samples))),))]

    def gap(self, t0: float, t1: float) -> None:
        self.name = f"{t0} {t1}"

    def abandon(self) -> list[WordsUpdate]:
        return []

    def finish(self) -> list[WordsUpdate]:
        return [WordsUpdate(9.0, self.kind, (Word(8.0, 9.0, self.name),), speech_final=True)]

    def close(self) -> None:
        pass


def nothing_here() -> Counting:
    raise RecogniserUnavailable("no model here: install one")


def test_calls_and_answers_cross_over() -> None:
    recogniser = Apart(Counting)
    assert (recogniser.kind, recogniser.name) == ("sphinx", "counting")
    (update,) = recogniser.push(1.5, np.zeros(320, np.int16), True)
    assert update.committed == (Word(1.5, 2.5, "320"),)
    recogniser.gap(2.0, 3.0)
    assert recogniser.finish()[0].committed[0].text == "2.0 3.0"
    recogniser.close()
    assert recogniser._process.pipe.closed


def test_what_goes_wrong_there_is_raised_here() -> None:
    recogniser = Apart(Counting)
    with pytest.raises(RuntimeError, match="it is silent"):
        recogniser.push(0.0, np.zeros(320, np.int16), False)
    assert recogniser.push(0.0, np.zeros(3, np.int16), True)[0].committed[0].text == "3"
    recogniser.close()


def test_a_process_that_dies_is_followed_by_another() -> None:
    recogniser = Apart(Counting)
    with pytest.raises(RuntimeError, match="process died"):
        recogniser.push(0.0, np.full(3, 32767, np.int16), True)
    assert recogniser.push(0.0, np.zeros(4, np.int16), True)[0].committed[0].text == "4"
    recogniser.close()


def test_what_cannot_be_had_there_cannot_be_had_here() -> None:
    with pytest.raises(RecogniserUnavailable, match="install one"):
        Apart(nothing_here)
