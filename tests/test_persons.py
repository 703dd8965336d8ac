"""Speakers' baselines in training: from the same person in the same place, never from the clip itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_checkpoint import random_checkpoint

from calibration.baseline import Baseline, Neutral
from miar_rt.checkpoint import Checkpoint, load_checkpoint
from miar_rt.engines import Scores
from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.input_spec import SPEC
from miar_rt.neutral import personal
from miar_rt.signals import MODALITIES
from miar_rt.training.batches import Voices, Windows, network_inputs
from miar_rt.training.calibrate import worse_with_baseline
from miar_rt.training.corpora import Clip
from miar_rt.training.exams import nothing, voice_exam
from miar_rt.training.extract import Ragged
from miar_rt.training.persons import Speakers, voice_baselines
from miar_rt.training.simulate import live_sound, to_samples
from miar_rt.window import ChannelStatistics
from stream.profiles import not_trained_with
from stream.scoring import Scorer

PLAIN = {
    name: ChannelStatistics(np.zeros(width, np.float32), np.full(width, 10.0, np.float32))
    for name, width in SPEC.widths.items()
}


def clip(actor: int, emotion: int, repetition: int) -> Clip:
    return Clip(Path("x"), 0, emotion, 1, 1, repetition, actor)


CLIPS = [clip(actor, emotion, repetition) for actor in (1, 2) for emotion in (1, 5) for repetition in (1, 2)]
"""Of each actor: neutral in two sessions, angry in two."""


def grids(steps: int = 60) -> Ragged:
    """Every clip at a level of its own, 1 for the first."""
    values = np.zeros((len(CLIPS) * steps, len(SPEC.audio_channels)), np.float32)
    values[:, :-2] = np.repeat(np.arange(1.0, len(CLIPS) + 1), steps)[:, None]
    values[:, -2:] = 1.0
    return Ragged(values, np.arange(len(CLIPS) + 1) * steps)


@pytest.fixture
def speakers() -> Speakers:
    return Speakers(CLIPS, [grids(), grids()])


def test_a_recording_has_its_own_speaker_and_a_rendering_its_own_session(speakers: Speakers) -> None:
    assert [speakers.candidates(0, i) for i in range(4)] == [[1], [0], [0, 1], [0, 1]]
    assert [speakers.candidates(1, i) for i in range(4)] == [[], [], [0], [1]]
    assert speakers.candidates(1, 6) == [4]


def test_who_is_never_heard_neutral_has_no_baseline(speakers: Speakers) -> None:
    assert speakers.draw(1, 0, np.random.default_rng(0)) is None
    assert speakers.draw(1, 2, np.random.default_rng(0)) is not None


def test_the_same_clips_give_the_same_baseline_as_in_evaluation(speakers: Speakers) -> None:
    drawn = [speakers.draw(0, 2, np.random.default_rng(seed)) for seed in range(20)]
    offsets = {one.offset[0] for one in drawn if one}
    assert len(offsets) == 3  # of the first, of the second, of both
    assert voice_baselines(CLIPS, grids())[1].offset[0] in offsets
    assert set(voice_baselines(CLIPS, grids())) == {1, 2}


def test_a_share_of_the_voices_goes_with_a_baseline(speakers: Speakers) -> None:
    voices = Voices([grids(), grids()], speakers=speakers)
    angry = np.resize([2, 3, 6, 7], 400)
    drawn = voices.draw(angry, np.random.default_rng(1), known=0.5)
    assert np.mean([one is not None for one in drawn.baselines]) == pytest.approx(0.5, abs=0.08)
    never = voices.draw(angry, np.random.default_rng(1))
    assert {one is None for one in never.baselines} == {True}


def test_the_network_is_told_which_windows_were_moved(speakers: Speakers) -> None:
    voices = Voices([grids(), grids()], speakers=speakers)
    drawn = voices.draw(np.resize([2, 7], 64), np.random.default_rng(2), known=0.5)
    windows = {name: nothing(name, 64) for name in MODALITIES} | {"audio": drawn}
    plain = network_inputs(windows | {"audio": Windows(drawn.values, drawn.mask)}, PLAIN)
    moved = network_inputs(windows, PLAIN)
    applied = np.array([one is not None for one in drawn.baselines])
    assert moved["baseline"][:, 1].tolist() == applied.tolist()
    assert not moved["baseline"][:, [0, 2]].any()
    assert not plain["baseline"].any()
    changed = np.abs(moved["audio"] - plain["audio"]).max(axis=(1, 2)) > 1e-6
    assert changed.tolist() == applied.tolist()


def test_one_session_is_one_place_for_every_recording() -> None:
    """Whatever is recorded, a session takes the same draws, so that the next recording meets the same place."""
    sounds = [to_samples(3000.0 * np.sin(np.arange(length) / 9.0)) for length in (9_000, 21_000)]
    for seed in range(12):
        states = []
        for number, sound in enumerate(sounds):
            session = np.random.default_rng(seed)
            live_sound(sound, np.random.default_rng(number), session)
            states.append(session.bit_generator.state)
        assert states[0] == states[1]


def test_a_checkpoint_says_that_it_was_trained_with_baselines(tiny_checkpoint: Path) -> None:
    assert load_checkpoint(tiny_checkpoint).baselines == {"audio", "vision"}


def told(checkpoint: Checkpoint) -> list[float]:
    flags: list[float] = checkpoint.told({"baseline": np.ones((1, 3), np.float32)})["baseline"][0].tolist()
    return flags


def test_a_network_is_told_only_what_it_has_learned(tiny_checkpoint: Path) -> None:
    assert told(load_checkpoint(tiny_checkpoint)) == [0.0, 1.0, 1.0]
    assert told(random_checkpoint()) == [0.0, 0.0, 0.0]


def test_who_was_never_heard_is_left_as_they_are() -> None:
    width = SPEC.widths["audio"]
    unknown = Neutral(np.full(width, np.nan), np.full(width, np.nan), np.zeros(width))
    baseline = personal({"audio": unknown})["audio"]
    assert baseline.gain.tolist() == [1.0] * width
    assert baseline.offset.tolist() == [0.0] * width


def test_a_baseline_that_validation_went_worse_with_is_not_applied() -> None:
    checkpoint = random_checkpoint()
    checkpoint = replace(checkpoint, extractors=checkpoint.extractors | {"ignored_baselines": "audio"})
    engine = OnnxEngine(checkpoint)
    builder = Scorer(checkpoint, engine).builder
    engine.close()
    one = Baseline(np.full(SPEC.widths["audio"], 2.0), np.zeros(SPEC.widths["audio"]))
    builder.baseline = {"audio": one, "vision": one}
    assert builder.applied == {"vision": one}
    assert "uses no personal voice" in str(not_trained_with(checkpoint, ["audio", "vision"]))


def test_what_validation_says_of_baselines_is_asked_of_the_network() -> None:
    """The voice is louder in anger; a baseline that takes all loudness away costs what can be told by it."""
    grids = []
    for i in range(40):
        grid = np.zeros((50, SPEC.widths["audio"]), np.float32)
        grid[:, 0], grid[:, -1] = i % 2, 1.0
        grids.append(grid)
    labels = [3 * (i % 2) for i in range(40)]
    flat = Baseline(np.zeros(SPEC.widths["audio"]), np.zeros(SPEC.widths["audio"]))

    def score(batch: Mapping[str, np.ndarray], presence: np.ndarray) -> Scores:
        logits = np.zeros((len(presence), 1, 7), np.float32)
        logits[:, 0, 3] = 100.0 * batch["audio"][:, -1, 0] - 5.0
        nothing = np.zeros((len(presence), 1), np.float32)
        return Scores(logits, nothing, nothing, np.zeros((len(presence), 1, 4), np.float32))

    without, with_it = voice_exam(labels, grids), voice_exam(labels, grids, baselines=[flat] * 40)
    assert worse_with_baseline({"audio": (without, with_it)}, score, PLAIN) == ["audio"]
    assert worse_with_baseline({"audio": (with_it, without)}, score, PLAIN) == []
