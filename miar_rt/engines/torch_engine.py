"""The network in torch itself: the reference that the other engines are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import EngineFailed, Scores, one_line
from miar_rt.engines.export import OUTPUTS
from miar_rt.engines.gpu import no_cuda
from miar_rt.signals import Array

if TYPE_CHECKING:
    import torch

    from miar_rt.network import Miar


def torch_device() -> str:
    """Where torch computes fastest here: ``cuda``, else ``cpu``."""
    return "cuda" if no_cuda() is None else "cpu"


def load_network(checkpoint: Checkpoint, device: str = "cpu", dtype: torch.dtype | None = None) -> Miar:
    """The checkpoint's network, ready to answer.

    On the CPU torch is set to one thread for the whole process: a second one that waits for a busy core has
    turned 10 ms into half a second.

    Raises
    ------
    ValueError
        When the checkpoint's weights are not those of this version's network.
    """
    import torch

    from miar_rt.network import Miar, MiarConfig

    if device == "cpu":
        torch.set_num_threads(1)
    try:
        network = Miar(MiarConfig(**checkpoint.config), checkpoint.spec)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in checkpoint.state.items()})
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"checkpoint {checkpoint.name} is not of this version's network: {one_line(error)}"
        ) from error
    return network.to(device, dtype or torch.float32).eval()


def exact_products() -> None:
    """Keep float32 from being rounded to TF32: cuDNN does it unless told, cuBLAS in NVIDIA's containers."""
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def describe_torch(device: str) -> str:
    """torch, its version and where it runs, in a few words."""
    import torch

    place = "one CPU thread" if device == "cpu" else torch.cuda.get_device_name(device)
    return f"torch {torch.__version__} on {place}"


class TorchEngine:
    """Runs ``network.Miar`` without gradients; see ``load_network``.

    Parameters
    ----------
    device, dtype
        Where and in which precision to compute, float32 by default; answers come in the same precision.
    """

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        import torch

        exact_products()
        self._device, self._dtype = device, dtype or torch.float32
        self.precision = str(self._dtype).removeprefix("torch.")
        self._network = load_network(checkpoint, device, dtype)

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        return describe_torch(self._device)

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        """Score ``batch`` under ``presence``; see ``Engine``."""
        import torch

        try:
            with torch.inference_mode():
                inputs = {name: self._tensor(array) for name, array in batch.items()}
                outputs = self._network(**inputs, presence=self._tensor(presence))
            return Scores(*(getattr(outputs, name).cpu().numpy() for name in OUTPUTS))
        except RuntimeError as error:
            if self._device == "cpu":
                raise
            raise EngineFailed(one_line(error)) from error

    def _tensor(self, array: Array) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device, self._dtype)

    def close(self) -> None:
        """Free the network."""
        del self._network
