"""``miar calibrate``: what is measured, what is refused and why, and a voice from file to profile to results."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Outcome, run
from feature_frames import PITCH, UNITS, WIDTH, face_frames, voice_frames
from flite_speech import RATE, flite_missing, speak
from live_parts import Microphone
from media_makers import quadrants, write_video
from numpy.typing import NDArray
from rich.console import Console

from calibration.profile import Profiles
from miar_rt.input_spec import SPEC
from miar_rt.neutral import measure, personal, population
from miar_rt.signals import EMOTIONS, FeatureFrame, Modality
from stream.calibration_judge import Stretch, answers, complain, summary
from stream.calibration_meter import Meter
from stream.calibration_view import LINES, panel
from stream.clock import CaptureClock
from stream.events import AudioChunk, VideoFrame
from stream.extraction import Step
from stream.profiles import load_profile
from stream.scoring import Scorer

BOTH: frozenset[Modality] = frozenset(("audio", "vision"))


def stretch(*frames: Sequence[FeatureFrame] | Iterator[FeatureFrame]) -> Stretch:
    """Frames in order of time, as a calibration keeps them."""
    meter = Meter(sees=True, hears=True)
    kept = []
    for frame in sorted((frame for part in frames for frame in part), key=lambda frame: frame.t):
        kept.append(Step(frame.t, None, [frame]))
        meter.take(kept[-1])
    return Stretch(kept, BOTH, meter)


def test_a_voice_is_measured_while_it_speaks_and_its_pitch_while_it_has_one() -> None:
    neutral = measure(voice_frames(20.0, speech=0.5))["audio"]
    assert neutral.location[0] == pytest.approx(2.0, abs=0.02)
    assert neutral.location[PITCH] == pytest.approx(30.0, abs=0.3)
    assert neutral.seconds[0] == pytest.approx(10.0, abs=0.2)
    assert neutral.seconds[PITCH] == pytest.approx(5.0, abs=0.2)
    assert np.isnan(neutral.location[WIDTH:]).all()


def test_of_a_face_its_shape_is_measured_and_not_its_place() -> None:
    neutral = measure(face_frames(10.0, unit=0.3, seen=0.6))["vision"]
    assert neutral.location[UNITS] == pytest.approx(np.full(17, 0.3), abs=0.01)
    assert neutral.seconds[UNITS].tolist() == pytest.approx([6.0] * 17, abs=0.1)
    assert np.isnan(neutral.location[SPEC.vision_groups["pose"]]).all()


def test_the_persons_neutral_comes_close_to_the_average_persons() -> None:
    frames = [*voice_frames(30.0), *face_frames(30.0, unit=0.3)]
    neutral = measure(frames)
    moved = personal(neutral)
    average = population()
    pitch = moved["audio"].apply(neutral["audio"].location)[PITCH]
    assert abs(pitch - average["audio"].location[PITCH]) < 0.4 * abs(30.0 - average["audio"].location[PITCH])
    units = moved["vision"].apply(neutral["vision"].location)[UNITS]
    assert np.abs(units - average["vision"].location[UNITS]).max() < 0.02
    assert moved["vision"].gain.tolist() == [1.0] * SPEC.widths["vision"]
    pose = np.arange(SPEC.widths["vision"], dtype=np.float32)
    assert (moved["vision"].apply(pose)[SPEC.vision_groups["pose"]] == pose[SPEC.vision_groups["pose"]]).all()


NOTHING = np.zeros((0, 7))


def test_too_little_is_refused_with_what_is_missing() -> None:
    good = stretch(voice_frames(20.0), face_frames(20.0))
    assert complain(good, measure(_frames(good)), NOTHING, good.wanted) is None
    silent = stretch(voice_frames(20.0, speech=0.1), face_frames(20.0))
    refused = complain(silent, measure(_frames(silent)), NOTHING, silent.wanted)
    assert refused is not None
    assert (refused.code, refused.text) == (
        "too_little_voice",
        "1.0 s of voice and 4.0 s are needed: no voice heard: read the lines aloud",
    )
    assert complain(silent, measure(_frames(silent)), NOTHING, {"vision"}) is None
    away = stretch(voice_frames(20.0), face_frames(20.0, seen=0.2))
    assert str(complain(away, measure(_frames(away)), NOTHING, away.wanted)).endswith(
        "no face found: look into the camera"
    )


def test_a_slow_camera_is_enough() -> None:
    """In the dark many cameras give seven pictures a second."""
    slow = stretch(voice_frames(20.0), list(face_frames(20.0))[::2])
    assert complain(slow, measure(_frames(slow)), NOTHING, slow.wanted) is None


def _frames(one: Stretch) -> list[FeatureFrame]:
    return [signal for step in one.steps for signal in step.signals if isinstance(signal, FeatureFrame)]


@pytest.mark.parametrize(("share", "refused"), [(0.0, False), (0.3, False), (0.5, True), (1.0, True)])
def test_strong_emotions_for_much_of_the_time_are_no_neutral(share: float, refused: bool) -> None:
    one = stretch(voice_frames(20.0), face_frames(20.0))
    rows = np.full((20, 7), 0.1 / 6)
    strong = np.arange(20) < share * 20
    rows[strong, EMOTIONS.index("anger")] = rows[~strong, 0] = 0.9
    said = complain(one, measure(_frames(one)), rows, one.wanted)
    assert (said is not None) == refused
    assert not refused or "like anger" in str(said)


def test_a_person_who_is_known_is_scored_otherwise(random_scorer: Scorer) -> None:
    one = stretch(voice_frames(20.0), face_frames(20.0, unit=0.3))
    before = answers(one, random_scorer, {})
    after = answers(one, random_scorer, personal(measure(_frames(one))))
    assert before.shape == after.shape
    assert len(before) >= 80
    assert np.abs(before - after).max() > 1e-3
    assert after.sum(axis=1) == pytest.approx(np.ones(len(after)), abs=1e-4)
    shares = [float(part.split()[1].rstrip("%")) for part in summary(before).split(", ")]
    assert shares == sorted(shares, reverse=True)


def look(meter: Meter, t: float, value: int, valid: bool) -> None:
    image: NDArray[np.uint8] = np.full((48, 64, 3), value, np.uint8)
    frame = FeatureFrame("face", t, np.zeros(SPEC.widths["vision"], np.float32), valid)
    meter.take(Step(t, VideoFrame(t, image), [frame]))


def hear(meter: Meter, t: float, peak: float, probability: float) -> None:
    samples = (peak * np.sin(np.arange(320) / 5)).astype(np.int16)
    voice = FeatureFrame("voice", t, np.array([probability], np.float32))
    meter.take(Step(t, AudioChunk(t, samples), [voice]))


@pytest.mark.parametrize(
    ("light", "face", "says"), [(120, True, None), (120, False, "no face found"), (9, True, "too dark")]
)
def test_what_is_said_about_the_picture(light: int, face: bool, says: str | None) -> None:
    meter = Meter(sees=True, hears=False)
    for i in range(30):
        look(meter, i / 15, light, face)
    said = meter.states()
    assert set(said) == {"face"}
    assert (said["face"] is None) if says is None else str(said["face"]).startswith(says)
    assert meter.face_seconds == pytest.approx(29 / 15 if face else 0.0)


@pytest.mark.parametrize(
    ("peak", "probability", "says"),
    [
        (6000.0, 0.9, None),
        (6000.0, 0.1, "no voice heard"),
        (60.0, 0.9, "too quiet"),
        (32767.0, 0.9, "too loud, the sound is clipped"),
    ],
)
def test_what_is_said_about_the_sound(peak: float, probability: float, says: str | None) -> None:
    meter = Meter(sees=False, hears=True)
    for i in range(100):
        hear(meter, i / 50, peak, probability)
    said = meter.states()
    assert set(said) == {"voice"}
    assert (said["voice"] is None) if says is None else str(said["voice"]).startswith(says)


def test_only_the_last_seconds_count() -> None:
    meter = Meter(sees=True, hears=True)
    for i in range(100):
        look(meter, i / 20, 9 if i < 50 else 120, valid=True)
        hear(meter, i / 20, 60.0 if i < 50 else 6000.0, 0.9)
    assert meter.states() == {"face": None, "voice": None}


def test_the_panel_tells_what_to_do_and_how_it_goes() -> None:
    meter = Meter(sees=True, hears=True)
    for i in range(60):
        look(meter, i / 15, 120, valid=True)
        hear(meter, i / 15, 60.0, 0.9)
    console = Console(file=io.StringIO(), width=90)
    console.print(panel(meter, 20.0, ("Read this.", *LINES)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("Read this.", *LINES, "● face found", "○ too quiet: speak up"):
        assert part in shown


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Profiles()


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lines read by a synthetic voice, with a picture in which nobody is."""
    if flite_missing():
        pytest.skip("flite is not installed")
    spoken = speak(" ".join(LINES[:3]), before=0.3, after=0.2) / np.float32(32768)
    pictures = [quadrants(64, 48)] * round(len(spoken) / RATE * 10)
    path = tmp_path_factory.mktemp("reading") / "reading.mkv"
    return write_video(path, pictures, fps=10, sound=spoken[None])


