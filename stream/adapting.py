"""What is said about ``--adapt``: before it begins, when it takes effect, and in every result after that."""

from __future__ import annotations

from calibration.adaptation import ENOUGH_SECONDS
from miar_rt.adapting import Adapter
from miar_rt.neutral import MEASURED
from miar_rt.signals import MODALITIES, Modality
from miar_rt.window import WindowBuilder
from stream.events import DECIMALS, Status
from stream.profiles import PARTS, not_trained_with
from stream.scoring import Answer, Scorer

ADAPTED = "(adapted)"
"""In a result's ``profile``, alone or after a profile's name; no profile can have a name with brackets."""


def tell_adapting(adapt: bool, scorer: Scorer, lines: list[str]) -> None:
    """What people should know before somebody is adapted to, in ``lines``."""
    if not adapt:
        return
    lines.append("adapting: what is usual for the voice and face that are there, kept in memory till the end alone")
    if warning := not_trained_with(scorer.checkpoint, MEASURED):
        lines.append(f"warning: {warning}")


def adapt(now: float, adapter: Adapter, builder: WindowBuilder, answer: Answer) -> list[Status]:
    """Learn from an answer what the person is like; says so when that begins to count."""
    before = builder.applied.keys()
    adapter.take(now, answer.probabilities)
    return [_adapting(now, name) for name in MODALITIES if name in builder.applied.keys() - before]


def _adapting(now: float, modality: Modality) -> Status:
    """That a running baseline begins to count."""
    detail = f"after {ENOUGH_SECONDS:g} s the {PARTS[modality]} is compared with what is usual for this person"
    return Status(media_time=round(now, DECIMALS), modality=modality, state="adapting", detail=detail, dropped={})


def profile_in_use(name: str | None, builder: WindowBuilder) -> str | None:
    """A result's ``profile``: the name of the one in use, and whether running baselines are."""
    running = (builder.running.keys() & builder.applied.keys()) - builder.baseline.keys()
    return " ".join(part for part in (name, ADAPTED if running else None) if part) or None
