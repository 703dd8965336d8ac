"""Frozen pictures, muted microphones, devices that fall silent, and hints to the person in front of them."""

from __future__ import annotations

import numpy as np
import pytest

from stream.events import SAMPLE_RATE, AudioChunk, SignalGap, VideoFrame
from stream.liveness import AWAY_SECONDS, PictureWatch, SoundWatch, Watch

CHUNK = 320
STEP = CHUNK / SAMPLE_RATE


def reason(watch: Watch) -> str | None:
    assert watch.found is not None
    return watch.found[0]


def look(watch: PictureWatch, pictures: list[np.ndarray], begin: float = 0.0) -> list[str | None]:
    """Reasons after each of ``pictures``, ten a second."""
    reasons = []
    for i, image in enumerate(pictures):
        t = begin + i / 10
        watch.take(t, VideoFrame(t, image))
        reasons.append(reason(watch))
    return reasons


def noisy(count: int, level: int = 120) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.integers(level, level + 9, (48, 64, 3)).astype(np.uint8) for _ in range(count)]


def listen(watch: SoundWatch, samples: np.ndarray, speech: bool = False, begin: float = 0.0) -> list[str | None]:
    reasons = []
    for i in range(len(samples) // CHUNK):
        chunk = AudioChunk(begin + i * STEP, samples[i * CHUNK : (i + 1) * CHUNK].astype(np.int16))
        watch.take(chunk.t_end, [chunk])
        watch.measure(chunk, speech)
        reasons.append(reason(watch))
    return reasons


def sound(seconds: float, peak: float) -> np.ndarray:
    return np.random.default_rng(4).uniform(-peak, peak, round(seconds * SAMPLE_RATE))


def test_pictures_that_differ_are_live() -> None:
    watch = PictureWatch("cam")
    assert watch.found is None
    assert set(look(watch, noisy(40))) == {None}
    assert watch.live


def test_the_same_picture_for_two_seconds_is_not_the_present() -> None:
    watch = PictureWatch("cam")
    still = noisy(1) * 40
    reasons = look(watch, still)
    assert reasons.index("stale") in {20, 21}
    assert set(reasons[21:]) == {"stale"}
    assert watch.found == ("stale", "cam has given the same picture for 2 s: it froze")
    assert look(watch, noisy(2), begin=4.0)[-1] is None


def test_a_file_may_hold_a_still_picture_and_silence_and_pause() -> None:
    eye, ear = PictureWatch("film", device=False), SoundWatch("film", device=False)
    assert set(look(eye, noisy(1) * 40)) == {None}
    assert set(listen(ear, np.zeros(5 * SAMPLE_RATE))) == {None}
    eye.take(4.0, None)
    eye.take(4.0 + 2 * AWAY_SECONDS, None)
    assert eye.live


def test_a_device_that_gives_nothing_is_away_until_it_gives_something() -> None:
    watch = PictureWatch("cam")
    watch.take(0.0, None)
    watch.take(50.0, None)
    assert watch.found is None, "it was opened and may need a while"
    look(watch, noisy(3), begin=60.0)
    watch.take(61.0, None)
    watch.take(61.0 + 0.9 * AWAY_SECONDS, None)
    assert reason(watch) is None
    watch.take(61.0 + 1.1 * AWAY_SECONDS, None)
    assert watch.found == ("device_lost", "cam gives nothing")
    assert look(watch, noisy(1), begin=62.0) == [None]


def test_a_slow_reader_does_not_take_its_own_time_for_the_devices() -> None:
    watch = PictureWatch("cam")
    look(watch, noisy(3))
    watch.take(30.0, None)
    assert reason(watch) is None


def test_a_microphone_of_zeros_is_noticed_and_speech_takes_it_back() -> None:
    watch = SoundWatch("mic")
    reasons = listen(watch, np.zeros(3 * SAMPLE_RATE))
    assert reasons.index("stale") * STEP == pytest.approx(2.0, abs=0.1)
    assert watch.found == ("stale", "mic has given only zeros for 2 s: is it muted?")
    assert watch.hints == []
    assert listen(watch, sound(0.1, 50.0), begin=3.0)[0] is None


def test_quiet_noise_is_no_zeros() -> None:
    assert set(listen(SoundWatch("mic"), np.tile([0.0] * 319 + [1.0], 500))) == {None}


def test_a_gap_alone_is_nothing_to_judge() -> None:
    watch = SoundWatch("mic")
    watch.take(1.0, [SignalGap("audio", 0.0, 1.0, "lost")])
    assert watch.found is None


@pytest.mark.parametrize(("level", "hints"), [(2, ["too_dark"]), (60, [])])
def test_a_dark_picture_is_hinted_at(level: int, hints: list[str]) -> None:
    watch = PictureWatch("cam")
    look(watch, noisy(15, level))
    assert watch.hints == []
    look(watch, noisy(15, level), begin=1.5)
    assert watch.hints == hints
    look(watch, noisy(1), begin=3.0)
    assert watch.hints == []


@pytest.mark.parametrize(
    ("samples", "speech", "hints"),
    [
        (sound(2.5, 60_000.0).clip(-32768, 32767), True, ["clipping"]),
        (sound(2.5, 20_000.0), True, []),
        (sound(2.5, 200.0), True, ["too_quiet"]),
        (sound(2.5, 200.0), False, []),
    ],
)
def test_loudness_is_hinted_at(samples: np.ndarray, speech: bool, hints: list[str]) -> None:
    watch = SoundWatch("mic")
    listen(watch, samples, speech)
    assert watch.hints == hints
