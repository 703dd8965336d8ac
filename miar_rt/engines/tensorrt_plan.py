"""What the engines of TensorRT and of TensorRT-RTX have in common: their Python interfaces are the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines.cuda_graph import GraphPlan, Tensors
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

    Attributes
    ----------
    machine
        What engines depend on beside the network.
    """

    def __init__(
        self, trt: Any, checkpoint: Checkpoint, name: str, precision: str, build: Callable[[Shapes, Shapes], bytes]
    ) -> None:
        self._trt, self._build = trt, build
        self.machine = machine_key(trt)
        self._key = self.machine | {"engine": name, "precision": precision, "checkpoint": digest_of(checkpoint)}
        self._logger = quiet_logger(trt)

    def plan(self, inputs: Shapes, outputs: Shapes) -> GraphPlan:
        """From the cache, or built; captured and ready to run."""
        key = self._key | {"shapes": repr((dict(inputs), dict(outputs)))}
        work = keep(key, lambda: self._build(inputs, outputs), lambda plan: Runnable(self._trt, plan, self._logger))
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


class Runnable:
    """A deserialised engine; called, it puts itself on torch's current stream.

    Raises
    ------
    UnusablePlan
        When this GPU, driver or release does not take it.
    """

    def __init__(self, trt: Any, plan: bytes, logger: Any) -> None:
        # what an engine was made by must live as long as it does
        self._logger, self._runtime = logger, trt.Runtime(logger)
        self._engine = engine = self._runtime.deserialize_cuda_engine(plan)
        self._context: Any = engine.create_execution_context() if engine else None
        if self._context is None:
            raise UnusablePlan(f"TensorRT {trt.__version__} does not take it")
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        into = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        out_of = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
        self._ours = {**_matched(into, INPUTS), **_matched(out_of, OUTPUTS)}

    def __call__(self, inputs: Tensors, outputs: Tensors) -> None:
        """Compute ``outputs`` from ``inputs``; see ``cuda_graph.Work``."""
        import torch

        tensors = {**inputs, **outputs}
        for name, our in self._ours.items():
            self._context.set_tensor_address(name, tensors[our].data_ptr())
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT could not start the engine")


def _matched(theirs: list[str], ours: tuple[str, ...]) -> dict[str, str]:
    """Our names by theirs: the same where they kept them, else in order."""
    if len(theirs) != len(ours):
        raise UnusablePlan(f"it has {len(theirs)} inputs or outputs and not {len(ours)}")
    return {name: name for name in ours} if set(theirs) == set(ours) else dict(zip(theirs, ours, strict=True))
