"""pocketsphinx behind the recogniser's contract: small, offline, English, deterministic."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import RecogniserKind, Word, WordsUpdate
from stream.asr import RecogniserUnavailable
from stream.asr.agreement import LocalAgreement
from stream.asr.utterances import SAMPLE_RATE, Piece, UtteranceCutter

_FRAME_S = 0.01
_STEP_S = 0.2
_STRETCH_S = 2.3
_NEW_S = 1.0
_TAIL_S = 0.4
_CONTEXT_WORDS = 2
_PARTIAL_CONFIDENCE = 0.5
_LEAST_CONFIDENCE, _LEAST_MEDIAN = 0.5, 0.6
"""Of a word, and of the words of a stretch: in noise and in a murmur of voices the decoder finds fluent sentences,
and its doubt is the one thing that tells them from what was said (see docs/benchmarks-words.md)."""

_SEARCH = {"maxhmmpf": 2000, "maxwpf": 10, "topn": 2}
"""Hypotheses kept and densities looked at in a frame, at most. On clear speech this costs no word errors that could
be measured; on speech the model knows badly, and on noise, where all is about as likely, it halves the work."""


class SphinxRecogniser:
    """Streaming pocketsphinx with the US English model of its own wheel.

    Partial words come from the decoder's first, lexicon-tree pass. That pass agrees with itself on its mistakes, so
    words are committed from the second pass and the best-path search alone, which need the decoder's utterance to
    end: it is ended every few seconds, and the last words are given to the next one again, as context.

    Raises
    ------
    RecogniserUnavailable
        pocketsphinx is not installed or its model cannot be read.
    """

    kind: RecogniserKind = "sphinx"
    name = "sphinx en-us"

    def __init__(self) -> None:
        self._decoder = _load_decoder()
        self._cutter = UtteranceCutter()
        self._agreement = LocalAgreement(settle_s=math.inf)
        self._pending: list[WordsUpdate] = []
        self._sound: list[NDArray[np.int16]] = []
        self._t0 = 0.0
        self._heard = 0
        self._next_cut = 0
        self._next_step = 0.0
        self._partial: tuple[Word, ...] = ()
        self._said_something = False
        self._trusted = True

    def push(self, t: float, samples: NDArray[np.int16], speech: bool) -> list[WordsUpdate]:
        """Hear ``samples`` int16 ``[n]``, the first captured at ``t``; ``speech`` is the gate's verdict on them."""
        for piece in self._cutter.push(t, samples, speech):
            self._hear(piece)
        return self._take()

    def gap(self, t0: float, t1: float) -> None:  # noqa: ARG002 - the cutter knows how far sound has come
        """Sound from ``t0`` to ``t1`` was lost: the utterance ends; its words come with the next call."""
        for piece in self._cutter.end():
            self._hear(piece)

    def abandon(self) -> list[WordsUpdate]:
        """End the utterance; its first pass is done and the second takes tenths of a second."""
        return self.finish()

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
        elif self._heard >= self._next_cut:
            self._cut()
        elif self._heard / SAMPLE_RATE >= self._next_step:
            self._next_step += _STEP_S
            self._tell(*self._agreement.update(self._now, self._words()))

    @property
    def _now(self) -> float:
        return self._t0 + self._heard / SAMPLE_RATE

    def _start(self, t: float) -> None:
        self._t0, self._heard, self._sound = t, 0, []
        self._next_step, self._next_cut = _STEP_S, round(_STRETCH_S * SAMPLE_RATE)
        self._decoder.start_utt()

    def _decode(self, samples: NDArray[np.int16]) -> None:
        self._sound.append(samples)
        self._heard += len(samples)
        if len(samples):
            self._decoder.process_raw(samples.tobytes())

    def _end(self) -> None:
        self._decoder.end_utt()
        self._tell(self._agreement.finish(self._believed(self._words(final=True))), (), end=True)
        self._sound = []

    def _cut(self) -> None:
        """Commit what the second pass makes of the sound so far, but for its tail, and go on."""
        self._decoder.end_utt()
        now = self._now
        words = [word for word in self._words(final=True) if word.t1 <= now - _TAIL_S]
        committed = self._agreement.finish(self._believed(words))
        sound = np.concatenate(self._sound)
        first = round((_resume_at(words, now) - self._t0) * SAMPLE_RATE)
        self._start(self._t0 + first / SAMPLE_RATE)
        self._decode(sound[first:])
        self._next_step += self._heard / SAMPLE_RATE
        self._next_cut = max(self._next_cut, self._heard + round(_NEW_S * SAMPLE_RATE))
        self._tell(committed, self._agreement.update(now, self._words())[1])

    def _believed(self, words: list[Word]) -> list[Word]:
        """Those of a stretch that may be committed; partial words are shown while there are any."""
        sure = median(word.confidence for word in words) >= _LEAST_MEDIAN if words else self._trusted
        self._trusted = sure
        return [word for word in words if sure and word.confidence >= _LEAST_CONFIDENCE]

    def _tell(self, committed: tuple[Word, ...], partial: tuple[Word, ...], end: bool = False) -> None:
        partial = partial if self._trusted else ()
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
                _confidence(segment.prob) if final else _PARTIAL_CONFIDENCE,
            )
            for segment in self._decoder.seg()
            if segment.word[0] not in "<["
        ]


def _resume_at(words: list[Word], now: float) -> float:
    """Where decoding goes on: at a word's edge, some committed words back if that leaves others behind."""
    if not words:
        return now
    return words[-_CONTEXT_WORDS].t0 if len(words) > _CONTEXT_WORDS else words[-1].t1


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

        return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", **_SEARCH)
    except (ImportError, RuntimeError) as error:
        raise RecogniserUnavailable(
            f"pocketsphinx cannot be used ({error}): install it with pip install pocketsphinx"
        ) from error
