"""The peers: MIAR's inputs, its absences, and their own equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from miar_rt.input_spec import FileShapes
from miar_rt.network import Miar, MiarConfig
from miar_rt.signals import MODALITIES
from miar_rt.training import peers
from miar_rt.training.peers import PEERS, LateFusion, make_peer

SMALL = MiarConfig(width=16, heads=2, feedforward=16, audio_layers=1)
SHAPES = FileShapes({"text": 7, "audio": 5, "vision": 6}, {"text": 6, "audio": 8, "vision": 4}, ("a", "b", "c"))
VECTORS = FileShapes(SHAPES.widths, dict.fromkeys(MODALITIES, 1), SHAPES.classes)
PATTERNS = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(1, 8)], dtype=torch.float32)


def windows(count: int, shapes: FileShapes = SHAPES) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch: dict[str, Tensor] = {}
    for name in MODALITIES:
        batch[name] = torch.randn(count, shapes.steps[name], shapes.widths[name], generator=generator)
        batch[f"{name}_mask"] = torch.ones(count, shapes.steps[name])
    return batch | {"groups": torch.zeros(count, 4), "baseline": torch.zeros(count, 3)}


@pytest.mark.parametrize("shapes", [SHAPES, VECTORS], ids=["sequences", "vectors"])
@pytest.mark.parametrize("name", PEERS)
def test_patterns_are_answered_together_as_apart(name: str, shapes: FileShapes) -> None:
    torch.manual_seed(0)
    peer = make_peer(name, SMALL, shapes).eval()
    with torch.inference_mode():
        together = peer(**windows(3, shapes), presence=PATTERNS.expand(3, -1, -1))
        assert together.logits.shape == (3, 7, 3)
        assert together.sentiment.shape == (3, 7)
        for i, pattern in enumerate(PATTERNS):
            apart = peer(**windows(3, shapes), presence=pattern.expand(3, 1, 3))
            assert torch.allclose(together.logits[:, i], apart.logits[:, 0], atol=1e-5)
            assert torch.allclose(together.sentiment[:, i], apart.sentiment[:, 0], atol=1e-5)


@pytest.mark.parametrize("name", PEERS)
def test_an_absent_modality_may_hold_anything(name: str) -> None:
    torch.manual_seed(0)
    peer = make_peer(name, SMALL, SHAPES).eval()
    batch, without_audio = windows(3), torch.tensor([1.0, 0.0, 1.0]).expand(3, 1, 3)
    with torch.inference_mode():
        before = peer(**batch, presence=without_audio).logits
        after = peer(**batch | {"audio": batch["audio"] * 3.0 + 1.0}, presence=without_audio).logits
    assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("name", PEERS)
def test_every_weight_learns(name: str) -> None:
    torch.manual_seed(0)
    peer = make_peer(name, SMALL, SHAPES)
    batch = windows(8) | {"groups": torch.ones(8, 4), "baseline": torch.ones(8, 3)}
    out = peer(**batch, presence=PATTERNS.expand(8, -1, -1))
    (out.logits.pow(2).sum() + out.sentiment.pow(2).sum() + out.extra).backward()
    still = [key for key, weight in peer.named_parameters() if weight.grad is None or not weight.grad.any()]
    # a constant added to every key's score changes no softmax
    assert all(key.endswith("key.bias") for key in still), still


def test_sizes_are_within_a_factor_of_two_of_miar() -> None:
    def size(network: torch.nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    ratios = {name: size(make_peer(name)) / size(Miar()) for name in PEERS}
    assert all(0.5 < ratio < 2.0 for ratio in ratios.values()), ratios


def test_low_rank_factors_are_the_weights_of_a_tensor() -> None:
    torch.manual_seed(0)
    lmf = make_peer("lmf", SMALL, SHAPES)
    vectors = torch.randn(2, 1, 3, SMALL.width)
    ended = torch.nn.functional.pad(vectors, (0, 1), value=1.0)[:, 0]
    tensor = torch.einsum("r,rax,rbx,rcx->abcx", lmf.weights, *lmf.factors)
    expected = torch.einsum("na,nb,nc,abcx->nx", ended[:, 0], ended[:, 1], ended[:, 2], tensor) + lmf.bias
    assert torch.allclose(lmf.mix(vectors, torch.ones(2, 1, 3))[0][:, 0], expected, atol=1e-5)


def test_moments_of_one_distribution_do_not_differ_and_those_of_two_do() -> None:
    a = torch.rand(400, 3)
    assert peers._moment_discrepancy(a, a).item() < 1e-4
    assert peers._moment_discrepancy(a, a * 0.5).item() > 0.2


def test_late_fusion_multiplies_posteriors_and_divides_by_the_prior() -> None:
    torch.manual_seed(0)
    late = make_peer("late", SMALL, SHAPES).eval()
    assert isinstance(late, LateFusion)
    labels = torch.tensor([0, 0, 0, 1, 1, 2] * 5)
    late.calibrate(windows(30), labels, torch.linspace(-3, 3, 30))
    assert late.log_prior.exp().sum().item() == pytest.approx(1.0)
    with torch.inference_mode():
        single = late(**windows(2), presence=torch.eye(3).expand(2, -1, -1)).logits
        joint = late(**windows(2), presence=torch.ones(2, 1, 3)).logits[:, 0]
    assert torch.allclose(joint, single.sum(1) - 2.0 * late.log_prior, atol=1e-5)


def test_an_unknown_peer_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match="choose one of concat-mlp, late"):
        make_peer("gpt")
