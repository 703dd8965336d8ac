"""Readers of the feature files that CMU-MOSI and CMU-MOSEI are passed around in.

MMSA's ``aligned_50.pkl`` and ``unaligned_50.pkl``, MulT's pickles, MISA's lists of utterances in one pickle or in
one a split, and an npz of utterance vectors. A pickle can hold any program: only numpy arrays and plain data are
let in.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np

from miar_rt.features.text import Encoder
from miar_rt.input_spec import FileShapes
from miar_rt.metrics import SCALE
from miar_rt.signals import MODALITIES, Array, Modality
from miar_rt.training.batches import Windows
from miar_rt.training.fusion import shapes_of

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"), "valid": ("valid", "dev", "val", "validation"), "test": ("test",),
}  # fmt: skip
NAMES: Mapping[Modality, tuple[str, ...]] = {
    "text": ("text",), "audio": ("audio", "acoustic"), "vision": ("vision", "visual", "video"),
}  # fmt: skip
LABELS = ("regression_labels", "labels", "label")
CLASSES = ("sentiment",)
NPZ_ARRAYS = ("id", "sentiment", "poria_split", "text", "audio", "video")

_NUMPY = {"numpy.core.multiarray", "numpy._core.multiarray", "numpy", "numpy.core.numeric", "numpy._core.numeric"}
_NUMPY_NAMES = {"_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer"}
_PLAIN = {"bytearray", "complex", "frozenset", "set", "slice"}
_DAMAGE = (
    pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError, ValueError,
    MemoryError, RecursionError, OverflowError, AssertionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One split: windows of all modalities ``[n, steps, channels]``, the newest row last, and ratings ``[n]``."""

    windows: dict[Modality, Windows]
    ratings: Array


@dataclass(frozen=True, slots=True, eq=False)
class FeatureFile:
    """Splits of a file by name; ``unreadable`` counts values in them that are no number."""

    parts: Mapping[str, Part]
    unreadable: int

    @property
    def shapes(self) -> FileShapes:
        """What a network has to know of it."""
        return shapes_of(next(iter(self.parts.values())).windows, CLASSES)


