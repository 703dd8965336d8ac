"""Speech recognisers behind one contract: push samples, get committed and partial words."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import RecogniserKind, WordsUpdate


class RecogniserUnavailable(RuntimeError):  # noqa: N818 - it names a state of the machine, not a programming error
    """A recogniser that was asked for cannot be had here; the message is one line: why, and what to do."""


class Recogniser(Protocol):
    """Turns sound into words as it arrives.

    Sound is int16 mono at 16 kHz; every time, also in the words, is in seconds on the capture clock.
    Committed words are never retracted and their times never go back.

    Attributes
    ----------
    kind
        The channel the words enter the model through.
    name
        For people: recogniser, model, precision.
    """

    kind: RecogniserKind
    name: str

    def push(self, t: float, samples: NDArray[np.int16], speech: bool) -> list[WordsUpdate]:
        """Hear ``samples`` int16 ``[n]``, the first captured at ``t``; ``speech`` is the gate's verdict on them."""
        ...

    def gap(self, t0: float, t1: float) -> None:
        """Sound from ``t0`` to ``t1`` was lost: the utterance ends; its words come with the next call."""
        ...

    def abandon(self) -> list[WordsUpdate]:
        """Sound cannot be followed: end the utterance without decoding what waits, as quickly as can be.

        Committed words stay. Sound that was pushed and will not be decoded is the ``gap`` of an update.
        """
        ...

    def finish(self) -> list[WordsUpdate]:
        """No more sound for now: commit what has been heard."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...
