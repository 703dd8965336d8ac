"""The network on onnxruntime, on the CPU: starts in a fraction of a second and needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import Scores
from miar_rt.engines.export import INPUTS, OUTPUTS
from miar_rt.engines.weightless import open_session
from miar_rt.signals import Array


class OnnxEngine:
    """Runs the checkpoint's own graph on one thread.

    Raises
    ------
    ValueError
        When the checkpoint's graph and weights do not belong together.
    """

    name, precision = "onnx", "float32"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._session = open_session(checkpoint.graph, checkpoint.state)
        found = {put.name for put in self._session.get_outputs()}
        if not found.issuperset(OUTPUTS) or {put.name for put in self._session.get_inputs()} != set(INPUTS):
            raise ValueError("the graph is not one of this network: its inputs or outputs are others")

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        return f"onnxruntime {version('onnxruntime')} on one CPU thread"

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        """Score ``batch`` under ``presence``; see ``Engine``."""
        return Scores(*self._session.run(list(OUTPUTS), {**batch, "presence": presence}))

    def close(self) -> None:
        """Free the session; may be called again."""
        self._session = None
