"""ONNX graphs that ship without weights: the weights come from safetensors when a session opens.

A module's parameters become initializers of the same names, declared as external data. That keeps the graph
small and readable, one copy of the weights on disk, and torch out of the process that runs it.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from miar_rt.engines.sessions import ON_CPU, Graph, Providers, frugal_options, start_session
from miar_rt.installing import install_command
from miar_rt.signals import Array

if TYPE_CHECKING:
    import onnxruntime
    import torch

OPSET = 18
PARITY = 1e-4
_WEIGHTS_FILE = "model.safetensors"
_TOOLS = ("torch", "onnx", "onnxscript")


@dataclass(frozen=True, slots=True)
class WeightlessGraph:
    """A serialised ONNX model and the names of the weights it asks for."""

    model: bytes
    weights: tuple[str, ...]


class ExportUnavailable(RuntimeError):  # noqa: N818 - what is the matter, in one word
    """The packages that write ONNX graphs are not installed."""


def open_session(graph: WeightlessGraph, weights: Mapping[str, Array], providers: Providers | None = None) -> Graph:
    """Start a weightless graph with its weights.

    Parameters
    ----------
    graph
        What ``export_graph`` gave.
    weights
        The exported module's state; entries that the graph does not ask for may be there.
    providers
        As ``Graph`` takes them.

    Raises
    ------
    ValueError
        One line when graph and weights do not belong together or the graph is damaged.
    """
    import onnxruntime as ort

    def open_on(providers: Providers) -> onnxruntime.InferenceSession:
        options = frugal_options()
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays]
        options.add_external_initializers(list(graph.weights), values)
        return start_session(graph.model, options, providers)

    try:
        arrays = [np.ascontiguousarray(weights[name]) for name in graph.weights]
        return Graph(open_on, providers)
    except KeyError as error:
        raise ValueError(f"the graph asks for weights that are not there: {error}") from error
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise ValueError(f"the graph and the weights do not fit: {str(error).splitlines()[0][:200]}") from error


def require_export_tools() -> None:
    """Make sure that a graph can be written here; worth asking before a long training.

    Raises
    ------
    ExportUnavailable
        One line that names the missing packages and the extra that brings them.
    """
    missing = [name for name in _TOOLS if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportUnavailable(f"writing an ONNX graph needs {', '.join(missing)}: {install_command('train')}")


def export_graph(
    module: torch.nn.Module,
    example: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> WeightlessGraph:
    """Trace a module into a weightless graph and check that it computes the same.

    Parameters
    ----------
    module
        Called with the example's tensors by position, in their order; gives one tensor or a tuple.
    example
        Named example inputs; a dynamic axis must be longer than 1 in them.
    outputs
        Names of the outputs; where the module gives more, the rest is left out.
    dynamic
        For each input, which axes vary and the name of each.

    Raises
    ------
    ExportUnavailable
        When the packages that write graphs are missing.
    RuntimeError
        When the graph's answers differ from the module's by more than ``PARITY``.
    """
    require_export_tools()
    module = _scrambled(module)
    model = _trace(module, example, outputs, dynamic)
    weights = _drop_weights(model, set(module.state_dict()))
    graph = WeightlessGraph(model.SerializeToString(), weights)
    _check(graph, module, example, outputs)
    return graph


def _scrambled(module: torch.nn.Module) -> torch.nn.Module:
    """A copy whose weights all differ: the exporter merges equal ones (norms before training) into one."""
    import torch

    module = copy.deepcopy(module).cpu().float().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.copy_(torch.empty_like(value).normal_(0.0, 0.1, generator=generator))
    return module


def _trace(
    module: torch.nn.Module,
    example: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> Any:
    import torch

    axes = {axis: torch.export.Dim(axis) for named in dynamic.values() for axis in named.values()}
    with _quiet_exporter():
        program = torch.onnx.export(
            module,
            tuple(example.values()),
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes=[{i: axes[axis] for i, axis in dynamic.get(name, {}).items()} for name in example],
            opset_version=OPSET,
            dynamo=True,
            # onnxruntime optimises when it loads; here, folding would bake weights into constants
            optimize=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - the older exporter shares the signature and gives None
    return program.model_proto


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter says about packages that we do not use."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def _drop_weights(model: Any, names: set[str]) -> tuple[str, ...]:
    """Turn initializers called ``names`` into references; strip what only debugging needs. Gives those found."""
    from onnx import TensorProto

    graph = model.graph
    weights = [tensor for tensor in graph.initializer if tensor.name in names]
    for tensor in weights:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=_WEIGHTS_FILE)
    graph.ClearField("value_info")
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return tuple(tensor.name for tensor in weights)


def _check(
    graph: WeightlessGraph, module: torch.nn.Module, example: Mapping[str, torch.Tensor], outputs: Sequence[str]
) -> None:
    import torch

    session = open_session(graph, {name: value.numpy() for name, value in module.state_dict().items()}, ON_CPU)
    answers = session.run(list(outputs), {name: value.numpy() for name, value in example.items()})
    with torch.inference_mode():
        expected = module(*example.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    for name, answer, truth in zip(outputs, answers, expected, strict=False):
        difference = float(np.abs(answer - truth.numpy()).max())
        if not difference <= PARITY:
            raise RuntimeError(f"the exported graph's {name} differs from the network's by {difference:.2g}")


def self_contained(graph: WeightlessGraph, weights: Mapping[str, Array], notes: Mapping[str, str]) -> bytes:
    """The graph with its weights and ``notes`` inside, as one ONNX model that ONNX's own checker accepts.

    Raises
    ------
    ExportUnavailable
        When the package ``onnx`` is missing.
    """
    require_export_tools()
    import onnx
    from onnx import numpy_helper

    model = onnx.load_model_from_string(graph.model)
    for tensor in model.graph.initializer:
        if tensor.external_data:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    onnx.helper.set_model_props(model, dict(notes))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