class RestrictedUnpickler(pickle.Unpickler):
    """Lets in numpy arrays and plain data; a pickle that names anything else is refused before it runs."""

    def find_class(self, module: str, name: str) -> Any:
        """The few functions that arrays are made with.

        Raises
        ------
        pickle.UnpicklingError
            For all others.
        """
        plain = module in {"builtins", "__builtin__"} and name in _PLAIN
        array = module in _NUMPY and name in _NUMPY_NAMES
        # Python 3 writes bytes with this one in pickles that Python 2 can read
        if plain or array or (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def load_pickle(path: Path) -> Any:
    """What a pickle of arrays and plain data holds.

    Raises
    ------
    ValueError
        When it cannot be read, is damaged, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            return RestrictedUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except _DAMAGE as error:
        raise ValueError(f"{path}: not a pickle of arrays and plain data: {error}") from error


def read_features(
    path: Path,
    encoder: Callable[[], Encoder],
    splits: Sequence[str] = tuple(SPLITS),
    steps: Mapping[str, int] | None = None,
) -> FeatureFile:
    """Read a feature file, or a folder with one pickle a split.

    Parameters
    ----------
    path
        See the module.
    encoder
        Opens what reads the words of a MISA-style file, which may come without text features.
    splits
        Which of ``SPLITS`` are read.
    steps
        Rows of each modality's window; as many as the longest utterance has when not given.

    Raises
    ------
    ValueError
        When it cannot be read, holds what is no data, lacks a split or a modality, its modalities differ in length,
        or a label is no number from -3 to 3.
    """
    if is_zipfile(path):
        found = _npz_splits(path)
    elif path.is_dir():
        found = {file.stem: load_pickle(file) for file in sorted(path.glob("*.pkl"))}
    else:
        found = load_pickle(path)
    parts = {}
    for split in splits:
        name = next((name for name in SPLITS[split] if isinstance(found, dict) and name in found), None)
        if name is None:
            raise ValueError(f"{path}: has no {split} split ({' or '.join(SPLITS[split])}){_WHY.get(split, '')}")
        parts[split] = _arrays(f"{path}, {name}", found[name], encoder)
    return _finished(path, parts, steps or {})


_WHY = {"valid": ", and a checkpoint must not be chosen on test"}
_Arrays = tuple[dict[Modality, Array], Array]


def _arrays(where: str, found: Any, encoder: Callable[[], Encoder]) -> _Arrays:
    """Features ``[n, steps, channels]`` with NaN where nothing is, and labels, of one split."""
    if isinstance(found, dict):
        return _from_dictionary(where, found)
    if isinstance(found, list | tuple) and len(found):
        return _from_utterances(where, found, encoder)
    raise ValueError(f"{where}: must be a dictionary of arrays or a list of utterances")


def _from_dictionary(where: str, found: Mapping[str, Any]) -> _Arrays:
    labels = _labels(where, _first(where, found, LABELS))
    features = {name: _feature(where, found, name) for name in MODALITIES}
    counts = {"labels": len(labels)} | {str(name): len(array) for name, array in features.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(f"{where}: modalities differ in length ({said})")
    _mask_text(where, found, features["text"])
    for name in MODALITIES:
        _check_lengths(where, found, name, features[name])
    return features, labels


def _first(where: str, found: Mapping[str, Any], names: Sequence[str]) -> Any:
    present = [name for name in names if name in found]
    if not present:
        raise ValueError(f"{where}: lacks {' or '.join(names)}")
    return found[present[0]]


def _feature(where: str, found: Mapping[str, Any], name: Modality) -> Array:
    if name == "text" and "text" not in found and "text_bert" in found:
        raise ValueError(f"{where}: has token numbers (text_bert) and no text features: write both, as MMSA does")
    array = _floats(f"{where}: {name}", _first(where, found, NAMES[name]))
    if array.ndim == 2:
        array = array[:, None]
    if array.ndim != 3 or not all(array.shape):
        raise ValueError(f"{where}: {name} must be [utterances, steps, channels], not {list(array.shape)}")
    return _emptied(array)


def _floats(what: str, value: Any) -> Array:
    try:
        return np.array(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be numbers in rows of one length") from error


def _emptied(array: Array) -> Array:
    """The array with NaN in rows of zeros, which are padding."""
    array[~(np.nan_to_num(array, nan=1.0) != 0.0).any(axis=2)] = np.nan
    return array


def _mask_text(where: str, found: Mapping[str, Any], text: Array) -> None:
    """BERT has something to say about padding too; its own mask knows where that is."""
    if "text_bert" not in found:
        return
    bert = _floats(f"{where}: text_bert", found["text_bert"])
    if len(bert) != len(text):
        raise ValueError(f"{where}: modalities differ in length ({len(text)} text, {len(bert)} text_bert)")
    if bert.ndim == 3 and bert.shape[1:] == (3, text.shape[1]):
        text[bert[:, 1] == 0.0] = np.nan


def _check_lengths(where: str, found: Mapping[str, Any], name: Modality, array: Array) -> None:
    key = f"{name}_lengths"
    if key not in found:
        return
    lengths = _floats(f"{where}: {key}", found[key])
    if lengths.shape != (len(array),):
        raise ValueError(f"{where}: {key} must have one number for each of {len(array)} utterances")
    if not ((lengths >= 0.0) & (lengths <= array.shape[1])).all():
        raise ValueError(f"{where}: {key} must be from 0 to the {array.shape[1]} steps that there are")


def _labels(where: str, value: Any) -> Array:
    labels = _floats(f"{where}: labels", value)
    # MulT writes [n, 1, 1]; some MOSEI files add emotions after the sentiment
    labels = labels.reshape(len(labels), -1)[:, 0] if labels.ndim and labels.size else labels.reshape(-1)
    if not len(labels):
        raise ValueError(f"{where}: holds no utterance")
    wrong = labels[~(np.abs(labels) <= SCALE)]
    if len(wrong):
        raise ValueError(f"{where}: label {wrong[0]:g} is no number from -3 to 3")
    return labels


def _from_utterances(where: str, found: Sequence[Any], encoder: Callable[[], Encoder]) -> _Arrays:
    """MISA's tuples ``((words, visual, acoustic[, written words]), label, segment)``."""
    if not all(isinstance(one, list | tuple) and len(one) >= 2 and len(one[0]) >= 3 for one in found):
        raise ValueError(f"{where}: every utterance must be ((words, visual, acoustic), label, segment)")
    said = [_words(where, one[0]) for one in found]
    reader = encoder() if any(isinstance(one, list) for one in said) else None
    text = [reader.encode(one).tokens if reader and isinstance(one, list) else np.asarray(one) for one in said]
    features: dict[Modality, Array] = {
        "text": _padded(f"{where}: text", text),
        "audio": _padded(f"{where}: audio", [_floats(f"{where}: audio", one[0][2]) for one in found]),
        "vision": _padded(f"{where}: vision", [_floats(f"{where}: vision", one[0][1]) for one in found]),
    }
    labels = [np.ravel(_floats(f"{where}: labels", one[1]))[:1] for one in found]
    if not all(map(len, labels)):
        raise ValueError(f"{where}: every utterance needs a label")
    return features, _labels(where, np.stack(labels))


def _words(where: str, sides: Sequence[Any]) -> Array | list[str]:
    """Word vectors ``[words, channels]`` as they are, or the words themselves."""
    words = np.asarray(sides[0])
    if words.ndim == 2 and np.issubdtype(words.dtype, np.floating):
        return words.astype(np.float32)
    written = sides[0] if words.dtype.kind in "UO" else sides[3] if len(sides) > 3 else None
    if written is None or not all(isinstance(word, str) for word in written):
        raise ValueError(f"{where}: holds word numbers, and neither their vectors nor the words")
    return [str(word) for word in written]


def _padded(what: str, rows: Sequence[Array]) -> Array:
    """Sequences of differing length, NaN before each: ``[n, steps, channels]``."""
    widths = {one.shape[1] for one in rows if one.ndim == 2 and len(one)}
    if len(widths) != 1 or any(one.ndim != 2 for one in rows if one.size):
        raise ValueError(f"{what} must be [steps, channels], with as many channels in every utterance")
    steps = max(map(len, rows))
    array = np.full((len(rows), steps, widths.pop()), np.nan, np.float32)
    for filled, one in zip(array, rows, strict=True):
        if one.size:
            filled[steps - len(one) :] = one
    return _emptied(array)


def _npz_splits(path: Path) -> dict[str, dict[str, Any]]:
    """Utterance vectors of the Poria test part, split by video into three, one and one fifth of the videos.

    Its text and video vectors were learned from the labels of the other part, which must therefore stay out.
    """
    arrays = read_vectors(path)
    fifth = np.array([fifths(video_of(name)) for name in arrays["id"]])
    folds = {"train": fifth < 3, "valid": fifth == 3, "test": fifth == 4}
    return {split: {name: array[rows] for name, array in arrays.items()} for split, rows in folds.items()}


def read_vectors(path: Path, *others: str) -> dict[str, Any]:
    """Arrays ``id text audio video labels``, and ``others``, of the rated utterances in an npz's Poria test part.

    Raises
    ------
    ValueError
        When it cannot be read, or an array is missing or of another length.
    """
    needed = (*NPZ_ARRAYS, *others)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in needed if name in archive.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path}: not a readable npz file") from error
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise ValueError(f"{path}: lacks the arrays {', '.join(missing)}")
    if len({array.shape[:1] for array in arrays.values()}) > 1:
        raise ValueError(f"{path}: its arrays differ in length")
    arrays["labels"] = arrays.pop("sentiment")
    kept = (arrays.pop("poria_split") == "test") & ~np.isnan(arrays["labels"])
    return {name: array[kept] for name, array in arrays.items()}


