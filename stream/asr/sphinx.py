"""pocketsphinx behind the recogniser's contract: small, offline, English, deterministic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import RecogniserKind, Word, WordsUpdate
from stream.asr import RecogniserUnavailable
from stream.asr.agreement import LocalAgreement
from stream.asr.utterances import SAMPLE_RATE, Piece, UtteranceCutter

_FRAME_S = 0.01
_STEP_S = 0.2
_SETTLE_S = 1.2
_LONGEST_S = 10.0
_TAIL_S = 0.5
_EARLY_CONFIDENCE = 0.7


class SphinxRecogniser:
    """Streaming pocketsphinx with the US English model of its own wheel.

    While an utterance runs its words come from the first, lexicon-tree pass and are committed once two successive
    hypotheses agree and the word has settled; at the end of the utterance the second pass and the best-path
    search correct whatever is not committed yet. Utterances are cut at about 10 s.

    Raises
    ------
    RecogniserUnavailable
        pocketsphinx is not installed or its model cannot be read.
    """

    kind: RecogniserKind = "sphinx"
    name = "sphinx en-us"
    skipped_s = 0.0

    def __init__(self) -> None:
        self._decoder = _load_decoder()
        self._cutter = UtteranceCutter()
        self._agreement = LocalAgreement(_SETTLE_S)
        self._pending: list[WordsUpdate] = []
        self._sound: list[NDArray[np.int16]] = []
        self._t0 = 0.0
        self._heard = 0
        self._next_step = 0.0
        self._partial: tuple[Word, ...] = ()
        self._said_something = False

    def push(self, t: float, samples: NDArray[np.int16], speech: bool) -> list[WordsUpdate]:
        """Hear ``samples`` int16 ``[n]``, the first captured at ``t``; ``speech`` is the gate's verdict on them."""
        for piece in self._cutter.push(t, samples, speech):
            self._hear(piece)
        return self._take()

    def gap(self, t0: float, t1: float) -> None:  # noqa: ARG002 - the cutter knows how far sound has come
        """Sound from ``t0`` to ``t1`` was lost: the utterance ends; its words come with the next call."""
        for piece in self._cutter.end():
            self._hear(piece)

    def finish(self) -> list[WordsUpdate]:
        """Commit what has been heard."""
        self.gap(math.inf, math.inf)
        return self._take()

    def close(self) -> None:
        """Free the model."""
        self._decoder = None

    def _take(self) -> list[WordsUpdate]:
        updates, self._pending = self._pending, []
        return updates

    def _hear(self, piece: Piece) -> None:
        if piece.first:
            self._start(piece.t)
            self._said_something = False
        self._decode(piece.samples)
        if piece.last:
            self._end()
        elif self._heard / SAMPLE_RATE >= _LONGEST_S:
            self._cut()
        elif self._heard / SAMPLE_RATE >= self._next_step:
            self._next_step += _STEP_S
            self._tell(*self._agreement.update(self._now, self._words()))

    @property
    def _now(self) -> float:
        return self._t0 + self._heard / SAMPLE_RATE

    def _start(self, t: float) -> None:
        self._t0, self._heard, self._next_step, self._sound = t, 0, _STEP_S, []
        self._decoder.start_utt()

    def _decode(self, samples: NDArray[np.int16]) -> None:
        self._sound.append(samples)
        self._heard += len(samples)
        if len(samples):
            self._decoder.process_raw(samples.tobytes())

    def _end(self) -> None:
        self._decoder.end_utt()
        self._tell(self._agreement.finish(self._words(final=True)), (), end=True)
        self._sound = []

    def _cut(self) -> None:
        """Commit a long utterance up to its last safe word and go on with the sound after it."""
        self._decoder.end_utt()
        now = self._now
        words = [word for word in self._words(final=True) if word.t1 <= now - _TAIL_S]
        committed = self._agreement.finish(words)
        sound, first = np.concatenate(self._sound), self._heard
        if words:
            first = max(0, round((words[-1].t1 - self._t0) * SAMPLE_RATE))
        self._start(self._t0 + first / SAMPLE_RATE)
        self._decode(sound[first:])
        self._next_step += self._heard / SAMPLE_RATE
        self._tell(committed, self._agreement.update(now, self._words())[1])

    def _tell(self, committed: tuple[Word, ...], partial: tuple[Word, ...], end: bool = False) -> None:
        changed = _texts(partial) != _texts(self._partial)
        self._said_something |= bool(committed)
        speech_final = end and self._said_something
        if committed or changed or speech_final:
            self._pending.append(WordsUpdate(self._now, self.kind, committed, partial, speech_final, "en"))
        self._partial = partial

    def _words(self, final: bool = False) -> list[Word]:
        """The present hypothesis; frames count from the start of the utterance, the last one inclusive."""
        if self._decoder.hyp() is None:
            return []
        return [
            Word(
                self._t0 + segment.start_frame * _FRAME_S,
                self._t0 + (segment.end_frame + 1) * _FRAME_S,
                segment.word.split("(")[0],
                final,
                _confidence(segment.prob) if final else _EARLY_CONFIDENCE,
            )
            for segment in self._decoder.seg()
            if segment.word[0] not in "<["
        ]


def _texts(words: tuple[Word, ...]) -> list[str]:
    return [word.text for word in words]


def _confidence(posterior: float) -> float:
    """Posterior of a lattice link as a confidence in 0..1.

    A word's probability is spread over links with slightly different boundaries, so the posterior of the best
    link alone is far too low; its fourth root undoes most of that.
    """
    return float(min(1.0, max(0.0, posterior)) ** 0.25)


def _load_decoder() -> Any:
    try:
        from pocketsphinx import Decoder

        return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
    except (ImportError, RuntimeError) as error:
        raise RecogniserUnavailable(
            f"pocketsphinx cannot be used ({error}): install it with pip install pocketsphinx"
        ) from error
