"""Recordings that clients start and stop while a session runs: where they go, what is refused, what they replay."""

from __future__ import annotations

import resource
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from live_parts import Camera, Heard, Microphone, make_live
from loopback import TOKEN, ws

from stream.clock import CaptureClock
from stream.events import Status
from stream.live_recording import LiveRecording
from stream.recording import RecordedSession, Recorder
from stream.recording_format import EVENTS, MANIFEST, describe_session
from stream.recordings import list_recordings, own_recordings
from stream.replay import Recording, Replay
from stream.requests import Requests
from stream.scoring import Scorer
from stream.serving import client, protocol
from stream.serving.client import RefusedError, SyncMiarClient
from stream.serving.server import Server
from stream.session import SessionConfig


@dataclass
class Running:
    """A session that looks and listens, what it told, and how it is asked for a recording."""

    requests: Requests
    heard: Heard
    scorer: Scorer

    def ask(self, action: str, **fields: Any) -> dict[str, Any]:
        return self.requests(protocol.Record(id=1, action=action, **fields))  # type: ignore[arg-type]

    def refused(self, action: str, **fields: Any) -> protocol.RequestError:
        with pytest.raises(protocol.RequestError) as refusal:
            self.ask(action, **fields)
        return refusal.value

    def wait_for_results(self, number: int) -> None:
        known = len(self.heard.results)
        self.heard.wait_for(lambda: len(self.heard.results) >= known + number)

    def wait_for_status(self, state: str, begins: str) -> Status:
        def found() -> list[Status]:
            told = [one for one in list(self.heard.events) if isinstance(one, Status) and one.state == state]
            return [one for one in told if one.detail.startswith(begins)]

        self.heard.wait_for(found)
        return found()[-1]


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return own_recordings()


@pytest.fixture
def first() -> Recorder | None:
    """What ``--record`` has begun: nothing, unless a test says so."""
    return None


@pytest.fixture
def running(own_folder: Path, random_scorer: Scorer, first: Recorder | None) -> Iterator[Running]:
    assert not own_folder.exists()
    clock, heard, requests = CaptureClock(), Heard(), Requests()
    scorer = Scorer(random_scorer.checkpoint, random_scorer.engine)
    session = RecordedSession(first, scorer, None, SessionConfig(rate=30.0, adapt=True))
    with LiveRecording(
        session, lambda why: describe_session(scorer, session.config, None, why), first
    ) as recording:

        def everyone(event: Any) -> None:
            told = recording.told(event)
            session.take(told)
            heard(told)

        live = make_live(session, everyone, clock=clock, video=Camera(clock), audio=Microphone(clock).__enter__())
        recording.begin(live)
        requests.begin(live, None, recording=recording)
        live.start()
        heard.wait_for(lambda: len(heard.results) >= 5)
        yield Running(requests, heard, scorer)
        live.stop()


def assert_replays(folder: Path, scorer: Scorer, least: int) -> None:
    recording = Recording(folder)
    replay = Replay(recording, scorer, None)
    for _ in replay.run():
        pass
    assert recording.damage is None
    assert replay.comparison.compared >= least
    assert (
        str(replay.comparison) == f"{replay.comparison.compared} of {replay.comparison.compared} results identical"
    )


def test_the_middle_of_a_live_session_is_recorded_twice(running: Running, own_folder: Path) -> None:
    for name, purpose in (("monday", "a test"), ("tuesday 2", None)):
        before = time.time()
        begun = running.ask("start", name=name, purpose=purpose)["recording"]
        assert begun["name"] == name
        assert before - 1.0 <= begun["since"] <= time.time()
        status = running.wait_for_status("recording", name)
        assert status.recording is not None
        assert (status.recording.name, status.detail) == (name, name)
        running.wait_for_results(20)
        ended = running.ask("stop")
        assert ended["name"] == name
        assert ended["results"] >= 20
        assert running.wait_for_status("recorded", f"{name}: ").recording is None
        manifest = Recording(own_folder / name).manifest
        assert manifest.purpose == purpose
        assert manifest.end is not None
        assert (manifest.end.results, round(manifest.end.seconds, 3)) == (ended["results"], ended["seconds"])
        assert {path.name for path in (own_folder / name).iterdir()} == {EVENTS, MANIFEST}
        assert_replays(own_folder / name, running.scorer, ended["results"])
    assert stat.S_IMODE(own_folder.stat().st_mode) == 0o700
    listed = list_recordings()
    assert "monday  " in listed
    assert "tuesday 2  " in listed


