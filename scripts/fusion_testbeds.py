"""Where fusion networks are compared: samples, folds that share no person or video, and who is in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.features.text import TextEncoder
from miar_rt.input_spec import FileShapes
from miar_rt.network import MiarConfig
from miar_rt.signals import EMOTIONS, MODALITIES, Array, Modality
from miar_rt.training.batches import Windows
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import read_fer2013, read_meld, read_ravdess
from miar_rt.training.exams import answer_steps, window_ending
from miar_rt.training.extract import extract_clips, extract_stills, extract_texts, face_rows
from miar_rt.training.fusion import Samples, as_samples, shapes_of, statistics_of
from miar_rt.training.mosi_features import CLASSES, fifths, read_vectors, video_of
from miar_rt.training.simulate import written
from miar_rt.window import ChannelStatistics

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

FOLDS = 5
CONTEXT = 8
BLOCK = 10
WORD_GROUPS = 8
CONFLICT = 0.15
TRIPLES = {"train": 4000, "valid": 1000, "test": 2000}
CONFIG = MiarConfig(width=64, heads=4, feedforward=128, audio_layers=1, audio_stride=1, dropout=0.3)


@dataclass(frozen=True, eq=False)
class Testbed:
    """Raw windows, their truth and who they are of, and which are trained on, chosen on and scored in each fold."""

    windows: dict[Modality, Windows]
    groups: NDArray[Any]
    folds: Sequence[tuple[Integers, Integers, Integers]]
    labels: Integers | None = None
    ratings: Array | None = None
    classes: tuple[str, ...] = CLASSES
    config: MiarConfig = CONFIG

    @property
    def shapes(self) -> FileShapes:
        """Of the windows."""
        return shapes_of(self.windows, self.classes)

    @property
    def truth(self) -> NDArray[Any]:
        """Labels or ratings."""
        return np.asarray(self.ratings if self.labels is None else self.labels)

    @property
    def singles(self) -> list[Modality]:
        """Modalities that there are."""
        return [name for name in MODALITIES if self.windows[name].mask.any()]

    def parts(self, fold: int, standardised: bool = True) -> tuple[Samples, Samples, Samples]:
        """Samples to train on, to choose on and to score, normalised by the first."""
        statistics = statistics_of(self.windows, self.folds[fold][0])
        if not standardised:
            statistics = {
                name: ChannelStatistics(np.zeros_like(s.location), np.ones_like(s.scale))
                for name, s in statistics.items()
            }
        whole = as_samples(self.windows, statistics, self.labels, self.ratings)
        train, valid, test = (whole.take(numbers) for numbers in self.folds[fold])
        return train, valid, test


def folds_by(fold_of: Integers) -> list[tuple[Integers, Integers, Integers]]:
    """Every fold scored once, chosen on the next one, trained on the other three."""
    folds = []
    for scored in range(FOLDS):
        chosen = (scored + 1) % FOLDS
        training = np.flatnonzero((fold_of != scored) & (fold_of != chosen))
        folds.append((training, np.flatnonzero(fold_of == chosen), np.flatnonzero(fold_of == scored)))
    return folds


def vectors(array: Array) -> Windows:
    """One vector a sample as windows of one step."""
    return Windows(array[:, None].astype(np.float32), np.ones((len(array), 1), np.bool_))


def nothing(count: int) -> Windows:
    """A modality that nobody has."""
    return Windows(np.full((count, 1, 1), np.nan, np.float32), np.zeros((count, 1), np.bool_))


def pooled(grid: Array) -> Array:
    """Means and deviations of a clip's last 100 acoustic rows over blocks of 0.4 s, ``[10, 106]``."""
    window = window_ending(grid, int(answer_steps(grid)[-1])).reshape(-1, BLOCK, grid.shape[1])
    there = np.isfinite(window)
    count = np.maximum(there.sum(axis=1), 1)
    mean = np.where(there, window, 0.0).sum(axis=1) / count
    spread = np.sqrt(np.where(there, (window - mean[:, None]) ** 2, 0.0).sum(axis=1) / count)
    both = np.concatenate([mean, spread], axis=1)
    both[~np.tile(there.any(axis=1), 2)] = np.nan
    return both.astype(np.float32)


def voices(data: Path) -> tuple[Windows, list[Any]]:
    """Pooled acoustic rows of all RAVDESS clips, and the clips."""
    clips = read_ravdess(data / "ravdess")
    grids = extract_clips(clips, 0, FeatureCache())
    values = np.stack([pooled(grids[i]) for i in range(len(clips))])
    return Windows(values, np.isfinite(values).any(axis=2)), clips


