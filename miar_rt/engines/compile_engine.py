"""The network by torch.compile: kernels made for it when it starts, which takes a minute and a compiler."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines.export import OUTPUTS
from miar_rt.engines.fixed_shapes import FixedShapes, Shapes
from miar_rt.engines.gpu import no_cuda
from miar_rt.engines.progress import working
from miar_rt.engines.torch_engine import describe_torch, exact_products, load_network, torch_device
from miar_rt.signals import Array

if TYPE_CHECKING:
    import torch


def no_compiler() -> str | None:
    """What torch.compile lacks here, in a few words."""
    if no_cuda() is None:
        return None if find_spec("triton") else "triton is not installed"
    found = any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
    return None if found else "there is no C++ compiler: sudo apt-get install g++"


class CompileEngine(FixedShapes):
    """Fixed shapes through inductor, on the GPU if there is one, else on one CPU thread.

    Raises
    ------
    ValueError
        When the checkpoint's weights are not those of this version's network.
    EngineFailed
        When it cannot be compiled.
    """

    name = "compile"

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.spec)
        # its pool of helpers would outlive the compilation, and each is a process
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
        self._device = torch_device()
        exact_products()
        self._network = load_network(checkpoint, self._device)
        self.warm_up()

    def _plan(self, inputs: Shapes, outputs: Shapes) -> CompiledPlan:  # noqa: ARG002 - it makes its own
        with working(f"compiling the network for {inputs['presence'][0]} windows"):
            return CompiledPlan(self._network, inputs, self._device)

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        return f"{describe_torch(self._device)}, compiled"


class CompiledPlan:
    """The network compiled for one shape."""

    def __init__(self, network: torch.nn.Module, inputs: Shapes, device: str) -> None:
        import torch
        from torch._dynamo import config

        # one compilation for each number of windows is meant, not a sign of shapes that keep changing
        config.cache_size_limit = 64  # called so in every release
        self._device = device
        self._network = torch.compile(network, dynamic=False, fullgraph=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._compute({name: torch.zeros(shape, device=device) for name, shape in inputs.items()})

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """See ``Plan``."""
        import torch

        return self._compute({name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()})

    def _compute(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, Array]:
        import torch

        with torch.inference_mode():
            answers = self._network(**inputs)
        return {name: getattr(answers, name).cpu().numpy() for name in OUTPUTS}
