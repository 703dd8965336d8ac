"""Words at their times without one on top of another: where each goes, in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.events import TimedWord

SPACE = 6.0
"""Pixels between two labels of one row."""

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
    """Put words into rows, each where it was said; where that is too dense, excerpts of what was said.

    Parameters
    ----------
    words
        In order of time.
    rows, width
        Room: rows, and pixels of each.
    x_of, size_of
        Pixels from the left edge for a time in seconds; pixels that a text takes.
    """
    single = _pack(words, rows, width, x_of, size_of, longest=1)
    if single.words == len(words):
        return single
    return _pack(words, rows, width, x_of, size_of, longest=8)


def _pack(
    words: Sequence[TimedWord],
    rows: int,
    width: float,
    x_of: Callable[[float], float],
    size_of: Callable[[str], float],
    longest: int,
) -> Placement:
    """Greedy: the next label goes into the first row that is free where its first word was said."""
    free = [0.0] * rows
    labels: list[Label] = []
    shown = i = 0
    while i < len(words):
        x = x_of(words[i].t0)
        row = next((row for row in range(rows) if free[row] <= x), None)
        texts = [] if row is None else _fit(words[i : i + longest], width - x, size_of)
        if row is None or not texts:
            i += 1
            continue
        text = " ".join(texts) + (MORE if longest > 1 and i + len(texts) < len(words) else "")
        labels.append(Label(x, row, text))
        free[row] = x + size_of(text) + SPACE
        shown += len(texts)
        i += len(texts)
    return Placement(labels, shown)


def _fit(words: Sequence[TimedWord], room: float, size_of: Callable[[str], float]) -> list[str]:
    """As many of the words, from the first on, as fit into ``room`` pixels."""
    texts = [word.text for word in words]
    while texts and size_of(" ".join(texts) + MORE) > room:
        texts.pop()
    return texts
