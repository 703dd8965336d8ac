"""The network with its matrix products in half precision, and in float32 what must not lose digits.

The types are in the graph itself, so that whoever compiles it has nothing to choose and changes no precision
unseen: norms, softmax, attention's products and all sums between layers stay float32.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import Tensor, nn

from miar_rt.engines.export import OUTPUTS

if TYPE_CHECKING:
    from miar_rt.network import Miar


class Half(nn.Module):
    """A linear layer or convolution in float16, float32 outside."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.half()

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""
        out: Tensor = self.layer(x.half())
        return out.float()


def in_half(network: Miar) -> Miar:
    """A copy of the network whose linear layers and convolutions compute in float16."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear | nn.Conv1d):
                setattr(module, name, Half(child))
    return network


class Answers(nn.Module):
    """A network that gives ``OUTPUTS`` and nothing else, from inputs by position."""

    def __init__(self, network: Miar) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs in the order of ``OUTPUTS``."""
        answers = self.network(*inputs)
        return tuple(getattr(answers, name) for name in OUTPUTS)
