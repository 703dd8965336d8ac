"""Feature files of the field: every layout gives the same windows, and what is no data is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import run
from feature_files import COUNTS, STEPS, WIDTHS, misa, mmsa, mult, vectors

from miar_rt.features.text import Encoder
from miar_rt.signals import MODALITIES, Array
from miar_rt.training.evaluate import evaluate
from miar_rt.training.feature_runs import evaluate_features, train_features
from miar_rt.training.mosi_features import FeatureFile, load_pickle, read_features


class Letters(Encoder):
    """A text encoder that counts letters."""

    def __init__(self) -> None:
        super().__init__("letters")

    def _embed(self, words: tuple[str, ...]) -> tuple[Array, list[int | None]]:
        return np.array([[len(w), w.count("o") + 1] for w in words], np.float32), list(range(len(words)))


def no_encoder() -> Encoder:
    raise AssertionError("no words here")


def written(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def read(tmp_path: Path, value: Any) -> FeatureFile:
    return read_features(written(tmp_path / "file.pkl", value), no_encoder)


def same(one: FeatureFile, other: FeatureFile) -> None:
    for split in COUNTS:
        np.testing.assert_array_equal(one.parts[split].ratings, other.parts[split].ratings)
        for name in MODALITIES:
            np.testing.assert_array_equal(
                one.parts[split].windows[name].values, other.parts[split].windows[name].values
            )


@pytest.mark.parametrize("protocol", range(2, 6))
def test_aligned_features_are_read_with_the_newest_row_last(tmp_path: Path, protocol: int) -> None:
    data = mmsa()
    file = read_features(written(tmp_path / "aligned_50.pkl", data, protocol), no_encoder)
    assert {split: len(part.ratings) for split, part in file.parts.items()} == COUNTS
    assert file.shapes.widths == WIDTHS
    windows = file.parts["test"].windows["audio"]
    np.testing.assert_array_equal(windows.values[:, -4:], data["test"]["audio"][:, :4])
    assert windows.mask.sum(axis=1).tolist() == [4] * 12
    assert np.isnan(windows.values[:, :2]).all()


def test_unaligned_features_have_their_own_lengths(tmp_path: Path) -> None:
    file = read(tmp_path, mmsa(unaligned=True))
    assert file.shapes.steps == {"text": STEPS, "audio": 11, "vision": 8}


def test_bert_says_nothing_about_padding(tmp_path: Path) -> None:
    data = mmsa()
    for part in data.values():
        part["text"][:, -2:] = 7.0
    assert np.nanmax(read(tmp_path, data).parts["train"].windows["text"].values) < 7.0


def test_the_layout_of_mult_gives_the_same_as_that_of_mmsa(tmp_path: Path) -> None:
    same(read(tmp_path, mult()), read(tmp_path, mmsa()))


def test_misa_in_one_file_or_one_a_split(tmp_path: Path) -> None:
    lists = misa()
    folder = tmp_path / "MOSI"
    folder.mkdir()
    for name, utterances in lists.items():
        written(folder / f"{name}.pkl", utterances)
    whole = read(tmp_path, lists)
    same(whole, read_features(folder, no_encoder))
    assert whole.parts["train"].windows["text"].mask.sum(axis=1).tolist()[:4] == [2, 3, 4, 2]


def test_words_without_vectors_are_read_by_the_text_encoder(tmp_path: Path) -> None:
    file = read_features(written(tmp_path / "mosi.pkl", misa(words=True)), Letters)
    assert file.parts["train"].windows["text"].values[0, -2:].tolist() == [[4.0, 3.0], [4.0, 1.0]]


def test_word_numbers_alone_are_refused(tmp_path: Path) -> None:
    lists = misa()
    lists["train"] = [((np.arange(3), *sides[1:]), label, name) for sides, label, name in lists["train"]]
    with pytest.raises(ValueError, match="word numbers, and neither their vectors nor the words"):
        read(tmp_path, lists)


def test_vectors_stay_within_the_clean_part_and_videos_within_a_split(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    np.savez(path, **vectors())
    file = read_features(path, no_encoder)
    assert sum(len(part.ratings) for part in file.parts.values()) == 100
    assert set(file.shapes.steps.values()) == {1}


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pickle-ran",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "evil.pkl", mmsa() | {"extra": Evil()}, protocol)
    with pytest.raises(ValueError, match=r"evil.pkl: not a pickle of arrays and plain data: it holds \w+.system"):
        read_features(path, no_encoder)
    assert not (tmp_path / "pickle-ran").exists()


@pytest.mark.parametrize("callable_", [eval, getattr, __import__, np.load, np.save])
def test_no_function_of_builtins_or_numpy_gets_in(tmp_path: Path, callable_: Any) -> None:
    with pytest.raises(ValueError, match="it holds"):
        load_pickle(written(tmp_path / "f.pkl", {"train": callable_}))


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04", b"not a pickle", b"\x80\x04\x95" + b"\xff" * 20, b"(lp0\nI1\n"]
)
def test_damage_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a pickle") as caught:
        read_features(path, no_encoder)
    assert "\n" not in str(caught.value)


def _without(*keys: str) -> Any:
    def change(data: dict[str, Any]) -> None:
        inner = data
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]

    return change


def _put(split: str, key: str, make: Any) -> Any:
    return lambda data: data[split].update({key: make(data[split][key])})


def _spoilt(value: float) -> Any:
    def change(array: Array) -> Array:
        spoilt = array.copy()
        spoilt.flat[1] = value
        return spoilt

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("valid"), "no valid split .*must not be chosen on test"),
        (_without("test"), "no test split"),
        (_without("train", "audio"), "train: lacks audio or acoustic"),
        (_without("train", "text"), r"token numbers \(text_bert\) and no text features"),
        (_without("train", "regression_labels"), "lacks regression_labels or labels"),
        (_put("train", "vision", lambda a: a[:-1]), "modalities differ in length .24 labels, 24 text, .*23 vision"),
        (_put("train", "text_bert", lambda a: a[:-1]), "modalities differ in length"),
        (_put("valid", "audio", lambda a: a[:, :, :-1]), "audio differs in channels between splits"),
        (_put("test", "audio", lambda a: a[0, 0]), r"audio must be \[utterances, steps, channels\]"),
        (_put("test", "audio", lambda _: [["x"]]), "audio must be numbers"),
        (_put("test", "audio_lengths", lambda a: [99] * len(a)), "audio_lengths must be from 0 to the 11 steps"),
        (_put("test", "audio_lengths", lambda a: a[1:]), "audio_lengths must have one number"),
        (_put("test", "regression_labels", _spoilt(3.5)), "label 3.5 is no number from -3 to 3"),
        (_put("test", "regression_labels", _spoilt(np.nan)), "label nan is no number"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, change: Any, message: str) -> None:
    data = mmsa(unaligned=True)
    change(data)
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, data)
    assert "file.pkl" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_number_are_left_out_and_counted(tmp_path: Path, value: float) -> None:
    data = mmsa()
    data["train"]["audio"][:2, :2, 0] = value
    file = read(tmp_path, data)
    assert file.unreadable == 4
    assert np.isnan(file.parts["train"].windows["audio"].values[0, 2, 0])
    assert file.parts["train"].windows["audio"].mask[0].sum() == 4


def test_a_file_trains_and_scores_like_itself(tmp_path: Path) -> None:
    data = mmsa(unaligned=True)
    data["train"]["audio"][0, 0] = -np.inf
    path, out = written(tmp_path / "unaligned_50.pkl", data), tmp_path / "run"
    scores = train_features(path, out, seeds=2, epochs=3)
    assert (scores["n"], scores["n_scored"], scores["seeds"]) == (12, 12, 2)
    assert scores["deviation"].keys() == {"mae", "corr", "acc2_has0", "acc2_non0", "f1_non0", "acc7"}
    assert scores["deviation"]["mae"] > 0.0
    assert evaluate("mosi-features", path, checkpoint=out) == {**scores, "replaced_values": 0}
    weights = (out / "seed-0.safetensors").stat().st_mtime_ns
    train_features(path, out, seeds=3, epochs=3)
    assert (out / "seed-0.safetensors").stat().st_mtime_ns == weights
    assert evaluate_features(path, out)["seeds"] == 3
    assert evaluate_features(path, out, ["text"])["mae"] != scores["mae"]


def test_a_checkpoint_belongs_to_its_file(tmp_path: Path) -> None:
    path, out = written(tmp_path / "a.pkl", mmsa()), tmp_path / "run"
    train_features(path, out, seeds=1, epochs=1)
    with pytest.raises(ValueError, match="holds runs on another file or with other settings"):
        train_features(path, out, seeds=1, epochs=2)
    other = mmsa()
    for part in other.values():
        part["text"] = np.concatenate([part["text"]] * 2, axis=2)
    wider = written(tmp_path / "b.pkl", other)
    with pytest.raises(ValueError, match="trained on 9 channels of text, this file has 18"):
        evaluate_features(wider, out)
    (out / "seed-0.safetensors").write_bytes(b"x" * 99)
    with pytest.raises(ValueError, match="damaged or of another network"):
        evaluate_features(path, out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--out", "o"], "give --data FOLDER, or mosi-features FILE"),
        (["train", "mosi", "x.pkl", "--out", "o"], "no training on 'mosi'"),
        (["train", "mosi-features", "--out", "o"], "needs a file of features"),
        (["train", "mosi-features", "x.pkl", "--out", "o", "--data", "d"], "--data does not go with mosi-features"),
        (["train", "mosi-features", "x.pkl", "--out", "o"], "x.pkl: cannot be read"),
        (["evaluate", "mosi-features", "x.pkl"], "needs --checkpoint FOLDER"),
        (
            ["evaluate", "mosi-features", "x.pkl", "--checkpoint", "o"],
            "no folder that miar train",
        ),
        (["evaluate", "mosi-features", "x.pkl", "--baseline", "none"], "are for ravdess"),
        (["evaluate", "mosi-features", "x.pkl", "--modalities", "smell"], "can be scored from text,audio,vision"),
    ],
)
def test_a_wrong_call_is_one_line_and_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(capfd, "miar", *arguments)
    assert done.code == 2, done.err
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
