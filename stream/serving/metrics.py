"""Counters of a server, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stream.events import Published, Result, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CAUSES = ("queue", "superseded", "congested", "max_rate")
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.13, 0.16, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """One registry for each server, so that two of them in a process do not mix."""

    def __init__(self, clients: Callable[[], int], result_age: Callable[[], float | None]) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self._latency = Histogram(
            "miar_latency_seconds", "Capture of the newest signal to the hand-over to the sockets",
            ["stage"], buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self._results = Counter("miar_results", "Results published", registry=registry)
        self._drops = Counter("miar_dropped_messages", "Messages left out", ["cause"], registry=registry)
        for cause in CAUSES:
            self._drops.labels(cause)
        self._lost = Gauge(
            "miar_dropped_signals", "Lost before scoring, since the start", ["what"], registry=registry
        )
        self._ages = Gauge("miar_signal_age_seconds", "Age of the newest signal", ["modality"], registry=registry)
        self._present = Gauge("miar_modality_present", "1 if usable", ["modality"], registry=registry)
        self._errors = Counter("miar_errors", "Errors sent to clients", ["code"], registry=registry)
        age = Gauge("miar_result_age_seconds", "Time since the newest result", registry=registry)
        age.set_function(lambda: _or_nan(result_age()))
        Gauge("miar_clients", "Clients that identified", registry=registry).set_function(clients)
        self.dropped: dict[str, int] = {}

    def observe(self, event: Published) -> None:
        """Take the times and ages of a published result, or what a status says was dropped."""
        if isinstance(event, Result):
            self._observe_result(event)
        elif isinstance(event, Status):
            for what, number in event.dropped.items():
                self._lost.labels(what).set(number)

    def _observe_result(self, result: Result) -> None:
        self._results.inc()
        if result.latency_ms is not None:
            for stage in result.latency_ms.__struct_fields__:
                value = getattr(result.latency_ms, stage)
                if value is not None:
                    self._latency.labels(stage).observe(value / 1000.0)
        for name, state in result.modalities.items():
            self._present.labels(name).set(state.present)
            self._ages.labels(name).set(_or_nan(state.age_ms) / 1000.0)

    def count_drops(self, cause: str, number: int = 1) -> None:
        """Count messages that somebody did not get."""
        self._drops.labels(cause).inc(number)
        self.dropped[cause] = self.dropped.get(cause, 0) + number

    def count_error(self, code: str) -> None:
        """Count an ``error`` sent to a client."""
        self._errors.labels(code).inc()

    def render(self) -> bytes:
        """The text that ``/metrics`` answers with."""
        return generate_latest(self._registry)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
