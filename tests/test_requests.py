"""Requests before and while a session runs."""

from __future__ import annotations

import contextlib

import pytest
from live_parts import Heard, Microphone, Spy, make_live

from stream.clock import CaptureClock
from stream.inputs import Devices
from stream.live import Live
from stream.options import LiveOptions
from stream.requests import Requests
from stream.serving import protocol
from stream.sources import Device


def test_what_was_asked_for_early_takes_effect_with_the_session() -> None:
    clock, heard, session, requests = CaptureClock(), Heard(), Spy(), Requests()
    assert requests(protocol.SetRate(id=1, rate=30)) == {"rate": 30}
    assert requests(protocol.Pause(id=2)) == {"paused": True}
    assert requests(protocol.SetRate(id=3, rate=2)) == {"rate": 2}
    with pytest.raises(protocol.RequestError, match="still starting") as refused:
        requests(protocol.Calibrate(id=4, profile="ann"))
    assert refused.value.code == "busy"
    live = make_live(session, heard, clock=clock, audio=Microphone(clock).__enter__())
    requests.begin(live, None)
    live.start()
    heard.wait_for(lambda: (None, "paused") in heard.notices)
    assert not session.of("acoustic")
    requests(protocol.Resume(id=5))
    heard.wait_for(lambda: session.of("acoustic") and len(heard.results) >= 4)
    live.stop()
    first, second = (result.media_time for result in heard.results[2:4])
    assert second - first >= 0.25


PLUGGED_IN = [Device("microphone", i, f"Microphone {i}", f"usb-{i}", default=i == 0) for i in range(2)]


class Named(Microphone):
    """A microphone that knows which one was asked for."""

    def __init__(self, which: str | None, clock: CaptureClock) -> None:
        super().__init__(clock)
        self.name = self.identifier = which or "usb-0"


def test_another_microphone_is_chosen_while_the_session_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Named] = []

    def make(which: str | None, clock: CaptureClock) -> Named:
        made.append(Named(which, clock))
        return made[-1]

    monkeypatch.setattr("stream.sources.microphone.Microphone", make)
    monkeypatch.setattr("stream.sources.microphone.discover_microphones", lambda: PLUGGED_IN)
    clock, heard, session, requests = CaptureClock(), Heard(), Spy(), Requests()

    def choose(kind: str, identifier: str) -> dict[str, object]:
        return requests(protocol.ChooseDevice(id=1, kind=kind, identifier=identifier))  # type: ignore[arg-type]

    with contextlib.ExitStack() as held:
        devices = Devices(LiveOptions(no_camera=True), clock, held)
        devices.open([])
        live = Live(session, None, video=None, audio=devices.audio, clock=clock, listener=heard)
        with pytest.raises(protocol.RequestError) as refused:
            choose("microphone", "usb-1")
        assert refused.value.code == "unsupported"
        requests.begin(live, None, devices)
        live.start()
        heard.wait_for(lambda: session.of("acoustic"))
        for kind, identifier in (("microphone", "usb-7"), ("camera", "usb-1")):
            with pytest.raises(protocol.RequestError, match=f"there is no {kind}") as refused:
                choose(kind, identifier)
            assert refused.value.code == "no_device"
        assert choose("microphone", "usb-1")["device"] == {
            "kind": "microphone", "index": 1, "name": "Microphone 1", "identifier": "usb-1", "default": False
        }  # fmt: skip
        heard.wait_for(lambda: [event for event in heard.events if getattr(event, "detail", "") == "usb-1"])
        known = len(session.of("acoustic"))
        heard.wait_for_result(lambda _: len(session.of("acoustic")) > known)
        live.stop()
    assert [(one.name, one.opened, one.closed) for one in made] == [("usb-0", 1, 1), ("usb-1", 1, 1)]
    assert [state for modality, state in heard.notices if modality == "audio"] == ["device_lost", "ok"]
    times = [frame.t for frame in session.of("acoustic")]
    assert times == sorted(times)


def test_a_device_of_a_kind_that_is_not_used_cannot_be_chosen() -> None:
    with contextlib.ExitStack() as held:
        devices = Devices(LiveOptions(no_camera=True), CaptureClock(), held)
        with pytest.raises(ValueError, match="uses no microphone"):
            devices.choose(PLUGGED_IN[0])
