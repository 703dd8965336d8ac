"""What clients may ask of a running session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from stream.inputs import Devices
from stream.listing import found_devices
from stream.live import Live
from stream.live_calibration import LiveCalibration
from stream.live_recording import LiveRecording
from stream.serving import protocol
from stream.sources import Device

Part = TypeVar("Part")


class Requests:
    """Carries out the requests of the protocol; the newest that came before :meth:`begin` take effect with it."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._calibration: LiveCalibration | None = None
        self._recording: LiveRecording | None = None
        self._devices: Devices | None = None
        self._early: dict[str, Callable[[Live], None]] = {}
        self._lock = threading.Lock()

    def begin(
        self,
        live: Live,
        calibration: LiveCalibration | None,
        devices: Devices | None = None,
        recording: LiveRecording | None = None,
    ) -> None:
        """Pass everything on to a session from now on."""
        with self._lock:
            self._live, self._calibration, self._devices = live, calibration, devices
            self._recording = recording
            for act in self._early.values():
                act(live)

    def pause(self, paused: bool) -> None:
        """Stop or resume looking and listening; a calibration does not outlive that."""
        self._do("paused", lambda live: live.pause(paused))
        if paused and self._calibration is not None:
            self._calibration.cancel()

    def __call__(self, request: protocol.Request) -> dict[str, Any]:
        """Do what ``request`` asks and tell the outcome; ``RuntimeError`` says in one line why not."""
        if isinstance(request, protocol.ListDevices):
            return {"devices": [asdict(device) for device in found_devices()[0]]}
        if isinstance(request, protocol.ChooseDevice):
            return {"device": asdict(self._choose(request))}
        if isinstance(request, protocol.SetRate):
            rate = request.rate
            self._do("rate", lambda live: live.set_rate(rate))
            return {"rate": rate}
        if isinstance(request, (protocol.Pause, protocol.Resume)):
            paused = isinstance(request, protocol.Pause)
            self.pause(paused)
            return {"paused": paused}
        if isinstance(request, protocol.Record):
            return _begun(self._recording)(request)
        if _begun(self._live).paused:
            raise RuntimeError("the session is paused: resume it first")
        return _begun(self._calibration).start(request.profile, request.seconds)

    def _choose(self, request: protocol.ChooseDevice) -> Device:
        if self._devices is None:
            raise protocol.RequestError("unsupported", "this session's devices cannot be chosen")
        wanted = request.kind, request.identifier
        device = next((one for one in found_devices()[0] if (one.kind, one.identifier) == wanted), None)
        if device is None:
            raise protocol.RequestError("no_device", f"there is no {request.kind} {request.identifier[:80]!r}")
        try:
            self._devices.choose(device)
        except ValueError as error:
            raise protocol.RequestError("unsupported", str(error)) from error
        return device

    def _do(self, what: str, act: Callable[[Live], None]) -> None:
        with self._lock:
            if self._live is None:
                self._early[what] = act
            else:
                act(self._live)


def _begun(part: Part | None) -> Part:
    if part is None:
        raise protocol.RequestError("busy", "the session is still starting: ask again in a moment")
    return part
