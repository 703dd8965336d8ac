"""A Whisper model with random weights in CTranslate2's own format: it loads, runs and steps like a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = 51_865
FIRST_SPECIAL = 50_257
LANGUAGES = 99
MEL_BANDS = 80


def build_random_whisper(folder: Path, sure: bool) -> Path:
    """Write a one-layer Whisper into ``folder``; ``sure`` makes it believe the nonsense it writes."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = _spec(32, np.random.default_rng(0))
    spec.decoder.projection.weight *= 20.0 if sure else 1.0
    tokens = _tokens()
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [FIRST_SPECIAL]
    spec.config.lang_ids = list(range(FIRST_SPECIAL + 2, FIRST_SPECIAL + 2 + LANGUAGES))
    spec.config.alignment_heads = [(0, 0), (0, 1)]
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(folder))
    _write_tokenizer(folder, tokens)
    return folder


def _tokens() -> list[str]:
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    words = [f"Ġw{i}" for i in range(FIRST_SPECIAL - len(letters))]
    languages = [f"<|{code}|>" for code in _LANGUAGE_CODES][:LANGUAGES]
    tasks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    special = ["<|endoftext|>", "<|startoftranscript|>", *languages, *(f"<|{task}|>" for task in tasks)]
    before = [*letters, *words, *special]
    return [*before, *(f"<|{0.02 * i:.2f}|>" for i in range(VOCABULARY - len(before)))]


def _write_tokenizer(folder: Path, tokens: list[str]) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": MEL_BANDS}))


def _spec(width: int, rng: np.random.Generator) -> Any:
    from ctranslate2.specs.whisper_spec import WhisperSpec

    spec = WhisperSpec(1, 2, 1, 2)
    _fill_encoder(spec.encoder, width, rng)
    _fill_decoder(spec.decoder, width, rng)
    for layer in [*spec.encoder.layer, *spec.decoder.layer]:
        _fill_layer(layer, width, rng)
    return spec


def _random(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(0, 0.3, shape).astype(np.float32)


def _fill_encoder(encoder: Any, width: int, rng: np.random.Generator) -> None:
    encoder.conv1.weight, encoder.conv1.bias = _random(rng, width, MEL_BANDS, 3), _random(rng, width)
    encoder.conv2.weight, encoder.conv2.bias = _random(rng, width, width, 3), _random(rng, width)
    encoder.position_encodings.encodings = _random(rng, 1500, width)
    _fill_norm(encoder.layer_norm, width)


def _fill_decoder(decoder: Any, width: int, rng: np.random.Generator) -> None:
    decoder.embeddings.weight = _random(rng, VOCABULARY, width)
    decoder.position_encodings.encodings = _random(rng, 448, width)
    _fill_linear(decoder.projection, VOCABULARY, width, rng)
    _fill_norm(decoder.layer_norm, width)


def _fill_layer(layer: Any, width: int, rng: np.random.Generator) -> None:
    _fill_linear(layer.self_attention.linear[0], 3 * width, width, rng)
    _fill_linear(layer.self_attention.linear[1], width, width, rng)
    _fill_norm(layer.self_attention.layer_norm, width)
    if hasattr(layer, "attention"):
        for linear, rows in zip(layer.attention.linear, (1, 2, 1), strict=True):
            _fill_linear(linear, rows * width, width, rng)
        _fill_norm(layer.attention.layer_norm, width)
    _fill_linear(layer.ffn.linear_0, 4 * width, width, rng)
    _fill_linear(layer.ffn.linear_1, width, 4 * width, rng)
    _fill_norm(layer.ffn.layer_norm, width)


def _fill_linear(linear: Any, rows: int, columns: int, rng: np.random.Generator) -> None:
    linear.weight, linear.bias = _random(rng, rows, columns), np.zeros(rows, np.float32)


def _fill_norm(norm: Any, width: int) -> None:
    norm.gamma, norm.beta = np.ones(width, np.float32), np.zeros(width, np.float32)
