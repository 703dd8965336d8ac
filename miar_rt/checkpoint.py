"""Everything needed to run a trained network again, in one folder and readable without torch.

``model.safetensors`` holds the weights and the feature statistics, ``model.json`` the rest, ``graph.onnx`` the
network's graph without weights. Tensors and JSON only: nothing in a checkpoint is ever executed.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from calibration.temperature import Temperatures
from miar_rt.engines.weightless import WeightlessGraph
from miar_rt.input_spec import SPEC, InputSpec
from miar_rt.network_config import require_config
from miar_rt.signals import MODALITIES, Array
from miar_rt.window import ChannelStatistics, Statistics

FORMAT = "miar-checkpoint"
FORMAT_VERSION = 1
DEFAULT = Path(__file__).parent / "checkpoints" / "default"
_WEIGHTS, _DOCUMENT, _GRAPH = "model.safetensors", "model.json", "graph.onnx"
_NETWORK, _STATISTICS, _TEXT_ADAPTER = "network.", "statistics.", "text_adapter."
LONGEST_NAME = 64
LARGEST_FILE = 1 << 30


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; one line names what is wrong and what would be right."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A trained network with what it takes to feed it and to read its answers.

    Attributes
    ----------
    name
        Short name shown with every result.
    spec
        Table of input channels the network was trained with.
    config
        Fields of ``MiarConfig``.
    state
        float32 weights by name, as the network's ``state_dict`` has them.
    statistics
        Location and scale of every input channel over the training data.
    temperatures
        Probability calibration by availability pattern.
    interval_factor
        Half-width of the 80 % sentiment interval in units of the predicted spread.
    extractors
        Name and version of what made the features, by modality.
    corpora, scores
        What it was trained on and how well it did, as written by training; not interpreted here.
    graph
        The network's graph without weights.
    text_adapter
        Low-rank adapters of the published text encoder, as ``features.text.TextEncoder`` takes them.
    sha256
        Of ``model.safetensors``; empty until saved.
    """

    name: str
    spec: InputSpec
    config: dict[str, Any]
    state: dict[str, Array]
    statistics: Statistics
    temperatures: Temperatures
    interval_factor: float
    graph: WeightlessGraph
    extractors: dict[str, str] = field(default_factory=dict)
    corpora: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    text_adapter: dict[str, Array] = field(default_factory=dict)
    sha256: str = ""

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes of the languages whose words it can score: English unless training said otherwise."""
        return frozenset(self.extractors.get("languages", "en").split(","))

    @property
    def baselines(self) -> frozenset[str]:
        """Modalities that training gave with and without a personal baseline: none unless training said so."""
        return frozenset(self.extractors.get("baselines", "").split(",")) - {""}

    @property
    def ignored_baselines(self) -> frozenset[str]:
        """Modalities that validation went worse in with a personal baseline: it is not applied to them."""
        return frozenset(self.extractors.get("ignored_baselines", "").split(",")) - {""}

    def told(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The network's inputs without those baseline flags that it has never seen raised."""
        learned = np.array([name in self.baselines for name in MODALITIES], np.float32)
        return {**inputs, "baseline": inputs["baseline"] * learned}


class _Document(msgspec.Struct, kw_only=True):
    """``model.json``."""

    format: str
    version: int
    name: str
    input_spec: dict[str, Any]
    config: dict[str, Any]
    temperatures: dict[str, float]
    interval_factor: float
    extractors: dict[str, str]
    corpora: dict[str, Any]
    scores: dict[str, Any]
    graph_weights: tuple[str, ...]
    weights_sha256: str
    graph_sha256: str


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Checkpoint:
    """Write a checkpoint; each file appears whole, and ``model.json``, which vouches for the others, last.

    Returns
    -------
    Checkpoint
        The same with ``sha256`` filled in.

    Raises
    ------
    OSError
        When the folder cannot be written.
    """
    from safetensors.numpy import save

    tensors = {_NETWORK + name: array for name, array in checkpoint.state.items()}
    tensors |= {_TEXT_ADAPTER + name: array for name, array in checkpoint.text_adapter.items()}
    for modality in MODALITIES:
        tensors[f"{_STATISTICS}{modality}.location"] = checkpoint.statistics[modality].location
        tensors[f"{_STATISTICS}{modality}.scale"] = checkpoint.statistics[modality].scale
    weights = save(tensors)
    saved = replace(checkpoint, sha256=hashlib.sha256(weights).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _GRAPH, saved.graph.model)
    write_whole(folder / _WEIGHTS, weights)
    write_whole(folder / _DOCUMENT, msgspec.json.format(msgspec.json.encode(_document(saved)), indent=1) + b"\n")
    return saved


