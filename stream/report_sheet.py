"""A sheet of panels over one time axis, laid out in pixels, for ``report_plot``."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, DPI = 1600, 100
LEFT, RIGHT = 118, 1516
"""Pixels where the time axis begins and ends; names stand to its left, figures to its right."""
TITLE, GAP, FOOT = 62, 26, 74
SMALL, NORMAL, LARGE = 8.0, 9.5, 15.0
INK, FAINT, RULE = "#20242c", "#667080", "#dde1e6"

_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans", "Noto Emoji")
"""The first comes with matplotlib; the others serve other scripts where they are installed."""
_UNKNOWN = "\u25a1"
SECONDS_ALONE = 120
"""Times up to here are told in seconds and parts of them."""

_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


@contextmanager
def style() -> Iterator[None]:
    """Our own look whatever the user's matplotlibrc says."""
    # that it can keep nothing in this home is no news for who wants a report
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": _fonts(),
                "font.size": NORMAL,
                "text.color": INK,
                "text.parse_math": False,
                "xtick.color": FAINT,
            }
        )
        yield


def _fonts() -> list[str]:
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return [name for name in _FONTS if name in installed]


def clock(seconds: float, longest: float) -> str:
    """A time for people, in the same form for all times up to ``longest``: ``12 s``, ``2:05``, ``1:02:05``."""
    whole = round(seconds)
    if longest < SECONDS_ALONE:
        return f"{seconds:g} s"
    if longest < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class Sheet:
    """A figure that is filled with panels from the top.

    Parameters
    ----------
    begin, end
        Of the time axis, in seconds.
    """

    def __init__(self, begin: float, end: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.begin, self.end = begin, end
        self.figure: Any = Figure(figsize=(WIDTH / DPI, 1.0), dpi=DPI, facecolor="white")
        self._renderer: Any = FigureCanvasAgg(self.figure).get_renderer()
        self._glyphs = _glyphs()
        self._widths: dict[tuple[str, float], float] = {}
        self._top = TITLE
        self._height = TITLE + FOOT

    def stack(self, heights: list[int]) -> None:
        """Say how high the panels to come will be."""
        self._height = TITLE + sum(heights) + GAP * (len(heights) - 1) + FOOT
        self.figure.set_size_inches(WIDTH / DPI, self._height / DPI)

    def heading(self, title: str, footnote: str) -> None:
        """Title above and footnote below."""
        self._write(LEFT, 30, self.fitted(title, RIGHT - LEFT, LARGE), fontsize=LARGE, weight="bold")
        self._write(
            LEFT, self._height - 20, self.fitted(footnote, RIGHT - LEFT, SMALL), fontsize=SMALL, color=FAINT
        )

    def panel(self, height: int, low: float, high: float) -> Axes:
        """The next panel, whose values go from ``low`` at its bottom to ``high`` at its top."""
        bottom = self._height - self._top - height
        box = (LEFT / WIDTH, bottom / self._height, (RIGHT - LEFT) / WIDTH, height / self._height)
        axes: Axes = self.figure.add_axes(box, frameon=False)
        axes.set_xlim(self.begin, self.end)
        axes.set_ylim(low, high)
        axes.set_yticks([])
        axes.set_xticks(self._ticks(), labels=[])
        axes.tick_params(length=0)
        axes.grid(visible=True, axis="x", color=RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        self._top += height + GAP
        return axes

    def time_axis(self, axes: Axes) -> None:
        """Write times below the last panel."""
        ticks = self._ticks()
        axes.set_xticks(ticks, labels=[clock(t, self.end) for t in ticks], fontsize=SMALL)
        axes.tick_params(pad=8)

    def left_of(self, axes: Axes, y: float, text: str, color: str = INK, offset: int = 10) -> None:
        """Write to the left of a panel at height ``y`` of its values."""
        self._annotate(axes, (0.0, y), (-offset, 0), text, color, "right")

    def right_of(self, axes: Axes, y: float, text: str, color: str = FAINT) -> None:
        """Write to the right of a panel at height ``y`` of its values."""
        self._annotate(axes, (1.0, y), (10, 0), text, color, "left")

    def bar(
        self,
        axes: Axes,
        span: tuple[float, float],
        middle: float,
        height: float,
        text: str,
        colors: tuple[str, str],
    ) -> None:
        """A bar over ``span`` (start and length in seconds) with text in it where it fits; fill and ink."""
        fill, ink = colors
        start, length = span
        # a pixel of paper tells two neighbours of one colour apart
        shown = max(length - 1.0 / self.pixels_per_second, 0.75 * length)
        axes.broken_barh([(start, shown)], (middle - height / 2, height), facecolor=fill, linewidth=0)
        if text and self.width(text, SMALL) + 8 <= length * self.pixels_per_second:
            axes.text(
                start + length / 2, middle, text, color=ink, ha="center", va="center_baseline", fontsize=SMALL
            )

    @property
    def pixels_per_second(self) -> float:
        """Scale of the time axis."""
        return (RIGHT - LEFT) / (self.end - self.begin)

    @property
    def middle(self) -> float:
        """Time in the middle of the axis."""
        return (self.begin + self.end) / 2

    def width(self, text: str, size: float = NORMAL) -> float:
        """Pixels that a text takes."""
        key = (text, size)
        if key not in self._widths:
            from matplotlib.font_manager import FontProperties

            self._widths[key] = self._renderer.get_text_width_height_descent(
                text, FontProperties(size=size), False
            )[0]
        return self._widths[key]

    def drawable(self, text: str) -> str:
        """One line of text, with a box for what no font at hand can draw."""
        return "".join(c if ord(c) in self._glyphs else _UNKNOWN for c in " ".join(text.split()))

    def fitted(self, text: str, room: float, size: float) -> str:
        """A drawable text, cut in its middle until it fits into ``room`` pixels."""
        whole = text = self.drawable(text)
        keep = len(whole)
        while keep > 2 and self.width(text, size) > room:
            keep = min(keep - 1, int(keep * room / self.width(text, size)))
            text = f"{whole[: keep - keep // 2]}…{whole[len(whole) - keep // 2 :]}"
        return text

    def _ticks(self) -> list[float]:
        length = self.end - self.begin
        step: float = next((step for step in _TICKS if length / step <= 15), math.ceil(length / 15))
        if length <= 3.0 and self.end < SECONDS_ALONE:
            step = 0.5
        first, last = math.ceil(self.begin / step), math.floor(self.end / step)
        return [i * step for i in range(first, last + 1)]

    def _write(self, x: float, y: float, text: str, **look: Any) -> None:
        self.figure.text(x / WIDTH, 1.0 - y / self._height, text, va="center", **look)

    @staticmethod
    def _annotate(
        axes: Axes, xy: tuple[float, float], offset: tuple[int, int], text: str, color: str, align: str
    ) -> None:
        axes.annotate(
            text,
            xy,
            xytext=(offset[0] * 72 / DPI, offset[1]),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=color,
            ha=align,
            va="center",
            annotation_clip=False,
        )


def _glyphs() -> frozenset[int]:
    """Code points that the fonts at hand can draw."""
    from matplotlib import font_manager

    paths = [font_manager.findfont(name) for name in _fonts()]
    return frozenset(code for path in paths for code in font_manager.get_font(path).get_charmap())
