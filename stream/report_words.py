"""Words at their times without one on top of another: where each goes, in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stream.events import TimedWord

SPACE, GAP = 12.0, 5.0
"""Pixels at least between two phrases of one row, and between two words of a phrase."""

NUDGE = 24.0
"""Pixels by which a phrase may stand later than it was said before it goes into another row."""

PAUSE = 0.4
"""Seconds of silence between two phrases."""

LONGEST = 30
"""Words of a phrase at most."""

MORE = "…"


@dataclass(frozen=True, slots=True)
class Label:
    """A word that starts at ``x`` pixels in a row, counted from the top."""

    x: float
    row: int
    text: str


def place(
    words: Sequence[TimedWord],
    rows: int,
    width: float,
    x_of: Callable[[float], float],
    size_of: Callable[[str], float],
) -> list[Label]:
    """Put words into rows so that every phrase reads from left to right in one of them.

    A word stands where it was said, or right after the one before it. A phrase goes into the first row that is
    free where it begins; what there is no room for is left out.

    Parameters
    ----------
    words
        In order of time.
    rows, width
        Room: rows, and pixels of each.
    x_of, size_of
        Pixels from the left edge for a time in seconds; pixels that a text takes.
    """
    free = [0.0] * rows
    labels: list[Label] = []
    for phrase in _phrases(words):
        begin = x_of(phrase[0].t0)
        row = next((row for row in range(rows) if free[row] <= begin + NUDGE), None)
        if row is not None and (line := _line(phrase, row, free[row], width, x_of, size_of)):
            labels += line
            free[row] = line[-1].x + size_of(line[-1].text) + SPACE
    return labels


def _phrases(words: Sequence[TimedWord]) -> list[list[TimedWord]]:
    """Words between pauses, cut where they go on for very long."""
    phrases = [[word] for word in words[:1]]
    for before, word in pairwise(words):
        if word.t0 - before.t1 >= PAUSE or len(phrases[-1]) == LONGEST:
            phrases.append([])
        phrases[-1].append(word)
    return phrases


def _line(
    phrase: Sequence[TimedWord],
    row: int,
    free: float,
    width: float,
    x_of: Callable[[float], float],
    size_of: Callable[[str], float],
) -> list[Label]:
    """As many of the words, from the first on, as end before ``width``, with a mark for the rest."""
    line: list[Label] = []
    for word in phrase:
        label = Label(max(free, x_of(word.t0)), row, word.text)
        free = label.x + size_of(label.text) + GAP
        if free - GAP > width:
            return _cut(line, width, size_of)
        line.append(label)
    return line


def _cut(line: list[Label], width: float, size_of: Callable[[str], float]) -> list[Label]:
    while line:
        last = line.pop()
        marked = Label(last.x, last.row, last.text + MORE)
        if marked.x + size_of(marked.text) <= width:
            return [*line, marked]
    return line
