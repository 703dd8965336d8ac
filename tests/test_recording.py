"""Recordings: what goes in comes out bit for bit, whole or up to the damage, and replays say the same."""

from __future__ import annotations

import contextlib
import itertools
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from random_checkpoint import random_checkpoint
from session_records import Recorded, bits, record
from test_faces import picture
from test_session import HashedWords, acoustic, said, voice

from miar_rt.engines.torch_engine import TorchEngine
from miar_rt.input_spec import ACOUSTICS, SPEC
from miar_rt.signals import FeatureFrame
from stream import recording as recording_module
from stream.events import Outgoing, Result
from stream.recording import RecordedSession, Recorder
from stream.recording_format import (
    EVENTS,
    MANIFEST,
    Instant,
    Lost,
    RecordingError,
    being_written,
    describe_session,
)
from stream.replay import Comparison, Recording, Replay
from stream.scoring import Scorer
from stream.session import SessionConfig


def test_everything_comes_back_bit_for_bit(recorded: Recorded) -> None:
    recording = Recording(recorded.folder)
    assert [bits(entry) for entry in recording.entries()] == recorded.bits
    assert recording.damage is None
    assert recording.rows_lost == 0
    kinds = {type(entry).__name__ for entry in Recording(recorded.folder).entries()}
    assert kinds == {"FeatureFrame", "WordsUpdate", "DeviceStatus", "Rate", "Instant", "Result", "Personal"}


def test_a_replay_says_the_same(tmp_path: Path, random_scorer: Scorer) -> None:
    heard: list[Outgoing] = []
    record(tmp_path / "session", random_scorer, heard.append)
    fresh = Scorer(random_scorer.checkpoint, random_scorer.engine)
    replay = Replay(Recording(tmp_path / "session"), fresh, HashedWords())
    assert list(replay.run()) == heard
    results = [event for event in heard if isinstance(event, Result)]
    assert len(results) > 40
    assert len({result.sentiment for result in results}) > 1
    assert (replay.comparison.compared, replay.comparison.identical) == (len(results), len(results))


def test_several_faces_come_back_and_replay_bit_for_bit(tmp_path: Path, random_scorer: Scorer) -> None:
    config, put = SessionConfig(faces=3), []
    with Recorder(tmp_path / "faces", describe_session(random_scorer, config, None, None)) as recorder:
        session = RecordedSession(recorder, random_scorer, HashedWords(), config)
        for step in range(180):
            t = step / 30
            names = [name for name, left in ((1, 4.0), (2, 6.0), (3, 2.0)) if t < left]
            put.append(picture(t, *names, primary=1 if t < 5.0 else 2))
            for signal in (put[-1], voice(t, 0.9), acoustic(t)):
                session.push(signal)
            if step == 90:
                session.push(said(t, "which of us"))
            for event in session.advance(t):
                recorder.take(event)
    recording = Recording(tmp_path / "faces")
    pictures = [entry for entry in recording.entries() if isinstance(entry, FeatureFrame) and entry.kind == "face"]
    assert [[*map(bits, (one, *one.faces))] for one in pictures] == [[*map(bits, (one, *one.faces))] for one in put]
    replay = Replay(recording, Scorer(random_scorer.checkpoint, random_scorer.engine), HashedWords())
    found = [event for event in replay.run() if isinstance(event, Result)]
    assert {len(result.faces) for result in found if isinstance(result.faces, list)} == {1, 2, 3}
    assert (replay.comparison.compared, replay.comparison.identical) == (len(found), len(found))


def test_another_engine_is_within_parity(recorded: Recorded) -> None:
    replay = Replay(
        Recording(recorded.folder), Scorer(random_checkpoint(), TorchEngine(random_checkpoint())), HashedWords()
    )
    assert len(list(replay.run())) > 40
    assert replay.comparison.alike
    assert replay.comparison.compared > 40


def a_result(recorded: Recorded) -> Result:
    return next(e for e in Recording(recorded.folder).entries() if isinstance(e, Result) and e.label and e.seq > 3)


def changed(result: Result, by: float) -> Result:
    assert result.sentiment is not None
    sentiment = msgspec.structs.replace(result.sentiment, value=result.sentiment.value + by)
    return msgspec.structs.replace(result, sentiment=sentiment)


@pytest.mark.parametrize(
    ("change", "alike", "line"),
    [
        (lambda r: msgspec.structs.replace(r, time=5.0), True, "1 of 1 results identical"),
        (
            lambda r: changed(r, 1e-5),
            True,
            "0 of 1 results identical; greatest difference 1.0e-05 in sentiment.value",
        ),
        (
            lambda r: changed(r, -0.5),
            False,
            "0 of 1 results identical; greatest difference 5.0e-01 in sentiment.value",
        ),
        (
            lambda r: msgspec.structs.replace(r, label="joy"),
            False,
            "0 of 1 results identical; others differ in more",
        ),
        (lambda r: msgspec.structs.replace(r, seq=r.seq + 1), False, "first in everything of result"),
    ],
)
def test_what_differs_is_told(
    recorded: Recorded, change: Callable[[Result], Result], alike: bool, line: str
) -> None:
    result = a_result(recorded)
    comparison = Comparison()
    comparison.replayed(iter([result]))
    comparison.recorded(change(result))
    assert comparison.alike == alike
    assert line in str(comparison)


