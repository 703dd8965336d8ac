from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from flite_speech import BLOCK, RATE, flite_missing, loud, speak, word_errors
from random_whisper import build_random_whisper

from miar_rt.signals import Word, WordsUpdate
from stream.asr import RecogniserUnavailable
from stream.asr.following import Follower
from stream.asr.plausible import Segment
from stream.asr.whisper import WhisperRecogniser
from stream.asr.whisper_model import WhisperModel, find_weights

WORD_S = 0.5


@pytest.fixture(scope="module")
def sure_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_random_whisper(tmp_path_factory.mktemp("whisper") / "sure", sure=True)


@pytest.fixture(scope="module")
def unsure_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_random_whisper(tmp_path_factory.mktemp("whisper") / "unsure", sure=False)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3000, round(seconds * RATE)).astype(np.int16)


def hear(recogniser: WhisperRecogniser, sound: np.ndarray, speech: bool = True) -> list[WordsUpdate]:
    updates: list[WordsUpdate] = []
    for start in range(0, len(sound), 1600):
        updates += recogniser.push(20.0 + start / RATE, sound[start : start + 1600], speech)
        assert recogniser.buffered_s <= 15.0
    return updates + recogniser.finish()


def committed(updates: list[WordsUpdate]) -> list[Word]:
    return [word for update in updates for word in update.committed]


def test_a_real_model_steps_through_long_sound(sure_weights: Path):
    recogniser = WhisperRecogniser(WhisperModel(sure_weights, "random"), None)
    assert recogniser.name == "whisper random int8"
    updates = hear(recogniser, noise(18.0))
    words = committed(updates)
    assert words
    assert all(20.0 <= word.t0 <= word.t1 <= 38.02 for word in words)
    assert all(a.t1 <= b.t0 for a, b in pairwise(words))
    assert len(updates) >= 3
    assert updates[-1].speech_final
    assert updates[-1].language == "en"
    recogniser.close()


def test_two_runs_of_a_real_model_are_identical(sure_weights: Path):
    sound = noise(4.0)
    runs = [hear(WhisperRecogniser(WhisperModel(sure_weights, "random"), "en"), sound) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0]


def test_a_model_that_doubts_itself_is_not_believed(unsure_weights: Path):
    assert committed(hear(WhisperRecogniser(WhisperModel(unsure_weights, "random"), "en"), noise(3.0))) == []


def test_silence_is_never_decoded(sure_weights: Path):
    recogniser = WhisperRecogniser(WhisperModel(sure_weights, "random"), "en")
    assert hear(recogniser, np.zeros(5 * RATE, np.int16), speech=False) == []


def test_a_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(RecogniserUnavailable, match=r"is no CTranslate2 Whisper model: config.json, model.bin"):
        WhisperModel(tmp_path, "x")


def test_a_damaged_model(sure_weights: Path, tmp_path: Path):
    for file in sure_weights.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:5000])
    with pytest.raises(RecogniserUnavailable, match="holds no Whisper model that can be read") as caught:
        WhisperModel(tmp_path, "x")
    assert "\n" not in str(caught.value)


def test_a_model_of_another_language(sure_weights: Path):
    with pytest.raises(RecogniserUnavailable, match="does not know 'de'"):
        WhisperModel(sure_weights, "x", "de")


def test_weights_are_looked_for_in_the_folder_first(tmp_path: Path):
    assert find_weights(str(tmp_path), fetch=False) == tmp_path


class CountingModel:
    """Reads which 20 ms block each sample came from and says one word for every half second it holds whole.

    The word at the edge of the buffer is misheard, as a real model mishears half a word.
    """

    name = "counting"

    def __init__(self, cost: float = 0.0) -> None:
        self.now = 0.0
        self.cost = cost
        self.prompts: list[str] = []

    def transcribe(self, sound: np.ndarray, language: str | None, prompt: str) -> tuple[list[Segment], str | None]:
        self.now += self.cost
        self.prompts.append(prompt)
        t0 = round(float(sound[0]) * 32768) * BLOCK / RATE
        t1 = t0 + len(sound) / RATE
        first, last = int(np.ceil(t0 / WORD_S - 0.1)), int(t1 / WORD_S)
        words = [
            Word(max(0.0, i * WORD_S - t0), (i + 1) * WORD_S - t0, f"w{i}", False, 0.9) for i in range(first, last)
        ]
        edge = Word(max(0.0, last * WORD_S - t0), t1 - t0, f"half{len(sound)}", False, 0.2)
        return [Segment((*words, edge), 0.1, -0.2, 1.0)], language or "en"

    def close(self) -> None:
        """Nothing to free."""


def counted(seconds: float) -> np.ndarray:
    return np.repeat(np.arange(round(seconds * RATE / BLOCK)), BLOCK).astype(np.int16)


