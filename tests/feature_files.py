"""Feature files in the layouts of the field, filled at random."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS, WIDTHS = 6, {"text": 9, "audio": 5, "vision": 4}
COUNTS = {"train": 24, "valid": 8, "test": 12}


def split(count: int, seed: int, unaligned: bool = False) -> dict[str, Any]:
    """One split as MMSA writes it; the label can be read from the text."""
    random = np.random.default_rng(seed)
    steps = {"text": STEPS, "audio": 11 if unaligned else STEPS, "vision": 8 if unaligned else STEPS}
    made: dict[str, Any] = {
        name: random.standard_normal((count, steps[name], width)).astype(np.float32)
        for name, width in WIDTHS.items()
    }
    for name in WIDTHS:
        made[name][:, -2:] = 0.0
    labels = np.clip(random.normal(0.0, 1.5, count), -3.0, 3.0).astype(np.float32)
    made["text"][:, :4, 0] = labels[:, None]
    bert = np.zeros((count, 3, STEPS), np.float32)
    bert[:, 1, : STEPS - 2] = 1.0
    made |= {"raw_text": ["fine"] * count, "id": [f"v{i // 3}$_${i}" for i in range(count)], "text_bert": bert}
    made |= {"regression_labels": labels, "annotations": ["Positive"] * count}
    if unaligned:
        made |= {f"{name}_lengths": [steps[name] - 2] * count for name in ("audio", "vision")}
    return made


def mmsa(unaligned: bool = False) -> dict[str, Any]:
    return {name: split(count, i, unaligned) for i, (name, count) in enumerate(COUNTS.items())}


def mult() -> dict[str, Any]:
    """MulT's: labels ``[n, 1, 1]``, nothing about words."""
    return {
        name: {key: part[key] for key in WIDTHS} | {"labels": part["regression_labels"][:, None, None]}
        for name, part in mmsa().items()
    }


def misa(words: bool = False) -> dict[str, list[Any]]:
    """Lists of utterances of differing length, with word vectors or, as in MAG's files, with the words."""
    lists: dict[str, list[Any]] = {}
    for name, part in mmsa().items():
        utterances = []
        for i, label in enumerate(part["regression_labels"]):
            kept = slice(0, 2 + i % 3)
            said: Any = ["good", "film", "really", "great"][kept] if words else part["text"][i, kept]
            sides = (said, part["vision"][i, kept], part["audio"][i, kept])
            utterances.append((sides, np.array([[label]]), f"v{i // 3}[{i}]"))
        lists["dev" if name == "valid" else name] = utterances
    return lists


def vectors() -> dict[str, Any]:
    """The npz of utterance vectors."""
    random = np.random.default_rng(0)
    count = 120
    labels = np.clip(random.normal(0.0, 1.5, count), -3.0, 3.0).astype(np.float32)
    labels[3] = np.nan
    text = random.standard_normal((count, 9)).astype(np.float32)
    text[:, 0] = np.nan_to_num(labels)
    return {
        "id": np.array([f"video{i // 4}_{i % 4}" for i in range(count)]),
        "transcript": np.array([f"sentence {i} is {'good' if labels[i] > 0 else 'bad'}" for i in range(count)]),
        "sentiment": labels,
        "binary": (np.nan_to_num(labels) > 0).astype(np.int8),
        "poria_split": np.array(["train"] * 20 + ["test"] * 100),
        "standard_split": np.array(["train"] * count),
        "text": text,
        "audio": random.standard_normal((count, 7)).astype(np.float32),
        "video": random.standard_normal((count, 8)).astype(np.float32),
    }
