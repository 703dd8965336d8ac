"""The picture of an analysis: ``timeline.png``.

One lane an emotion on a common scale instead of seven crossing lines: no lane hides another, and none needs its
colour to be told apart. Where nothing was scored nothing is drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miar_rt.signals import EMOTIONS, MODALITIES
from stream.events import TimedWord
from stream.report_series import PRESENT, REASONS, UNSCORED, Ints, Steps
from stream.report_sheet import DPI, FAINT, INK, LEFT, NORMAL, RIGHT, RULE, SMALL, Sheet, style
from stream.report_words import Label, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EMOTION_COLORS = ("#8a8f98", "#e69f00", "#0072b2", "#d55e00", "#56b4e9", "#009e73", "#b0609a")
"""One for each of ``EMOTIONS``, after Okabe and Ito (jfly.uni-koeln.de/color, 2008)."""
_ON_EMOTION = (INK, INK, "white", "white", INK, "white", "white")
MODALITY_COLORS = {"text": "#6d5a9c", "audio": "#2f6690", "vision": "#3a7d44"}
_ABSENT = "#eef0f3"

STRIP, LANE, SENTIMENT, BAR, ROW, RUG = 28, 52, 132, 28, 21, 12
MOST_ROWS = 4
SENTIMENT_LIMIT = 3


def draw_timeline(
    path: Path, steps: Steps, words: Sequence[TimedWord], title: str, footnote: str, begin: float = 0.0
) -> None:
    """Draw label, emotions, sentiment, presence and words over time as a PNG, 1600 pixels wide.

    Parameters
    ----------
    steps
        Scores and presence; may be empty.
    words
        Committed words in order of time.
    title, footnote
        One line each, drawn as they are.
    begin
        Where the time axis does.
    """
    with style():
        sheet = Sheet(begin, max([begin + 1.0, *steps.end[-1:].tolist(), *(word.t1 for word in words[-1:])]))
        labels, size = _place(sheet, words)
        rows = 1 + max((label.row for label in labels), default=0)
        sheet.stack([STRIP, LANE * len(EMOTIONS), SENTIMENT, BAR * len(MODALITIES), RUG + ROW * rows])
        sheet.heading(title, footnote)
        _draw_label(sheet, steps)
        _draw_emotions(sheet, steps)
        _draw_sentiment(sheet, steps)
        _draw_presence(sheet, steps)
        _draw_words(sheet, words, labels, size, RUG + ROW * rows)
        sheet.figure.savefig(path, dpi=DPI, format="png")


def _scored(steps: Steps) -> Ints:
    scored: Ints = (steps.label != UNSCORED).astype(np.int64)
    return scored


def _draw_label(sheet: Sheet, steps: Steps) -> None:
    axes = sheet.panel(STRIP, 0, 1)
    sheet.left_of(axes, 0.5, "label")
    for code, run in steps.runs(steps.label):
        if code != UNSCORED:
            colors = EMOTION_COLORS[code], _ON_EMOTION[code]
            sheet.bar(axes, steps.span(run), 0.5, 1.0, EMOTIONS[code], colors)
    if not _scored(steps).any():
        axes.text(sheet.middle, 0.5, "nothing was scored", ha="center", va="center", color=FAINT)


def _draw_emotions(sheet: Sheet, steps: Steps) -> None:
    axes = sheet.panel(LANE * len(EMOTIONS), 1 - len(EMOTIONS), 1)
    for i, name in enumerate(EMOTIONS):
        axes.axhline(-i, color=RULE, linewidth=0.8, zorder=0)
        _fill_lane(axes, steps, i)
        sheet.left_of(axes, 0.3 - i, name)
        if steps.means is not None:
            sheet.right_of(axes, 0.3 - i, f"{steps.means[i]:.0%}")
    axes.axhline(1, color=RULE, linewidth=0.8, zorder=0, linestyle=(0, (4, 4)), clip_on=False)
    sheet.left_of(axes, 1, "100%", FAINT)
    if steps.means is not None:
        sheet.right_of(axes, 0.75, "mean")


def _fill_lane(axes: Axes, steps: Steps, i: int) -> None:
    """Pale where scored, strong where this emotion is the label; certainty fills the lane in every picture."""
    heights, color = steps.emotions[:, i] - i, EMOTION_COLORS[i]
    for code, run in steps.runs(_scored(steps)):
        if code:
            x, y = steps.outline(run, heights)
            axes.fill_between(x, -i, y, color=color, alpha=0.28, linewidth=0)
            axes.plot(x, y, color=color, linewidth=1.1)
    for code, run in steps.runs(steps.label):
        if code == i:
            axes.fill_between(*steps.outline(run, heights), -i, color=color, alpha=0.62, linewidth=0)


def _draw_sentiment(sheet: Sheet, steps: Steps) -> None:
    axes = sheet.panel(SENTIMENT, -SENTIMENT_LIMIT, SENTIMENT_LIMIT)
    for level in (-SENTIMENT_LIMIT, 0, SENTIMENT_LIMIT):
        axes.axhline(level, color=RULE, linewidth=0.8, zorder=0, clip_on=False)
        sheet.left_of(axes, level, _signed(level, 0) if level else "0", FAINT)
    sheet.left_of(axes, 0, "sentiment", offset=34)
    value, low, high = steps.sentiment.T
    for code, run in steps.runs(_scored(steps)):
        if code:
            x, y = steps.outline(run, value)
            below, above = (steps.outline(run, bound)[1] for bound in (low, high))
            axes.fill_between(x, below, above, color=INK, alpha=0.13, linewidth=0)
            axes.plot(x, y, color=INK, linewidth=1.4)
    if steps.means is not None:
        sheet.right_of(axes, 0, f"mean\n{_signed(steps.means[len(EMOTIONS)], 2)}")


def _draw_presence(sheet: Sheet, steps: Steps) -> None:
    axes = sheet.panel(BAR * len(MODALITIES), 0.5 - len(MODALITIES), 0.5)
    for i, name in enumerate(MODALITIES):
        absent = steps.absent[:, i]
        for code, run in steps.runs(absent):
            here = code == PRESENT
            colors = (MODALITY_COLORS[name], "white") if here else (_ABSENT, FAINT)
            sheet.bar(axes, steps.span(run), -i, 0.72, "" if here else REASONS[code].replace("_", " "), colors)
        sheet.left_of(axes, -i, name)
        if steps.presence is not None:
            sheet.right_of(axes, -i, f"{steps.presence[i]:.0%}")


def _draw_words(
    sheet: Sheet, words: Sequence[TimedWord], labels: Sequence[Label], size: float, height: int
) -> None:
    """Words where they were said, below a mark for each of them."""
    axes = sheet.panel(height, height, 0)
    axes.grid(visible=False)
    pixel = 1.0 / sheet.pixels_per_second
    spans = [(word.t0, max(word.t1 - word.t0 - pixel, pixel)) for word in words]
    axes.broken_barh(spans, (1, 5), facecolor=MODALITY_COLORS["text"], linewidth=0)
    if not words:
        axes.text(sheet.middle, RUG + ROW / 2, "none", color=FAINT, ha="center", va="center_baseline")
    for label in labels:
        y = RUG + ROW * (label.row + 0.5)
        axes.text(sheet.begin + label.x * pixel, y, label.text, va="center_baseline", fontsize=size)
    sheet.left_of(axes, RUG + ROW / 2, "words")
    if len(words) > len(labels):
        sheet.right_of(axes, RUG + ROW / 2, f"{len(labels)} of\n{len(words)}")
    sheet.time_axis(axes)


def _place(sheet: Sheet, words: Sequence[TimedWord]) -> tuple[list[Label], float]:
    """Where the words go, and in which size: a smaller one where not all of them fit otherwise."""
    drawable = [TimedWord(sheet.drawable(w.text), w.t0, w.t1, w.final, w.confidence) for w in words]
    begin, scale = sheet.begin, sheet.pixels_per_second
    for size in (NORMAL, SMALL):
        widths = functools.partial(sheet.width, size=size)
        labels = place(drawable, MOST_ROWS, RIGHT - LEFT, lambda t: (t - begin) * scale, widths)
        if len(labels) == len(words):
            break
    return labels, size


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")
