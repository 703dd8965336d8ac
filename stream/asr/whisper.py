"""Whisper through faster-whisper, made incremental by agreement between successive passes over a short buffer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import RecogniserKind, Word, WordsUpdate
from stream.asr.agreement import LocalAgreement, trim_point
from stream.asr.plausible import Segment, Span, believed
from stream.asr.utterances import BLOCK_S, SAMPLE_RATE, Piece, UtteranceCutter

_STEP_S = 1.0
_LONGEST_BUFFER_S = 15.0
_PROMPT_CHARACTERS = 200
_TRIM_ABOVE_S = 8.0


class Transcriber(Protocol):
    """One pass of a Whisper model over a buffer."""

    name: str

    def transcribe(
        self, sound: NDArray[np.float32], language: str | None, prompt: str
    ) -> tuple[list[Segment], str | None]:
        """Words of float32 ``[n]`` at 16 kHz, times counting from its start, and the language heard."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class WhisperRecogniser:
    """Incremental Whisper: a buffer of the running utterance is decoded again whenever enough new sound has come.

    Decoding happens inside ``push``, which therefore may take as long as a pass; call it from a thread of its own.

    Parameters
    ----------
    model
        The loaded model.
    language
        ISO 639-1 code, or ``None`` to keep the language heard in the first utterance that has words.
    clock
        The capture clock's present, in live use: passes then wait until the recogniser has caught up with the
        sound waiting for it. ``None`` decodes at fixed steps, whatever time that takes.
    """

    kind: RecogniserKind = "whisper"

    def __init__(
        self,
        model: Transcriber,
        language: str | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.name = model.name
        self._model = model
        self._language = language
        self._clock = clock
        self._cutter = UtteranceCutter()
        self._agreement = LocalAgreement()
        self._pending: list[WordsUpdate] = []
        self._prompt = ""
        self._partial: tuple[Word, ...] = ()
        self._begin(0.0)

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
        """End the utterance; its sound that is not decoded yet is given up."""
        for piece in self._cutter.end():
            self._add(piece)
        incomplete = bool(self._new or self._partial)
        # on a machine this slow there may never be two passes to agree; the last word may be half of one
        self._tell(self._agreement.finish(self._partial[:-1]), (), end=True)
        if incomplete:
            gap = (max(self._t0, self._agreement.committed_t1), self._now)
            self._pending.append(WordsUpdate(self._now, self.kind, gap=gap))
        self._begin(self._now)
        return self._take()

    def finish(self) -> list[WordsUpdate]:
        """Commit what has been heard."""
        for piece in self._cutter.end():
            self._hear(piece)
        return self._take()

    def close(self) -> None:
        """Free the model."""
        self._model.close()

    @property
    def buffered_s(self) -> float:
        """Seconds of sound the next pass would decode."""
        return sum(len(samples) for samples in self._sound) / SAMPLE_RATE

    def _take(self) -> list[WordsUpdate]:
        updates, self._pending = self._pending, []
        return updates

    def _lag(self, t: float) -> float:
        return 0.0 if self._clock is None else self._clock() - t

    def _begin(self, t: float) -> None:
        self._t0 = self._now = t
        self._new = 0.0
        self._said_something = False
        self._sound: list[NDArray[np.int16]] = []
        self._speech: list[Span] = []
        self._committed: list[Word] = []

    def _hear(self, piece: Piece) -> None:
        if piece.first:
            self._begin(piece.t)
        self._add(piece)
        if piece.speech:
            self._speech.append((piece.t, piece.t_end))
        if piece.last:
            self._pass(end=True)
        elif self._due():
            self._pass(end=False)

    def _add(self, piece: Piece) -> None:
        self._sound.append(piece.samples)
        self._now = piece.t_end
        self._new += len(piece.samples) / SAMPLE_RATE

    def _due(self) -> bool:
        if self.buffered_s >= _LONGEST_BUFFER_S - BLOCK_S:
            return True
        return self._new >= _STEP_S and self._lag(self._now) < _STEP_S

    def _pass(self, end: bool) -> None:
        """Decode the buffer once and commit what this pass and the one before agree on, or all at the end."""
        words = self._transcribe()
        self._new = 0.0
        if end:
            self._tell(self._agreement.finish(words), (), end=True)
            self._prompt = _prompt(self._prompt, self._committed)
            self._begin(self._now)
            return
        self._tell(*self._agreement.update(self._now, words), end=False)
        limit = _LONGEST_BUFFER_S - _STEP_S if self.buffered_s >= _LONGEST_BUFFER_S - BLOCK_S else _TRIM_ABOVE_S
        self._trim(limit)

    def _transcribe(self) -> list[Word]:
        sound = np.concatenate(self._sound).astype(np.float32) / 32768.0
        segments, language = self._model.transcribe(sound, self._language, self._prompt)
        shifted = [_shift(segment, self._t0) for segment in segments]
        words = believed(shifted, _joined(self._speech))
        if words and self._language is None:
            self._language = language
        return words

    def _tell(self, committed: tuple[Word, ...], partial: tuple[Word, ...], end: bool) -> None:
        changed = partial != self._partial
        self._said_something |= bool(committed)
        self._committed += committed
        speech_final = end and self._said_something
        if committed or changed or speech_final:
            self._pending.append(
                WordsUpdate(self._now, self.kind, committed, partial, speech_final, self._language)
            )
        self._partial = partial

    def _trim(self, limit_s: float) -> None:
        """Drop sound whose words are committed, or, when nothing gets committed, the oldest."""
        committed = [word for word in self._committed if word.t1 <= self._agreement.committed_t1]
        if limit_s < _LONGEST_BUFFER_S - _STEP_S and not committed:
            return
        t0 = trim_point(committed, self._t0, self._now, limit_s)
        cut = round((t0 - self._t0) * SAMPLE_RATE)
        if cut <= 0:
            return
        self._sound = [np.concatenate(self._sound)[cut:]]
        self._t0 += cut / SAMPLE_RATE
        self._speech = [span for span in self._speech if span[1] > self._t0]
        # only words whose sound is gone: a prompt that holds what the buffer says makes Whisper skip or repeat it
        self._prompt = _prompt(self._prompt, [word for word in self._committed if word.t1 <= self._t0])
        self._committed = [word for word in self._committed if word.t1 > self._t0]


def _shift(segment: Segment, t0: float) -> Segment:
    words = tuple(Word(t0 + w.t0, t0 + w.t1, w.text, w.final, w.confidence) for w in segment.words)
    return Segment(words, segment.no_speech, segment.log_probability, segment.compression_ratio)


def _joined(spans: list[Span]) -> list[Span]:
    """Spans in order, those that touch made one."""
    joined: list[Span] = []
    for t0, t1 in spans:
        if joined and t0 <= joined[-1][1] + BLOCK_S / 2:
            joined[-1] = (joined[-1][0], t1)
        else:
            joined.append((t0, t1))
    return joined


def _prompt(before: str, committed: list[Word]) -> str:
    """The end of what has been committed, from a word's beginning on."""
    text = " ".join([before, *(word.text for word in committed)]).strip()
    if len(text) <= _PROMPT_CHARACTERS:
        return text
    return re.sub(r"^\S*\s*", "", text[-_PROMPT_CHARACTERS:])
