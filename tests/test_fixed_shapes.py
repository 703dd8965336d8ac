"""What engines of fixed shapes do around their plans, and the plans as far as they run without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_checkpoint import random_checkpoint
from test_engines import built_windows

from miar_rt.checkpoint import Checkpoint, load_checkpoint
from miar_rt.engines import EngineFailed, EngineUnavailable
from miar_rt.engines.choose import LADDER, choose_engine
from miar_rt.engines.cuda_graph import ALIGNMENT, Block
from miar_rt.engines.export import INPUTS, OUTPUTS, input_shapes, output_shapes
from miar_rt.engines.fixed_shapes import PATTERNS, FixedShapes, Plan, Shapes
from miar_rt.engines.half import Answers, Half, in_half
from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.engines.parity import check, compare, difference, everywhere, random_batch
from miar_rt.engines.stepping import Stepping
from miar_rt.engines.torch_engine import TorchEngine, load_network
from miar_rt.input_spec import SPEC
from miar_rt.signals import Array
from miar_rt.window import as_batch
from stream.scoring import Scorer

BUILDS = {"compile", "tensorrt", "tensorrt-rtx"}
"""Engines that take a minute or more for each number of windows."""


class OnCpu(FixedShapes):
    """The network through the same blocks of memory as on a card."""

    name = "on-cpu"

    def __init__(self, checkpoint: Checkpoint, half: bool = False) -> None:
        super().__init__(checkpoint.spec)
        self.precision = "float16" if half else "float32"
        network = load_network(checkpoint)
        self.answers = Answers(in_half(network) if half else network)
        self.made: list[Shapes] = []

    def _plan(self, inputs: Shapes, outputs: Shapes) -> Plan:
        self.made.append(inputs)
        return OnBlocks(self.answers, inputs, outputs)

    def describe(self) -> str:
        return "a CPU"


class OnBlocks:
    def __init__(self, answers: Answers, inputs: Shapes, outputs: Shapes) -> None:
        self._answers = answers
        self._inputs, self._outputs = Block(inputs, "cpu"), Block(outputs, "cpu")

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        for name, array in self._inputs.arrays.items():
            array[...] = inputs[name]
        self._inputs.send()
        with torch.inference_mode():
            answers = self._answers(*self._inputs.tensors.values())
            for tensor, answer in zip(self._outputs.tensors.values(), answers, strict=True):
                tensor.copy_(answer)
        self._outputs.fetch()
        return self._outputs.arrays


# ---- shapes


@pytest.mark.parametrize(("windows", "patterns"), [(1, 4), (1, 1), (3, 7), (64, 4), (70, 5)])
def test_what_is_asked_is_cut_and_filled(windows: int, patterns: int) -> None:
    engine, batch = OnCpu(random_checkpoint()), random_batch(windows)
    presence = everywhere(windows)[:, :patterns]
    scores = engine.score(batch, presence)
    assert difference(scores, OnnxEngine(random_checkpoint()).score(batch, presence)) <= 1e-5
    assert scores.logits.shape == (windows, patterns, 7)


def test_plans_are_made_once_for_each_size() -> None:
    engine = OnCpu(random_checkpoint())
    engine.warm_up()
    for windows in (1, 3, 4, 2):
        engine.score(random_batch(windows), everywhere(windows))
    assert [shapes["presence"] for shapes in engine.made] == [(size, PATTERNS, 3) for size in (1, 4, 2)]


def test_nothing_is_made_ready_once_a_run_has_begun() -> None:
    """Up to so many faces may come."""
    engine = OnCpu(random_checkpoint())
    Scorer(random_checkpoint(), engine).warm_up(3)
    assert sorted(engine.plans) == [1, 2, 4]
    for windows in (1, 2, 3):
        engine.score(random_batch(windows), everywhere(windows))
    assert len(engine.made) == 3


def test_answers_outlive_the_next_question() -> None:
    engine = OnCpu(random_checkpoint())
    first = engine.score(random_batch(1, seed=1), everywhere(1))
    before = first.logits.copy()
    engine.score(random_batch(1, seed=2), everywhere(1))
    np.testing.assert_array_equal(first.logits, before)


def test_what_the_device_raises_is_a_failure_and_what_the_caller_does_is_not() -> None:
    engine = OnCpu(random_checkpoint())
    with pytest.raises((ValueError, KeyError)):
        engine.score({"text": np.zeros((1, 99, 390), np.float32)}, everywhere(1))
    engine.answers.network = None  # type: ignore[assignment]
    engine.answers.forward = lambda *_: torch.zeros(2) @ torch.zeros(3)  # type: ignore[assignment, return-value]
    with pytest.raises(EngineFailed, match="size"):
        engine.score(random_batch(1), everywhere(1))


def test_shapes_are_those_of_the_network() -> None:
    shapes = input_shapes(SPEC, 3, 7)
    assert tuple(shapes) == INPUTS
    assert {name: array.shape for name, array in random_batch(3).items()}.items() <= shapes.items()
    scores = OnnxEngine(random_checkpoint()).score(random_batch(3), everywhere(3))
    assert {name: getattr(scores, name).shape for name in OUTPUTS} == output_shapes(SPEC, 3, 7)


def test_tensors_lie_one_after_another_where_tensorrt_can_read_them() -> None:
    block = Block(input_shapes(SPEC, 1, PATTERNS), "cpu")
    starts = [tensor.data_ptr() for tensor in block.tensors.values()]
    assert {(start - starts[0]) % (4 * ALIGNMENT) for start in starts} == {0}
    for i, array in enumerate(block.arrays.values()):
        array[...] = i
    block.send()
    assert [float(tensor.mean()) for tensor in block.tensors.values()] == list(range(len(starts)))
    for tensor in block.tensors.values():
        tensor.add_(1.0)
    block.fetch()
    assert [float(array.max()) for array in block.arrays.values()] == list(range(1, len(starts) + 1))


# ---- half precision


@pytest.mark.parametrize("name", ["random", "default"])
def test_half_precision_is_as_good_as_promised(name: str) -> None:
    checkpoint = random_checkpoint() if name == "random" else load_checkpoint()
    engine = OnCpu(checkpoint, half=True)
    halved = sum(isinstance(module, Half) for module in engine.answers.modules())
    assert halved > 50
    for windows, parity in check(engine, checkpoint, sizes=(1, 16)).items():
        assert parity.within("float16"), (windows, parity)
        assert parity.difference > 1e-5


def test_the_network_itself_stays_as_it_was() -> None:
    network = load_network(random_checkpoint())
    in_half(network)
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_the_halved_network_can_be_exported_with_its_types() -> None:
    example = tuple(torch.ones(shape) for shape in input_shapes(SPEC, 1, PATTERNS).values())
    answers = Answers(in_half(load_network(random_checkpoint()))).eval()
    program = torch.export.export(answers, example)
    types = {
        node.meta["val"].dtype for node in program.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)
    }
    assert {torch.float16, torch.float32} <= types
    with torch.inference_mode():
        for found, expected in zip(program.module()(*example), answers(*example), strict=True):
            torch.testing.assert_close(found, expected)


def test_numbers_beyond_half_precision_are_noticed_and_float32_goes_on() -> None:
    checkpoint = random_checkpoint()
    state = {name: array * np.float32(1e6) if name.endswith("project.weight") else array
             for name, array in checkpoint.state.items()}  # fmt: skip
    loud = replace(checkpoint, state=state)
    batch, presence = random_batch(2), everywhere(2)
    half = OnCpu(loud, half=True)
    assert not np.isfinite(half.score(batch, presence).logits).all()
    engine = Stepping(half, iter([OnnxEngine(loud)]))
    np.testing.assert_array_equal(
        engine.score(batch, presence).logits, OnnxEngine(loud).score(batch, presence).logits
    )
    assert "numbers grew beyond float16" in engine.describe()


# ---- every engine that is here


@pytest.mark.parametrize("name", LADDER)
def test_every_engine_here_answers_as_float64_does(name: str) -> None:
    checkpoint = load_checkpoint()
    try:
        engine, line = choose_engine(name, checkpoint)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    try:
        sizes = (1,) if name in BUILDS else (1, 4, 16, 64)
        found = check(engine, checkpoint, sizes)
        assert engine.name == name, engine.describe()
        assert {windows: parity for windows, parity in found.items() if not parity.within(engine.precision)} == {}
        truth = TorchEngine(checkpoint, dtype=torch.float64)
        for window in map(as_batch, ([one] for one in built_windows(checkpoint))):
            scores = compare(engine.score(window, everywhere(1)), truth.score(window, everywhere(1)))
            assert scores.within(engine.precision), scores
        assert engine.precision == "float32" or engine.precision in line
    finally:
        engine.close()


def test_parity_tells_who_is_off() -> None:
    truth = TorchEngine(random_checkpoint(), dtype=torch.float64).score(random_batch(2), everywhere(2))
    assert compare(truth, truth).within("float32")
    nearly = replace(truth, logits=truth.logits + np.linspace(0.0, 2e-3, 7))
    assert compare(nearly, truth).within("float16")
    assert not compare(nearly, truth).within("float32")
    assert compare(replace(truth, logits=-truth.logits), truth).other_labels
