"""The dashboard's controls in a real Chromium: pause, calibrate, the mesh; one of them with a whole miar-live."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browsing import Tab
from cli_runs import start
from flite_speech import RATE, flite_missing, speak
from live_parts import Camera, Heard, Spy, make_live
from loopback import eventually
from media_makers import write_video
from serving_samples import face as one_of_several
from serving_samples import result

from stream.calibration_view import LINES
from stream.clock import CaptureClock
from stream.events import Calibration, CalibrationPart, Landmarks, ModalityState, RecordingState, Status
from stream.onlookers import LandmarkFeed
from stream.requests import Requests
from stream.serving import protocol
from stream.serving.protocol import HelloInfo
from stream.serving.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.device


def face(seq: int = 1) -> Landmarks:
    """Points that spread over the middle of the picture."""
    points = np.random.default_rng(seq).uniform(0.3, 0.7, (478, 3)).round(4).tolist()
    return Landmarks(media_time=seq / 15, aspect=1.3333, points=points)


def painted(tab: Tab, canvas: str) -> int:
    """Pixels of a canvas that are not transparent."""
    return int(
        tab.page.eval_on_selector(
            canvas,
            "node => { const context = new OffscreenCanvas(node.width, node.height).getContext('2d');"
            " context.drawImage(node, 0, 0); const {data} = context.getImageData(0, 0, node.width, node.height);"
            " let seen = 0; for (let i = 3; i < data.length; i += 4) seen += data[i] > 0; return seen; }",
        )
    )


def running(left: float, trouble: Any = None, advice: str | None = None) -> Calibration:
    parts = {"face": CalibrationPart(3.2, trouble, advice), "voice": CalibrationPart(1.0, None, None)}
    return Calibration(
        profile="ann", state="running", seconds=20.0, left=left, task="Look here.", lines=LINES, parts=parts
    )


class Scripted:
    """Takes ``calibrate`` once; the second time it is busy."""

    def __init__(self) -> None:
        self.asked: list[protocol.Request] = []

    def __call__(self, request: protocol.Request) -> dict[str, Any]:
        self.asked.append(request)
        if len(self.asked) > 1:
            raise protocol.RequestError("busy", "a calibration of 'ann' is running: wait for its end")
        return {"profile": "ann", "seconds": 20.0, "task": "Look here.", "lines": LINES}


def test_the_mesh_is_drawn_and_goes_with_the_face(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    eventually(lambda: server.wanted("landmarks"))
    assert painted(tab, "#mesh") == 0
    server.publish(result(1))
    server.publish(face())
    tab.wait_for_value("#mesh", "data-face", "true")
    assert painted(tab, "#mesh") > 2000
    server.publish(msgspec.structs.replace(face(2), points=None))
    tab.wait_for_value("#mesh", "data-face", "false")
    assert painted(tab, "#mesh") == 0
    tab.wait_for_text("#mesh-reading", "no face in the picture")
    assert tab.complaints == []


def test_everybody_in_the_picture_is_named(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    eventually(lambda: server.wanted("landmarks"))
    several = [one_of_several(1), one_of_several(2, speaking=True)]
    seen = {**result(1).modalities, "vision": ModalityState(True, None, 40.0, 0.3)}
    server.publish(msgspec.structs.replace(result(1), modalities=seen, faces=several))
    told = "In the picture: face 1, shown: happiness 62 %; face 2, speaking: happiness 62 %."
    tab.wait_for_text("#mesh-reading", told)
    tab.wait_for_value("#mesh", "data-faces", "2")
    boxes = painted(tab, "#mesh")
    assert boxes > 1000
    server.publish(face())
    server.publish(msgspec.structs.replace(result(2), modalities=seen, faces=several))
    tab.wait_for_value("#mesh", "data-face", "true")
    assert painted(tab, "#mesh") > boxes + 300
    server.publish(msgspec.structs.replace(result(3), modalities=seen, faces=several[:1]))
    tab.wait_for_value("#mesh", "data-faces", "0")
    assert tab.complaints == []


def test_a_recording_is_not_said_to_be_captured(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    server.publish(msgspec.structs.replace(result(1), time=None, latency_ms=None))
    tab.wait_for_text("#capturing .text", "Showing camera 0 and USB microphone")
    assert tab.complaints == []


def test_nobody_who_did_not_ask_gets_landmarks(server: Server, tab: Tab) -> None:
    tab.open(f"{server.url}overlay")
    server.publish(result(1))
    tab.wait_for_label("happiness")
    assert not server.wanted("landmarks")


def test_a_held_timeline_stands_still_and_goes_on_with_all_that_came(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    server.publish(result(1))
    tab.wait_for_label("happiness")
    tab.page.focus("#hold")
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.id") == "timeline"
    tab.page.keyboard.press("ArrowRight")
    assert "happiness 62 %" in tab.text("#timeline-reading")
    shares = dict.fromkeys(result().emotions or {}, 0.05)
    angry = msgspec.structs.replace(result(2), emotions={**shares, "anger": 0.7}, label="anger")
    server.publish(angry)
    tab.wait_for_label("anger")
    tab.page.keyboard.press("ArrowRight")
    assert "0 s ago: happiness 62 %" in tab.text("#timeline-reading")
    tab.page.keyboard.press("Shift+Tab")
    tab.page.keyboard.press("Space")
    tab.page.focus("#timeline")
    tab.page.keyboard.press("ArrowRight")
    assert "anger 70 %" in tab.text("#timeline-reading")


@pytest.mark.parametrize("width", [640, 360])
def test_the_dialogs_stay_readable_when_enlarged(tab: Tab, width: int) -> None:
    with Server(port=0, on_request=Scripted()) as server:
        tab.page.set_viewport_size({"width": width, "height": 500})
        tab.open(server.url)
        tab.page.click("#calibrate")
        tab.page.fill("#profile", "ann")
        tab.page.keyboard.press("Enter")
        tab.wait_for_text("#calibration-left", "20")
        server.publish(running(12.4, "clipping", "too loud, the sound is clipped: turn the microphone down"))
        tab.wait_for_text("#calibration-left", "13")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        panel = tab.page.eval_on_selector("#calibration", "node => node.getBoundingClientRect().toJSON()")
        assert panel["left"] >= 0
        assert panel["right"] <= width
        # what does not fit scrolls inside
        assert panel["bottom"] <= 500
        assert tab.page.eval_on_selector("#calibration", "node => node.scrollWidth <= node.clientWidth")


@pytest.fixture
def session() -> Iterator[tuple[Server, Heard]]:
    """A session that looks at a grey picture, behind a server that takes requests."""
    clock, requests, heard = CaptureClock(), Requests(), Heard()
    with Server(port=0, describe=HelloInfo(sources={"vision": "test camera"}), on_request=requests) as server:

        def everyone(event: Any) -> None:
            heard(event)
            server.publish(event)

        live = make_live(Spy(), everyone, clock=clock, video=Camera(clock))
        live.onlookers.append(LandmarkFeed(server.publish, lambda: server.wanted("landmarks")))
        requests.begin(live, None)
        live.start()
        yield server, heard
        live.stop()


def test_pause_works_by_keyboard_and_every_page_knows(
    session: tuple[Server, Heard], tab: Tab, browser: Browser
) -> None:
    server, heard = session
    tab.open(server.url)
    other = Tab(browser.new_page())
    other.open(server.url)
    tab.wait_for_text("#capturing .text", "Capturing test camera and microphone")
    tab.page.focus("#connection + .controls button")
    assert tab.page.evaluate("document.activeElement.id") == "pause"
    tab.page.keyboard.press("Enter")
    for one in (tab, other):
        one.wait_for_text("#pause", "Resume")
        one.wait_for_text("#capturing .text", "Paused: nothing is captured")
    assert heard.notices[-1] == (None, "paused")
    tab.page.keyboard.press("Space")
    tab.wait_for_text("#pause", "Pause")
    tab.wait_for_text("#capturing .text", "Capturing test camera and microphone")
    other.page.close()
    assert tab.complaints == []


def test_calibration_is_shown_step_by_step_and_done_by_keyboard(tab: Tab) -> None:
    script = Scripted()
    with Server(port=0, on_request=script) as server:
        tab.open(server.url)
        tab.page.focus("#calibrate")
        tab.page.keyboard.press("Enter")
        tab.page.focus("#profile")
        tab.page.keyboard.type("ann")
        tab.page.keyboard.press("Enter")
        tab.wait_for_text("#calibration-left", "20")
        assert script.asked == [protocol.Calibrate(id=1, profile="ann", seconds=20.0)]
        assert tab.page.locator("#calibration-lines li").all_inner_texts() == list(LINES)
        server.publish(running(12.4, "too_dark", "too dark: turn on a light"))
        tab.wait_for_text("#calibration-left", "13")
        tab.wait_for_text("[data-part=face]", "○ too dark: turn on a light · 3.2 s")
        tab.wait_for_text("[data-part=voice]", "● voice heard · 1.0 s")
        tab.wait_for_text("#calibrate", "Calibrating 13 s")
        message = "not stored: 0.0 s of face and 4.0 s are needed"
        server.publish(
            Calibration(profile="ann", state="rejected", seconds=20.0, code="too_little_face", message=message)
        )
        tab.wait_for_text("#calibration-verdict", "Rejected")
        assert tab.text("#calibration-message") == message
        tab.page.click("#calibration-again")
        tab.page.click("#calibration-form button")
        tab.wait_for_text("#calibration-refusal", "a calibration of 'ann' is running: wait for its end")
        tab.page.keyboard.press("Escape")
        assert tab.page.is_hidden("#calibration")
        tab.wait_for_text("#calibrate", "Calibrate")
    assert tab.complaints == []


def test_recording_says_what_is_stored_and_every_page_shows_it(tab: Tab, browser: Browser) -> None:
    asked: list[protocol.Request] = []

    def carry_out(request: protocol.Request) -> dict[str, Any]:
        asked.append(request)
        if len(asked) == 1:
            raise protocol.RequestError("bad_name", "there is a recording 'monday' already: give another name")
        if isinstance(request, protocol.Record) and request.action == "stop":
            return {"name": "tuesday", "seconds": 12.34, "results": 120}
        return {"recording": {"name": "tuesday", "since": 1.7e9}}

    def status(state: str, recording: RecordingState | None = None, detail: str = "") -> Status:
        return Status(media_time=1.0, modality=None, state=state, detail=detail, dropped={}, recording=recording)

    running = RecordingState("tuesday", 1.7e9)
    with Server(port=0, describe=HelloInfo(sources={"vision": "camera 0"}), on_request=carry_out) as server:
        tab.open(server.url)
        other = Tab(browser.new_page())
        other.open(server.url)
        tab.page.focus("#record")
        tab.page.keyboard.press("Enter")
        said = tab.text("#recording-form")
        assert "the words that are said" in said
        assert "No picture and no sound" in said
        assert asked == []
        tab.page.fill("#recording-name", "monday")
        tab.page.keyboard.press("Enter")
        tab.wait_for_text("#recording-refusal", "there is a recording 'monday' already: give another name")
        tab.page.fill("#recording-name", "tuesday")
        tab.page.fill("#recording-purpose", "pilot")
        tab.page.keyboard.press("Enter")
        tab.page.locator("#recording").wait_for(state="hidden")
        assert asked[1] == protocol.Record(id=2, action="start", name="tuesday", purpose="pilot")
        server.publish(status("recording", running))
        for one in (tab, other):
            one.wait_for_text("#record", "Stop recording")
            one.wait_for_value("#capturing", "data-recording", "true")
            assert one.text("#capturing").startswith("recording tuesday since ")
        other.page.click("#record")
        other.wait_for_text("#record", "Record")
        assert asked[2] == protocol.Record(id=1, action="stop")
        other.wait_for_text("#notice", "recorded tuesday: 12.3 s, 120 results")
        server.publish(status("recorded"))
        tab.wait_for_text("#record", "Record")
        server.publish(status("recording_failed", detail="tuesday: No space left on device"))
        tab.wait_for_text("#alarm", "The recording has ended: tuesday: No space left on device")
        other.page.close()
    assert tab.complaints == []


CAMERA = {"kind": "camera", "index": 1, "name": "Second camera", "identifier": "usb-2", "default": False}


def test_another_device_is_chosen_by_keyboard(tab: Tab) -> None:
    chosen: list[protocol.Request] = []

    def carry_out(request: protocol.Request) -> dict[str, Any]:
        if isinstance(request, protocol.ListDevices):
            return {"devices": [CAMERA]}
        chosen.append(request)
        if len(chosen) == 1:
            raise protocol.RequestError("no_device", "there is no camera 'usb-2'")
        return {"device": CAMERA}

    with Server(port=0, on_request=carry_out) as server:
        tab.open(server.url)
        tab.page.focus("#devices-open")
        tab.page.keyboard.press("Enter")
        tab.wait_for_text("#camera", "as it is" + "Second camera")
        tab.wait_for_text("#microphone", "none found")
        tab.page.focus("#camera")
        tab.page.keyboard.type("Second")
        tab.page.focus("#devices-form button")
        tab.page.keyboard.press("Enter")
        tab.wait_for_text("#devices-refusal", "there is no camera 'usb-2'")
        tab.page.keyboard.press("Enter")
        tab.page.locator("#devices").wait_for(state="hidden")
        assert chosen == [protocol.ChooseDevice(id=i, kind="camera", identifier="usb-2") for i in (2, 3)]
    assert tab.complaints == []


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody who looks into the camera and reads."""
    skimage = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    if flite_missing():
        pytest.skip("flite is not installed")
    spoken = speak(" ".join(LINES), before=0.2, after=0.2) / np.float32(32768)
    portrait = np.ascontiguousarray(skimage.astronaut()[:240, 100:420])
    pictures = [np.roll(portrait, i % 5, axis=1) for i in range(round(len(spoken) / RATE * 10))]
    path = tmp_path_factory.mktemp("reader") / "reader.mkv"
    return write_video(path, pictures, fps=10, sound=spoken[None])


def test_the_button_calibrates_a_running_session(
    reader: Path, tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_checkpoint_folder: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    call = ["--asr", "off", "--port", "0", "--checkpoint", random_checkpoint_folder]
    process = start("miar-live", "--input", reader, "--loop", *call)
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        (url,) = next(found for line in lines if (found := re.findall(r"^dashboard (\S+)", line)))
        tab.open(url)
        tab.wait_for_value("#mesh", "data-face", "true")
        tab.page.click("#calibrate")
        tab.page.fill("#profile", "Ann Lee")
        tab.page.fill("#calibration-seconds", "12")
        tab.page.click("#calibration-form button")
        tab.wait_for_text("#calibration-who", "Ann Lee")
        tab.page.locator("#calibration-verdict").wait_for(timeout=60_000)
        assert tab.text("#calibration-message").startswith("profile Ann Lee, ")
        assert tab.text("#calibration-verdict") == "Done"
        assert tab.page.locator("#calibration-shares tr").count() == 7
        tab.page.keyboard.press("Escape")
        tab.wait_for_text("#person", "profile Ann Lee")
        assert (tmp_path / "config/miar-live/profiles/Ann Lee.json").is_file()
        assert tab.complaints == []
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
