"""The network captured once as a CUDA graph: a score is one launch, without Python between the kernels."""

from __future__ import annotations

import math
import mmap
import weakref
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines.export import OUTPUTS
from miar_rt.engines.fixed_shapes import FixedShapes, Shapes
from miar_rt.engines.torch_engine import describe_torch, exact_products, load_network
from miar_rt.signals import Array

if TYPE_CHECKING:
    import torch

ALIGNMENT = 64
"""Values to whose multiples a tensor's start is rounded up: TensorRT wants 256 bytes."""

WARM_UP = 3
"""Runs before the capture, in which libraries allocate and choose kernels: neither may happen in it."""

Tensors = Mapping[str, "torch.Tensor"]
Work = Callable[[Tensors, Tensors], None]
"""Puts the computation of outputs from inputs on torch's current stream."""


class Block:
    """Named float32 tensors in one piece of memory here and one on the device, so that one copy moves all of them.

    Attributes
    ----------
    arrays, tensors
        By name, views of the memory here (pinned where the device is a GPU) and of the device's.
    """

    def __init__(self, shapes: Shapes, device: str) -> None:
        import torch

        sizes = [math.ceil(math.prod(shape) / ALIGNMENT) * ALIGNMENT for shape in shapes.values()]
        starts = list(accumulate(sizes, initial=0))
        self._here = torch.frombuffer(mmap.mmap(-1, 4 * starts[-1]), dtype=torch.float32)
        if device != "cpu":
            _pin(self, self._here)
        self._there = torch.zeros(starts[-1], device=device)
        self.arrays: dict[str, Array] = {}
        self.tensors: dict[str, torch.Tensor] = {}
        for start, (name, shape) in zip(starts, shapes.items(), strict=False):
            part = slice(start, start + math.prod(shape))
            self.arrays[name] = self._here[part].view(shape).numpy()
            self.tensors[name] = self._there[part].view(shape)

    def send(self) -> None:
        """Put the copy to the device on the current stream."""
        self._there.copy_(self._here, non_blocking=True)

    def fetch(self) -> None:
        """Put the copy from the device on the current stream."""
        self._here.copy_(self._there, non_blocking=True)


def _pin(owner: object, values: torch.Tensor) -> None:
    """Let the GPU read and write pages directly for as long as ``owner`` lives.

    Not by torch's ``pin_memory``: to give that back the GPU is asked, and one that is gone ends the whole process.
    """
    import torch

    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    torch.cuda.check_error(runtime.cudaHostRegister(values.data_ptr(), values.nbytes, 0))
    weakref.finalize(owner, runtime.cudaHostUnregister, values.data_ptr())


class GraphPlan:
    """Copy in, compute, copy out: captured as one CUDA graph on a stream of its own.

    Parameters
    ----------
    inputs, outputs
        Shapes by name.
    work
        What to capture between the copies.
    """

    def __init__(self, inputs: Shapes, outputs: Shapes, work: Work) -> None:
        import torch

        self.inputs, self.outputs, self._work = Block(inputs, "cuda"), Block(outputs, "cuda"), work
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        with torch.cuda.stream(self.stream), torch.inference_mode():
            for _ in range(WARM_UP):
                self._enqueue()
        self.stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # the other threads of a live run may allocate meanwhile
        with (
            torch.inference_mode(),
            torch.cuda.graph(self._graph, stream=self.stream, capture_error_mode="thread_local"),
        ):
            self._enqueue()

    def _enqueue(self) -> None:
        self.inputs.send()
        self._work(self.inputs.tensors, self.outputs.tensors)
        self.outputs.fetch()

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """See ``Plan``."""
        self.write(inputs)
        self.launch()
        self.wait()
        return self.outputs.arrays

    def write(self, inputs: Mapping[str, Array]) -> None:
        """Fill the pinned memory."""
        for name, array in self.inputs.arrays.items():
            array[...] = inputs[name]

    def launch(self) -> None:
        """Start the graph and do not wait for it."""
        import torch

        with torch.cuda.stream(self.stream):
            self._graph.replay()

    def wait(self) -> None:
        """Until the answers are in the pinned memory."""
        self.stream.synchronize()


class CudaGraphEngine(FixedShapes):
    """torch's own kernels, in float32 without TF32.

    Raises
    ------
    ValueError
        When the checkpoint's weights are not those of this version's network.
    EngineFailed
        When the GPU gives out while it is made ready.
    """

    name = "cuda-graph"

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.spec)
        exact_products()
        self._network = load_network(checkpoint, "cuda")
        self.warm_up()

    def _plan(self, inputs: Shapes, outputs: Shapes) -> GraphPlan:
        return GraphPlan(inputs, outputs, self._compute)

    def _compute(self, inputs: Tensors, outputs: Tensors) -> None:
        answers = self._network(**inputs)
        for name in OUTPUTS:
            outputs[name].copy_(getattr(answers, name))

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        return describe_torch("cuda")