def test_what_cannot_be_meant_is_refused(running: Running, own_folder: Path) -> None:
    assert running.refused("stop").code == "not_recording"
    for name in ("../up", "/etc/x", "a/b", ".hidden", "..", "x" * 65, "tab\t", "\0"):
        assert running.refused("start", name=name).code == "bad_name"
    assert not own_folder.exists()
    running.ask("start", name="once")
    assert "'once' is being recorded" in str(running.refused("start", name="again"))
    assert running.refused("start").code == "busy"
    running.ask("stop")
    taken = running.refused("start", name="once")
    assert (taken.code, str(taken)) == ("bad_name", "there is a recording 'once' already: give another name")
    unnamed = running.ask("start")["recording"]["name"]
    assert (own_folder / unnamed / MANIFEST).is_file()


def test_no_space_and_no_folder_are_told_apart(
    running: Running, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder.parent.parent.mkdir()
    own_folder.parent.write_text("in the way")
    assert running.refused("start").code == "not_saved"
    own_folder.parent.unlink()
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    assert running.refused("start", name="full").code == "disk_full"
    assert list(own_folder.iterdir()) == []


def test_a_disk_that_fills_up_is_told_and_the_session_goes_on(running: Running, own_folder: Path) -> None:
    running.ask("start", name="long")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
        failed = running.wait_for_status("recording_failed", "long")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (failed.detail, failed.recording) == ("long: File too large", None)
    running.wait_for_results(5)
    assert running.refused("stop").code == "disk_full"
    assert running.refused("stop").code == "not_recording"
    running.ask("start", name="short")
    running.wait_for_results(5)
    assert_replays(own_folder / "short", running.scorer, running.ask("stop")["results"])


@pytest.mark.parametrize("first", ["monday"], indirect=True)
class TestBegunByRecord:
    """``--record DIR`` is the same recording: told, stopped, and followed by another."""

    @pytest.fixture
    def first(self, tmp_path: Path, random_scorer: Scorer, request: pytest.FixtureRequest) -> Recorder:
        config = SessionConfig(rate=30.0, adapt=True)
        return Recorder(tmp_path / request.param, describe_session(random_scorer, config, None, None))

    def test_it_is_stopped_and_another_begins(self, running: Running, own_folder: Path, first: Recorder) -> None:
        assert running.refused("start").code == "busy"
        assert running.ask("stop")["name"] == "monday"
        assert_replays(first.folder, running.scorer, 5)
        running.ask("start", name="next")
        running.wait_for_status("recording", "next")
        running.wait_for_results(5)
        running.ask("stop")
        assert_replays(own_folder / "next", running.scorer, 5)


def test_before_the_session_has_begun_it_is_busy() -> None:
    with pytest.raises(protocol.RequestError) as refused:
        Requests()(protocol.Record(id=1, action="start"))
    assert refused.value.code == "busy"


def test_only_who_has_the_token_can_record() -> None:
    asked: list[protocol.Request] = []

    def carry_out(request: protocol.Request) -> dict[str, Any]:
        asked.append(request)
        if len(asked) > 1:
            raise protocol.RequestError("busy", "'monday' is being recorded: stop that first")
        return {"recording": {"name": "monday", "since": 5.0}}

    with Server(port=0, token=TOKEN, on_request=carry_out) as server:
        for token in (None, "wrong"):
            with pytest.raises(RefusedError):
                SyncMiarClient(ws(server), token=token).request("record", action="start")
        assert asked == []
        known = SyncMiarClient(ws(server), token=TOKEN)
        assert known.request("record", action="start", name="monday")["recording"]["name"] == "monday"
        assert asked == [protocol.Record(id=1, action="start", name="monday")]
        with pytest.raises(client.RequestError, match="is being recorded") as refused:
            known.request("record", action="start")
        assert refused.value.code == "busy"
        with pytest.raises(client.RequestError) as refused:
            known.request("record", action="begin")
        assert refused.value.code == "bad_field"
