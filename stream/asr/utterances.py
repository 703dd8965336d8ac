"""Cuts pushed sound into utterances by the voice-activity gate's verdict, keeping what came just before onset."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
BLOCK = 320
BLOCK_S = BLOCK / SAMPLE_RATE
_JUMP_S = 0.05

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A stretch of an utterance: ``samples`` int16 ``[n]`` from ``t`` on; ``n`` is 0 where only the end is told."""

    t: float
    samples: Samples
    speech: bool
    first: bool = False
    last: bool = False

    @property
    def t_end(self) -> float:
        """Capture time of the instant after the last sample."""
        return self.t + len(self.samples) / SAMPLE_RATE


class UtteranceCutter:
    """Fixed blocks of 20 ms, so that what comes out does not depend on how the sound was handed over.

    Parameters
    ----------
    pre_roll_s
        Sound kept from before the onset, because the gate opens a little late.
    hangover_s
        Silence after which an utterance has ended; the gate itself already bridges pauses between words.
    """

    def __init__(self, pre_roll_s: float = 0.3, hangover_s: float = 0.1) -> None:
        self._pre_roll: deque[tuple[float, Samples]] = deque(maxlen=round(pre_roll_s / BLOCK_S))
        self._hangover = round(hangover_s / BLOCK_S)
        self._rest: Samples = np.zeros(0, np.int16)
        self._rest_speech = False
        self._next_t: float | None = None
        self._silent = 0
        self._open = False

    def push(self, t: float, samples: Samples, speech: bool) -> Iterator[Piece]:
        """Take sound whose first sample was captured at ``t``; give the stretches to decode, in order."""
        if self._next_t is not None and abs(t - self._next_t) > _JUMP_S:
            yield from self.end()
        start = t - len(self._rest) / SAMPLE_RATE
        self._next_t = t + len(samples) / SAMPLE_RATE
        sound = np.concatenate([self._rest, samples])
        whole = len(sound) // BLOCK * BLOCK
        carried = self._rest_speech
        self._rest, self._rest_speech = sound[whole:], speech and whole < len(sound)
        for i in range(0, whole, BLOCK):
            yield from self._block(start + i / SAMPLE_RATE, sound[i : i + BLOCK], speech or (carried and i == 0))
        if not whole:
            self._rest_speech |= carried

    def end(self) -> Iterator[Piece]:
        """The sound stops here: end an open utterance and forget everything heard."""
        if self._open and self._next_t is not None:
            t = self._next_t - len(self._rest) / SAMPLE_RATE
            yield Piece(t, self._rest, self._rest_speech, last=True)
        self._open, self._silent = False, 0
        self._pre_roll.clear()
        self._rest, self._rest_speech = np.zeros(0, np.int16), False
        self._next_t = None

    def _block(self, t: float, block: Samples, speech: bool) -> Iterator[Piece]:
        self._silent = 0 if speech else self._silent + 1
        if self._open:
            self._open = self._silent < self._hangover
            yield Piece(t, block, speech, last=not self._open)
        elif speech:
            self._open = True
            before = [samples for _, samples in self._pre_roll]
            t_first = self._pre_roll[0][0] if before else t
            self._pre_roll.clear()
            if before:
                yield Piece(t_first, np.concatenate(before), speech=False, first=True)
            yield Piece(t, block, speech, first=not before)
        else:
            self._pre_roll.append((t, block))
