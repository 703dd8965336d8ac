"""What clients may ask of a running session."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stream.listing import found_devices
from stream.live import Live
from stream.serving import protocol


class Requests:
    """Carries out the requests of the protocol; ``live`` is given once it runs."""

    def __init__(self) -> None:
        self.live: Live | None = None

    def __call__(self, request: protocol.Request) -> dict[str, Any]:
        """Do what ``request`` asks and tell the outcome; ``RuntimeError`` says in one line why it cannot be."""
        if isinstance(request, protocol.ListDevices):
            return {"devices": [asdict(device) for device in found_devices()[0]]}
        if self.live is None:
            raise RuntimeError("the session has not started yet")
        if isinstance(request, protocol.SetRate):
            self.live.set_rate(request.rate)
            return {"rate": request.rate}
        if isinstance(request, (protocol.Pause, protocol.Resume)):
            paused = isinstance(request, protocol.Pause)
            self.live.pause(paused)
            return {"paused": paused}
        raise RuntimeError("calibration is not part of this version")
