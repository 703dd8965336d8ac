"""The times of a result that only a live run can know."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from miar_rt.signals import Modality
from stream.clock import CaptureClock
from stream.events import Latency, Outgoing, Result


def stamped(
    event: Outgoing, newest: Mapping[Modality, float | None], clock: CaptureClock, began: float
) -> Outgoing:
    """An event as it is handed over, a result with its latencies.

    Parameters
    ----------
    event
        What the session said.
    newest
        Capture time of the newest signal of each modality in a result.
    clock
        The capture clock.
    began
        When scoring began, on it.
    """
    if not isinstance(event, Result):
        return event
    now = clock.now()
    ages = {name: None if t is None else (now - t) * 1e3 for name, t in newest.items()}
    youngest = min((age for age in ages.values() if age is not None), default=None)
    captured = began if youngest is None else now - youngest / 1e3
    return msgspec.structs.replace(
        event,
        time=round(clock.to_unix(captured), 6),
        latency_ms=Latency(
            text=_rounded(ages["text"]),
            audio=_rounded(ages["audio"]),
            vision=_rounded(ages["vision"]),
            score=round((now - began) * 1e3, 3),
            total=_rounded(youngest),
        ),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
