"""Words at their times without one on top of another: where each goes, in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stream.events import TimedWord

SPACE = 12.0
"""Pixels between two labels of one row."""

PAUSE = 0.4
"""Seconds of silence between two phrases."""

LONGEST = 12
"""Words of a phrase at most."""

MORE = "…"


@dataclass(frozen=True, slots=True)
class Label:
    """Text that starts at ``x`` pixels in a row, counted from the top."""

    x: float
    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Labels, and how many words they hold."""

    labels: list[Label]
    words: int


def place(
    words: Sequence[TimedWord],
    rows: int,
    width: float,
    x_of: Callable[[float], float],
    size_of: Callable[[str], float],
) -> Placement:
    """Put words into rows, each where it was said; or phrases where they begin, where words are too dense for that.

    What there is no room for is left out.

    Parameters
    ----------
    words
        In order of time.
    rows, width
        Room: rows, and pixels of each.
    x_of, size_of
        Pixels from the left edge for a time in seconds; pixels that a text takes.
    """
    single = _pack([[word] for word in words], rows, width, x_of, size_of)
    return single if single.words == len(words) else _pack(_phrases(words), rows, width, x_of, size_of)


def _pack(
    phrases: Sequence[Sequence[TimedWord]],
    rows: int,
    width: float,
    x_of: Callable[[float], float],
    size_of: Callable[[str], float],
) -> Placement:
    """Greedy: each phrase goes into the first row that is free where it begins, or is left out."""
    free = [0.0] * rows
    labels: list[Label] = []
    shown = 0
    for phrase in phrases:
        x = x_of(phrase[0].t0)
        row = next((row for row in range(rows) if free[row] <= x), None)
        texts = [] if row is None else _fit([word.text for word in phrase], width - x, size_of)
        if row is not None and texts:
            text = " ".join(texts) + (MORE if len(texts) < len(phrase) else "")
            labels.append(Label(x, row, text))
            free[row] = x + size_of(text) + SPACE
            shown += len(texts)
    return Placement(labels, shown)


def _phrases(words: Sequence[TimedWord]) -> list[list[TimedWord]]:
    """Words between pauses, cut where they go on for long."""
    phrases = [[words[0]]]
    for before, word in pairwise(words):
        if word.t0 - before.t1 >= PAUSE or len(phrases[-1]) == LONGEST:
            phrases.append([])
        phrases[-1].append(word)
    return phrases


def _fit(texts: list[str], room: float, size_of: Callable[[str], float]) -> list[str]:
    """As many of the words, from the first on, as fit into ``room`` pixels with a mark for the rest."""
    shown = len(texts)
    while shown and size_of(" ".join(texts[:shown]) + (MORE if shown < len(texts) else "")) > room:
        shown -= 1
    return texts[:shown]