def cuts(size: int) -> Iterator[int]:
    """The ends, the middle of the schema, and places drawn at random."""
    return itertools.chain([0, 1, 7, 100, size - 1, size - 9], np.random.default_rng(1).integers(1, size, 40))


def test_a_recording_cut_anywhere_is_read_up_to_the_cut(recorded: Recorded, tmp_path: Path) -> None:
    folder = recorded.copy(tmp_path / "cut")
    whole = (folder / EVENTS).read_bytes()
    lengths = []
    for size in cuts(len(whole)):
        (folder / EVENTS).write_bytes(whole[:size])
        try:
            recording = Recording(folder)
        except RecordingError:
            lengths.append(0)
            continue
        found = [bits(entry) for entry in recording.entries()]
        assert found == recorded.bits[: len(found)]
        if len(found) < len(recorded.bits):
            assert recording.damage is not None
            assert f"from {recording.seconds:.1f} s on" in recording.damage
        lengths.append(len(found))
    assert max(lengths) > min(lengths) == 0


def test_flipped_bits_never_crash_a_replay(recorded: Recorded, tmp_path: Path) -> None:
    """Whatever can still be read, damage is said."""
    folder = recorded.copy(tmp_path / "flipped")
    whole = (folder / EVENTS).read_bytes()
    generator = np.random.default_rng(2)
    for _ in range(40):
        spoilt = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            spoilt[place] ^= 1 << int(generator.integers(8))
        (folder / EVENTS).write_bytes(spoilt)
        with contextlib.suppress(RecordingError):
            recording = Recording(folder)
            recording.read_through()
            assert recording.damage is not None


def test_values_beyond_all_bounds_are_scored_without_a_word(tmp_path: Path, random_scorer: Scorer) -> None:
    config = SessionConfig()
    with Recorder(tmp_path / "loud", describe_session(random_scorer, config, None, None)) as recorder:
        for t in np.arange(0.01, 0.6, 0.01):
            recorder.put(FeatureFrame("acoustic", t, np.full(len(ACOUSTICS), 3e38, np.float32)))
            recorder.put(voice(t, 0.99))
        recorder.put(Instant(0.6))
    (result,) = Replay(Recording(tmp_path / "loud"), random_scorer, None).run()
    assert isinstance(result, Result)
    assert result.emotions is not None


def test_what_a_session_refuses_ends_a_replay(tmp_path: Path, random_scorer: Scorer) -> None:
    config = SessionConfig()
    with Recorder(tmp_path / "odd", describe_session(random_scorer, config, None, None)) as recorder:
        session = RecordedSession(recorder, random_scorer, None, config)
        session.push(voice(0.5, 0.9))
        session.advance(0.6)
        recorder.put(FeatureFrame("voice", float("nan"), np.zeros(1, np.float32)))
        session.advance(5.0)
    recording = Recording(tmp_path / "odd")
    assert len(list(Replay(recording, random_scorer, None).run())) == 1
    assert recording.damage is not None
    assert "is damaged from 0.6 s on: a voice frame at nan s" in recording.damage


def test_of_many_that_begin_in_one_folder_at_once_one_has_it(tmp_path: Path, random_scorer: Scorer) -> None:
    for attempt in range(20):
        folder, turn, made = tmp_path / str(attempt), threading.Barrier(4), list[Recorder]()

        def begin(number: int) -> None:
            turn.wait()  # noqa: B023 - called in this round
            with contextlib.suppress(RecordingError):
                made.append(Recorder(folder, describe_session(random_scorer, SessionConfig(), None, f"{number}")))  # noqa: B023

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(begin, range(4)))
        (winner,) = made
        assert being_written(folder)
        with winner:
            winner.put(voice(1.0, 0.9))
        assert not being_written(folder)
        recording = Recording(folder)
        assert len(list(recording.entries())) == 1
        assert recording.damage is None
        assert recording.manifest.purpose == winner.manifest.purpose
        assert {path.name for path in folder.iterdir()} == {EVENTS, MANIFEST}


def test_only_the_owner_can_read_a_recording(recorded: Recorded) -> None:
    assert stat.S_IMODE(recorded.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in recorded.folder.iterdir()} == {0o600}
    assert {path.name for path in recorded.folder.iterdir()} == {EVENTS, MANIFEST}


def test_no_row_holds_sound_pictures_or_embeddings(recorded: Recorded) -> None:
    frames = [entry for entry in Recording(recorded.folder).entries() if isinstance(entry, FeatureFrame)]
    widths = {("acoustic", len(ACOUSTICS)), ("voice", 1), ("face", SPEC.widths["vision"])}
    assert {(frame.kind, len(frame.values)) for frame in frames} == widths


def test_rows_that_could_not_be_written_in_time_are_told(
    tmp_path: Path, random_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_module, "WAITING_ROWS", 10)
    recorder = Recorder(tmp_path / "slow", describe_session(random_scorer, SessionConfig(), None, None))
    for step in range(25):
        recorder.put(voice(step / 31, 0.9))
    with recorder:
        pass
    recording = Recording(tmp_path / "slow")
    entries = list(recording.entries())
    assert entries[0] == Lost(15)
    assert [entry.t for entry in entries[1:]] == [step / 31 for step in range(15, 25)]  # type: ignore[union-attr]
    assert recording.rows_lost == 15
    assert recording.manifest.end is not None
    assert recording.manifest.end.rows_lost == 15
