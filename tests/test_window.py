"""The only builder of model inputs: steps on a fixed grid, words by age, nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miar_rt.input_spec import ACOUSTICS, SPEC, VOICED_DESCRIPTORS
from miar_rt.signals import MODALITIES, EncodedText, FeatureFrame, Word
from miar_rt.window import CLIP, ChannelStatistics, ModelInput, WindowBuilder, as_batch, normalise, restrict

ALL = dict.fromkeys(MODALITIES, True)
PLAIN = {
    name: ChannelStatistics(np.zeros(width, np.float32), np.ones(width, np.float32))
    for name, width in SPEC.widths.items()
}
PITCH, VOICED = VOICED_DESCRIPTORS.start, len(ACOUSTICS)


def acoustic(t: float, level: float, pitch: float = 30.0) -> FeatureFrame:
    values = np.full(len(ACOUSTICS), level, np.float32)
    values[PITCH] = pitch
    return FeatureFrame("acoustic", t, values)


def face(t: float, value: float) -> FeatureFrame:
    return FeatureFrame("face", t, np.full(SPEC.widths["vision"], value, np.float32))


def words(*ends: float) -> tuple[list[Word], EncodedText]:
    said = [Word(end - 0.2, end, f"w{i}", True, 0.5) for i, end in enumerate(ends)]
    tokens = np.repeat(np.arange(1, len(said) + 1, dtype=np.float32)[:, None], SPEC.token_width, axis=1)
    return said, EncodedText(tokens, np.arange(len(said)))


def test_frames_of_a_step_are_averaged_and_steps_lie_on_a_fixed_grid() -> None:
    builder = WindowBuilder()
    for i, level in enumerate([1.0, 2.0, 3.0, 6.0]):
        builder.push(acoustic(1.0 + 0.01 * i, level))
    window = builder.raw(1.039)
    assert window.values["audio"][-1, 0] == 3.0
    assert window.masks["audio"].tolist() == [False] * 99 + [True]
    later = builder.raw(1.5)
    assert later.values["audio"][-1 - 12, 0] == 3.0
    assert np.isnan(later.values["audio"][-1]).all()


def test_pitch_counts_only_where_the_voice_has_one() -> None:
    builder = WindowBuilder()
    builder.push(acoustic(0.0, 1.0, pitch=20.0))
    builder.push(acoustic(0.01, 1.0, pitch=0.0))
    builder.push(acoustic(0.04, 5.0, pitch=0.0))
    values = builder.raw(0.05).values["audio"]
    assert values[-2, PITCH] == 20.0
    assert values[-2, VOICED] == 0.5
    assert np.isnan(values[-1, VOICED_DESCRIPTORS]).all()
    assert values[-1, :PITCH].tolist() == [5.0] * PITCH
    assert values[-1, VOICED] == 0.0


def test_voice_activity_is_the_last_acoustic_channel() -> None:
    builder = WindowBuilder()
    builder.push(FeatureFrame("voice", 0.03, np.array([0.75], np.float32)))
    builder.push(acoustic(0.02, 1.0))
    assert builder.raw(0.03).values["audio"][-1, -1] == 0.75


def test_what_is_older_than_the_window_is_gone() -> None:
    builder = WindowBuilder()
    builder.push(face(0.0, 1.0))
    assert builder.raw(3.9).presence.tolist() == [False, False, True]
    assert not builder.raw(4.1).presence.any()


def test_a_picture_without_a_face_leaves_no_trace() -> None:
    builder = WindowBuilder()
    builder.push(FeatureFrame("face", 0.5, np.full(SPEC.widths["vision"], 1.0, np.float32), valid=False))
    assert not builder.raw(0.5).masks["vision"].any()


def test_channel_groups_say_which_face_channels_hold_anything() -> None:
    values = np.full(SPEC.widths["vision"], np.nan, np.float32)
    values[SPEC.vision_groups["units"]] = 0.5
    builder = WindowBuilder()
    builder.push(FeatureFrame("face", 0.5, values))
    assert builder.raw(0.5).groups.tolist() == [0.0, 0.0, 1.0, 0.0]


@settings(max_examples=30, deadline=None)
@given(
    frames=st.lists(st.tuples(st.floats(0.0, 6.0), st.floats(-9.0, 9.0)), min_size=1, max_size=30),
    asked=st.lists(st.floats(0.0, 7.0), max_size=5),
)
def test_asking_in_between_changes_nothing(frames: list[tuple[float, float]], asked: list[float]) -> None:
    quiet, curious = WindowBuilder(), WindowBuilder()
    for t, value in sorted(frames):
        quiet.push(face(t, value))
        curious.push(face(t, value))
        for moment in asked:
            curious.raw(moment)
    end = max(t for t, _ in frames)
    assert np.array_equal(quiet.raw(end).values["vision"], curious.raw(end).values["vision"], equal_nan=True)


def test_words_carry_age_partial_flag_confidence_and_recogniser() -> None:
    builder = WindowBuilder()
    said, encoded = words(1.0, 4.0)
    builder.set_words([said[0], Word(3.8, 4.0, "w1", final=False, confidence=0.25)], encoded, "sphinx")
    window = builder.raw(4.0)
    extras = window.values["text"][-2:, SPEC.token_width :]
    assert extras == pytest.approx(np.array([[0.2, 0, 0.5, 0, 0, 1], [0.0, 1, 0.25, 0, 0, 1]]))
    assert window.values["text"][-2:, 0].tolist() == [1.0, 2.0]
    assert window.masks["text"].sum() == 2


def test_words_fade_after_fifteen_seconds_and_the_newest_tokens_win() -> None:
    builder = WindowBuilder()
    builder.set_words(*words(*np.linspace(0.1, 10.0, 60)), "whisper")
    assert builder.raw(10.0).masks["text"].all()
    assert builder.raw(10.0).values["text"][-1, 0] == 60.0
    assert builder.raw(24.9).masks["text"].sum() == 1
    assert not builder.raw(25.1).masks["text"].any()


def filled() -> ModelInput:
    builder = WindowBuilder()
    builder.push(face(1.0, 3.0))
    builder.push(acoustic(1.0, 1e9))
    builder.set_words(*words(1.0), "written")
    return builder.raw(1.0)


def test_a_modality_taken_out_leaves_zeros_only() -> None:
    window = normalise(restrict(filled(), {**ALL, "vision": False}), PLAIN)
    assert not window.values["vision"].any()
    assert not window.masks["vision"].any()
    assert not window.groups.any()
    assert window.presence.tolist() == [True, True, False]


def test_normalised_windows_are_finite_and_clipped() -> None:
    window = normalise(filled(), PLAIN)
    for values in window.values.values():
        assert np.isfinite(values).all()
        assert np.abs(values).max() <= CLIP
    assert window.values["audio"][-1, 0] == CLIP


def test_statistics_centre_and_scale() -> None:
    width = SPEC.widths["vision"]
    statistics = {
        **PLAIN,
        "vision": ChannelStatistics(np.full(width, 1.0, np.float32), np.full(width, 4.0, np.float32)),
    }
    assert normalise(filled(), statistics).values["vision"][-1, 0] == 0.5


def test_a_batch_has_the_networks_inputs_by_name() -> None:
    batch = as_batch([normalise(filled(), PLAIN)] * 2)
    assert {name: value.shape for name, value in batch.items()} == {
        "text": (2, 48, 390),
        "text_mask": (2, 48),
        "audio": (2, 100, 53),
        "audio_mask": (2, 100),
        "vision": (2, 60, 687),
        "vision_mask": (2, 60),
        "groups": (2, 4),
        "baseline": (2, 3),
    }
    assert {value.dtype for value in batch.values()} == {np.dtype(np.float32)}
