"""The network on onnxruntime: starts in a fraction of a second and needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import EngineFailed, Scores, one_line
from miar_rt.engines.export import INPUTS, OUTPUTS
from miar_rt.engines.sessions import Graph, Providers, place_of
from miar_rt.engines.weightless import open_session
from miar_rt.signals import Array


class OnnxEngine:
    """Runs the checkpoint's own graph: on the GPU where onnxruntime's package for it is, else on one CPU thread.

    Parameters
    ----------
    providers
        Where instead, as ``Graph`` takes them.

    Raises
    ------
    ValueError
        When the checkpoint's graph and weights do not belong together.
    """

    name, precision = "onnx", "float32"

    def __init__(self, checkpoint: Checkpoint, providers: Providers | None = None) -> None:
        self._graph: Graph | None = open_session(checkpoint.graph, checkpoint.state, providers)
        session = self._graph.session
        found = {put.name for put in session.get_outputs()}
        if not found.issuperset(OUTPUTS) or {put.name for put in session.get_inputs()} != set(INPUTS):
            raise ValueError("the graph is not one of this network: its inputs or outputs are others")

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__} on {place_of(self._running())}"

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        """Score ``batch`` under ``presence``; see ``Engine``."""
        graph = self._running()
        try:
            return Scores(*graph.session.run(list(OUTPUTS), {**batch, "presence": presence}))
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            if not graph.on_gpu:
                raise
            raise EngineFailed(one_line(error)) from error

    def _running(self) -> Graph:
        if self._graph is None:
            raise RuntimeError("this engine is closed")
        return self._graph

    def close(self) -> None:
        """Free the session; may be called again."""
        self._graph = None