def _document(checkpoint: Checkpoint) -> _Document:
    return _Document(
        format=FORMAT,
        version=FORMAT_VERSION,
        name=checkpoint.name,
        input_spec=checkpoint.spec.to_json(),
        config=checkpoint.config,
        temperatures=checkpoint.temperatures.by_pattern,
        interval_factor=checkpoint.interval_factor,
        extractors=checkpoint.extractors,
        corpora=checkpoint.corpora,
        scores=checkpoint.scores,
        graph_weights=checkpoint.graph.weights,
        weights_sha256=checkpoint.sha256,
        graph_sha256=hashlib.sha256(checkpoint.graph.model).hexdigest(),
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part of it; a link is followed.

    Raises
    ------
    OSError
        When it cannot be written, or something that is no regular file is in its place.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "there is something that is no regular file", str(path))
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path | str | None = None, spec: InputSpec = SPEC) -> Checkpoint:
    """Read a checkpoint, without torch.

    Parameters
    ----------
    path
        Its folder; the one that ships with the package when ``None``.
    spec
        The table of input channels it must have been trained with.

    Raises
    ------
    CheckpointError
        When it is missing, damaged, of another format or of another input table.
    """
    folder = DEFAULT if path is None else Path(path)
    document = _read_document(folder)
    _require_spec(folder, document, spec)
    weights = _read_verified(folder / _WEIGHTS, document.weights_sha256)
    graph = _read_verified(folder / _GRAPH, document.graph_sha256)
    tensors, statistics = _tensors(folder, weights, spec)
    state, text_adapter = _part(tensors, _NETWORK), _part(tensors, _TEXT_ADAPTER)
    missing = set(document.graph_weights) - state.keys()
    if missing:
        raise CheckpointError(
            f"checkpoint {folder} lacks weights ({', '.join(sorted(missing)[:3])}): save it again"
        )
    try:
        temperatures = Temperatures(document.temperatures)
        _require_sense(document, tensors)
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {error}") from error
    return Checkpoint(
        name=document.name,
        spec=spec,
        config=document.config,
        state=state,
        statistics=statistics,
        temperatures=temperatures,
        interval_factor=document.interval_factor,
        graph=WeightlessGraph(graph, document.graph_weights),
        extractors=document.extractors,
        corpora=document.corpora,
        scores=document.scores,
        text_adapter=text_adapter,
        sha256=document.weights_sha256,
    )


def _read_document(folder: Path) -> _Document:
    try:
        there = (folder / _DOCUMENT).is_file()
    except OSError:
        there = False
    if not there:
        raise CheckpointError(
            f"{folder} is no checkpoint: that is a folder with {_DOCUMENT}, {_WEIGHTS} and {_GRAPH}, "
            "as miar train writes it"
        )
    content = _read(folder / _DOCUMENT)
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CheckpointError(f"{folder / _DOCUMENT} is damaged or of another program: {error}") from error
    if (document.format, document.version) != (FORMAT, FORMAT_VERSION):
        raise CheckpointError(
            f"checkpoint {folder} is of format {document.format} {document.version}, "
            f"this program reads {FORMAT} {FORMAT_VERSION}"
        )
    return document


def _require_sense(document: _Document, tensors: Mapping[str, Array]) -> None:
    """Look for values that would give answers without meaning; ``ValueError`` names them."""
    if not (0 < len(document.name) <= LONGEST_NAME and document.name.isprintable()):
        raise ValueError(f"its name must be 1 to {LONGEST_NAME} printable characters")
    require_config(document.config)
    if not 0.0 < document.interval_factor < 100.0:
        raise ValueError(f"interval factor {document.interval_factor}")
    patterns = {"+".join(c) for n in (1, 2, 3) for c in combinations(MODALITIES, n)}
    unknown = document.temperatures.keys() - patterns
    if unknown:
        raise ValueError(f"temperature of an unknown pattern {min(unknown)!r}")
    wrong = [name for name, array in tensors.items() if not np.isfinite(array).all()]
    if wrong:
        raise ValueError(f"{wrong[0]} holds what is no number")


def _require_spec(folder: Path, document: _Document, spec: InputSpec) -> None:
    wanted = spec.to_json()
    if document.input_spec != wanted:
        names = sorted(wanted.keys() | document.input_spec.keys())
        different = [name for name in names if wanted.get(name) != document.input_spec.get(name)]
        raise CheckpointError(
            f"checkpoint {folder} was trained with other input channels ({', '.join(different)} differ from "
            f"input table {spec.version}): train it again with this version"
        )


def _read(path: Path) -> bytes:
    """Content of a regular file of a believable size."""
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path} is no regular file; copy the checkpoint again")
        if path.stat().st_size > LARGEST_FILE:
            raise CheckpointError(f"{path} is too large for a checkpoint; copy it again")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path.parent} is incomplete: {error}") from error


def _read_verified(path: Path, sha256: str) -> bytes:
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(f"{path} is damaged: {_DOCUMENT} names another sha256; copy the checkpoint again")
    return content


def _part(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _tensors(folder: Path, weights: bytes, spec: InputSpec) -> tuple[dict[str, Array], Statistics]:
    """What ``model.safetensors`` holds, and the feature statistics in it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(weights)
        statistics = {
            modality: ChannelStatistics(
                *(tensors[f"{_STATISTICS}{modality}.{part}"] for part in ("location", "scale"))
            )
            for modality in MODALITIES
        }
    except (SafetensorError, KeyError) as error:
        raise CheckpointError(f"{folder / _WEIGHTS} is not what training writes: {error}") from error
    for modality, width in spec.widths.items():
        location, scale = statistics[modality].location, statistics[modality].scale
        if location.shape != (width,) or scale.shape != (width,):
            raise CheckpointError(
                f"{folder / _WEIGHTS}: the statistics of {modality} are not {width} channels wide"
            )
        if not (np.isfinite(location).all() and np.isfinite(scale).all() and (scale > 0.0).all()):
            raise CheckpointError(f"{folder / _WEIGHTS}: the statistics of {modality} are no statistics")
    return tensors, statistics
