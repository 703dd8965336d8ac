"""The network in torch itself: the reference that the other engines are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import Scores
from miar_rt.engines.export import OUTPUTS
from miar_rt.signals import Array

if TYPE_CHECKING:
    import torch


class TorchEngine:
    """Runs ``network.Miar`` without gradients.

    On the CPU it sets torch to one thread for the whole process: a second one that waits for a busy core has
    turned 10 ms into half a second.

    Parameters
    ----------
    device, dtype
        Where and in which precision to compute, float32 by default; answers come in the same precision.

    Raises
    ------
    ValueError
        When the checkpoint's weights are not those of this version's network.
    """

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        import torch

        from miar_rt.network import Miar, MiarConfig

        if device == "cpu":
            torch.set_num_threads(1)
        self._device, self._dtype = device, dtype or torch.float32
        try:
            network = Miar(MiarConfig(**checkpoint.config), checkpoint.spec)
            network.load_state_dict({name: torch.from_numpy(array) for name, array in checkpoint.state.items()})
        except (TypeError, RuntimeError) as error:
            line = " ".join(str(error).split())[:200]
            raise ValueError(f"checkpoint {checkpoint.name} is not of this version's network: {line}") from error
        self._network = network.to(self._device, self._dtype).eval()

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        import torch

        place = "one CPU thread" if self._device == "cpu" else torch.cuda.get_device_name(self._device)
        return f"torch {torch.__version__} on {place}"

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        """Score ``batch`` under ``presence``; see ``Engine``."""
        import torch

        with torch.inference_mode():
            inputs = {name: self._tensor(array) for name, array in batch.items()}
            outputs = self._network(**inputs, presence=self._tensor(presence))
        return Scores(*(getattr(outputs, name).cpu().numpy() for name in OUTPUTS))

    def _tensor(self, array: Array) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device, self._dtype)

    def close(self) -> None:
        """Free the network."""
        del self._network
