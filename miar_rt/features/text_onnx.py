"""Token embeddings by a text encoder of the user's choice, for a checkpoint trained on it.

The folder is what a sentence-transformers model is when exported to ONNX: ``tokenizer.json`` beside ``model.onnx``
or ``onnx/model.onnx``, such as paraphrase-multilingual-MiniLM-L12-v2.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miar_rt.engines.sessions import Graph, frugal_options, start_session
from miar_rt.features.text import (
    EXTRACTOR,
    MAX_TOKENS,
    TOKENIZER,
    Encoder,
    TextEncoder,
    TextEncoderUnavailable,
    adapted_name,
    open_tokenizer,
    sha256_of,
)
from miar_rt.input_spec import TOKEN_WIDTH
from miar_rt.signals import Array

Integers = NDArray[np.int64]

_GRAPHS = ("model.onnx", "onnx/model.onnx")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUTS = ("last_hidden_state", "token_embeddings")


def open_encoder(
    folder: Path | None, extractors: Mapping[str, str], adapters: Mapping[str, Array] | None = None
) -> Encoder:
    """Open the text encoder that a checkpoint was trained on.

    Parameters
    ----------
    folder
        Of an ``OnnxTextEncoder``; the published MiniLM when ``None``.
    extractors
        The checkpoint's. Without ``text`` in it the published MiniLM is meant. What is compared is the digest: a
        folder may be renamed.
    adapters
        The checkpoint's, of the published MiniLM.

    Raises
    ------
    ValueError
        When the checkpoint was trained on another encoder.
    TextEncoderUnavailable
        When this one cannot be opened.
    """
    wanted = extractors.get("text", EXTRACTOR)
    if folder is None:
        _require(wanted, adapted_name(adapters or {}))
        return TextEncoder(adapters=adapters)
    encoder = OnnxTextEncoder(folder)
    _require(wanted, encoder.name)
    return encoder


def _require(wanted: str, name: str) -> None:
    if _digest(wanted) == _digest(name):
        return
    published = wanted.startswith(EXTRACTOR)
    remedy = "leave --text-encoder out" if published else "give that one's folder by --text-encoder FOLDER"
    raise ValueError(f"the checkpoint was trained on the text encoder {wanted}, not on {name}: {remedy}")


def _digest(name: str) -> str:
    return name.rpartition(" ")[2]


class OnnxTextEncoder(Encoder):
    """A transformer with its tokenizer, from a folder.

    The graph takes ``input_ids``, ``attention_mask`` and, if it wants, ``token_type_ids`` (int64 ``[1, n]``); its
    output ``last_hidden_state`` or ``token_embeddings``, else the first, is ``[1, n, 384]``. Special tokens are
    those of the tokenizer's post-processor.

    Parameters
    ----------
    folder
        Holds ``tokenizer.json`` and ``model.onnx`` or ``onnx/model.onnx``.

    Raises
    ------
    TextEncoderUnavailable
        When the files are missing, damaged, do not belong together, or give embeddings of another width.
    """

    def __init__(self, folder: Path) -> None:
        graph = _find_graph(folder)
        super().__init__(_name(folder, graph))
        self._tokenizer = open_tokenizer(folder / TOKENIZER)
        self._graph = _open_graph(graph)
        self._inputs = [given.name for given in self._graph.session.get_inputs()]
        outputs = [answer.name for answer in self._graph.session.get_outputs()]
        self._output = next((name for name in _OUTPUTS if name in outputs), outputs[0])
        self._try_out(graph)

    def _embed(self, words: tuple[str, ...]) -> tuple[Array, Sequence[int | None]]:
        said = {i: word.strip() for i, word in enumerate(words) if word.strip()}
        # as one text: tokenizers on bytes tell a word by the space before it
        encoding = self._tokenizer.encode(" ".join(said.values()))
        special = np.array(encoding.special_tokens_mask, np.bool_)
        spoken = np.flatnonzero(~special)[-MAX_TOKENS:]
        if not len(spoken):
            return np.zeros((0, TOKEN_WIDTH), np.float32), []
        kept = np.union1d(np.flatnonzero(special), spoken)
        embeddings = self._run(np.array(encoding.ids)[kept], np.array(encoding.type_ids)[kept])
        return embeddings[~special[kept]], _owners([encoding.offsets[i][1] for i in spoken], said)

    def _run(self, ids: Integers, types: Integers) -> Array:
        rows = (ids, np.ones_like(ids), types)
        given = {name: row[None].astype(np.int64) for name, row in zip(_INPUTS, rows, strict=True)}
        answer = self._graph.run([self._output], {name: given[name] for name in self._inputs})[0]
        return np.asarray(answer[0], np.float32)

    def _try_out(self, graph: Path) -> None:
        """Find out now, by the last token of the vocabulary, what would else go wrong with the first words."""
        strange = sorted(set(self._inputs) - set(_INPUTS))
        if strange:
            raise TextEncoderUnavailable(f"{graph} asks for {', '.join(strange)}: give one that takes token ids")
        ids = np.array([0, self._tokenizer.get_vocab_size() - 1])
        try:
            shape = self._run(ids, np.zeros_like(ids)).shape
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise TextEncoderUnavailable(f"{graph} does not read {TOKENIZER}'s tokens: {_line(error)}") from error
        if shape != (len(ids), TOKEN_WIDTH):
            raise TextEncoderUnavailable(
                f"{graph} answers {len(ids)} tokens with shape {shape}, not ({len(ids)}, {TOKEN_WIDTH}): "
                f"use an encoder whose embeddings of tokens have {TOKEN_WIDTH} numbers"
            )


def _find_graph(folder: Path) -> Path:
    for name in _GRAPHS:
        if (folder / name).is_file() and (folder / TOKENIZER).is_file():
            return folder / name
    raise TextEncoderUnavailable(
        f"{folder} is no text encoder: that is a folder with {TOKENIZER} and {' or '.join(_GRAPHS)}"
    )


def _name(folder: Path, graph: Path) -> str:
    """The folder's name and a digest of the graph, of weights that lie beside it, and of the tokenizer."""
    try:
        digest = sha256_of(*sorted(graph.parent.glob(f"{graph.name}*")), folder / TOKENIZER)
    except OSError as error:
        raise TextEncoderUnavailable(f"cannot read the text encoder: {error}") from error
    return f"{folder.absolute().name} {digest[:12]}"


def _open_graph(path: Path) -> Graph:
    try:
        # by its path: weights beyond 2 GB lie in files beside it
        return Graph(lambda providers: start_session(str(path), frugal_options(), providers))
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise TextEncoderUnavailable(f"cannot read the text encoder's graph {path}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _owners(token_ends: Sequence[int], said: Mapping[int, str]) -> list[int]:
    """Numbers of the words in which tokens end; one that is nothing but a space goes to the word after it."""
    numbers = list(said)
    starts_after = list(accumulate(len(word) + 1 for word in said.values()))
    return [numbers[bisect_right(starts_after, max(end, 1))] for end in token_ends]
