"""The words of the last seconds, as a session shows and scores them."""

from __future__ import annotations

import math

from miar_rt.signals import Word, WordsUpdate
from stream.events import DECIMALS, TimedWord, Transcript, TranscriptState


class RecentWords:
    """Committed words of the last ``memory`` seconds and the partial hypothesis after them.

    Attributes
    ----------
    updates
        What a recogniser said that still counts: the same words follow from these alone.
    """

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._committed: list[tuple[Word, bool]] = []
        self.updates: list[WordsUpdate] = []
        self.partial: tuple[Word, ...] = ()
        self._partial_known = True
        self._kind: str | None = None

    def update(self, update: WordsUpdate, known: bool) -> None:
        """Take what a recogniser says; ``known`` is whether its language can be scored."""
        self._committed.extend((word, known) for word in update.committed)
        self.partial, self._partial_known = update.partial, known
        self._kind = update.kind
        self._committed = [(word, how) for word, how in self._committed if update.t - word.t1 <= self._memory]
        kept = (one for one in self.updates if any(update.t - word.t1 <= self._memory for word in one.committed))
        self.updates = [*kept, update]

    def known(self) -> list[Word]:
        """The words that can be scored."""
        partial = self.partial if self._partial_known else ()
        return [*(word for word, known in self._committed if known), *partial]

    def state(self, now: float) -> TranscriptState:
        """What a result shows at ``now``."""
        recent = (word.text for word, _ in self._committed if now - word.t1 <= self._memory)
        return TranscriptState(
            committed=" ".join(recent), partial=" ".join(word.text for word in self.partial), asr=self._kind
        )


def spoken(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Words that say anything at all, with times that are numbers."""
    return tuple(word for word in words if word.text.strip() and math.isfinite(word.t0 + word.t1))


def as_transcript(update: WordsUpdate) -> Transcript:
    """The event that goes out for an update."""
    return Transcript(
        media_time=round(update.t, DECIMALS),
        asr=update.kind,
        words=[
            TimedWord(w.text, round(w.t0, DECIMALS), round(w.t1, DECIMALS), w.final, round(w.confidence, DECIMALS))
            for w in (*update.committed, *update.partial)
        ],
        speech_final=update.speech_final,
        language=update.language,
        gap=update.gap and (round(update.gap[0], DECIMALS), round(update.gap[1], DECIMALS)),
    )
