"""What ``/healthz`` says, judged by what is published: a session tells its state every two seconds, also paused."""

from __future__ import annotations

from stream.events import Published, Result, Status

STATES = frozenset(("running", "paused", "behind"))
LOSSES = frozenset(("device_lost", "stale", "failed"))
STALLED_SECONDS = 10.0
"""A session that has said nothing for so long hangs or is gone."""


class Health:
    """Takes every event with the time it was published at (seconds on any steady clock)."""

    def __init__(self) -> None:
        self._state = "running"
        self._lost: dict[str, str] = {}
        self._heard_at: float | None = None
        self._result_at: float | None = None

    def take(self, event: Published, now: float) -> None:
        """Learn from one event how the session is."""
        self._heard_at = now
        if isinstance(event, Result):
            self._result_at = now
        if not isinstance(event, Status):
            return
        if event.state in STATES:
            self._state = event.state
        elif event.modality is not None and event.state in LOSSES:
            self._lost[event.modality] = event.state
        elif event.modality is not None and event.state == "ok":
            self._lost.pop(event.modality, None)

    def result_age(self, now: float) -> float | None:
        """Seconds since the newest result; ``None`` before the first."""
        return None if self._result_at is None else now - self._result_at

    def report(self, now: float, clients: int) -> dict[str, object]:
        """``status`` is ``starting ok paused behind stalled``; ``lost`` says what became of modalities."""
        age = self.result_age(now)
        return {
            "status": self._status(now),
            "clients": clients,
            "seconds_since_result": None if age is None else round(age, 3),
            "lost": dict(self._lost),
        }

    def _status(self, now: float) -> str:
        if self._heard_at is None:
            return "starting"
        if now - self._heard_at > STALLED_SECONDS:
            return "stalled"
        return "ok" if self._state == "running" else self._state