def video_of(utterance: str) -> str:
    """The video of an utterance's id, ``VIDEO_NUMBER``."""
    return str(utterance).rpartition("_")[0]


def fifths(video: str) -> int:
    """A number from 0 to 4 that a video always has."""
    return hashlib.sha256(video.encode()).digest()[0] % 5


def _finished(path: Path, parts: Mapping[str, _Arrays], steps: Mapping[str, int]) -> FeatureFile:
    """Check that the splits agree with each other, and put the newest row of everything last."""
    longest = {name: max(features[name].shape[1] for features, _ in parts.values()) for name in MODALITIES}
    for name in MODALITIES:
        widths = {split: features[name].shape[2] for split, (features, _) in parts.items()}
        if len(set(widths.values())) > 1:
            said = ", ".join(f"{width} in {split}" for split, width in widths.items())
            raise ValueError(f"{path}: {name} differs in channels between splits ({said})")
    unreadable = 0
    made = {}
    for split, (features, labels) in parts.items():
        windows = {}
        for name in MODALITIES:
            padding = np.isnan(features[name]).all(axis=2, keepdims=True)
            unreadable += int((~np.isfinite(features[name]) & ~padding).sum())
            windows[name] = _at_the_end(features[name], steps.get(name, longest[name]))
        made[split] = Part(windows, labels)
    return FeatureFile(made, unreadable)


def _at_the_end(array: Array, steps: int) -> Windows:
    """Every utterance's rows moved so that its last filled one is the window's last; NaN where no number is."""
    array = np.where(np.isfinite(array), array, np.float32(np.nan))
    mask = np.isfinite(array).any(axis=2)
    behind = np.argmax(mask[:, ::-1], axis=1)
    source = np.arange(array.shape[1] - steps, array.shape[1]) - behind[:, None]
    rows = np.arange(len(array))[:, None]
    inside = source >= 0
    return Windows(
        np.where(inside[:, :, None], array[rows, np.maximum(source, 0)], np.float32(np.nan)),
        mask[rows, np.maximum(source, 0)] & inside,
    )
