"""What the engines of TensorRT and of TensorRT-RTX have in common: their Python interfaces are the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines.cuda_graph import GraphPlan, Tensors, Work
from miar_rt.engines.export import INPUTS, OUTPUTS
from miar_rt.engines.fixed_shapes import Shapes
from miar_rt.engines.gpu import find_gpu
from miar_rt.engines.plan_cache import UnusablePlan, digest_of, keep

log = logging.getLogger("miar.engines")


class KeptPlans:
    """Plans of one checkpoint, built once for this GPU, driver and these releases.

    Parameters
    ----------
    trt
        The module ``tensorrt`` or ``tensorrt_rtx``.
    name, precision
        Of the engine.
    build
        Gives a serialised engine for shapes of inputs and outputs.
    """

    def __init__(
        self, trt: Any, checkpoint: Checkpoint, name: str, precision: str, build: Callable[[Shapes, Shapes], bytes]
    ) -> None:
        self._trt, self._build = trt, build
        self._key = machine_key(trt) | {"engine": name, "precision": precision, "checkpoint": digest_of(checkpoint)}
        self.logger = quiet_logger(trt)

    def plan(self, inputs: Shapes, outputs: Shapes) -> GraphPlan:
        """From the cache, or built; captured and ready to run."""
        key = self._key | {"shapes": repr((dict(inputs), dict(outputs)))}
        work = keep(key, lambda: self._build(inputs, outputs), lambda plan: runnable(self._trt, plan, self.logger))
        return GraphPlan(inputs, outputs, work)


def machine_key(trt: Any) -> dict[str, str]:
    """What an engine depends on beside the network: GPU, driver, and releases of TensorRT and torch."""
    gpu = find_gpu()
    return {
        "gpu": gpu.name if gpu else "",
        "capability": "{}.{}".format(*gpu.capability) if gpu else "",
        "driver": gpu.driver if gpu else "",
        "tensorrt": trt.__version__,
        "torch": version("torch"),
    }


def quiet_logger(trt: Any) -> Any:
    """A logger that passes errors on and nothing else; it must outlive what it is given to."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in {trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR}:
                log.debug(message)

    return Logger()


def runnable(trt: Any, plan: bytes, logger: Any) -> Work:
    """Deserialise an engine; what is given puts it on torch's current stream.

    Raises
    ------
    UnusablePlan
        When this GPU, driver or release does not take it.
    """
    import torch

    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(plan)
    context = engine.create_execution_context() if engine else None
    if context is None:
        raise UnusablePlan(f"TensorRT {trt.__version__} does not take it")
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    into = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    out_of = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
    ours = {**_matched(into, INPUTS), **_matched(out_of, OUTPUTS)}

    def work(inputs: Tensors, outputs: Tensors) -> None:
        # the runtime is named here so that it lives as long as what runs in it
        assert runtime is not None  # noqa: S101
        tensors = {**inputs, **outputs}
        for name, our in ours.items():
            context.set_tensor_address(name, tensors[our].data_ptr())
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT could not start the engine")

    return work


def _matched(theirs: list[str], ours: tuple[str, ...]) -> dict[str, str]:
    """Our names by theirs: the same where they kept them, else in order."""
    if len(theirs) != len(ours):
        raise UnusablePlan(f"it has {len(theirs)} inputs or outputs and not {len(ours)}")
    return {name: name for name in ours} if set(theirs) == set(ours) else dict(zip(theirs, ours, strict=True))
