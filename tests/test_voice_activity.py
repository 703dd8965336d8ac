from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miar_rt.features.voice_activity import CHUNK, CHUNK_SECONDS, SpeechGate, VoiceActivity, silero_path


def voice_like(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzz with moving formants, gated into syllables."""
    t = np.arange(int(16000 * seconds)) / 16000
    pitch = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / 16000
    buzz = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 30))
    syllables = np.clip(np.sin(2 * np.pi * 3 * t), 0, 1)
    noise = np.random.default_rng(seed).normal(0, 20, len(t))
    return (3000 * buzz * syllables + noise).astype(np.int16)


def probabilities(voice: VoiceActivity, samples: np.ndarray, sizes: list[int]) -> np.ndarray:
    frames = []
    start = turn = 0
    while start < len(samples):
        size = sizes[turn % len(sizes)]
        frames += voice.push(samples[start : start + size])
        start, turn = start + size, turn + 1
    return np.array([frame.values[0] for frame in frames])


@pytest.fixture(scope="module")
def voice() -> VoiceActivity:
    return VoiceActivity()


def test_streamed_probabilities_equal_those_of_faster_whisper_in_one_batch(voice: VoiceActivity) -> None:
    samples = voice_like(4.0)[: 120 * CHUNK]
    batch = importlib.import_module("faster_whisper.vad").get_vad_model()(samples.astype(np.float32) / 32768)
    voice.reset()
    streamed = probabilities(voice, samples, [333])
    # its batch code overwrites the end of the very last chunk with zeros
    np.testing.assert_allclose(streamed[:-1], batch.reshape(-1)[:-1], atol=1e-5)
    assert len(streamed) == 120


@pytest.mark.parametrize("sizes", [[1600], [512], [160], [1, 7, 3000, 511], [40000]])
def test_chunk_size_changes_nothing(voice: VoiceActivity, sizes: list[int]) -> None:
    samples = voice_like(1.5)
    voice.reset()
    reference = probabilities(voice, samples, [CHUNK])
    voice.reset()
    np.testing.assert_allclose(probabilities(voice, samples, sizes), reference, atol=1e-5)


def test_silence_is_no_speech_and_speech_is() -> None:
    voice = VoiceActivity()
    assert max(probabilities(voice, np.zeros(32000, np.int16), [512])) < 0.2
    voice.reset()
    assert np.max(probabilities(voice, voice_like(3.0), [512])) > 0.5


def test_times_are_chunk_ends_and_follow_a_rebase() -> None:
    voice = VoiceActivity(t0=10.0)
    frames = voice.push(np.zeros(3 * CHUNK + 100, np.int16))
    assert [frame.t for frame in frames] == pytest.approx([10.0 + k * CHUNK_SECONDS for k in (1, 2, 3)])
    assert all(frame.kind == "voice" and frame.values.shape == (1,) for frame in frames)
    voice.rebase(20.0)
    (frame,) = voice.push(np.zeros(CHUNK - 100, np.int16))
    assert frame.t == pytest.approx(20.0 + (CHUNK - 100) / 16000)


def test_empty_input_gives_nothing_and_clipped_input_is_finite(voice: VoiceActivity) -> None:
    voice.reset()
    assert voice.push(np.zeros(0, np.int16)) == []
    loud = np.where(np.arange(8192) // 40 % 2, 32767, -32768).astype(np.int16)
    values = probabilities(voice, loud, [512])
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()


def test_the_network_is_found_without_importing_its_package() -> None:
    before = set(sys.modules)
    assert silero_path().stat().st_size > 100_000
    assert not any(name.startswith("faster_whisper.") for name in set(sys.modules) - before)


def test_gate_needs_the_onset_and_outlasts_the_hangover() -> None:
    gate = SpeechGate(onset_seconds=0.06, hangover_seconds=0.1)
    assert [gate.push(0.9) for _ in range(2)] == [False, True]
    assert [gate.push(0.1) for _ in range(4)] == [True, True, True, False]
    assert gate.push(0.9) is False


def test_gate_holds_between_the_thresholds() -> None:
    gate = SpeechGate(onset_seconds=0.0)
    assert gate.push(0.4) is False
    assert gate.push(0.6) is True
    assert all(gate.push(0.4) for _ in range(100))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=200))
def test_gate_never_closes_sooner_than_its_hangover(values: list[float]) -> None:
    gate = SpeechGate()
    quiet_for = 0.0
    for value in values:
        before = gate.speaking
        now = gate.push(value)
        quiet_for = quiet_for + CHUNK_SECONDS if value < gate.offset else 0.0
        if before and not now:
            assert quiet_for >= gate.hangover_seconds
        if now and not before:
            assert value >= gate.onset