def live(model: CountingModel, seconds: float) -> tuple[list[WordsUpdate], float]:
    """Sound comes in real time of the model's clock; gives the updates and the greatest lag."""
    recogniser = Follower(WhisperRecogniser(model, "en", clock=lambda: model.now), lambda: model.now)
    sound, updates, worst = counted(seconds), [], 0.0
    for start in range(0, len(sound), BLOCK):
        t = start / RATE
        model.now = max(model.now, t + BLOCK / RATE)
        worst = max(worst, model.now - t)
        updates += recogniser.push(t, sound[start : start + BLOCK], speech=True)
    return updates + recogniser.finish(), worst


def gaps(updates: list[WordsUpdate]) -> list[tuple[float, float]]:
    return [update.gap for update in updates if update.gap]


def test_every_word_is_committed_once_and_the_buffer_is_trimmed():
    model = CountingModel()
    updates: list[WordsUpdate] = []
    recogniser = WhisperRecogniser(model, "en")
    sound = counted(40.0)
    for start in range(0, len(sound), BLOCK):
        updates += recogniser.push(start / RATE, sound[start : start + BLOCK], speech=True)
        assert recogniser.buffered_s <= 9.1
    texts = [word.text for word in committed(updates)]
    assert texts == [f"w{i}" for i in range(len(texts))]
    assert len(texts) >= 76
    assert max(update.t - word.t1 for update in updates for word in update.committed) <= 2.0
    assert model.prompts[0] == ""
    prompt = model.prompts[-1].split()
    last = int(prompt[-1][1:])
    assert prompt == [f"w{i}" for i in range(last - len(prompt) + 1, last + 1)]
    assert 30.0 <= (last + 1) * WORD_S <= 32.5
    assert max(map(len, model.prompts)) <= 200


@pytest.mark.parametrize("cost", [0.2, 0.6, 1.0, 3.0])
def test_lag_stays_bounded_at_any_decoding_time_of_a_pass(cost: float):
    model = CountingModel(cost)
    updates, worst = live(model, 60.0)
    assert worst <= max(1.0, 2.5 * cost) + 0.1
    assert gaps(updates) == []
    texts = [word.text for word in committed(updates)][:-1]
    assert texts == [f"w{i}" for i in range(len(texts))]
    assert len(texts) >= 118


def test_sound_is_skipped_and_the_gap_told_when_decoding_cannot_follow():
    updates, worst = live(CountingModel(12.0), 120.0)
    assert worst <= 8.0 + 2 * 12.0
    assert 0.0 < sum(t1 - t0 for t0, t1 in gaps(updates)) < 120.0
    words = committed(updates)
    assert all(a.t1 <= b.t0 for a, b in pairwise(words))
    assert not any(t0 <= word.t0 and word.t1 <= t1 for t0, t1 in gaps(updates) for word in words)


class RealTimeFactorModel(CountingModel):
    """A pass over a buffer takes ``pace`` seconds for each second of it."""

    def __init__(self, pace: float) -> None:
        super().__init__()
        self.pace = pace

    def transcribe(self, sound: np.ndarray, language: str | None, prompt: str) -> tuple[list[Segment], str | None]:
        self.cost = self.pace * len(sound) / RATE
        return super().transcribe(sound, language, prompt)


@pytest.mark.parametrize("pace", [1 / 3, 0.5, 1.0, 2.0, 5.0])
def test_lag_stays_bounded_from_a_fifth_to_three_times_real_time(pace: float):
    """Over minutes of speech without a pause; what was decoded and the gaps together cover all of it."""
    updates, worst = live(RealTimeFactorModel(pace), 240.0)
    longest_pass = 15.0 * pace
    assert worst <= 8.0 + 2 * longest_pass
    told = [(word.t0, word.t1) for word in committed(updates)] + gaps(updates)
    reach = 0.0
    for t0, t1 in sorted(told):
        assert t0 - reach <= WORD_S + 0.1
        reach = max(reach, t1)
    assert reach == pytest.approx(240.0)


@pytest.mark.skipif("MIAR_WHISPER_MODEL" not in os.environ, reason="MIAR_WHISPER_MODEL names no folder of weights")
@pytest.mark.skipif(flite_missing(), reason="flite is not installed")
def test_real_weights_hear_real_words():
    weights = WhisperModel(find_weights(os.environ["MIAR_WHISPER_MODEL"], fetch=False), "real", "en")
    recogniser = WhisperRecogniser(weights, "en")
    sentence = "this is the best day of my life"
    sound = speak(sentence)
    updates: list[WordsUpdate] = []
    for i, flag in enumerate(loud(sound)):
        updates += recogniser.push(i * BLOCK / RATE, sound[i * BLOCK : (i + 1) * BLOCK], bool(flag))
    heard = " ".join(word.text.strip(".,!").lower() for word in committed(updates + recogniser.finish()))
    assert word_errors(sentence, heard) <= 1
