"""MIAR's network as ONNX: the weightless graph in a checkpoint, and one self-contained file for others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miar_rt.checkpoint import Checkpoint, write_whole
from miar_rt.engines.weightless import WeightlessGraph, export_graph, require_export_tools, self_contained
from miar_rt.input_spec import InputSpec
from miar_rt.signals import MODALITIES

if TYPE_CHECKING:
    import torch

INPUTS = (*(name + end for name in MODALITIES for end in ("", "_mask")), "groups", "baseline", "presence")
"""What the network takes, in its order."""

OUTPUTS = ("logits", "sentiment", "spread", "gate")
"""What a graph gives for inputs named as ``window.as_batch`` names them, and ``presence``."""


def trace_network(config: dict[str, Any], spec: InputSpec) -> WeightlessGraph:
    """The graph of a network of this configuration, dynamic in windows B and availability patterns P.

    Raises
    ------
    ExportUnavailable
        When the packages that write graphs are missing.
    """
    require_export_tools()
    from miar_rt.network import Miar, MiarConfig

    example = _example(spec, windows=3, patterns=5)
    dynamic: dict[str, dict[int, str]] = {name: {0: "windows"} for name in example}
    dynamic["presence"][1] = "patterns"
    return export_graph(Miar(MiarConfig(**config), spec), example, OUTPUTS, dynamic)


def input_shapes(spec: InputSpec, windows: int, patterns: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the network's inputs by name, in the order in which it takes them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name in MODALITIES:
        shapes[name] = (windows, spec.steps[name], spec.widths[name])
        shapes[f"{name}_mask"] = (windows, spec.steps[name])
    whole = {"groups": (windows, len(spec.vision_groups)), "baseline": (windows, 3)}
    return {**shapes, **whole, "presence": (windows, patterns, 3)}


def output_shapes(spec: InputSpec, windows: int, patterns: int) -> dict[str, tuple[int, ...]]:
    """Shapes of ``OUTPUTS`` by name."""
    ends: tuple[tuple[int, ...], ...] = ((len(spec.classes),), (), (), (len(MODALITIES) + 1,))
    return {name: (windows, patterns, *end) for name, end in zip(OUTPUTS, ends, strict=True)}


def _example(spec: InputSpec, windows: int, patterns: int) -> dict[str, torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(0)
    shapes = input_shapes(spec, windows, patterns)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: value if name in MODALITIES else (value > 0.0).float() for name, value in tensors.items()}


def export_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write the network with its weights as one ONNX file that passes ONNX's checker.

    Inputs are normalised windows as ``window.as_batch`` gives them. What turns logits into probabilities and
    names them is in the model's properties: ``checkpoint``, ``input_spec`` (with the classes),
    ``temperatures`` and ``interval_factor``.

    Raises
    ------
    ExportUnavailable
        When the packages that write graphs are missing.
    OSError
        When ``path`` cannot be written.
    """
    notes = {
        "checkpoint": checkpoint.name,
        "input_spec": json.dumps(checkpoint.spec.to_json()),
        "temperatures": json.dumps(checkpoint.temperatures.by_pattern),
        "interval_factor": str(checkpoint.interval_factor),
    }
    write_whole(path, self_contained(checkpoint.graph, checkpoint.state, notes))
