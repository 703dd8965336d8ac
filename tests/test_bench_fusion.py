"""The fusion bench on generated data: it goes on where it stopped, and its figures are what they say."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from feature_files import vectors

from miar_rt.input_spec import FileShapes
from miar_rt.network import MiarConfig
from miar_rt.signals import MODALITIES
from miar_rt.training.ablations import CHANGES, AblatedMiar, EvidenceMiar, HubMiar
from miar_rt.training.fusion import PATTERNS

SCRIPTS = Path(__file__).parents[1] / "scripts"
SMALL = MiarConfig(width=16, heads=2, feedforward=16, audio_layers=1, audio_stride=1)
SHAPES = FileShapes(dict.fromkeys(MODALITIES, 5), dict.fromkeys(MODALITIES, 4), ("a", "b", "c"))


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def bench() -> ModuleType:
    return importlib.import_module("bench_fusion")


@pytest.fixture
def report() -> ModuleType:
    return importlib.import_module("fusion_report")


@pytest.fixture
def testbeds() -> ModuleType:
    return importlib.import_module("fusion_testbeds")


def inputs(count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {name: torch.randn(count, 4, 5, generator=generator) for name in MODALITIES}
    masks = {f"{name}_mask": torch.ones(count, 4) for name in MODALITIES}
    return {**made, **masks, "groups": torch.zeros(count, 4), "baseline": torch.zeros(count, 3)}


def test_it_goes_on_where_it_stopped(bench: ModuleType, tmp_path: Path) -> None:
    np.savez(tmp_path / "mosi_utterance_features.npz", **vectors())
    runs, page = tmp_path / "runs.jsonl", tmp_path / "fusion.md"
    call = [
        "--data",
        tmp_path,
        "--runs",
        runs,
        "--page",
        page,
        "--only",
        "c own",
        "--epochs",
        "1",
        "--workers",
        "1",
    ]
    call += ["--repeats", "1", "--networks", "miar", "late", "majority"]
    bench.main([str(part) for part in call])
    whole = bench.finished(runs)
    assert len(whole) == 15
    runs.write_bytes(runs.read_bytes()[:-100])
    kept = bench.finished(runs)
    assert len(kept) == 14
    bench.main([str(part) for part in call])
    again = bench.finished(runs)
    assert again[:14] == kept
    assert {**again[14], "seconds": 0} == {**whole[14], "seconds": 0}
    assert "| majority |" in page.read_text()
    assert (tmp_path / "fusion-c-own.png").stat().st_size > 0


def test_folds_share_no_video_and_are_all_scored(testbeds: ModuleType, tmp_path: Path) -> None:
    np.savez(tmp_path / "mosi_utterance_features.npz", **vectors())
    testbed = testbeds.mosi(tmp_path, "hashed", context=True)
    scored = np.concatenate([test for _, _, test in testbed.folds])
    assert sorted(scored.tolist()) == list(range(100))
    for parts in testbed.folds:
        assert not any(set(testbed.groups[a]) & set(testbed.groups[b]) for a, b in itertools.combinations(parts, 2))


def test_context_is_of_the_same_video_and_earlier(testbeds: ModuleType) -> None:
    before = testbeds.earlier(np.array(["v", "v", "w", "v"]), np.array(["v_10", "v_2", "w_1", "v_1"]))
    assert before[0, -3:].tolist() == [3, 1, 0]
    assert before[2].tolist() == [-1] * 7 + [2]
    assert before[3].tolist() == [-1] * 7 + [3]


def test_triples_agree_but_for_the_conflicts(testbeds: ModuleType) -> None:
    truth = np.tile(np.arange(7), 30)
    part = np.repeat([0, 1, 2], 70)
    pools = dict.fromkeys(MODALITIES, (truth, part))
    label, numbers = testbeds.triples(pools, 1, 2000, np.random.default_rng(0))
    agreeing = truth[numbers] == label[:, None]
    assert (part[numbers] == 1).all()
    assert agreeing.sum(axis=1).min() == 2
    assert 1.0 - agreeing.all(axis=1).mean() == pytest.approx(testbeds.CONFLICT, abs=0.03)


def run(seed: int, right: float, groups: int = 40) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(groups), 5) % 3
    answers = np.where(random.random((len(truth), 7)) < right, truth[:, None], (truth[:, None] + 1) % 3)
    names = np.repeat(np.arange(groups), 5).tolist()
    return {"rated": False, "seed": 0, "truth": truth.tolist(), "answers": answers.tolist(), "groups": names}


def test_what_is_better_is_found_better_and_what_is_the_same_is_not(report: ModuleType) -> None:
    gap, low, high = report.difference([run(1, 0.9)], [run(2, 0.6)], report.whole())
    assert low < gap < high
    assert low > 0.1
    assert report.difference([run(1, 0.9)], [run(1, 0.9)], report.whole()) == (0.0, 0.0, 0.0)


def test_missing_rates_weigh_the_patterns(report: ModuleType) -> None:
    assert report.shares(0.0).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    at_half = report.shares(0.5)
    assert at_half == pytest.approx(np.full(7, 1 / 7))
    one = run(3, 0.7)
    assert report.area([one]) == pytest.approx(float((report.merits(one) @ report.averaged()).mean()))


@pytest.mark.parametrize("name", CHANGES)
def test_every_ablation_answers_all_patterns(name: str) -> None:
    torch.manual_seed(0)
    network = CHANGES[name].make(SMALL, SHAPES).eval()
    with torch.inference_mode():
        together = network(**inputs(), presence=torch.from_numpy(PATTERNS).expand(3, -1, -1))
        for i, pattern in enumerate(PATTERNS):
            apart = network(**inputs(), presence=torch.from_numpy(pattern).expand(3, 1, 3))
            assert torch.allclose(together.logits[:, i], apart.logits[:, 0], atol=1e-5)


@pytest.mark.parametrize(("detached", "reached"), [(False, True), (True, False)])
def test_own_answers_apart_learn_from_their_own_loss_alone(detached: bool, reached: bool) -> None:
    torch.manual_seed(0)
    network = EvidenceMiar(SMALL, SHAPES, detached=detached).eval()
    network(**inputs(), presence=torch.ones(3, 1, 3)).logits.square().sum().backward()
    assert (network.unimodal_emotion[1].weight.grad is not None) == reached


@pytest.mark.parametrize("token", range(4))
def test_a_token_that_is_taken_out_counts_nothing(token: int) -> None:
    torch.manual_seed(0)
    network = AblatedMiar(SMALL, SHAPES, without=token).eval()
    gate = network(**inputs(), presence=torch.ones(3, 1, 3)).gate
    assert gate[..., token].abs().max().item() == 0.0
    assert torch.allclose(gate.sum(-1), torch.ones(3, 1))


def test_the_rival_reading_listens_to_text_only_through_text() -> None:
    torch.manual_seed(0)
    network = HubMiar(SMALL, SHAPES).eval()
    gate = network(**inputs(), presence=torch.tensor([0.0, 1.0, 1.0]).expand(3, 1, 3)).gate
    assert gate[..., [0, 2]].abs().max().item() == 0.0
    assert (gate[..., [1, 3]] > 0.0).all()
