"""Calibration beside a running session: what clients are told, what is refused, what stays untouched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from feature_frames import face_frames, voice_frames
from live_parts import Heard
from random_checkpoint import random_checkpoint

from calibration.baseline import Baseline
from calibration.profile import Profiles
from miar_rt.checkpoint import Checkpoint
from miar_rt.signals import EMOTIONS, FeatureFrame, Modality
from stream.calibration_view import LINES
from stream.events import AudioChunk, Calibration, VideoFrame
from stream.live_calibration import LiveCalibration
from stream.profiles import load_profile
from stream.serving.protocol import RequestError

SECONDS = 20.0
OLD = "the old one"
BOTH: frozenset[Modality] = frozenset(("audio", "vision"))


@dataclass
class Room:
    """A session's surroundings: a clock that is set by hand, listeners, and what is used."""

    checkpoint: Checkpoint = field(default_factory=random_checkpoint)
    captured: frozenset[Modality] = BOTH
    now: float = 100.0
    heard: Heard = field(default_factory=Heard)
    used: list[tuple[str, Mapping[Modality, Baseline]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.calibration = LiveCalibration(
            self.captured,
            self.checkpoint,
            now=lambda: self.now,
            publish=self.heard,
            use=lambda name, baseline: self.used.append((name, baseline)),
        )

    def show(self, frames: list[FeatureFrame]) -> None:
        """Frames as they come, with sound and pictures beside them, from now on."""
        began = self.now
        picture = np.full((48, 64, 3), 120, np.uint8)
        tone = (6000 * np.sin(np.arange(160) / 5)).astype(np.int16)
        for frame in sorted(frames, key=lambda one: one.t):
            self.now = began + frame.t
            moved = replace(frame, t=self.now)
            if frame.kind == "face":
                self.calibration.saw(VideoFrame(self.now, picture), moved, None)
            else:
                self.calibration.heard(AudioChunk(self.now, tone), [moved])
        self.now = began + SECONDS

    def outcome(self) -> Calibration:
        """The last event, once it has come."""
        self.heard.wait_for(lambda: self.told and self.told[-1].state != "running")
        return self.told[-1]

    @property
    def told(self) -> list[Calibration]:
        return [event for event in list(self.heard.events) if isinstance(event, Calibration)]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    """A configuration folder of its own with an old profile in it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    profiles = Profiles()
    profiles.make_folder()
    profiles.path("ann").write_text(OLD)
    return profiles


def good() -> list[FeatureFrame]:
    return [*voice_frames(SECONDS), *face_frames(SECONDS)]


def test_a_person_is_measured_stored_and_known_from_then_on() -> None:
    room = Room()
    said = room.calibration.start("ann", SECONDS)
    assert said == {"profile": "ann", "seconds": SECONDS, "task": said["task"], "lines": LINES}
    assert said["task"].startswith("For 20 s look into the camera and read these lines aloud")
    room.show(good())
    room.heard.wait_for(lambda: room.told)
    outcome = room.outcome()
    assert (outcome.state, outcome.code, outcome.profile) == ("done", None, "ann")
    assert outcome.message.startswith("profile ann, ")
    assert "was not trained with profiles of the face and the voice" in outcome.message
    for shares in (outcome.before, outcome.after):
        assert shares is not None
        assert set(shares) == set(EMOTIONS)
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)
    assert outcome.before != outcome.after
    assert set(load_profile("ann").neutral) == {"audio", "vision"}
    ((name, baseline),) = room.used
    assert (name, set(baseline)) == ("ann", {"audio", "vision"})


def test_while_it_runs_clients_are_told_what_to_do_and_how_it_goes() -> None:
    room = Room()
    room.calibration.start("ann", SECONDS)
    frames = [frame for frame in good() if frame.t < 10.0]
    room.show(frames)
    room.now = 110.0
    room.heard.wait_for(lambda: any(one.left == 10.0 and one.parts["face"].seconds > 9.0 for one in room.told))
    running = room.told[-1]
    assert (running.state, running.seconds, running.lines) == ("running", SECONDS, LINES)
    assert {name: (part.trouble, part.advice) for name, part in running.parts.items()} == {
        "face": (None, None),
        "voice": (None, None),
    }
    room.calibration.cancel()
    assert room.outcome().code == "interrupted"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([*voice_frames(SECONDS), *face_frames(SECONDS, seen=0.1)], "too_little_face"),
        ([*voice_frames(SECONDS, speech=0.05), *face_frames(SECONDS)], "too_little_voice"),
        ([*voice_frames(SECONDS, speech=0.0), *face_frames(SECONDS, seen=0.0)], "too_little_voice"),
    ],
    ids=["no face", "silence", "neither"],
)
def test_too_little_is_rejected(frames: list[FeatureFrame], code: str, store: Profiles) -> None:
    room = Room()
    room.calibration.start("ann", SECONDS)
    room.show(frames)
    outcome = room.outcome()
    assert (outcome.state, outcome.code) == ("rejected", code)
    assert outcome.message.startswith("not stored: ")
    assert store.path("ann").read_text() == OLD
    assert room.used == []


def test_who_shows_strong_emotions_is_not_neutral(store: Profiles) -> None:
    checkpoint = random_checkpoint()
    happy = np.where(np.array(EMOTIONS) == "happiness", np.float32(9.0), np.float32(0.0))
    room = Room(replace(checkpoint, state={**checkpoint.state, "emotion.bias": happy}))
    room.calibration.start("ann", SECONDS)
    room.show(good())
    outcome = room.outcome()
    assert (outcome.state, outcome.code) == ("rejected", "not_neutral")
    assert "looks and sounds like happiness" in outcome.message
    assert "not like neutral: relax" in outcome.message
    assert store.path("ann").read_text() == OLD


@pytest.mark.parametrize("name", ["", "../ann", "a/b", "x" * 300, ".hidden", "😀"])
def test_a_bad_name_is_refused_at_once(name: str) -> None:
    room = Room()
    with pytest.raises(RequestError, match="cannot be a profile's name") as refused:
        room.calibration.start(name, SECONDS)
    assert refused.value.code == "bad_name"
    assert room.told == []


def test_one_at_a_time() -> None:
    room = Room()
    room.calibration.start("ann", SECONDS)
    with pytest.raises(RequestError, match="a calibration of 'ann' is running") as refused:
        room.calibration.start("bob", SECONDS)
    assert refused.value.code == "busy"
    room.calibration.cancel()
    assert room.outcome().profile == "ann"
    room.calibration.start("bob", SECONDS)
    room.calibration.cancel()
    room.heard.wait_for(lambda: room.told[-1].profile == "bob" and room.told[-1].code == "interrupted")


def test_where_profiles_cannot_be_written_nothing_begins(store: Profiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(store.path("ann")))
    with pytest.raises(RequestError) as refused:
        Room().calibration.start("ann", SECONDS)
    assert refused.value.code == "not_saved"


def test_a_disk_that_fills_up_meanwhile(store: Profiles) -> None:
    room = Room()
    room.calibration.start("bob", SECONDS)
    store.path("bob").mkdir()
    room.show(good())
    outcome = room.outcome()
    assert (outcome.state, outcome.code) == ("rejected", "not_saved")
    assert room.used == []


def test_with_words_alone_there_is_nothing_to_measure() -> None:
    with pytest.raises(RequestError) as refused:
        Room(captured=frozenset({"text"})).calibration.start("ann", SECONDS)
    assert refused.value.code == "unsupported"
