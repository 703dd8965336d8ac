"""The running neutral: nothing before enough, never far, moods taken away, and the same again in a replay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_runs import run
from feature_frames import UNITS, face_frames, voice_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import tone, write_video
from test_session import HashedWords, make_session, results

from calibration.adaptation import ENOUGH_SECONDS, FARTHEST, HALF_SECONDS, MEMORY_SECONDS, People, RunningNeutral
from calibration.baseline import Baseline
from miar_rt.adapting import FORGET_SECONDS, people
from miar_rt.input_spec import SPEC
from miar_rt.signals import FeatureFrame
from stream.adapting import ADAPTED
from stream.events import Outgoing, Result, Status
from stream.recording import RecordedSession, Recorder
from stream.recording_format import describe_session
from stream.replay import Recording, Replay
from stream.scoring import Scorer
from stream.session import Session, SessionConfig

CALM, ANGER = np.array([1.0, 0.0]), np.array([0.0, 1.0])
SOME = People(
    location=np.array([10.0, 0.0, np.nan]),
    between=np.array([2.0, 1.0, np.nan]),
    moods=np.array([[0.0, 0.0, np.nan], [6.0, -1.0, np.nan]]),
)


def after(values: list[float], probabilities: np.ndarray, seconds: float, people: People = SOME) -> RunningNeutral:
    one = RunningNeutral(people)
    for _ in range(round(seconds)):
        one.add(np.array(values), probabilities, 1.0)
    return one


def moved(one: RunningNeutral, values: list[float]) -> np.ndarray:
    baseline = one.baseline()
    return np.array(values) if baseline is None else baseline.apply(np.array(values))


def test_nothing_changes_before_enough_was_heard() -> None:
    for seconds in range(int(ENOUGH_SECONDS)):
        assert after([12.0, 1.0, 5.0], CALM, seconds).baseline() is None
    assert after([12.0, 1.0, 5.0], CALM, ENOUGH_SECONDS).baseline() is not None


@settings(max_examples=60, deadline=None)
@given(
    stretches=st.lists(
        st.tuples(
            st.floats(-1e6, 1e6) | st.just(float("nan")),
            st.floats(-50.0, 50.0),
            st.floats(0, 1),
            st.floats(0.04, 9),
        ),
        min_size=1,
        max_size=80,
    )
)
def test_whatever_is_heard_nobody_is_moved_farther_than_people_are_apart(
    stretches: list[tuple[float, float, float, float]],
) -> None:
    one = RunningNeutral(SOME)
    for first, second, anger, seconds in stretches:
        one.add(np.array([first, second, 1.0]), np.array([1.0 - anger, anger]), seconds)
    baseline = one.baseline() or Baseline(np.ones(3), np.zeros(3))
    assert baseline.gain.tolist() == [1.0] * 3
    assert (np.abs(baseline.offset) <= FARTHEST * np.array([2.0, 1.0, 0.0]) + 1e-9).all()
    assert np.isfinite(baseline.offset).all()


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-20.0, 20.0), min_size=8, max_size=60))
def test_trust_only_grows_and_never_to_the_full(values: list[float]) -> None:
    one, before = RunningNeutral(SOME), np.zeros(3)
    for value in values * 5:
        one.add(np.array([value, np.nan, 1.0]), CALM, 1.0)
        assert (one.trust >= before).all()
        before = one.trust
    assert before[0] <= MEMORY_SECONDS / (MEMORY_SECONDS + HALF_SECONDS)
    assert before[1:].tolist() == [0.0, 0.0]


def test_a_person_comes_nearer_to_the_average_one() -> None:
    distances = [abs(moved(after([12.0, 0.0, 0.0], CALM, seconds), [12.0, 0.0, 0.0])[0] - 10.0)
                 for seconds in (0, 10, 60, 3600)]  # fmt: skip
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] == pytest.approx(2.0 * HALF_SECONDS / (MEMORY_SECONDS + HALF_SECONDS), abs=1e-6)


def test_an_hour_of_anger_that_is_told_as_anger_moves_nothing() -> None:
    angry = [16.0, -1.0, 0.0]
    assert moved(after(angry, ANGER, 3600), angry) == pytest.approx(angry)


def test_an_hour_of_anger_that_is_told_half_leaves_anger_far_from_neutral() -> None:
    angry = [16.0, -1.0, 0.0]
    left = moved(after(angry, np.array([0.5, 0.5]), 3600), angry)[0] - SOME.location[0]
    assert left >= 0.4 * SOME.moods[1, 0]


def test_who_changed_is_known_after_the_memory_is_over() -> None:
    one = after([12.0, 0.0, 0.0], CALM, 3600)
    for _ in range(round(8 * MEMORY_SECONDS)):
        one.add(np.array([9.0, 0.0, 0.0]), CALM, 1.0)
    assert moved(one, [9.0, 0.0, 0.0])[0] == pytest.approx(9.0 + 0.8, abs=0.01)


def test_the_shipped_table_of_people() -> None:
    for name, one in people().items():
        assert one.moods.shape == (7, SPEC.widths[name])
        traits = np.isfinite(one.location)
        assert (one.between[traits] >= 0.0).all()
        assert np.isfinite(one.moods[:, traits]).all()
    voice = people()["audio"].moods[:, 0]
    assert voice.argmax() == 3  # anger is loudest, and neutral no louder than sadness
    assert voice[0] < voice[2] < voice[4]


def frames(seconds: float, unit: float = 0.2, begin: float = 0.0) -> list[FeatureFrame]:
    found = [*voice_frames(seconds), *face_frames(seconds, unit)]
    shifted = [FeatureFrame(one.kind, one.t + begin, one.values, one.valid) for one in found]
    return sorted(shifted, key=lambda one: one.t)


def live(session: Session, some: list[FeatureFrame]) -> list[Outgoing]:
    events = []
    for frame in some:
        session.push(frame)
        events += session.advance(frame.t + 0.01)
    return events


def test_results_and_a_status_say_from_when_on_it_counts() -> None:
    session = make_session(adapt=True)
    events = live(session, frames(9.0))
    profiles = [result.profile for result in results(events)]
    assert set(profiles) == {None, ADAPTED}
    assert profiles == sorted(profiles, key=lambda one: one is not None)
    told = [event for event in events if isinstance(event, Status)]
    assert sorted(str(one.modality) for one in told) == ["audio", "vision"]
    assert {one.state for one in told} == {"adapting"}
    for status in told:
        assert status.media_time >= ENOUGH_SECONDS
    assert session._scorer.builder.running["vision"].offset[UNITS].max() < 0.0


def test_it_is_off_unless_asked_for_and_changes_nothing_before_it_counts() -> None:
    plain, adapted = (results(live(make_session(adapt=adapt), frames(9.0))) for adapt in (False, True))
    assert {result.profile for result in plain} == {None}
    early = [i for i, result in enumerate(adapted) if result.profile is None]
    assert [plain[i] for i in early] == [adapted[i] for i in early]
    assert plain[-1].raw_emotions != adapted[-1].raw_emotions


def test_what_a_profile_holds_is_left_to_it() -> None:
    session = make_session(adapt=True, profile="ann")
    mine = {
        name: Baseline(np.ones(width), np.zeros(width)) for name, width in SPEC.widths.items() if name != "text"
    }
    session._scorer.builder.baseline = {"vision": mine["vision"]}
    events = live(session, frames(9.0))
    assert [event.modality for event in events if isinstance(event, Status)] == ["audio"]
    assert {result.profile for result in results(events)} == {"ann", f"ann {ADAPTED}"}
    session._scorer.builder.baseline = mine
    assert results(live(session, frames(1.0, begin=9.0)))[-1].profile == "ann"


def test_after_a_long_absence_it_begins_anew() -> None:
    session = make_session(adapt=True)
    live(session, frames(9.0))
    assert session._scorer.builder.running
    live(session, frames(3.0, begin=9.0 + FORGET_SECONDS + 1.0))
    assert not session._scorer.builder.running


def test_a_replay_adapts_to_the_bit(tmp_path: Path, random_scorer: Scorer) -> None:
    config = SessionConfig(adapt=True)
    heard: list[Outgoing] = []
    with Recorder(tmp_path / "session", describe_session(random_scorer, config, None, None)) as recorder:
        session = RecordedSession(recorder, random_scorer, HashedWords(), config)
        for event in live(session, frames(9.0)) + session.finish(9.1):
            recorder.take(event)
            heard.append(event)
    fresh = Scorer(random_scorer.checkpoint, random_scorer.engine)
    replay = Replay(Recording(tmp_path / "session"), fresh, HashedWords())
    assert list(replay.run()) == heard
    assert replay.comparison.identical == replay.comparison.compared == len(results(heard))
    assert [event for event in heard if isinstance(event, Result)][-1].profile == ADAPTED


def test_a_file_is_analysed_with_it(
    tmp_path: Path, random_checkpoint_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    astronaut = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()
    clip = write_video(tmp_path / "clip.mkv", [astronaut] * 200, fps=30, sound=tone(6.6, 16_000))
    call = ("miar", "analyze", clip, "--adapt", "--asr", "off", "--checkpoint", random_checkpoint_folder)
    outs = [tmp_path / name for name in ("first", "second")]
    for out in outs:
        outcome = run(capfd, *call, "--out", out)
        assert outcome.code == 0
        assert "adapting: " in outcome.err
        assert "was not trained with profiles of the face and the voice" in outcome.err
    first, second = ((out / "results.jsonl").read_bytes() for out in outs)
    assert first == second
    profiles = [json.loads(line)["profile"] for line in first.splitlines()]
    assert (profiles[0], profiles[-1]) == (None, ADAPTED)


def test_what_a_checkpoint_does_worse_with_is_learned_in_vain() -> None:
    session = make_session(adapt=True)
    session._scorer.builder.ignored = {"audio"}
    voice_alone = [frame for frame in frames(8.0) if frame.kind != "face"]
    events = live(session, voice_alone)
    assert {result.profile for result in results(events)} == {None}
    assert not [event for event in events if isinstance(event, Status)]