def ravdess(data: Path, expert: bool) -> Testbed:
    """Testbed b: the voice and the face of the same takes, 8 classes, folds of four actors."""
    with np.load(data / "ravdess_au.npz", allow_pickle=False) as archive:
        au = {name: archive[name] for name in archive.files}
    names, labels = np.unique(au["emotion"], return_inverse=True)
    if expert:
        audio = vectors(au["wav2vec_oof_logits"])
    else:
        sounds, clips = voices(data)
        at = {clip.path.stem: i for i, clip in enumerate(clips)}
        order = np.array([at[str(name)] for name in au["audio_name"]])
        audio = Windows(sounds.values[order], sounds.mask[order])
    windows: dict[Modality, Windows] = {
        "text": nothing(len(labels)),
        "audio": audio,
        "vision": vectors(au["au_static_mean"]),
    }
    actors = au["actor"].astype(np.int64)
    return Testbed(
        windows, actors, folds_by((actors - 1) // 4), labels.astype(np.int64), classes=tuple(map(str, names))
    )


def mosi(data: Path, text: str, context: bool) -> Testbed:
    """Testbed c: CMU-MOSI inside the Poria test part, folds by video; ``text`` is one of ``TEXTS``."""
    arrays = read_vectors(data / "mosi_utterance_features.npz", "transcript")
    video = np.array([video_of(name) for name in arrays["id"]])
    fold_of = np.array([fifths(name) for name in video])
    made = TEXTS[text](arrays)
    rows: dict[Modality, Array] = {"text": made, "audio": arrays["audio"], "vision": arrays["video"]}
    before = earlier(video, arrays["id"]) if context else np.arange(len(video))[:, None]
    windows = {name: _in_order(array, before) for name, array in rows.items()}
    return Testbed(windows, video, folds_by(fold_of), ratings=arrays["labels"].astype(np.float32))


def _in_order(array: Array, before: Integers) -> Windows:
    values = array[np.maximum(before, 0)].astype(np.float32)
    values[before < 0] = np.nan
    return Windows(values, before >= 0)


def earlier(video: NDArray[Any], utterance: NDArray[Any]) -> Integers:
    """Numbers ``[n, CONTEXT]`` of each utterance and those before it in its video, itself last, -1 for none."""
    place = np.array([int(str(name).rpartition("_")[2]) for name in utterance])
    found = np.full((len(video), CONTEXT), -1)
    for name in np.unique(video):
        members = np.flatnonzero(video == name)
        members = members[np.argsort(place[members])]
        for i, number in enumerate(members):
            chain = members[max(i + 1 - CONTEXT, 0) : i + 1]
            found[number, CONTEXT - len(chain) :] = chain
    return found


def words(sentence: str) -> list[str]:
    """Words in lower case."""
    return re.findall(r"[a-z']+", str(sentence).lower())


def minilm(arrays: dict[str, Any]) -> Array:
    """Mean of MiniLM's token embeddings, ``[n, 384]``."""
    encoder = TextEncoder()
    return np.stack([encoder.encode(words(s) or ["."]).tokens.mean(axis=0) for s in arrays["transcript"]])


def tfidf(arrays: dict[str, Any], width: int = 100) -> Array:
    """TF-IDF reduced by a singular value decomposition; it sees words and no label."""
    said = [Counter(words(s)) for s in arrays["transcript"]]
    vocabulary = sorted({word for one in said for word in one})
    counts = np.array([[one[word] for word in vocabulary] for one in said], np.float64)
    weighted = np.log1p(counts) * np.log(len(said) / (counts > 0).sum(axis=0))
    u, s, _ = np.linalg.svd(weighted, full_matrices=False)
    return np.asarray((u * s)[:, :width], np.float32)


def hashed(arrays: dict[str, Any], width: int = 256) -> Array:
    """Mean of a random vector a word, the same wherever it occurs."""

    def vector(word: str) -> Array:
        seed = int.from_bytes(word.encode()[:16], "big")
        return np.random.default_rng(seed).standard_normal(width).astype(np.float32)

    return np.stack([np.mean([vector(w) for w in words(s) or ["."]], axis=0) for s in arrays["transcript"]])


TEXTS: dict[str, Callable[[dict[str, Any]], Array]] = {
    "own": lambda arrays: np.asarray(arrays["text"]), "minilm": minilm, "tfidf": tfidf, "hashed": hashed,
}  # fmt: skip


def live(data: Path) -> Testbed:
    """Testbed a: triples of our own live features, matched by label, some with one modality in conflict.

    Voice, face and words are of different people: independent given the label.
    """
    sounds, clips = voices(data)
    actor = np.array([clip.actor for clip in clips])
    part_of_voice = np.where(actor <= 12, 0, np.where(actor <= 16, 1, 2))
    faces, face_labels, part_of_face = _faces(data)
    texts, text_labels, part_of_text = _texts(data)
    pools = {
        "text": (text_labels, part_of_text),
        "audio": (np.array([clip.label for clip in clips]), part_of_voice),
        "vision": (face_labels, part_of_face),
    }
    random = np.random.default_rng(0)
    labels, drawn, folds, start = [], [], [], 0
    for part, count in enumerate(TRIPLES.values()):
        label, numbers = triples(pools, part, count, random)
        labels.append(label)
        drawn.append(numbers)
        folds.append(np.arange(start, start + count))
        start += count
    numbers = np.concatenate(drawn)
    sources: dict[Modality, Windows] = {"text": texts, "audio": sounds, "vision": faces}
    windows = {
        name: Windows(sources[name].values[numbers[:, i]], sources[name].mask[numbers[:, i]])
        for i, name in enumerate(MODALITIES)
    }
    split = (folds[0], folds[1], folds[2])
    config = replace(CONFIG, width=64)
    return Testbed(windows, actor[numbers[:, 1]], [split], np.concatenate(labels), None, EMOTIONS, config)


def triples(
    pools: dict[str, tuple[Integers, Integers]], part: int, count: int, random: np.random.Generator
) -> tuple[Integers, Integers]:
    """Labels ``[count]``, all equally often, and numbers ``[count, 3]``; a conflicting modality is of another."""
    label = random.integers(len(EMOTIONS), size=count)
    said = np.repeat(label[:, None], 3, axis=1)
    conflict = np.flatnonzero(random.random(count) < CONFLICT)
    other = (label[conflict] + random.integers(1, len(EMOTIONS), len(conflict))) % len(EMOTIONS)
    said[conflict, random.integers(3, size=len(conflict))] = other
    numbers = np.empty((count, 3), np.int64)
    for i, (truth, part_of) in enumerate(pools[name] for name in MODALITIES):
        for value in range(len(EMOTIONS)):
            rows = np.flatnonzero(said[:, i] == value)
            numbers[rows, i] = random.choice(np.flatnonzero((truth == value) & (part_of == part)), len(rows))
    return label, numbers


def _faces(data: Path) -> tuple[Windows, Integers, Integers]:
    """Mesh, pose and measures of FER2013's stills; a fifth of the training ones is chosen on."""
    rows, labels, parts = [], [], []
    for name, part in (("fer2013_train.npz", 0), ("fer2013_valid.npz", 2)):
        stills = read_fer2013(data / name)
        found = face_rows(extract_stills(stills.images, FeatureCache()), *stills.images.shape[:0:-1])
        kept = np.isfinite(found).any(axis=1)
        rows.append(found[kept])
        labels.append(stills.labels[kept])
        parts.append(np.where((np.arange(kept.sum()) % 5 == 4) & (part == 0), 1, part))
    values = np.concatenate(rows)[:, None]
    return Windows(values, np.isfinite(values).any(axis=2)), np.concatenate(labels), np.concatenate(parts)


def _texts(data: Path) -> tuple[Windows, Integers, Integers]:
    """MiniLM's token embeddings of MELD, in up to eight groups; a fifth of the dialogues is chosen on."""
    train, test = read_meld(data / "meld/train.csv"), read_meld(data / "meld/dev.csv")
    values, parts = [], []
    for utterances, scored in ((train, False), (test, True)):
        encoded = extract_texts([written(u.text) for u in utterances], FeatureCache())
        for i, utterance in enumerate(utterances):
            values.append(_groups_of(np.asarray(encoded.tokens[i], np.float32)))
            parts.append(2 if scored else int(int(utterance.group) % 5 == 4))
    windows = np.stack(values)
    labels = np.array([u.label for u in (*train, *test)], np.int64)
    parts_ = np.where(np.isfinite(windows).any(axis=(1, 2)), np.array(parts), -1)
    return Windows(windows, np.isfinite(windows).any(axis=2)), labels, parts_


def _groups_of(tokens: Array) -> Array:
    filled = np.full((WORD_GROUPS, tokens.shape[1]), np.nan, np.float32)
    chunks = [chunk for chunk in np.array_split(tokens, min(WORD_GROUPS, max(len(tokens), 1))) if len(chunk)]
    for i, chunk in enumerate(reversed(chunks)):
        filled[WORD_GROUPS - 1 - i] = chunk.mean(axis=0)
    return filled


TESTBEDS: dict[str, Callable[[Path], Testbed]] = {
    "a": live,
    "b own": lambda data: ravdess(data, expert=False),
    "b expert": lambda data: ravdess(data, expert=True),
    **{f"c {text}": (lambda data, text=text: mosi(data, text, context=False)) for text in TEXTS},
    **{f"c {text} context": (lambda data, text=text: mosi(data, text, context=True)) for text in ("own", "minilm")},
}
