"""What a person sees while they calibrate: what to do, what to read, and how it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from stream.calibration_meter import Meter

if TYPE_CHECKING:
    from rich.console import RenderableType

LINES = (
    "The train to the coast leaves at ten past nine from platform four.",
    "On the way it stops at three small stations and crosses two rivers.",
    "There is a shop in the second coach, where they sell bread, water and newspapers.",
    "The whole trip takes about two hours, and the last train back goes at six.",
)
"""To be read: plain, with every kind of sound, and nothing to be moved by."""

GOOD = {"face": "face found", "voice": "voice heard"}
LEAST_BETWEEN = 1.0
"""Seconds between two plain lines."""


def instructions(seconds: float, sees: bool, hears: bool) -> str:
    """What to do, in one line."""
    doing = [part for part, wanted in (("look into the camera", sees), ("read these lines aloud", hears)) if wanted]
    return f"For {seconds:g} s {' and '.join(doing)}, calmly, with the face and the voice you have at rest."


class CalibrationView:
    """A panel on a terminal, plain lines elsewhere; a context manager.

    Parameters
    ----------
    seconds
        How long it takes.
    task
        What to do, and lines to read; empty when the person cannot do anything any more.
    say
        Takes a plain line.
    """

    def __init__(self, seconds: float, task: tuple[str, ...], say: Callable[[str], None]) -> None:
        self._seconds, self._task, self._say = seconds, task, say
        self._meter: Meter | None = None
        self._last: tuple[float, str] = (-LEAST_BETWEEN, "")
        self._live = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True)
            self._live = Live(get_renderable=self._panel, console=console, refresh_per_second=10, transient=True)

    def __enter__(self) -> CalibrationView:
        if self._live is not None:
            self._live.start()
        else:
            for line in self._task:
                self._say(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, meter: Meter) -> None:
        """Show how it goes: at once on a terminal, elsewhere when something has changed."""
        self._meter = meter
        if self._live is not None:
            return
        state = ", ".join(trouble or GOOD[name] for name, trouble in meter.states().items())
        if state != self._last[1] and meter.now >= self._last[0] + LEAST_BETWEEN:
            self._last = (meter.now, state)
            self._say(f"{meter.now:5.1f} s  {state}")

    def _panel(self) -> RenderableType:
        return panel(self._meter, self._seconds, self._task)


def panel(meter: Meter | None, seconds: float, task: tuple[str, ...]) -> RenderableType:
    """What is on a terminal: the task, how far it is, and face and voice."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    now, states = (meter.now, meter.states()) if meter else (0.0, {})
    rows = [
        Text(f"○ {trouble}", "yellow") if trouble else Text(f"● {GOOD[name]}", "green")
        for name, trouble in states.items()
    ]
    # a bar alone does not end its line
    bar = Padding(ProgressBar(seconds, min(now, seconds)), (1, 0))
    lines = [Text(line, "bold" if i else "") for i, line in enumerate(task)]
    return Panel(Group(*lines, bar, *rows), title="miar calibrate", title_align="left", padding=(1, 2))
