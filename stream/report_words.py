"""Words at their times without one on top of another: where each goes, in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from stream.events import TimedWord

SPACE = 6.0
"""Pixels between two labels of one row."""

PAUSE = 0.4
"""Seconds between two words after which an excerpt ends."""

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
    return single if single.words == len(words) else _pack(words, rows, width, x_of, size_of, longest=8)


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
    ends: list[int] = []
    starts: list[int] = []
    i = 0
    while i < len(words):
        x = x_of(words[i].t0)
        row = next((row for row in range(rows) if free[row] <= x), None)
        texts = [] if row is None else _fit(_phrase(words[i : i + longest]), width - x, size_of)
        if row is None or not texts:
            i += 1
            continue
        labels.append(Label(x, row, " ".join(texts)))
        free[row] = x + size_of(labels[-1].text + MORE) + SPACE
        starts.append(i)
        i += len(texts)
        ends.append(i)
    shown = sum(ends) - sum(starts)
    return Placement(_with_omissions(labels, ends, [*starts[1:], len(words)]), shown)


def _with_omissions(labels: list[Label], ends: list[int], following: list[int]) -> list[Label]:
    """Mark labels after which words were left out."""
    return [
        replace(label, text=label.text + MORE) if end < then else label
        for label, end, then in zip(labels, ends, following, strict=False)
    ]


def _phrase(words: Sequence[TimedWord]) -> list[str]:
    """The words up to the first pause."""
    pauses = (i + 1 for i, (one, two) in enumerate(pairwise(words)) if two.t0 - one.t1 >= PAUSE)
    return [word.text for word in words[: next(pauses, len(words))]]


def _fit(texts: list[str], room: float, size_of: Callable[[str], float]) -> list[str]:
    """As many of the words, from the first on, as fit into ``room`` pixels."""
    while texts and size_of(" ".join(texts) + MORE) > room:
        texts = texts[:-1]
    return texts
