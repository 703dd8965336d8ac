"""Engines that know their shapes beforehand: what is asked is filled up to the next size, or cut to the largest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import product
from typing import ClassVar, Protocol

import numpy as np

from miar_rt.engines import EngineFailed, Scores, one_line
from miar_rt.engines.export import OUTPUTS, input_shapes, output_shapes
from miar_rt.input_spec import InputSpec
from miar_rt.signals import Array

PATTERNS = 4
"""At a time: what live asks of a window is all that is present, and each modality masked."""

Shapes = Mapping[str, tuple[int, ...]]


class Plan(Protocol):
    """The network made ready for one number of windows and ``PATTERNS`` patterns."""

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Outputs for inputs of just these shapes; what is given may be overwritten by the next call."""
        ...


class FixedShapes(ABC):
    """An engine with a plan for each number of windows, made when it is first asked for.

    Parameters
    ----------
    spec
        The table of input channels.

    Attributes
    ----------
    plans
        Those made so far, by number of windows.
    """

    name: str
    precision: str = "float32"
    sizes: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16, 32, 64)

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self.plans: dict[int, Plan] = {}

    @abstractmethod
    def _plan(self, inputs: Shapes, outputs: Shapes) -> Plan:
        """Make the network ready for these shapes."""

    def warm_up(self) -> None:
        """Make the plan for one window, as live asks, and run it once."""
        shapes = input_shapes(self._spec, 1, PATTERNS)
        nothing = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        self._part(nothing, nothing["presence"])

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        """Score ``batch`` under ``presence``; see ``Engine``."""
        windows, patterns = presence.shape[:2]
        shapes, most = output_shapes(self._spec, windows, patterns), self.sizes[-1]
        found = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        for i, j in product(range(0, windows, most), range(0, patterns, PATTERNS)):
            rows, columns = slice(i, i + most), slice(j, j + PATTERNS)
            part = self._part({name: array[rows] for name, array in batch.items()}, presence[rows, columns])
            for name, array in part.items():
                target = found[name][rows, columns]
                target[...] = array[: target.shape[0], : target.shape[1]]
        return Scores(*(found[name] for name in OUTPUTS))

    def _part(self, batch: Mapping[str, Array], presence: Array) -> Mapping[str, Array]:
        size = next(size for size in self.sizes if size >= len(presence))
        shapes, given = input_shapes(self._spec, size, PATTERNS), {**batch, "presence": presence}
        try:
            if size not in self.plans:
                self.plans[size] = self._plan(shapes, output_shapes(self._spec, size, PATTERNS))
            return self.plans[size].run({name: _filled(given[name], shape) for name, shape in shapes.items()})
        except (RuntimeError, MemoryError) as error:
            raise EngineFailed(one_line(error)) from error

    def close(self) -> None:
        """Free every plan; may be called again."""
        self.plans.clear()


def _filled(array: Array, shape: tuple[int, ...]) -> Array:
    """The array with zeros after its own values, up to ``shape``."""
    if array.shape == shape:
        return array
    whole = np.zeros(shape, np.float32)
    whole[tuple(slice(n) for n in array.shape)] = array
    return whole
