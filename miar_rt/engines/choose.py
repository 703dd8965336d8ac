"""The ladder of engines, fastest first: take the highest that runs here, and say why not one above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import Engine, EngineUnavailable, one_line
from miar_rt.engines.gpu import no_cuda
from miar_rt.engines.sessions import ON_CPU
from miar_rt.engines.stepping import Stepping
from miar_rt.installing import install_command

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Rung:
    """An engine's name, why it cannot run here (``None`` when it can, as far as a quick look tells), its opener.

    ``opener`` imports what it needs and may still raise ``EngineUnavailable``. One that is not ``quick`` may take
    minutes to start: ``auto`` leaves it out where there is no GPU, and nobody waits for it in the middle of a run.
    """

    name: str
    obstacle: Callable[[], str | None]
    opener: Callable[[Checkpoint], Engine]
    quick: bool = True


def _needs(package: str) -> Callable[[], str | None]:
    return lambda: None if find_spec(package) else f"{package} is not installed"


def _needs_cuda(extra: str, *packages: str) -> Callable[[], str | None]:
    def obstacle() -> str | None:
        missing = [package for package in packages if find_spec(package) is None]
        return no_cuda() or (f"needs {install_command(extra)}" if missing else None)

    return obstacle


def _tensorrt(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.tensorrt_engine import TensorRtEngine

    return TensorRtEngine(checkpoint)


def _tensorrt_rtx(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.tensorrt_rtx_engine import TensorRtRtxEngine

    return TensorRtRtxEngine(checkpoint)


def _cuda_graph(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.cuda_graph import CudaGraphEngine

    return CudaGraphEngine(checkpoint)


def _no_compiler() -> str | None:
    from miar_rt.engines.compile_engine import no_compiler

    return no_compiler()


def _compile(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.compile_engine import CompileEngine

    return CompileEngine(checkpoint)


def _onnx(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.onnx_engine import OnnxEngine

    return OnnxEngine(checkpoint)


def _onnx_on_cpu(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.onnx_engine import OnnxEngine

    return OnnxEngine(checkpoint, ON_CPU)


def _torch_on_cpu(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.torch_engine import TorchEngine

    return TorchEngine(checkpoint)


def _torch(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.torch_engine import TorchEngine, torch_device

    return TorchEngine(checkpoint, torch_device())


RUNGS: tuple[Rung, ...] = (
    Rung("tensorrt", _needs_cuda("trt", "torch_tensorrt", "tensorrt"), _tensorrt, quick=False),
    Rung("tensorrt-rtx", _needs_cuda("rtx", "tensorrt_rtx"), _tensorrt_rtx, quick=False),
    Rung("cuda-graph", no_cuda, _cuda_graph),
    Rung("compile", _no_compiler, _compile, quick=False),
    Rung("onnx", _needs("onnxruntime"), _onnx),
    Rung("torch", _needs("torch"), _torch),
)
"""The engines, fastest first."""

ON_THE_CPU: tuple[Rung, ...] = (
    Rung("onnx", _needs("onnxruntime"), _onnx_on_cpu),
    Rung("torch", _needs("torch"), _torch_on_cpu),
)
"""What is left when a GPU is gone."""

_AT_START = (RuntimeError, MemoryError, AssertionError, OSError, AttributeError)
"""What engines raise: torch asserts that it has CUDA, packages lack a library, other releases an attribute."""

LADDER: tuple[str, ...] = tuple(rung.name for rung in RUNGS)

NAMES: tuple[str, ...] = (AUTO, *LADDER)


def choose_engine(name: str, checkpoint: Checkpoint) -> tuple[Engine, str]:
    """Open the engine called ``name``, or with ``auto`` the first of the ladder that runs here.

    Returns
    -------
    tuple
        The engine, which steps down the ladder when it gives out while it runs; and one line that says which it is
        and why those above it were passed over.

    Raises
    ------
    ValueError
        When there is no such name.
    EngineUnavailable
        When the engine cannot run here: one line with the reason and what is available.
    """
    if name not in NAMES:
        raise ValueError(f"unknown engine {name!r}: choose one of {', '.join(NAMES)}")
    passed: dict[str, str] = {}
    for rung in RUNGS:
        if name not in {AUTO, rung.name}:
            continue
        try:
            engine = _open(rung, checkpoint, automatic=name == AUTO)
        except EngineUnavailable as error:
            passed[rung.name] = str(error)
            continue
        line = f"engine {engine.name}: {engine.describe()}"
        return Stepping(engine, _lower(rung, checkpoint)), f"{line} ({_short(passed)})" if passed else line
    raise EngineUnavailable(f"engine not available here: {_reasons(passed)}; available: {_available(passed)}")


def _open(rung: Rung, checkpoint: Checkpoint, automatic: bool = False) -> Engine:
    obstacle = rung.obstacle() or (no_cuda() if automatic and not rung.quick else None)
    if obstacle:
        raise EngineUnavailable(obstacle)
    try:
        return rung.opener(checkpoint)
    except ImportError as error:
        raise EngineUnavailable(f"cannot be imported: {error}") from error
    except _AT_START as error:
        raise EngineUnavailable(one_line(error)) from error


def _lower(rung: Rung, checkpoint: Checkpoint) -> Iterator[Engine]:
    """Opens the rungs below that start at once; in the end, whatever became of a GPU, those on the CPU."""
    for lower in (*RUNGS[RUNGS.index(rung) + 1 :], *ON_THE_CPU):
        if lower.quick:
            with suppress(EngineUnavailable):
                yield _open(lower, checkpoint)


def _short(passed: dict[str, str]) -> str:
    """Why the ones above were passed over; one reason for all of them needs no names."""
    reasons = set(passed.values())
    return reasons.pop() if len(reasons) == 1 else _reasons(passed)


def _reasons(passed: dict[str, str]) -> str:
    """Names grouped by the reason against them."""
    grouped: dict[str, list[str]] = {}
    for name, reason in passed.items():
        grouped.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in grouped.items())


def _available(failed: dict[str, str]) -> str:
    names = [rung.name for rung in RUNGS if rung.name not in failed and rung.obstacle() is None]
    return ", ".join(names) or "none"
