from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import opensmile
import psutil
import pytest

from miar_rt.features.acoustic import LOOKAHEAD_SECONDS, AcousticError, AcousticExtractor, describe
from miar_rt.input_spec import ACOUSTICS, DESCRIPTORS, MEL_BANDS

RATE = 16000
SHARED = Path(__file__).parents[1] / "../shared"


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    """Voiced stretches with gliding pitch, unvoiced hiss and pauses."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(RATE * seconds)) / RATE
    pitch = np.cumsum(140 + 50 * np.sin(2 * np.pi * 0.9 * t) + rng.normal(0, 2, len(t))) / RATE
    voiced = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 25)) * (np.sin(2 * np.pi * 1.7 * t) > -0.2)
    hiss = rng.normal(0, 0.3, len(t)) * (np.sin(2 * np.pi * 1.7 * t) < -0.6)
    return (4000 * (voiced + hiss) * (np.sin(2 * np.pi * 0.4 * t) > -0.8)).astype(np.int16)


def batch(samples: np.ndarray) -> np.ndarray:
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
    frame = smile.process_signal(samples.astype(np.float32) / 32768, RATE)
    assert tuple(frame.columns) == DESCRIPTORS
    return frame.to_numpy()


def stream(samples: np.ndarray, sizes: list[int]) -> np.ndarray:
    rows, start, turn = [], 0, 0
    with AcousticExtractor() as extractor:
        while start < len(samples):
            size = sizes[turn % len(sizes)]
            extractor.push(samples[start : start + size])
            rows += extractor.poll()
            start, turn = start + size, turn + 1
        rows += extractor.finish()
    assert [row.t for row in rows] == pytest.approx([0.01 * i + 0.02 for i in range(len(rows))])
    return np.array([row.values for row in rows])


def described(rows: np.ndarray) -> np.ndarray:
    """Of rows of acoustics the descriptors."""
    return rows[:, : len(DESCRIPTORS)]


SIZES = {
    "10 ms": [160],
    "20 ms": [320],
    "50 ms": [800],
    "100 ms": [1600],
    "ragged": np.random.default_rng(1).integers(1, 4000, 200).tolist(),
    "all at once": [10_000_000],
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_streaming_equals_batch(sizes: list[int]) -> None:
    samples = speech_like(4.3)
    reference = batch(samples)
    streamed = stream(samples, sizes)
    assert streamed.shape == (len(reference), len(ACOUSTICS))
    assert np.abs(described(streamed) - reference).max() <= 1e-6
    assert np.array_equal(streamed, describe(samples))


def triangles(count: int, low: float, high: float, points: int) -> np.ndarray:
    """Overlapping triangular filters, equally wide in mel (Davis and Mermelstein, 1980): ``[count, bins]``."""
    edges = np.linspace(*(1127.0 * np.log1p(np.array([low, high]) / 700.0)), count + 2)
    bins = 1127.0 * np.log1p(np.fft.rfftfreq(points, 1.0 / RATE) / 700.0)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(np.minimum(rising, falling), 0.0)


def test_mel_bands_are_what_they_are_called() -> None:
    samples = speech_like(2.0)
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 320)[::160] * np.hamming(320)
    power = np.abs(np.fft.rfft(windows, 512)) ** 2
    expected = np.log(power @ triangles(MEL_BANDS, 20.0, 8000.0, 512).T + 100.0)
    given = describe(samples)[:, len(DESCRIPTORS) :]
    heard = expected[: len(given)] > 10.0  # below, openSMILE's single precision and the last bit of the sound count
    assert heard.mean() > 0.3
    heard[:, 0] = False  # openSMILE rounds the lower edge of the first to a bin
    assert np.abs(given - expected[: len(given)])[heard].max() < 0.01


def test_silence_has_the_mel_bands_of_rounding() -> None:
    bands = describe(np.zeros(RATE, np.int16))[:, len(DESCRIPTORS) :]
    np.testing.assert_allclose(bands, np.log(100.0), atol=1e-3)


def test_streaming_equals_batch_on_synthesised_speech(tmp_path: Path) -> None:
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    path = tmp_path / "speech.wav"
    subprocess.run(
        ["flite", "-voice", "slt", "-t", "What a wonderful day, I am so glad.", "-o", str(path)], check=True
    )
    with wave.open(str(path)) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    assert np.abs(described(stream(samples, [333])) - batch(samples)).max() <= 1e-6


@pytest.mark.shared
def test_streaming_equals_batch_on_a_recorded_voice() -> None:
    clips = sorted((SHARED / "data/ravdess/actor_03").glob("*.flac"))
    if not clips:
        pytest.skip("../shared/data/ravdess is not there")
    import av

    with av.open(str(clips[4])) as container:
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    samples = samples.astype(np.int16)
    assert np.abs(described(stream(samples, [320])) - batch(samples)).max() <= 1e-6


@pytest.mark.parametrize("length", [0, 1, 319, 959])
def test_input_too_short_for_a_frame_gives_none(length: int) -> None:
    assert describe(np.ones(length, np.int16)).shape == (0, len(ACOUSTICS))


@pytest.mark.parametrize("length", [960, 961, 1120, 4321])
def test_short_input_gives_as_many_frames_as_batch(length: int) -> None:
    samples = speech_like(1.0)[:length]
    np.testing.assert_allclose(described(describe(samples)), batch(samples), atol=1e-6)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(RATE, np.int16),
        np.full(RATE, 32767, np.int16),
        np.where(np.arange(RATE) // 53 % 2, 32767, -32768).astype(np.int16),
    ],
    ids=["silence", "constant", "clipped"],
)
def test_extreme_sound_stays_finite_and_equals_batch(samples: np.ndarray) -> None:
    values = describe(samples)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(described(values), batch(samples), atol=1e-6)


@pytest.mark.parametrize("kind", ["speech", "noise", "buzz", "silence"])
def test_lookahead_is_enough_for_every_frame(kind: str) -> None:
    rng = np.random.default_rng(2)
    samples = {
        "speech": speech_like(4.0, seed=5),
        "noise": rng.normal(0, 3000, 4 * RATE).astype(np.int16),
        "buzz": (8000 * np.sign(np.sin(2 * np.pi * 150 * np.arange(4 * RATE) / RATE))).astype(np.int16),
        "silence": np.zeros(4 * RATE, np.int16),
    }[kind]
    ahead = int(LOOKAHEAD_SECONDS * RATE)
    with AcousticExtractor(t0=100.0) as extractor:
        extractor.push(samples[:ahead])
        for step in range(1, 34):
            extractor.push(samples[ahead + 1600 * (step - 1) : ahead + 1600 * step])
            frames = extractor.wait_until(100.0 + 0.1 * step + 1e-6)
            assert len(frames) == (9 if step == 1 else 10)
            assert frames[-1].t == pytest.approx(100.0 + 0.1 * step)


def test_wait_for_gives_exactly_what_was_asked_and_says_when_it_cannot() -> None:
    with AcousticExtractor() as extractor:
        extractor.push(speech_like(2.0))
        assert len(extractor.wait_for(7)) == 7
        assert extractor.wait_for(1)[0].t == pytest.approx(0.09)
        with pytest.raises(TimeoutError, match="of 1000 acoustic frames"):
            extractor.wait_for(1000, timeout=0.2)


def test_time_follows_a_rebase_from_the_sample_it_names() -> None:
    with AcousticExtractor(t0=5.0) as extractor:
        extractor.push(speech_like(1.0))
        extractor.rebase(60.0)
        extractor.push(speech_like(1.0))
        extractor.rebase(61.0)
        extractor.rebase(70.0)
        extractor.push(speech_like(1.0))
        times = [frame.t for frame in extractor.finish()]
    assert times[:99] == pytest.approx([5.02 + 0.01 * i for i in range(99)])
    assert times[99:199] == pytest.approx([60.01 + 0.01 * i for i in range(100)])
    assert times[199:] == pytest.approx([70.01 + 0.01 * i for i in range(len(times) - 199)])


@pytest.mark.parametrize("state", ["new", "half way", "finished", "full"])
def test_close_is_quick_and_repeatable_in_every_state(state: str) -> None:
    extractor = AcousticExtractor()
    if state == "half way":
        extractor.push(speech_like(2.0))
        extractor.wait_for(20)
    elif state == "finished":
        extractor.push(speech_like(1.0))
        extractor.finish()
    elif state == "full":
        extractor.push(np.zeros(9 * RATE, np.int16))
    extractor.close()
    extractor.close()
    assert not any(thread.name == "opensmile" and thread.is_alive() for thread in threading.enumerate())
    with pytest.raises(AcousticError, match="closed"):
        extractor.poll()


def test_sound_after_the_end_is_refused() -> None:
    with AcousticExtractor() as extractor:
        extractor.push(np.zeros(RATE, np.int16))
        assert extractor.finish()
        assert extractor.finish() == []
        with pytest.raises(AcousticError, match="ended"):
            extractor.push(np.zeros(160, np.int16))


def test_death_of_opensmile_surfaces_at_the_next_call() -> None:
    with AcousticExtractor() as extractor:
        extractor.push(np.zeros(RATE, np.int16))
        extractor.wait_for(10)
        extractor._graph._smile.abort()
        extractor._graph._thread.join(5)
        with pytest.raises(AcousticError, match="stopped"):
            extractor.push(np.zeros(160, np.int16))
        with pytest.raises(AcousticError, match="stopped"):
            extractor.poll()


def test_samples_of_the_wrong_kind_are_refused() -> None:
    with AcousticExtractor() as extractor:
        with pytest.raises(TypeError, match="int16, not float32"):
            extractor.push(np.zeros(160, np.float32))
        with pytest.raises(ValueError, match="one dimension"):
            extractor.push(np.zeros((160, 2), np.int16))


def test_untaken_frames_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miar_rt.features.acoustic_graph.MAX_PENDING", 50)
    with AcousticExtractor() as extractor:
        extractor.push(np.zeros(2 * RATE, np.int16))
        assert extractor._graph.wait(51, 5.0)
        with pytest.raises(BufferError, match="poll before pushing"):
            extractor.push(np.zeros(160, np.int16))
        assert len(extractor.poll()) > 50
        extractor.push(np.zeros(160, np.int16))


def test_memory_does_not_grow_over_a_minute() -> None:
    samples = speech_like(10.0)
    process = psutil.Process()
    frames, sizes = 0, []
    with AcousticExtractor() as extractor:
        for _ in range(6):
            for start in range(0, len(samples), RATE):
                extractor.push(samples[start : start + RATE])
                frames += len(extractor.poll())
            frames += len(extractor.wait_until(extractor._time_of(extractor._taken) + 0.5))
            gc.collect()
            sizes.append(process.memory_info().rss)
        frames += len(extractor.finish())
    # the stock configuration's growing buffers take about 1 MB for every 10 s
    assert max(sizes[2:]) - sizes[1] < 3_000_000
    assert frames == 5996


def test_extractors_run_side_by_side() -> None:
    samples = speech_like(3.0)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(stream(samples, [777]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 3
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_an_extractor_left_open_does_not_crash_the_process() -> None:
    code = (
        "import numpy as np; from miar_rt.features.acoustic import AcousticExtractor;"
        "e = AcousticExtractor(); e.push(np.zeros(48000, np.int16)); print('left')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
