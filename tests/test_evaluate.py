"""What ``miar evaluate`` answers, on made-up corpora."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpora import write_action_units

from miar_rt.checkpoint import load_checkpoint, save_checkpoint
from miar_rt.training.corpora import read_ravdess
from miar_rt.training.evaluate import evaluate

HEAD = ["corpus", "n", "n_scored", "modalities", "checkpoint"]
EMOTION = {"accuracy", "uar", "macro_f1", "weighted_f1", "ece", "nll", "confusion", "accuracy_scored"}
SENTIMENT = {"mae", "corr", "acc2_has0", "acc2_non0", "f1_non0", "acc7"}


def score(checkpoint: Path, corpus: str, path: str, **options: Any) -> dict[str, Any]:
    return evaluate(corpus, checkpoint.parent / "data" / path, checkpoint=checkpoint, **options)


@pytest.fixture(scope="module")
def heeding(tiny_checkpoint: Path) -> Path:
    """The tiny checkpoint when it ignores no baseline, whatever its few validation clips said."""
    plain = load_checkpoint(tiny_checkpoint)
    extractors = {name: what for name, what in plain.extractors.items() if name != "ignored_baselines"}
    save_checkpoint(tiny_checkpoint.parent / "heeding", replace(plain, extractors=extractors))
    return tiny_checkpoint.parent / "heeding"


def test_voices(tiny_checkpoint: Path) -> None:
    found = score(tiny_checkpoint, "ravdess", "ravdess")
    assert list(found)[:5] == HEAD
    assert set(found) == {*HEAD, *EMOTION}
    assert (found["n"], found["n_scored"], found["modalities"], found["checkpoint"]) == (16, 16, ["audio"], "tiny")
    assert np.sum(found["confusion"], axis=1).tolist() == [4, 2, 2, 2, 2, 2, 2]
    assert found["accuracy"] == np.trace(found["confusion"]) / 16


def test_without_the_clips_that_serve_as_baseline(tiny_checkpoint: Path) -> None:
    found = score(tiny_checkpoint, "ravdess", "ravdess", baseline="none")
    assert found["n"] == 14
    assert np.sum(found["confusion"], axis=1).tolist() == [2] * 7


def test_the_actors_neutral_clips_as_their_baseline(heeding: Path) -> None:
    """The same clips are scored as without a baseline, and the answers are others."""
    without, with_it = (score(heeding, "ravdess", "ravdess", baseline=b) for b in ("none", "neutral"))
    assert with_it["n"] == without["n"] == 14
    assert np.sum(with_it["confusion"], axis=1).tolist() == [2] * 7
    assert with_it["nll"] != without["nll"]


def test_faces_of_the_same_takes(tiny_checkpoint: Path) -> None:
    units = tiny_checkpoint.parent / "data/ravdess_au.npz"
    both, face, voice, alone = (
        score(tiny_checkpoint, "ravdess", "ravdess", faces=units, modalities=given)
        for given in (None, ("vision",), ("audio",), ("vision", "audio"))
    )
    assert (both["modalities"], face["modalities"], voice["modalities"]) == (
        ["audio", "vision"],
        ["vision"],
        ["audio"],
    )
    assert both["n"] == face["n_scored"] == voice["n"] == 16
    assert voice == score(tiny_checkpoint, "ravdess", "ravdess")
    assert both == alone
    assert len({one["nll"] for one in (both, face, voice)}) == 3


def test_neutral_clips_are_the_faces_baseline_too(heeding: Path) -> None:
    units = heeding.parent / "data/ravdess_au.npz"
    for given in (("vision",), ("audio", "vision")):
        without, with_it = (
            score(heeding, "ravdess", "ravdess", faces=units, modalities=given, baseline=b)
            for b in ("none", "neutral")
        )
        assert with_it["n"] == without["n"] == 14
        assert with_it["nll"] != without["nll"]


def test_a_take_whose_face_is_not_there_is_answered_by_its_voice_or_not_at_all(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    voices = read_ravdess(tiny_checkpoint.parent / "data/ravdess")
    units = tmp_path / "some.npz"
    write_action_units(units, [clip.path.stem for clip in voices[:12]])
    face = score(tiny_checkpoint, "ravdess", "ravdess", faces=units, modalities=("vision",))
    both = score(tiny_checkpoint, "ravdess", "ravdess", faces=units)
    assert [(one["n"], one["n_scored"]) for one in (face, both)] == [(16, 12), (16, 16)]


def test_action_units_of_other_takes_are_an_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    write_action_units(tmp_path / "other.npz", ["03-01-01-01-01-01-23"])
    with pytest.raises(ValueError, match=r"other\.npz: has none of the clips"):
        score(tiny_checkpoint, "ravdess", "ravdess", faces=tmp_path / "other.npz")


def test_an_actor_without_neutral_clips_has_no_baseline(tiny_checkpoint: Path, tmp_path: Path) -> None:
    for clip in read_ravdess(tiny_checkpoint.parent / "data/ravdess"):
        if clip.actor == 1 or clip.emotion != 1:
            target = tmp_path / f"actor_{clip.actor:02}" / clip.path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(clip.path.read_bytes())
    with pytest.raises(ValueError, match="actor 2 has no plain neutral clip"):
        evaluate("ravdess", tmp_path, checkpoint=tiny_checkpoint, baseline="neutral")


def test_a_face_that_is_not_found_is_a_wrong_answer(tiny_checkpoint: Path) -> None:
    found = score(tiny_checkpoint, "fer2013", "fer2013_valid.npz")
    assert (found["n"], found["n_scored"], found["modalities"]) == (8, 7, ["vision"])
    right = np.trace(found["confusion"])
    assert (found["accuracy"], found["accuracy_scored"]) == (right / 8, right / 7)


def test_transcripts(tiny_checkpoint: Path) -> None:
    emotions = score(tiny_checkpoint, "meld", "meld/dev.csv", modalities=("text",))
    assert set(emotions) == {*HEAD, *EMOTION}
    for corpus, part in (("mosi", "dev"), ("mosei", "valid")):
        found = score(tiny_checkpoint, corpus, f"{corpus}/{part}.csv")
        assert set(found) == {*HEAD, *SENTIMENT}
        assert (found["n"], found["n_scored"]) == (5, 5)
        assert found["mae"] > 0.0


def test_twice_the_same(tiny_checkpoint: Path) -> None:
    first, second = (score(tiny_checkpoint, "meld", "meld/dev.csv") for _ in range(2))
    assert first == second


def test_scores_are_those_of_training(tiny_checkpoint: Path) -> None:
    expected = load_checkpoint(tiny_checkpoint).scores["mosei"]
    found = score(tiny_checkpoint, "mosei", "mosei/valid.csv")
    assert found["mae"] == pytest.approx(expected["mae"], abs=1e-4)


@pytest.mark.parametrize(
    ("corpus", "options", "message"),
    [
        ("iemocap", {}, "unknown corpus 'iemocap': choose one of ravdess, fer2013"),
        ("meld", {"modalities": ("audio",)}, "meld can be scored from text, not from audio"),
        ("ravdess", {"modalities": ("audio", "vision")}, "not from audio,vision .its faces with --faces"),
        ("ravdess", {"baseline": "mine"}, "choose none or neutral"),
        ("meld", {"baseline": "none"}, "--baseline is for ravdess"),
        ("meld", {"faces": Path("au.npz")}, "--faces is for ravdess"),
        ("ravdess", {"faces": Path("au.npz"), "modalities": ("text",)}, "from audio and vision, not from text"),
        ("ravdess", {"modalities": ()}, "not from nothing"),
        ("meld", {}, "cannot be read"),
        ("ravdess", {}, "not a folder with RAVDESS clips"),
        ("fer2013", {}, "not a readable npz"),
    ],
)
def test_a_wrong_request_ends_in_one_line(
    tiny_checkpoint: Path, tmp_path: Path, corpus: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        evaluate(corpus, tmp_path / "nowhere", checkpoint=tiny_checkpoint, **options)
    assert "\n" not in str(caught.value)


def test_only_baseline_clips_is_an_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    clips = read_ravdess(tiny_checkpoint.parent / "data/ravdess")
    for clip in clips:
        if clip.emotion == 1:
            target = tmp_path / f"actor_{clip.actor:02}" / clip.path.name
            target.parent.mkdir()
            target.write_bytes(clip.path.read_bytes())
    with pytest.raises(ValueError, match="nothing but plain neutral clips"):
        evaluate("ravdess", tmp_path, checkpoint=tiny_checkpoint, baseline="none")


def test_a_foreign_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no checkpoint"):
        evaluate("meld", tmp_path / "dev.csv", checkpoint=tmp_path)
