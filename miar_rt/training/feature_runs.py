"""MIAR on a feature file: several seeds, one checkpoint each, chosen on validation, scored once on test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from rich.progress import Progress, TaskID

from miar_rt.checkpoint import CheckpointError, write_whole
from miar_rt.features.text_onnx import open_encoder
from miar_rt.input_spec import FileShapes
from miar_rt.metrics import sentiment_scores
from miar_rt.network import Miar, MiarConfig
from miar_rt.signals import MODALITIES, Modality
from miar_rt.training.corpora import FEATURES
from miar_rt.training.fusion import (
    PATTERNS,
    Fitted,
    Plan,
    Samples,
    answer,
    as_samples,
    fit_network,
    statistics_of,
)
from miar_rt.training.mosi_features import FeatureFile, read_features
from miar_rt.window import ChannelStatistics, Statistics

SEEDS = 10
PLAN = Plan()
CONFIG = MiarConfig()
_FORMAT, _VERSION = "miar-features", 1
_DOCUMENT = "features.json"


class _Document(msgspec.Struct, kw_only=True):
    """``features.json``: what the weights beside it belong to."""

    format: str
    version: int
    widths: dict[str, int]
    steps: dict[str, int]
    classes: list[str]
    config: dict[str, Any]
    plan: dict[str, Any]
    data: str
    seeds: dict[str, tuple[int, float]]


def as_told(corpus: str, path: Path | None, others: Mapping[str, object]) -> Path:
    """The file that ``miar train`` was given; ``others`` are options that go with other corpora only.

    Raises
    ------
    ValueError
        When it does not go together.
    """
    if corpus != FEATURES:
        raise ValueError(f"there is no training on {corpus!r}: give {FEATURES} FILE, or --data FOLDER")
    if path is None:
        raise ValueError(f"{FEATURES} needs a file of features: miar train {FEATURES} FILE --out FOLDER")
    for name, value in others.items():
        if value is not None:
            raise ValueError(f"{name} does not go with {FEATURES}")
    return path


def train_features(
    path: Path,
    out: Path,
    *,
    seeds: int = SEEDS,
    first_seed: int = 0,
    epochs: int | None = None,
    text_encoder: Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train MIAR on a feature file with several seeds, and score them on its test split.

    Parameters
    ----------
    path
        As ``mosi_features.read_features`` takes it.
    out
        Folder of the checkpoints; seeds that are in it already are not trained again.
    seeds, first_seed
        How many, from which on.
    epochs
        At most; the plan's otherwise.
    text_encoder
        Folder of an ``OnnxTextEncoder``, for files that hold words; the published MiniLM otherwise.
    progress
        Whether to show progress bars.

    Returns
    -------
    dict
        As ``evaluate_features``.

    Raises
    ------
    ValueError
        When the file is wrong, or ``out`` holds runs on another one.
    OSError
        When ``out`` cannot be written.
    """
    torch.set_num_threads(1)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is no folder: give one for the checkpoints")
    file = read_features(path, lambda: open_encoder(text_encoder, {}))
    plan = PLAN if epochs is None else Plan(epochs=epochs)
    document = _begin(out, file, plan)
    statistics = statistics_of(file.parts["train"].windows)
    train, valid = (_samples(file, part, statistics) for part in ("train", "valid"))
    with Progress(disable=not progress) as bars:
        for seed in range(first_seed, first_seed + seeds):
            if str(seed) in document.seeds:
                continue
            bar = bars.add_task(f"seed {seed}", total=plan.epochs)
            tell = partial(_tell, bars, bar)
            fitted = fit_network(lambda: Miar(CONFIG, file.shapes), train, valid, plan, seed, tell)
            _keep(out, document, fitted, seed, statistics)
    return _scored(file, out, document, MODALITIES)


def evaluate_features(
    path: Path,
    checkpoint: Path | None,
    modalities: Sequence[str] | None = None,
    text_encoder: Path | None = None,
) -> dict[str, Any]:
    """Score the checkpoints that ``train_features`` wrote, on a file's test split.

    Parameters
    ----------
    path
        As ``mosi_features.read_features`` takes it.
    checkpoint
        The folder that ``train_features`` wrote.
    modalities
        Which of the three are given; all by default.
    text_encoder
        As in ``train_features``.

    Returns
    -------
    dict
        ``corpus n n_scored modalities checkpoint``, the mean over seeds of ``metrics.sentiment_scores``, ``seeds``,
        and in ``deviation`` the standard deviation of each over the seeds (0 for one).

    Raises
    ------
    ValueError
        When the file, the checkpoint or a modality is wrong.
    """
    chosen = tuple(MODALITIES if modalities is None else modalities)
    if not chosen or not set(chosen) <= set(MODALITIES):
        raise ValueError(
            f"{FEATURES} can be scored from text,audio,vision, not from {','.join(chosen) or 'nothing'}"
        )
    if checkpoint is None:
        raise ValueError(
            f"{FEATURES} needs --checkpoint FOLDER, which miar train {FEATURES} {path} --out FOLDER writes"
        )
    document = _read_document(checkpoint)
    file = read_features(path, lambda: open_encoder(text_encoder, {}), ("test",), document.steps)
    _require_widths(checkpoint, document, file)
    if not document.seeds:
        raise CheckpointError(f"{checkpoint} holds no finished seed: run miar train {FEATURES} again")
    given = [name for name in MODALITIES if name in chosen]
    return _scored(file, checkpoint, document, given)


