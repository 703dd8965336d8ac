"""TensorRT-RTX builds ahead of time: whether it knows every operator of the network can be tried without a card."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import pytest
from random_checkpoint import random_checkpoint

from miar_rt.checkpoint import load_checkpoint
from miar_rt.engines import EngineUnavailable
from miar_rt.engines.export import input_shapes
from miar_rt.engines.gpu import no_cuda
from miar_rt.engines.plan_cache import UnusablePlan
from miar_rt.engines.tensorrt_plan import Runnable, quiet_logger
from miar_rt.engines.tensorrt_rtx_engine import build_rtx
from miar_rt.engines.weightless import WeightlessGraph
from miar_rt.input_spec import SPEC

if find_spec("tensorrt_rtx") is None:
    pytest.skip("TensorRT-RTX is not installed: pip install -e '.[rtx]'", allow_module_level=True)

import tensorrt_rtx

SHAPES = input_shapes(SPEC, 1, 4)


def test_the_real_network_is_built_without_a_card() -> None:
    checkpoint = load_checkpoint()
    plan = build_rtx(tensorrt_rtx, checkpoint, SHAPES, "SM89")
    assert len(plan) > sum(array.nbytes for array in checkpoint.state.values())
    with pytest.raises(UnusablePlan, match="does not take it"):
        Runnable(tensorrt_rtx, plan[:1000], quiet_logger(tensorrt_rtx))


def test_a_graph_that_cannot_be_read_is_one_line() -> None:
    strange = replace(random_checkpoint(), graph=WeightlessGraph(b"no graph", ()))
    with pytest.raises(EngineUnavailable, match=r"^TensorRT-RTX cannot read the graph: [^\n]+$"):
        build_rtx(tensorrt_rtx, strange, SHAPES, "SM89")


@pytest.mark.skipif(no_cuda() is not None, reason=f"running an engine needs a driver: {no_cuda()}")
def test_what_was_built_can_be_started() -> None:
    plan = build_rtx(tensorrt_rtx, load_checkpoint(), SHAPES, "CURRENT")
    assert Runnable(tensorrt_rtx, plan, quiet_logger(tensorrt_rtx))
