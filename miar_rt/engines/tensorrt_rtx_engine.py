"""The network by TensorRT-RTX, for GeForce and RTX cards: built ahead of time from the checkpoint's ONNX graph.

Building needs no GPU and is tested; running was not executed yet where this was written.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import EngineUnavailable
from miar_rt.engines.cuda_graph import GraphPlan
from miar_rt.engines.export import OUTPUTS
from miar_rt.engines.fixed_shapes import FixedShapes, Shapes
from miar_rt.engines.gpu import find_gpu
from miar_rt.engines.progress import working
from miar_rt.engines.tensorrt_plan import KeptPlans, quiet_logger


class TensorRtRtxEngine(FixedShapes):
    """float32 without TF32: the types are those of the checkpoint's graph.

    Raises
    ------
    EngineUnavailable
        When the card is none that TensorRT-RTX serves, or the graph cannot be built.
    EngineFailed
        When the GPU gives out while it is made ready.
    """

    name = "tensorrt-rtx"
    sizes: ClassVar[tuple[int, ...]] = (1, 8, 64)

    def __init__(self, checkpoint: Checkpoint) -> None:
        import tensorrt_rtx

        super().__init__(checkpoint.spec)
        self._trt, self._checkpoint = tensorrt_rtx, checkpoint
        gpu = find_gpu()
        self._card = "SM{}{}".format(*gpu.capability) if gpu else "none"
        if not hasattr(tensorrt_rtx.ComputeCapability, self._card):
            raise EngineUnavailable(f"TensorRT-RTX does not serve cards of compute capability {self._card}")
        self._kept = KeptPlans(tensorrt_rtx, checkpoint, self.name, self.precision, self._build)
        self.warm_up()

    def _plan(self, inputs: Shapes, outputs: Shapes) -> GraphPlan:
        return self._kept.plan(inputs, outputs)

    def _build(self, inputs: Shapes, _outputs: Shapes) -> bytes:
        with working(f"building the TensorRT-RTX engine for {inputs['presence'][0]} windows, once for this GPU"):
            return build_rtx(self._trt, self._checkpoint, inputs, self._card)

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        gpu = find_gpu()
        return f"TensorRT-RTX {self._trt.__version__} on {gpu.name if gpu else 'a GPU'}"


def build_rtx(trt: Any, checkpoint: Checkpoint, inputs: Shapes, card: str) -> bytes:
    """A serialised engine from the checkpoint's graph and weights; needs no GPU.

    Parameters
    ----------
    trt
        The module ``tensorrt_rtx``.
    inputs
        Shapes by name.
    card
        What to build for, as ``ComputeCapability`` names it: ``SM89``.

    Raises
    ------
    EngineUnavailable
        When TensorRT-RTX does not know an operator, or cannot build the graph.
    """
    logger = quiet_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    # the parser keeps addresses: the arrays must live until the engine is built
    weights = {name: np.ascontiguousarray(checkpoint.state[name]) for name in checkpoint.graph.weights}
    parsed = (
        parser.load_model_proto(checkpoint.graph.model)
        and all(parser.load_initializer(name, a.ctypes.data, a.nbytes) for name, a in weights.items())
        and parser.parse_model_proto()
    )
    if not parsed:
        why = parser.get_error(0).desc() if parser.num_errors else "no reason was given"
        raise EngineUnavailable(f"TensorRT-RTX cannot read the graph: {why}")
    for put in [network.get_output(i) for i in range(network.num_outputs)]:
        if put.name not in OUTPUTS:
            network.unmark_output(put)
    plan = builder.build_serialized_network(network, _config(trt, builder, inputs, card))
    if plan is None:
        raise EngineUnavailable("TensorRT-RTX cannot build the graph")
    return bytes(plan)


def _config(trt: Any, builder: Any, inputs: Shapes, card: str) -> Any:
    """No TF32, one card, fixed shapes."""
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, card), 0)
    for name, shape in inputs.items():
        profile.set_shape(name, shape, shape, shape)
    config.add_optimization_profile(profile)
    return config
