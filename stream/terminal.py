"""The live view in a terminal: what the dashboard shows, in 80 columns and 24 lines."""

from __future__ import annotations

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from miar_rt.signals import EMOTIONS, MODALITIES
from stream.events import FaceResult, ModalityState, Outgoing, Result, Sentiment, Status, Transcript
from stream.keyboard import PAUSE_KEY

COLOURS = {
    "neutral": "grey70", "happiness": "#e69f00", "sadness": "#3f9bdc", "anger": "#e8663a",
    "surprise": "#7cc7f2", "disgust": "#1fb98c", "fear": "#d58ab4",
}  # fmt: skip
NAMES = {"text": "words", "audio": "voice", "vision": "face"}
REASONS = {
    "off": "switched off",
    "device_lost": "device lost",
    "failed": "failed",
    "no_face": "no face in the picture",
    "silence": "nobody is speaking",
    "no_words_yet": "no words yet",
    "stale": "nothing new for a while",
    "unsupported_language": "language not supported",
}
BAR_CELLS = 60
SCALE_CELLS = 43
_WORDS_SHOWN = 220


def render(
    result: Result | None, transcript: Transcript | None, status: Status | None, paused: bool = False
) -> RenderableType:
    """The view of the newest result, words and notice; any of them may not have come yet."""
    title = f"MIAR live · paused: {PAUSE_KEY} goes on" if paused else f"MIAR live · {PAUSE_KEY} pauses"
    if result is None:
        return Panel(Text("waiting for the first result", style="dim"), title=title, title_align="left")
    lines: list[RenderableType] = [
        _verdict(result),
        _faces(result.faces),
        *(_bar(name, result) for name in EMOTIONS),
        Text(),
        _sentiment(result.sentiment),
        Text(),
        _modalities(result),
        Text(),
        _words(result, transcript),
        _footer(result, status),
    ]
    return Panel(Group(*lines), title=title, title_align="left", padding=(0, 1), height=23)


class TerminalView:
    """Keeps the newest of each kind of event on the screen, redrawn ten times a second at most.

    Attributes
    ----------
    paused
        Whether to say that it is paused.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.paused = False
        self._result: Result | None = None
        self._transcript: Transcript | None = None
        self._status: Status | None = None
        self._live = Live(
            get_renderable=lambda: render(self._result, self._transcript, self._status, self.paused),
            console=console,
            refresh_per_second=10,
            transient=True,
        )

    def __enter__(self) -> TerminalView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, event: Outgoing) -> None:
        """Show ``event`` from the next drawing on; cheap and safe from any thread."""
        if isinstance(event, Result):
            self._result = event
        elif isinstance(event, Transcript):
            self._transcript = event
        else:
            self._status = event


def _verdict(result: Result) -> Text:
    if result.label is None or result.confidence is None:
        return Text.assemble(("no score", "bold dim"), ("  nothing to go by right now", "dim"))
    colour = COLOURS.get(result.label, "white")
    return Text.assemble((result.label, f"bold {colour}"), f"  {result.confidence:.0%}")


def _faces(faces: list[FaceResult] | msgspec.UnsetType) -> Text:
    """A line on everybody in the picture, where several are followed."""
    told = [
        f"face {face.id} {face.label or 'no score'}"
        + ("" if face.confidence is None else f" {face.confidence:.0%}")
        + (" speaking" if face.speaking else "")
        for face in faces or ()
    ]
    return Text(" · ".join(told), "dim", no_wrap=True, overflow="ellipsis")


def _bar(name: str, result: Result) -> Text:
    strong = "bold" if name == result.label else ""
    if result.emotions is None:
        return Text.assemble((f"{name:<10}", "dim"), ("·" * BAR_CELLS, "dim"), (" none", "dim"))
    share = result.emotions.get(name, 0.0)
    full = round(share * BAR_CELLS)
    filled, rest = ("█" * full, COLOURS[name]), ("░" * (BAR_CELLS - full), "dim")
    return Text.assemble((f"{name:<10}", strong), filled, rest, (f"{share:>5.0%}", strong))


def _sentiment(sentiment: Sentiment | None) -> Text:
    if sentiment is None:
        return Text.assemble("sentiment ", ("·" * SCALE_CELLS, "dim"), (" none", "dim"))
    cells = ["─"] * SCALE_CELLS
    low, value, high = (_cell(bound) for bound in (sentiment.low, sentiment.value, sentiment.high))
    cells[low : high + 1] = ["━"] * (high + 1 - low)
    cells[value] = "●"
    reading = f" {sentiment.value:+.1f} ({sentiment.low:+.1f} to {sentiment.high:+.1f})"
    return Text.assemble("sentiment ", ("".join(cells), "#7cc7f2"), reading)


def _cell(value: float) -> int:
    share = (min(max(value, -3.0), 3.0) + 3.0) / 6.0
    return round(share * (SCALE_CELLS - 1))


def _modalities(result: Result) -> Table:
    table = Table.grid(padding=(0, 2))
    for name in MODALITIES:
        state = result.modalities.get(name)
        if state is not None:
            table.add_row(*_modality(NAMES[name], state))
    return table


def _modality(name: str, state: ModalityState) -> tuple[Text, ...]:
    age = "" if state.age_ms is None else f"{state.age_ms:.0f} ms old"
    if not state.present:
        reason = REASONS.get(state.reason or "", state.reason or "absent")
        return Text(f"○ {name}", "dim"), Text(reason, "yellow"), Text(age, "dim")
    return Text(f"● {name}", "green"), Text(f"contributes {state.contribution:.0%}"), Text(age)


def _words(result: Result, transcript: Transcript | None) -> Text:
    committed, partial = result.transcript.committed, result.transcript.partial
    if transcript is not None and transcript.media_time > result.media_time:
        partial = " ".join(word.text for word in transcript.words if not word.final)
    if not committed and not partial:
        return Text("no words yet", "dim")
    text = Text.assemble(committed, " " if committed else "", (partial, "italic dim"))
    # the newest words are the ones to read
    return text if len(text) <= _WORDS_SHOWN else Text("…") + text[-_WORDS_SHOWN:]


def _footer(result: Result, status: Status | None) -> Text:
    parts = [f"{result.model.checkpoint} on {result.model.engine}"]
    if result.latency_ms is not None and result.latency_ms.total is not None:
        parts.append(f"latency {result.latency_ms.total:.0f} ms")
    if status is not None and status.recording is not None:
        parts.append(f"● recording {status.recording.name}")
    if status is not None and status.state:
        parts.append(" ".join(part for part in (NAMES.get(status.modality or ""), status.state) if part))
    if status is not None:
        parts += status.losses()
    return Text(" · ".join(parts), "dim", no_wrap=True, overflow="ellipsis")
