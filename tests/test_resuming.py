"""Recordings that begin and end in the middle of a session say the same when they are replayed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from session_records import live_through
from test_faces import picture
from test_session import HashedWords, acoustic, said, voice

from stream.events import Outgoing, Result
from stream.recording import RecordedSession, Recorder
from stream.recording_format import describe_session
from stream.replay import Recording, Replay
from stream.resuming import State
from stream.scoring import Scorer
from stream.session import SessionConfig


def record_between(
    folder: Path, scorer: Scorer, config: SessionConfig, steps: tuple[int, int]
) -> tuple[list[Outgoing], list[Outgoing]]:
    """A session that is recorded between two of its steps; what it said meanwhile, and all that it said."""
    session = RecordedSession(None, Scorer(scorer.checkpoint, scorer.engine), HashedWords(), config)
    heard: list[Outgoing] = []
    between: list[int] = []
    recorder = Recorder(folder, describe_session(scorer, config, "sphinx", None))

    def at(step: int) -> None:
        if step in steps:
            between.append(len(heard))
            session.record(recorder if len(between) == 1 else None)

    def listen(event: Outgoing) -> None:
        session.take(event)
        heard.append(event)

    with recorder:
        live_through(session, listen, at)
    begin, end = [*between, len(heard)][:2]
    return heard[begin:end], heard


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("steps", [(0, 600), (1, 130), (77, 310), (205, 599), (333, 520), (455, 600), (560, 600)])
def test_a_replay_of_the_middle_says_the_same(
    tmp_path: Path, random_scorer: Scorer, steps: tuple[int, int], adapt: bool
) -> None:
    config = SessionConfig(rate=10.0, profile="ann", adapt=adapt)
    told, _ = record_between(tmp_path / "middle", random_scorer, config, steps)
    replay = Replay(Recording(tmp_path / "middle"), random_scorer, HashedWords())
    assert list(replay.run()) == told
    results = [event for event in told if isinstance(event, Result)]
    assert len(results) >= 2
    assert (replay.comparison.compared, replay.comparison.identical) == (len(results), len(results))


@pytest.mark.parametrize("step", [20, 47, 101, 133])
def test_several_faces_are_taken_up_too(tmp_path: Path, random_scorer: Scorer, step: int) -> None:
    config = SessionConfig(faces=3, adapt=True)
    session = RecordedSession(None, Scorer(random_scorer.checkpoint, random_scorer.engine), HashedWords(), config)
    heard: list[Outgoing] = []
    with Recorder(tmp_path / "faces", describe_session(random_scorer, config, None, None)) as recorder:
        for i in range(180):
            t = i / 15
            if i == step:
                session.record(recorder)
                heard.clear()
            names = [name for name, there in ((1, i < 60), (2, i > 25), (5, 90 < i < 140), (6, i > 99)) if there]
            session.push(picture(t, *names, primary=names[i // 45 % len(names)] if names else 0))
            session.push(voice(t, 0.9 if i % 30 < 20 else 0.1))
            session.push(acoustic(t))
            if i % 20 == 19:
                session.push(said(t, "words of somebody", final=i % 40 == 39))
            for event in session.advance(t + 0.01):
                session.take(event)
                heard.append(event)
    replay = Replay(Recording(tmp_path / "faces"), random_scorer, HashedWords())
    assert list(replay.run()) == heard
    assert max(len(one.faces) for one in heard if isinstance(one, Result) and one.faces) > 1


def test_recording_changes_no_answer(tmp_path: Path, random_scorer: Scorer) -> None:
    config = SessionConfig(rate=10.0, adapt=True)
    _, once = record_between(tmp_path / "once", random_scorer, config, (100, 200))
    _, again = record_between(tmp_path / "again", random_scorer, config, (400, 500))
    assert once == again


def test_what_is_needed_to_go_on_is_not_optional(tmp_path: Path, random_scorer: Scorer) -> None:
    """Without the state, or without what was in the windows, the answers are others: the test above can fail."""
    told, _ = record_between(tmp_path / "middle", random_scorer, SessionConfig(), (333, 520))
    recording = Recording(tmp_path / "middle")
    entries = list(recording.entries())
    begin = next(i for i, entry in enumerate(entries) if isinstance(entry, State))
    for kept in (entries[begin:], [*entries[:begin], *entries[begin + 1 :]]):
        replay = Replay(recording, random_scorer, HashedWords())
        recording.entries = lambda kept=kept: iter(kept)  # type: ignore[method-assign, misc]
        assert list(replay.run()) != told


def test_its_length_counts_from_its_beginning(tmp_path: Path, random_scorer: Scorer) -> None:
    record_between(tmp_path / "middle", random_scorer, SessionConfig(), (333, 520))
    recording = Recording(tmp_path / "middle")
    read = recording.read_through()
    assert recording.manifest.end is not None
    assert read == msgspec.structs.replace(recording.manifest.end, sha256=None)
    assert read.began == pytest.approx(3.3, abs=0.15)
    assert read.seconds == pytest.approx(1.87, abs=0.15)


def test_a_state_comes_back_bit_for_bit(random_scorer: Scorer) -> None:
    states: list[State] = []
    session = RecordedSession(None, random_scorer, HashedWords(), SessionConfig(adapt=True))
    live_through(session, lambda _: None, lambda step: states.append(session.state) if step % 100 == 99 else None)
    for state in states:
        assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state
    learned = states[-1].sole.learned
    assert learned is not None
    assert learned.begin is not None
