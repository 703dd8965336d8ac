"""Cached features, simulated live signals, pairing, windows and a tiny training run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import small_corpora
import torch

from calibration.temperature import softmax
from miar_rt.checkpoint import load_checkpoint
from miar_rt.input_spec import SPEC
from miar_rt.network import Miar, MiarConfig
from miar_rt.training import batches, calibrate, exams, extract, fit, simulate
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import Utterance, read_ravdess
from miar_rt.training.material import check_layout, hypotheses
from miar_rt.training.recipe import Recipe, read_recipe, to_toml
from miar_rt.window import WindowBuilder


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return 5000.0 * np.sin(2 * np.pi * frequency * np.arange(int(16_000 * seconds)) / 16_000)


# ---- cache


def test_a_shard_is_made_once_and_again_when_it_is_damaged(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    made = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"x": np.arange(4.0)}

    for _ in range(2):
        assert cache.shard("audio", {"a": 1}, make)["x"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert len(made) == cache.made == 1
    cache.shard("audio", {"a": 2}, make)
    assert len(made) == 2
    for file in tmp_path.rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:60])
    assert FeatureCache(tmp_path).shard("audio", {"a": 1}, make)["x"][3] == 3.0
    assert len(made) == 3


# ---- simulated live signals


def test_gain_is_in_decibels() -> None:
    assert simulate.gain(np.array([1.0, -2.0]), 20.0).tolist() == [10.0, -20.0]


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_comes_at_the_ratio_asked_for(random: np.random.Generator, exponent: float) -> None:
    signal = np.sign(tone(200.0)) * 1000.0  # constant power, so that its loudest half is all of it
    noise = simulate.add_noise(signal, 10.0, exponent, random) - signal
    assert 10 * np.log10(np.mean(signal**2) / np.mean(noise**2)) == pytest.approx(10.0, abs=0.01)


@pytest.mark.parametrize(("frequency", "kept"), [(100.0, False), (1000.0, True), (6000.0, False)])
def test_a_telephone_passes_only_its_band(frequency: float, kept: bool) -> None:
    heard = simulate.telephone(tone(frequency) + 0.001 * tone(1000.0))
    level = np.sqrt(np.mean(heard**2) / np.mean(tone(frequency) ** 2))
    assert (level > 0.9) if kept else (level < 0.05)


def test_a_room_rings_on_and_keeps_the_length(random: np.random.Generator) -> None:
    click = np.zeros(8000)
    click[1000] = 1000.0
    wet = simulate.room(click, 0.3, 0.0, random)
    assert len(wet) == 8000
    assert np.abs(wet[:1000]).max() < 1e-6
    early, late = (np.mean(wet[a : a + 800] ** 2) for a in (1100, 5000))
    assert 10 * np.log10(early / late) == pytest.approx(60.0 * 3900 / 4800, abs=4.0)


def test_speed_moves_the_pitch() -> None:
    faster = simulate.change_speed(tone(400.0), 1.25)
    assert len(faster) == pytest.approx(16_000 / 1.25, abs=2)
    peak = np.abs(np.fft.rfft(faster)).argmax() * 16_000 / len(faster)
    assert peak == pytest.approx(500.0, abs=3.0)


def test_live_sound_depends_on_the_seed_alone() -> None:
    samples = simulate.to_samples(tone(220.0))
    randoms = [[np.random.default_rng([seed, part]) for part in (0, 1)] for seed in (1, 1, 2)]
    a, b, c = (simulate.live_sound(samples, *pair) for pair in randoms)
    assert np.array_equal(a, b)
    assert len(a) != len(c) or not np.array_equal(a, c)
    assert a.dtype == np.int16


def test_spoken_words_have_no_punctuation_or_capitals() -> None:
    assert simulate.spoken("Oh my God, he's 'lost' it -- totally!") == [
        "oh",
        "my",
        "god",
        "he's",
        "lost",
        "it",
        "totally",
    ]


def test_hypotheses_look_like_a_recogniser() -> None:
    text, vocabulary = "Well, I really think that this was a wonderful day for us.", ["zebra"]
    kinds = set()
    for seed in range(60):
        heard = simulate.recognised(text, vocabulary, np.random.default_rng(seed))
        kinds.add(heard.kind)
        words = [word.text for word in heard.words]
        allowed = set(simulate.spoken(text) if heard.kind == "sphinx" else text.split()) | {"zebra"}
        assert 1 <= len(words) <= 12
        assert set(words) <= allowed
        assert all(0.0 < word.confidence <= 1.0 for word in heard.words)
        assert [w.final for w in heard.words] == sorted((w.final for w in heard.words), reverse=True)
        times = [t for w in heard.words for t in (w.t0, w.t1)]
        assert times == sorted(times)
    assert kinds == {"sphinx", "whisper"}


def test_context_comes_before() -> None:
    heard = simulate.in_context("It rained all week.", "I am so happy today", ["x"], np.random.default_rng(0))
    times = [t for w in heard.words for t in (w.t0, w.t1)]
    assert times == sorted(times)
    assert simulate.spoken(heard.words[0].text) == ["it"]


def test_training_hypotheses_are_the_same_every_time() -> None:
    lines = [Utterance("a", text, 0, 0.0) for text in small_corpora.LINES.values()]
    for variant in range(3):
        assert hypotheses(lines, variant) == hypotheses(lines, variant)
    assert [w.text for w in hypotheses(lines, 0)[1].words] == ["I", "am", "so", "happy", "for", "you!"]


# ---- windows


def test_a_grid_holds_the_windows_of_the_live_builder() -> None:
    samples = small_corpora.voice(3, seconds=5.0)
    grid = extract.audio_grid(samples, 0.013)
    frames = extract.sound_frames(samples, 0.013)
    for step in (10, 70, 99, 120):
        builder = WindowBuilder()
        for frame in frames:
            if frame.t < (step + 1) / SPEC.audio_rate:
                builder.push(frame)
        live = builder.raw((step + 0.5) / SPEC.audio_rate).values["audio"]
        assert np.array_equal(exams.window_ending(grid, step), live, equal_nan=True)


def test_rendered_clips_are_kept_and_the_same_every_time(tmp_path: Path) -> None:
    small_corpora.write_flac(tmp_path / "a/actor_01/03-01-05-01-01-01-01.flac", small_corpora.voice(1))
    clips = read_ravdess(tmp_path / "a")
    first, again = (extract.extract_clips(clips, 1, FeatureCache(tmp_path / name)) for name in ("x", "y"))
    assert np.array_equal(first.values, again.values, equal_nan=True)


def test_voices_end_anywhere_after_some_speech(random: np.random.Generator) -> None:
    grid = np.zeros((150, SPEC.widths["audio"]), np.float32)
    grid[:, 0] = np.arange(150)
    grid[40:90, -1] = 1.0
    voices = batches.Voices([extract.Ragged(grid, np.array([0, 150]))])
    drawn = voices.draw(np.zeros(64, np.int64), random)
    newest = np.nanmax(drawn.values[:, :, 0], axis=1)
    assert newest.min() >= 40 + 12 - 4
    assert len(set(newest)) > 10
    assert np.array_equal(drawn.mask, np.isfinite(drawn.values[:, :, 0]))


def test_a_window_counts_as_long_as_the_voice_in_it() -> None:
    grid = np.zeros((60, SPEC.widths["audio"]), np.float32)
    grid[10:50, -1] = 1.0
    exam = exams.voice_exam([0], [grid])
    assert exam.weight is not None
    heard = np.minimum(exams.answer_steps(grid) + 1 - 10, 40)
    assert exam.weight * 25.0 == pytest.approx(heard)
    values = np.arange(len(exam.owner), dtype=np.float64)
    assert exams.mean_by_owner(values, exam) == pytest.approx(np.average(values, weights=exam.weight))


def test_a_silent_clip_still_has_a_window() -> None:
    grid = np.zeros((30, SPEC.widths["audio"]), np.float32)
    assert exams.answer_steps(grid).tolist() == [29]


def test_stills_become_windows_that_end_now(random: np.random.Generator) -> None:
    rows = np.full((4, SPEC.widths["vision"]), np.nan, np.float32)
    rows[:, :623] = 1.0
    faces = batches.Faces(rows, rows + 1.0, np.array([0, 0, 1, 1]))
    drawn = faces.draw(np.array([0, 1, 2, 3] * 8), 12, random)
    assert drawn.mask[:, -1].all()
    assert set(drawn.mask.sum(axis=1)) <= set(range(1, 13))
    seen = np.isfinite(drawn.values[:, -1, 0])
    assert 0.6 < seen.mean() < 1.0
    assert np.isfinite(drawn.values[:, -1, SPEC.vision_groups["units"]]).all()
    mesh = drawn.values[seen, -1, :600].mean(axis=1)
    assert np.abs(mesh - mesh.round()).max() < 0.1
    assert np.isnan(drawn.values[:, :, 623:]).all()


def test_counterparts_come_in_pairs() -> None:
    pairs = extract.counterparts()
    assert np.array_equal(pairs[pairs], np.arange(478))
    assert (pairs[33], pairs[61]) == (263, 291)
    face = np.random.default_rng(0).uniform(0, 48, (1, 478, 3)).astype(np.float32)
    assert extract.mirrored(extract.mirrored(face, 48), 48) == pytest.approx(face, abs=1e-5)


def test_trimming_changes_no_answer(random: np.random.Generator) -> None:
    torch.manual_seed(0)
    network = Miar(MiarConfig(width=16, heads=2, feedforward=16)).eval()
    lengths = {"text": 5, "audio": 31, "vision": 3}
    inputs = {"groups": np.ones((4, 4), np.float32), "baseline": np.zeros((4, 3), np.float32)}
    for name, length in lengths.items():
        mask = np.zeros((4, SPEC.steps[name]), np.float32)
        mask[:, -length:] = 1.0
        inputs[f"{name}_mask"] = mask
        inputs[name] = random.standard_normal((*mask.shape, SPEC.widths[name])).astype(np.float32) * mask[..., None]
    trimmed = batches.trim(inputs)
    assert trimmed["audio"].shape[1] == 34
    presence = torch.ones(4, 1, 3)
    with torch.inference_mode():
        full, short = (
            network(**{name: torch.from_numpy(array) for name, array in given.items()}, presence=presence).logits
            for given in (inputs, trimmed)
        )
    assert short.numpy() == pytest.approx(full.numpy(), abs=1e-4)


def test_statistics_ignore_what_is_not_there() -> None:
    values = np.array([[[1.0, np.nan], [3.0, np.nan], [9.0, 9.0]]], np.float32)
    found = batches.channel_statistics(batches.Windows(values, np.array([[True, True, False]])))
    assert (found.location.tolist(), found.scale.tolist()) == ([2.0, 0.0], [1.0, 1.0])


# ---- calibration


def test_several_modalities_are_no_surer_than_asked(random: np.random.Generator) -> None:
    logits = random.standard_normal((300, 7)) * 6.0
    temperature = calibrate._no_surer_than(logits, 1.0, 0.6)
    assert softmax(logits / temperature).max(axis=1).mean() == pytest.approx(0.6, abs=1e-3)
    assert calibrate._no_surer_than(logits, 1.0, 0.999) == 1.0


# ---- recipes


def test_a_recipe_survives_toml(tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, network={"width": 32}, validation_actors=(1, 2))
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe))
    assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [("epoch = 3", "unknown field `epoch`"), ("epochs = 'many'", "Expected `int`"), ("epochs =", "recipe.toml: ")],
)
def test_a_bad_recipe_ends_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_recipe(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_recipe(tmp_path / "missing.toml")


def test_a_data_folder_must_hold_everything(tmp_path: Path) -> None:
    (tmp_path / "ravdess").mkdir()
    with pytest.raises(ValueError, match=r"training needs fer2013_train.npz, .*mosei/valid.csv in it"):
        check_layout(tmp_path)


# ---- a whole run


def test_a_run_leaves_a_checkpoint_and_a_log(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    assert checkpoint.name == "tiny"
    assert checkpoint.config["width"] == 16
    assert checkpoint.corpora["samples"]["ravdess"] == 8
    assert set(checkpoint.scores) == {"ravdess", "fer2013", "meld", "mosi", "mosei"}
    assert len(checkpoint.temperatures.by_pattern) == 7
    assert checkpoint.interval_factor > 0.0
    log = (tiny_checkpoint / "training/log.csv").read_text().splitlines()
    assert log[0].startswith("epoch,score,ravdess,fer2013,meld,mosi,mosei,emotion")
    assert len(log) == 3
    assert np.all(checkpoint.statistics["audio"].scale > 0.0)


def test_an_interrupted_run_goes_on_to_the_same_network(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = fit.Run._epoch

    def interrupted(run: fit.Run, progress: bool) -> dict[str, float]:
        if run.record()["epochs"] == 1:
            raise KeyboardInterrupt
        return epoch(run, progress)

    data, out = tiny_checkpoint.parent / "data", tmp_path / "again"
    with monkeypatch.context() as patch:
        patch.setattr(fit.Run, "_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            small_corpora.train_tiny(data, out)
    assert not (out / "model.json").exists()
    small_corpora.train_tiny(data, out)
    first, second = load_checkpoint(tiny_checkpoint), load_checkpoint(out)
    assert second.sha256 == first.sha256
    shutil.rmtree(out, ignore_errors=True)


def test_another_run_does_not_go_into_the_same_folder(tiny_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="another recipe, seed, data or text encoder"):
        small_corpora.train_tiny(tiny_checkpoint.parent / "data", tiny_checkpoint, seed=1)