def _tell(bars: Progress, bar: TaskID, epoch: int, score: float) -> None:
    bars.update(bar, completed=epoch, description=f"{bars.tasks[bar].description.split(',')[0]}, {score:.3f}")


def _samples(file: FeatureFile, part: str, statistics: Statistics) -> Samples:
    return as_samples(file.parts[part].windows, statistics, ratings=file.parts[part].ratings)


def _scored(file: FeatureFile, folder: Path, document: _Document, modalities: Sequence[Modality]) -> dict[str, Any]:
    rows = []
    for seed in document.seeds:
        network, statistics = _load(folder, document, seed)
        samples = _samples(file, "test", statistics).only(*modalities)
        there = samples.presence.any(dim=1).numpy()
        if samples.ratings is None or not there.any():
            raise ValueError("no sample could be scored with the modalities asked for")
        given = answer(network, samples, PATTERNS[:1])[1][there, 0]
        rows.append(sentiment_scores(samples.ratings.numpy()[there], given))
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {
        "corpus": FEATURES,
        "n": len(there),
        "n_scored": int(there.sum()),
        "modalities": list(modalities),
        "checkpoint": folder.resolve().name,
        **{name: float(value.mean()) for name, value in values.items()},
        "seeds": len(rows),
        "deviation": {name: float(value.std(ddof=min(1, len(value) - 1))) for name, value in values.items()},
        "replaced_values": file.unreadable,
    }


def _begin(out: Path, file: FeatureFile, plan: Plan) -> _Document:
    """The document of a folder: a new one, or that of earlier runs on the same file."""
    digest = hashlib.sha256()
    for part in file.parts.values():
        digest.update(part.ratings.tobytes())
        for name in MODALITIES:
            digest.update(part.windows[name].values.tobytes())
    shapes = file.shapes
    new = _Document(
        format=_FORMAT,
        version=_VERSION,
        widths={str(k): v for k, v in shapes.widths.items()},
        steps={str(k): v for k, v in shapes.steps.items()},
        classes=list(shapes.classes),
        config=asdict(CONFIG),
        plan=asdict(plan),
        data=digest.hexdigest(),
        seeds={},
    )
    if not (out / _DOCUMENT).exists():
        out.mkdir(parents=True, exist_ok=True)
        return new
    old = _read_document(out)
    if msgspec.structs.replace(old, seeds={}) != new:
        raise ValueError(f"{out} holds runs on another file or with other settings: name another --out")
    return old


def _keep(out: Path, document: _Document, fitted: Fitted, seed: int, statistics: Statistics) -> None:
    from safetensors.numpy import save

    tensors = {f"network.{name}": value.numpy() for name, value in fitted.network.state_dict().items()}
    for name in MODALITIES:
        tensors[f"statistics.{name}.location"] = statistics[name].location
        tensors[f"statistics.{name}.scale"] = statistics[name].scale
    write_whole(out / f"seed-{seed}.safetensors", save(tensors))
    document.seeds[str(seed)] = (fitted.epoch, round(fitted.score, 6))
    write_whole(out / _DOCUMENT, msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def _read_document(folder: Path) -> _Document:
    try:
        document = msgspec.json.decode((folder / _DOCUMENT).read_bytes(), type=_Document)
    except OSError as error:
        raise CheckpointError(f"{folder} is no folder that miar train {FEATURES} wrote: no {_DOCUMENT}") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CheckpointError(f"{folder / _DOCUMENT} is damaged or of another program: {error}") from error
    if (document.format, document.version) != (_FORMAT, _VERSION):
        raise CheckpointError(f"{folder / _DOCUMENT} is of another format than {_FORMAT} {_VERSION}")
    return document


def _require_widths(folder: Path, document: _Document, file: FeatureFile) -> None:
    for name, width in file.shapes.widths.items():
        if document.widths.get(name) != width:
            raise CheckpointError(
                f"{folder} was trained on {document.widths.get(name)} channels of {name}, this file has {width}: "
                f"run miar train {FEATURES} on it"
            )


def _load(folder: Path, document: _Document, seed: str) -> tuple[Miar, Statistics]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / f"seed-{seed}.safetensors"
    shapes = FileShapes(
        {name: document.widths[name] for name in MODALITIES},
        {name: document.steps[name] for name in MODALITIES},
        tuple(document.classes),
    )
    try:
        tensors = load(path.read_bytes())
        network = Miar(MiarConfig(**document.config), shapes)
        prefix = "network."
        network.load_state_dict(
            {
                name.removeprefix(prefix): torch.from_numpy(t)
                for name, t in tensors.items()
                if name.startswith(prefix)
            }
        )
        statistics: Statistics = {
            name: ChannelStatistics(tensors[f"statistics.{name}.location"], tensors[f"statistics.{name}.scale"])
            for name in MODALITIES
        }
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): train again") from error
    except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or of another network: train again") from error
    return network.eval(), statistics
