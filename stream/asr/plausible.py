"""Which of Whisper's words to believe: over silence and noise it writes fluent sentences nobody said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from miar_rt.signals import Word

Span = tuple[float, float]

_NO_SPEECH = 0.6
_NO_SPEECH_SURE = 0.9
_LOW_LOG_PROBABILITY = -1.0
_HIGH_LOG_PROBABILITY = -0.4
_REPETITIVE = 2.4
_WORD_IN_SPEECH = 0.3
_SPAN_MARGIN_S = 0.2


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment as Whisper decoded it, with what it knows about its own doubts."""

    words: tuple[Word, ...]
    no_speech: float
    log_probability: float
    compression_ratio: float


def believed(segments: Sequence[Segment], speech: Sequence[Span]) -> list[Word]:
    """The words of ``segments`` that sound was there for; ``speech`` holds spans in seconds.

    A segment is dropped when Whisper itself says that it heard no speech, unless it is sure of every token; when
    the mean log probability of its tokens is low; or when its text compresses like a loop (thresholds: Radford
    et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 4.5, no-speech stricter). A
    word is dropped when less than 30 % of it lies in detected speech.
    """
    kept = [segment for segment in segments if _segment_believed(segment)]
    return [word for segment in kept for word in segment.words if _in_speech(word, speech)]


def _segment_believed(segment: Segment) -> bool:
    if segment.compression_ratio > _REPETITIVE or segment.log_probability < _LOW_LOG_PROBABILITY:
        return False
    if segment.no_speech > _NO_SPEECH_SURE:
        return False
    return segment.no_speech <= _NO_SPEECH or segment.log_probability > _HIGH_LOG_PROBABILITY


def _in_speech(word: Word, speech: Sequence[Span]) -> bool:
    end = max(word.t1, word.t0 + 0.02)
    wide = [(t0 - _SPAN_MARGIN_S, t1 + _SPAN_MARGIN_S) for t0, t1 in speech]
    covered = sum(max(0.0, min(end, t1) - max(word.t0, t0)) for t0, t1 in wide)
    return covered >= _WORD_IN_SPEECH * (end - word.t0)