def calibrate(capfd: pytest.CaptureFixture[str], checkpoint: Path, name: str, *call: object) -> Outcome:
    return run(capfd, "miar", "calibrate", "--profile", name, "--checkpoint", checkpoint, *call)


@pytest.mark.usefixtures("store")
def test_from_a_voice_in_a_file_to_a_profile_in_use(
    reading: Path,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    random_checkpoint_folder: Path,
) -> None:
    said = calibrate(capfd, random_checkpoint_folder, "Ann Lee", "--input", reading, "--no-camera")
    assert (said.code, said.out) == (0, "")
    measured, before, after, stored = said.err.splitlines()[-4:]
    assert measured.startswith("measured ")
    assert before.startswith("before: ")
    assert after.startswith("after:  ")
    assert stored.startswith("profile Ann Lee, ")
    profile = load_profile("Ann Lee")
    assert set(profile.neutral) == {"audio"}
    assert 3.0 < profile.neutral["audio"].seconds[PITCH] < 15.0
    assert 15.0 < profile.neutral["audio"].location[PITCH] < 35.0
    results = {}
    for name, person in (("without", []), ("with", ["--profile", "Ann Lee"]), ("again", ["--profile", "Ann Lee"])):
        call = ["--asr", "off", "--checkpoint", random_checkpoint_folder, *person]
        said = run(capfd, "miar", "analyze", reading, "--out", tmp_path / name, *call)
        assert said.code == 0
        results[name] = (tmp_path / name / "results.jsonl").read_text()
    assert "random-1 was not trained with profiles of the voice" in said.err
    assert results["with"] == results["again"] != results["without"]
    assert {json.loads(line)["profile"] for line in results["with"].splitlines()} == {"Ann Lee"}
    assert {json.loads(line)["profile"] for line in results["without"].splitlines()} == {None}


