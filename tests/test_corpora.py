"""Readers of the public corpora, on small files in the same layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miar_rt.signals import EMOTIONS
from miar_rt.training import corpora

SHARED = Path(__file__).parents[1] / "../shared/data"


def write_faces(path: Path, **changes: object) -> Path:
    arrays: dict[str, object] = {
        "images": np.zeros((3, 48, 48), np.uint8),
        "labels": np.array([0, 6, 3], np.int8),
        "names": np.array(EMOTIONS),
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def write_clip(folder: Path, name: str) -> Path:
    path = folder / f"actor_{name[-2:]}" / f"{name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_ravdess_names_say_everything(tmp_path: Path) -> None:
    write_clip(tmp_path, "03-01-08-02-01-02-14")
    write_clip(tmp_path, "03-01-02-01-02-01-03")
    calm, surprised = corpora.read_ravdess(tmp_path)
    assert (calm.label, calm.emotion, calm.actor, calm.statement, calm.sex) == (0, 2, 3, 2, "male")
    assert (EMOTIONS[surprised.label], surprised.intensity, surprised.sex) == ("surprise", 2, "female")


@pytest.mark.parametrize(
    ("code", "emotion"),
    [("01", "neutral"), ("03", "happiness"), ("04", "sadness"), ("05", "anger"), ("06", "fear"), ("07", "disgust")],
)
def test_ravdess_codes(tmp_path: Path, code: str, emotion: str) -> None:
    write_clip(tmp_path, f"03-01-{code}-01-01-01-01")
    assert EMOTIONS[corpora.read_ravdess(tmp_path)[0].label] == emotion


def test_ravdess_errors_name_the_trouble(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: not a folder"):
        corpora.read_ravdess(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no RAVDESS clip"):
        corpora.read_ravdess(tmp_path)
    write_clip(tmp_path, "03-01-09-01-01-01-01")
    with pytest.raises(ValueError, match=r"03-01-09-01-01-01-01.flac: not a RAVDESS name"):
        corpora.read_ravdess(tmp_path)


def test_faces_are_read_with_and_without_class_names(tmp_path: Path) -> None:
    for names in (np.array(EMOTIONS), None):
        stills = corpora.read_fer2013(write_faces(tmp_path / "faces.npz", names=names))
        assert stills.images.shape == (3, 48, 48)
        assert stills.labels.tolist() == [0, 6, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "needs the arrays images and labels, has images, names"),
        ({"images": np.zeros((3, 40, 48), np.uint8)}, r"must be uint8 \[n, 48, 48\]"),
        ({"images": np.zeros((3, 48, 48), np.float32)}, r"must be uint8 \[n, 48, 48\]"),
        ({"labels": np.array([0, 1], np.int8)}, r"labels \[n\]"),
        ({"labels": np.array([0, 1, 7], np.int8)}, "labels must be 0 to 6"),
        ({"names": np.array(EMOTIONS[::-1])}, "order neutral, happiness"),
    ],
)
def test_bad_faces_end_in_one_line(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        corpora.read_fer2013(write_faces(tmp_path / "faces.npz", **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "faces.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable npz"):
        corpora.read_fer2013(path)
    with pytest.raises(ValueError, match="not a readable npz"):
        corpora.read_fer2013(tmp_path / "missing.npz")


MELD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"


def test_meld_rows_and_their_quotes(tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    path.write_text(
        MELD + '1,"Oh my God, he\u2019s lost it\u2026 \u201ctotally\u201d",Phoebe,joy,positive,4,0\n',
        encoding="utf-8",
    )
    (row,) = corpora.read_meld(path)
    assert row == corpora.Utterance("4", 'Oh my God, he\'s lost it... "totally"', 1, 1.0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_meld_in_every_encoding_it_was_released_in(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "dev.csv"
    path.write_text(MELD + "1,It\u2019s caf\u00e9,Joey,fear,negative,1,0\n", encoding=encoding)
    assert corpora.read_meld(path)[0].text == "It's caf\u00e9"


def test_quotes_decoded_twice_are_mended() -> None:
    assert corpora.plain("It\u00e2\u20ac\u2122s  fine") == "It's fine"


def test_mosi_and_mosei(tmp_path: Path) -> None:
    mosi, mosei = tmp_path / "mosi.csv", tmp_path / "mosei.csv"
    mosi.write_text("id,text,label\nWKA5Oygb_EKI_12,uh rango is cute,-2.2\n")
    mosei.write_text('video_id,clip_id,text,label\n-3g5,82_7645,"Key is, well",0.6666667\n')
    assert corpora.read_mosi(mosi) == [corpora.Utterance("WKA5Oygb_EKI", "uh rango is cute", sentiment=-2.2)]
    assert corpora.read_mosei(mosei) == [corpora.Utterance("-3g5", "Key is, well", sentiment=0.6666667)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,words,label\na_1,x,1\n", "lacks the columns text"),
        ("", "lacks the columns id, text, label"),
        ("id,text,label\n", "has a header and no rows"),
        ("id,text,label\na_1,fine,4.2\n", "line 2: sentiment '4.2' is no number from -3 to 3"),
        ("id,text,label\na_1,fine,1\na_2,fine,good\n", "line 3: sentiment 'good'"),
        ("id,text,label\na_1,fine\n", "line 2: sentiment ''"),
    ],
)
def test_bad_transcripts_end_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mosi.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        corpora.read_mosi(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("row", ["1,Hi,J,bliss,positive,1,0", "1,Hi,J,joy,sunny,1,0"])
def test_unknown_meld_labels(tmp_path: Path, row: str) -> None:
    path = tmp_path / "dev.csv"
    path.write_text(MELD + row + "\n")
    with pytest.raises(ValueError, match=r"line 2: '(bliss|sunny)' is none of"):
        corpora.read_meld(path)


def test_a_missing_transcript(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        corpora.read_mosei(tmp_path / "valid.csv")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder ../shared is not here")
def test_the_real_corpora() -> None:
    clips = corpora.read_ravdess(SHARED / "ravdess")
    assert len(clips) == 1200
    assert np.bincount([clip.label for clip in clips]).tolist() == [240, 160, 160, 160, 160, 160, 160]
    assert len(corpora.read_fer2013(SHARED / "fer2013_valid.npz").labels) == 3518
    assert len(corpora.read_meld(SHARED / "meld/train.csv")) == 9989
    assert len(corpora.read_mosei(SHARED / "mosei/train.csv")) == 16274
    assert len(corpora.read_mosi(SHARED / "mosi/dev.csv")) == 229
