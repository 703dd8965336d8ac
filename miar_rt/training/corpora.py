"""Readers of the public corpora, in the layouts they are passed around in.

Every reader takes a path, gives small records with a class number (the order of ``signals.EMOTIONS``) or a
sentiment (-3..3), and raises ``ValueError`` with one line that names the file and what is wrong with it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import EMOTIONS

FEATURES = "mosi-features"
"""Name of a file of features (``mosi_features``) where a corpus is asked for."""

RAVDESS_CODES: Mapping[int, str] = {
    1: "neutral", 2: "neutral", 3: "happiness", 4: "sadness", 5: "anger", 6: "fear", 7: "disgust", 8: "surprise",
}  # fmt: skip
"""Emotion field of a RAVDESS file name (Livingstone and Russo, PLoS ONE 13(5), 2018); 2 is calm."""

MELD_NAMES: Mapping[str, str] = {name: name for name in EMOTIONS if name != "happiness"} | {"joy": "happiness"}
MELD_SENTIMENTS: Mapping[str, float] = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}

_CLIP_NAME = re.compile(r"\d\d-\d\d-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
_PLAIN = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u00b4`\u0091\u0092", "'")
    | dict.fromkeys("“”„\u0093\u0094", '"')
    | dict.fromkeys("\u2013\u2014\u2212\u0096\u0097", "-")
    | dict.fromkeys("\u00a0\u200b\u202a\u202c\ufeff\ufffd", " ")
    | {"…": "...", "\u0085": "..."}
)


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken RAVDESS recording; ``emotion`` is the corpus's own code, ``label`` our class number."""

    path: Path
    label: int
    emotion: int
    intensity: int
    statement: int
    repetition: int
    actor: int

    @property
    def session(self) -> tuple[int, int]:
        """Clips that are rendered as if said in one place: those of an actor's first or second repetition."""
        return self.actor, self.repetition

    @property
    def sex(self) -> str:
        """Odd actors are male, even ones female."""
        return "male" if self.actor % 2 else "female"


