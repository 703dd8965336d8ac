"""Sessions of onnxruntime: frugal on the CPU, on the GPU where the package for it is installed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from miar_rt.engines import one_line
from miar_rt.engines.gpu import find_gpu
from miar_rt.signals import Array

if TYPE_CHECKING:
    import onnxruntime

Providers = Sequence["str | tuple[str, dict[str, str]]"]

ON_CPU: Providers = ("CPUExecutionProvider",)
_CUDA = "CUDAExecutionProvider"

log = logging.getLogger("miar.engines")


def frugal_options() -> onnxruntime.SessionOptions:
    """Options of a session on one thread that sleeps when it has nothing to do, and says nothing."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # an arena keeps what the longest input ever needed; these graphs are too small to gain from one
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return options


def fastest_providers() -> Providers:
    """The GPU, without TF32, where there is one and onnxruntime's package for it; the CPU behind it."""
    import onnxruntime as ort

    if _CUDA in ort.get_available_providers() and find_gpu():
        return ((_CUDA, {"use_tf32": "0"}), *ON_CPU)
    return ON_CPU


def start_session(
    model: str | bytes, options: onnxruntime.SessionOptions, providers: Providers
) -> onnxruntime.InferenceSession:
    """A session that takes no other providers by itself: it says so on stdout, where only results belong."""
    import onnxruntime as ort

    return ort.InferenceSession(model, options, providers=providers, enable_fallback=0)


class Graph:
    """A session where it is fastest, which goes on on the CPU when a GPU gives out.

    Parameters
    ----------
    open_on
        Opens the session on providers.
    providers
        As ``fastest_providers`` when not given.

    Attributes
    ----------
    session
        The one in use.
    """

    def __init__(
        self, open_on: Callable[[Providers], onnxruntime.InferenceSession], providers: Providers | None = None
    ) -> None:
        self._open = open_on
        providers = fastest_providers() if providers is None else providers
        try:
            self.session = open_on(providers)
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            if providers == ON_CPU:
                raise
            self._go_on_on_the_cpu(error)

    def _go_on_on_the_cpu(self, error: Exception) -> None:
        log.warning("onnxruntime goes on on the CPU, since the GPU gave out: %s", one_line(error))
        self.session = self._open(ON_CPU)

    @property
    def on_gpu(self) -> bool:
        """Whether it is on a GPU; onnxruntime takes the CPU by itself where CUDA's libraries are missing."""
        return _CUDA in self.session.get_providers()

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Any]) -> list[Array]:
        """The outputs by name, in order."""
        try:
            return self.session.run(outputs, inputs)  # type: ignore[no-any-return]
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            if not self.on_gpu:
                raise
            self._go_on_on_the_cpu(error)
        return self.session.run(outputs, inputs)  # type: ignore[no-any-return]


def place_of(graph: Graph) -> str:
    """Where a graph runs, in a few words."""
    gpu = find_gpu() if graph.on_gpu else None
    return gpu.name if gpu else "one CPU thread"
