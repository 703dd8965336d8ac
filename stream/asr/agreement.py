"""LocalAgreement-2: words become committed when two successive hypotheses agree on them.

Pure: no clock, no thread, no recogniser. Source: D. Macháček, R. Dabre, O. Bojar, "Turning Whisper into
Real-Time Transcription System", IJCNLP-AACL 2023 (arXiv 2307.14743), after Liu et al. 2020.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from miar_rt.signals import Word

_LONGEST_OVERLAP = 5
_SENTENCE_ENDS = (".", "?", "!", "\u3002", "\uff1f", "\uff01")
_TIME_TOLERANCE = 1e-6


class LocalAgreement:
    """The committed prefix of a growing transcript and the unstable rest.

    Each hypothesis covers the sound from some point before the end of the committed words up to now. What it
    says about sound that is already committed is ignored, so that a later change of mind cannot retract.

    Parameters
    ----------
    settle_s
        A word is committed only when it ended at least this long before the newest sound: recognisers that
        give hypotheses many times a second agree with themselves long before they know.
    """

    def __init__(self, settle_s: float = 0.0) -> None:
        self._settle_s = settle_s
        self._previous: list[str] = []
        self._tail: list[str] = []
        self._committed_t1 = -math.inf

    @property
    def committed_t1(self) -> float:
        """End of the newest committed word in seconds, minus infinity before the first."""
        return self._committed_t1

    def update(self, t: float, hypothesis: Sequence[Word]) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
        """Take the hypothesis over the sound up to ``t``; give newly committed words and the partial ones."""
        fresh = self._fresh(hypothesis)
        agreed = 0
        for word, before in zip(fresh, self._previous, strict=False):
            if _key(word.text) != before or word.t1 > t - self._settle_s + _TIME_TOLERANCE:
                break
            agreed += 1
        self._previous = [_key(word.text) for word in fresh[agreed:]]
        return self._commit(fresh[:agreed]), tuple(replace(word, final=False) for word in fresh[agreed:])

    def finish(self, hypothesis: Sequence[Word]) -> tuple[Word, ...]:
        """Commit all of the last hypothesis of an utterance that is not committed yet."""
        self._previous = []
        return self._commit(self._fresh(hypothesis))

    def _commit(self, words: Sequence[Word]) -> tuple[Word, ...]:
        if words:
            self._committed_t1 = words[-1].t1
            self._tail = [*self._tail, *(_key(word.text) for word in words)][-_LONGEST_OVERLAP:]
        return tuple(replace(word, final=True) for word in words)

    def _fresh(self, hypothesis: Sequence[Word]) -> list[Word]:
        words = [word for word in hypothesis if (word.t0 + word.t1) / 2 > self._committed_t1]
        return _in_order(words[self._overlap(words) :], self._committed_t1)

    def _overlap(self, words: Sequence[Word]) -> int:
        """How many leading words repeat the committed ones: a boundary moved, the words did not."""
        if not words or words[0].t0 >= self._committed_t1:
            return 0
        keys = [_key(word.text) for word in words[:_LONGEST_OVERLAP]]
        return next((n for n in range(len(keys), 0, -1) if keys[:n] == self._tail[-n:]), 0)


def trim_point(words: Sequence[Word], t0: float, t: float, limit_s: float) -> float:
    """Where a buffer that holds the sound from ``t0`` to ``t`` may be cut so that at most ``limit_s`` remain.

    ``words`` are the committed ones. Cuts fall on the end of a committed sentence if that frees enough, else of
    the newest committed word, else, when nothing has been committed for ``limit_s``, wherever the limit demands.

    Returns
    -------
    The new start in seconds, ``t0`` when nothing has to go.
    """
    needed = t - limit_s
    if t0 >= needed:
        return t0
    ends = [word.t1 for word in words if needed <= word.t1 <= t]
    sentences = [word.t1 for word in words if needed <= word.t1 <= t and word.text[-1:] in _SENTENCE_ENDS]
    return max(sentences or ends or [needed])


def _key(text: str) -> str:
    """What two hypotheses must share: letters and digits, not case or punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum()) or folded


def _in_order(words: Sequence[Word], start: float) -> list[Word]:
    """The words with times that never go back and never start before ``start``."""
    ordered: list[Word] = []
    for word in words:
        t0 = max(word.t0, start)
        start = max(word.t1, t0)
        ordered.append(replace(word, t0=t0, t1=start))
    return ordered
