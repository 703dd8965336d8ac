"""Requests before and while a session runs."""

from __future__ import annotations

import pytest
from live_parts import Heard, Microphone, Spy, make_live

from stream.clock import CaptureClock
from stream.requests import Requests
from stream.serving import protocol


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