@dataclass(frozen=True, slots=True, eq=False)
class Stills:
    """Grey face pictures: ``images`` uint8 ``[n, 48, 48]`` and ``labels`` int64 ``[n]``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Utterance:
    """A transcript with a class number, a sentiment, or both; ``group`` is its dialogue or video."""

    group: str
    text: str
    label: int | None = None
    sentiment: float | None = None


def read_ravdess(path: Path) -> list[Clip]:
    """Clips under ``path``, laid out as ``actor_NN/*.flac``, sorted by actor and name.

    Raises
    ------
    ValueError
        When the folder is missing, holds no clip, or a name is not RAVDESS's.
    """
    if not path.is_dir():
        raise ValueError(f"{path}: not a folder with RAVDESS clips in actor_NN/*.flac")
    clips = [_clip(file) for file in path.rglob("*.flac")]
    if not clips:
        raise ValueError(f"{path}: holds no RAVDESS clip (actor_NN/*.flac)")
    return sorted(clips, key=lambda clip: (clip.actor, clip.path.name))


def _clip(file: Path) -> Clip:
    match = _CLIP_NAME.fullmatch(file.stem)
    if match is None:
        raise ValueError(
            f"{file}: not a RAVDESS name (modality-channel-emotion-intensity-statement-repetition-actor)"
        )
    emotion, intensity, statement, repetition, actor = (int(part) for part in match.groups())
    return Clip(file, EMOTIONS.index(RAVDESS_CODES[emotion]), emotion, intensity, statement, repetition, actor)


def read_fer2013(path: Path) -> Stills:
    """Faces of an npz with ``images [n, 48, 48]`` uint8, ``labels [n]`` and, if there, ``names``.

    Raises
    ------
    ValueError
        When the file cannot be read, an array is missing or misshapen, or the class order is another.
    """
    try:
        # opened here, because numpy leaves a file open that turns out to be no archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, BadZipFile) as error:
        raise ValueError(f"{path}: not a readable npz file") from error
    if not {"images", "labels"} <= arrays.keys():
        raise ValueError(f"{path}: needs the arrays images and labels, has {', '.join(sorted(arrays)) or 'none'}")
    images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    if images.dtype != np.uint8 or images.shape[1:] != (48, 48) or labels.shape != images.shape[:1]:
        raise ValueError(f"{path}: images must be uint8 [n, 48, 48] and labels [n]")
    if not len(labels) or labels.min() < 0 or labels.max() >= len(EMOTIONS):
        raise ValueError(f"{path}: labels must be 0 to {len(EMOTIONS) - 1}, and at least one")
    if "names" in arrays and tuple(map(str, arrays["names"])) != EMOTIONS:
        raise ValueError(f"{path}: classes must be in the order {', '.join(EMOTIONS)}")
    return Stills(images, labels)


def read_meld(path: Path) -> list[Utterance]:
    """Utterances of a MELD csv (``Utterance``, ``Emotion``, ``Sentiment``, ``Dialogue_ID``).

    Its three sentiments enter as -1, 0 and 1: a sign, not a strength.
    """
    rows = _table(path, ("Utterance", "Emotion", "Sentiment", "Dialogue_ID"))
    return [_meld_row(path, number, row) for number, row in rows]


def _meld_row(path: Path, number: int, row: Mapping[str, str]) -> Utterance:
    emotion, sentiment = row["Emotion"].strip().lower(), row["Sentiment"].strip().lower()
    if emotion not in MELD_NAMES:
        raise ValueError(f"{path}, line {number}: {emotion!r} is none of {', '.join(MELD_NAMES)}")
    if sentiment not in MELD_SENTIMENTS:
        raise ValueError(f"{path}, line {number}: {sentiment!r} is none of {', '.join(MELD_SENTIMENTS)}")
    label = EMOTIONS.index(MELD_NAMES[emotion])
    return Utterance(row["Dialogue_ID"], plain(row["Utterance"]), label, MELD_SENTIMENTS[sentiment])


def read_mosi(path: Path) -> list[Utterance]:
    """Transcripts of a CMU-MOSI csv (``id``, ``text``, ``label``); the id is a video and a number."""
    rows = _table(path, ("id", "text", "label"))
    return [
        Utterance(
            row["id"].rpartition("_")[0], plain(row["text"]), sentiment=_sentiment(path, number, row["label"])
        )
        for number, row in rows
    ]


def read_mosei(path: Path) -> list[Utterance]:
    """Transcripts of a CMU-MOSEI csv (``video_id``, ``clip_id``, ``text``, ``label``)."""
    rows = _table(path, ("video_id", "clip_id", "text", "label"))
    return [
        Utterance(row["video_id"], plain(row["text"]), sentiment=_sentiment(path, number, row["label"]))
        for number, row in rows
    ]


def _sentiment(path: Path, number: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -3.0 <= value <= 3.0:
        raise ValueError(f"{path}, line {number}: sentiment {text!r} is no number from -3 to 3")
    return value


def _table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of every row; the header must hold ``columns``."""
    lines = _decoded(path).splitlines(keepends=True)
    reader = csv.DictReader(lines, restval="")
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)}")
    rows = [(reader.line_num, row) for row in reader]
    if not rows:
        raise ValueError(f"{path}: has a header and no rows")
    return iter(rows)


def _decoded(path: Path) -> str:
    """UTF-8 with or without a mark, or the Windows code page that MELD's first releases were in."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def plain(text: str) -> str:
    """Curly quotes, long dashes and ellipses as a keyboard writes them, white space as single spaces.

    A recogniser never writes the curly ones, so neither may what the network learns from.
    """
    if "â€" in text:
        text = text.encode("cp1252", errors="replace").decode("utf-8", errors="replace")
    return " ".join(text.translate(_PLAIN).split())