def test_a_calibration_without_a_face_leaves_the_old_profile(
    reading: Path, store: Profiles, capfd: pytest.CaptureFixture[str], random_checkpoint_folder: Path
) -> None:
    store.folder.mkdir(parents=True)
    store.path("ann").write_text("the old one")
    said = calibrate(capfd, random_checkpoint_folder, "ann", "--input", reading, "--seconds", "8")
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[-1] == ("miar: not stored: 0.0 s of face and 4.0 s are needed: no face found")
    assert store.path("ann").read_text() == "the old one"
    assert [path.name for path in store.folder.iterdir()] == ["ann.json"]


def test_live_with_a_microphone_that_hears_nobody(
    store: Profiles,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    random_checkpoint_folder: Path,
) -> None:
    made: list[Microphone] = []

    def make(_: str | None, clock: CaptureClock) -> Microphone:
        made.append(Microphone(clock))
        return made[-1]

    monkeypatch.setattr("stream.sources.microphone.Microphone", make)
    call = ["--no-camera", "--seconds", "5", "--accept-notice"]
    said = calibrate(capfd, random_checkpoint_folder, "ann", *call)
    assert said.code == 1
    lines = said.err.splitlines()
    assert "read these lines aloud" in lines[1]
    assert tuple(lines[2 : 2 + len(LINES)]) == LINES
    assert "not stored: 0.0 s of voice and 2.0 s are needed: no voice heard" in lines[-1]
    assert [(one.opened, one.closed) for one in made] == [(1, 1)]
    assert store.names() == []


@pytest.mark.shared
@pytest.mark.usefixtures("store")
def test_a_talking_head(shared_clips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = run(capfd, "miar", "calibrate", "--profile", "a", "--input", shared_clips / "talk_a.mp4")
    assert said.code == 0
    assert set(load_profile("a").neutral) == {"audio", "vision"}
