"""The network: patterns answered together as apart, absence that is absence, and a loss that aligns."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from miar_rt.alignment import AlignmentLoss
from miar_rt.input_spec import SPEC
from miar_rt.network import Miar, MiarConfig, masked_moments
from miar_rt.signals import MODALITIES

SMALL = MiarConfig(width=16, heads=2, feedforward=16, audio_layers=1, interaction_layers=2)


def windows(count: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    batch: dict[str, Tensor] = {}
    for name in MODALITIES:
        batch[name] = torch.randn(count, SPEC.steps[name], SPEC.widths[name], generator=generator)
        batch[f"{name}_mask"] = (torch.rand(count, SPEC.steps[name], generator=generator) > 0.3).float()
    return batch | {"groups": torch.ones(count, 4), "baseline": torch.zeros(count, 3)}


@pytest.fixture(scope="module")
def network() -> Miar:
    torch.manual_seed(1)
    return Miar(SMALL).eval()


ALL_PATTERNS = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(1, 8)], dtype=torch.float32)


@torch.inference_mode()
def test_patterns_are_answered_together_as_apart(network: Miar) -> None:
    batch = windows(2)
    together = network(**batch, presence=ALL_PATTERNS.expand(2, -1, -1))
    for i, pattern in enumerate(ALL_PATTERNS):
        apart = network(**batch, presence=pattern.expand(2, 1, 3))
        assert torch.allclose(together.logits[:, i], apart.logits[:, 0], atol=1e-5)
        assert torch.allclose(together.gate[:, i], apart.gate[:, 0], atol=1e-5)


@torch.inference_mode()
def test_the_gate_is_a_distribution_over_what_is_present(network: Miar) -> None:
    out = network(**windows(3), presence=ALL_PATTERNS.expand(3, -1, -1))
    assert torch.allclose(out.gate.sum(-1), torch.ones(3, 7))
    assert (out.gate[..., :3][ALL_PATTERNS.expand(3, -1, -1) == 0] == 0.0).all()
    assert (out.spread > 0.0).all()


@torch.inference_mode()
def test_an_absent_modality_may_hold_anything(network: Miar) -> None:
    batch = windows(2)
    without_audio = torch.tensor([[[1.0, 0.0, 1.0]]]).expand(2, 1, 3)
    before = network(**batch, presence=without_audio)
    batch["audio"] = torch.full_like(batch["audio"], 5.0)
    batch["audio_mask"] = torch.zeros_like(batch["audio_mask"])
    assert torch.equal(before.logits, network(**batch, presence=without_audio).logits)


@torch.inference_mode()
def test_with_nothing_present_the_answer_is_finite_and_does_not_depend_on_the_window(network: Miar) -> None:
    nothing = torch.zeros(2, 1, 3)
    out = network(**windows(2), presence=nothing)
    assert torch.isfinite(out.logits).all()
    assert torch.allclose(out.logits[0], out.logits[1])


@pytest.mark.parametrize("switched_off", ["interaction", "gate", "instance_norm"])
def test_every_part_that_an_ablation_switches_off_matters(switched_off: str) -> None:
    torch.manual_seed(1)
    full = Miar(SMALL).eval()
    cut = Miar(dataclasses.replace(SMALL, **{switched_off: False})).eval()
    shared = {k: v for k, v in full.state_dict().items() if cut.state_dict()[k].shape == v.shape}
    cut.load_state_dict(shared, strict=False)
    presence = torch.ones(2, 1, 3)
    with torch.inference_mode():
        assert not torch.allclose(
            full(**windows(2), presence=presence).logits, cut(**windows(2), presence=presence).logits
        )


def test_every_weight_learns() -> None:
    torch.manual_seed(1)
    network = Miar(SMALL)
    batch = windows(4) | {"baseline": torch.ones(4, 3)}
    out = network(**batch, presence=ALL_PATTERNS.expand(4, -1, -1))
    parts = (out.logits, out.sentiment, out.spread, out.unimodal, out.unimodal_logits, out.unimodal_sentiment)
    sum((part**2).sum() for part in parts).backward()  # type: ignore[union-attr]
    still = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    # adding a constant to every key's score changes no softmax: these have no gradient in any transformer
    assert all(name.endswith(("key.bias",)) or name.startswith("gate.bias") for name in still), still


def test_moments_count_only_what_is_there() -> None:
    x = torch.tensor([[[1.0], [3.0], [100.0]]])
    mean, deviation = masked_moments(x, torch.tensor([[1.0, 1.0, 0.0]]))
    assert mean.item() == 2.0
    assert deviation.item() == pytest.approx(1.01**0.5)


def test_aligned_tokens_cost_less_than_shuffled_ones() -> None:
    loss = AlignmentLoss(8)
    tokens = torch.randn(32, 1, 8, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1)
    shuffled = torch.stack([tokens[:, 0], tokens[:, 1].roll(1, 0), tokens[:, 2].roll(2, 0)], dim=1)
    present = torch.ones(32, 3)
    assert loss(tokens, present) < 0.1 * loss(shuffled, present)


def test_pairs_with_a_missing_member_are_dropped() -> None:
    loss = AlignmentLoss(8, normalise=False)
    tokens = torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(0))
    text_only = torch.tensor([[1.0, 0.0, 0.0]]).expand(6, 3)
    assert loss(tokens, text_only).item() == 0.0
    no_vision = torch.tensor([[1.0, 1.0, 0.0]]).expand(6, 3)
    changed = tokens.clone()
    changed[:, 2] = 9.0
    assert loss(tokens, no_vision).item() == loss(changed, no_vision).item() > 0.0
