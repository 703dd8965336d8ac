"""Which device is opened again after it was lost."""

from __future__ import annotations

import contextlib
from typing import Any

import live_parts
import pytest

from stream.clock import CaptureClock
from stream.inputs import Devices
from stream.options import LiveOptions
from stream.sources import camera, microphone


def asked_for(monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[int | str | None]:
    """What a device is asked for by when it is opened, and when it is opened again."""
    asked: list[int | str | None] = []

    def stand_in(kind: type[Any]) -> Any:
        def make(which: int | str | None, clock: CaptureClock) -> Any:
            asked.append(which)
            return kind(clock)

        return make

    monkeypatch.setattr(camera, "Camera", stand_in(live_parts.Camera))
    monkeypatch.setattr(microphone, "Microphone", stand_in(live_parts.Microphone))
    with contextlib.ExitStack() as held:
        devices = Devices(LiveOptions(**options), CaptureClock(), held)
        devices.open([])
        slot: Any = devices.video or devices.audio
        slot.close()
        with slot.hold():
            pass
    return asked


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"camera": "0", "no_mic": True}, ["0", "test camera"]),
        ({"no_mic": True}, [None, "test camera"]),
        ({"camera": "rtsp://u:p@10.0.0.9/live", "no_mic": True}, ["rtsp://u:p@10.0.0.9/live"] * 2),
        ({"mic": "3", "no_camera": True}, ["3", "test microphone"]),
        ({"no_camera": True}, [None, None]),
    ],
)
def test_the_same_device_is_taken_again(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], asked: list[str | None]
) -> None:
    assert asked_for(monkeypatch, **options) == asked
