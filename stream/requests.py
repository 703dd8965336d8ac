"""What clients may ask of a running session."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stream.listing import found_devices
from stream.live import Live
from stream.live_calibration import LiveCalibration
from stream.serving import protocol


class Requests:
    """Carries out the requests of the protocol; ``live`` and ``calibration`` are given once there are any."""

    def __init__(self) -> None:
        self.live: Live | None = None
        self.calibration: LiveCalibration | None = None

    def __call__(self, request: protocol.Request) -> dict[str, Any]:
        """Do what ``request`` asks and tell the outcome; ``RuntimeError`` says in one line why not."""
        if isinstance(request, protocol.ListDevices):
            return {"devices": [asdict(device) for device in found_devices()[0]]}
        if self.live is None or self.calibration is None:
            raise RuntimeError("the session has not started yet")
        if isinstance(request, protocol.SetRate):
            self.live.set_rate(request.rate)
            return {"rate": request.rate}
        if isinstance(request, (protocol.Pause, protocol.Resume)):
            paused = isinstance(request, protocol.Pause)
            self.live.pause(paused)
            if paused:
                self.calibration.cancel()
            return {"paused": paused}
        if self.live.paused:
            raise RuntimeError("the session is paused: resume it first")
        return self.calibration.start(request.profile, request.seconds)
