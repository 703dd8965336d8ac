"""The ladder of engines, fastest first: take the highest that runs here, and say why not one above it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import Engine, EngineUnavailable

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Rung:
    """An engine's name, why it cannot run here (``None`` when it can, as far as a quick look tells), its opener.

    ``opener`` imports what it needs and may still raise ``EngineUnavailable``.
    """

    name: str
    obstacle: Callable[[], str | None]
    opener: Callable[[Checkpoint], Engine]


def _needs(package: str) -> Callable[[], str | None]:
    return lambda: None if find_spec(package) else f"{package} is not installed"


def _onnx(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.onnx_engine import OnnxEngine

    return OnnxEngine(checkpoint)


def _torch(checkpoint: Checkpoint) -> Engine:
    from miar_rt.engines.torch_engine import TorchEngine

    return TorchEngine(checkpoint)


RUNGS: tuple[Rung, ...] = (
    Rung("onnx", _needs("onnxruntime"), _onnx),
    Rung("torch", _needs("torch"), _torch),
)
"""The engines of this version, fastest first."""

LADDER: tuple[str, ...] = ("tensorrt", "tensorrt-rtx", "cuda-graph", "compile", "onnx", "torch")
"""Every name there is, fastest first; those without a rung are not part of this version."""

NAMES: tuple[str, ...] = (AUTO, *LADDER)


def choose_engine(name: str, checkpoint: Checkpoint) -> tuple[Engine, str]:
    """Open the engine called ``name``, or with ``auto`` the first of the ladder that runs here.

    Returns
    -------
    tuple
        The engine, and one line that says which it is and why those above it were passed over.

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
    for candidate in LADDER if name == AUTO else (name,):
        try:
            engine = _open(candidate, checkpoint)
        except EngineUnavailable as error:
            passed[candidate] = str(error)
            continue
        chosen = f"engine {candidate}: {engine.describe()}"
        return engine, f"{chosen}; passed over {_reasons(passed)}" if passed else chosen
    raise EngineUnavailable(f"engine not available here: {_reasons(passed)}; available: {_available(passed)}")


def _open(name: str, checkpoint: Checkpoint) -> Engine:
    rung = next((rung for rung in RUNGS if rung.name == name), None)
    obstacle = "not part of this version" if rung is None else rung.obstacle()
    if rung is None or obstacle:
        raise EngineUnavailable(obstacle)
    try:
        return rung.opener(checkpoint)
    except ImportError as error:
        raise EngineUnavailable(f"cannot be imported: {error}") from error


def _reasons(passed: dict[str, str]) -> str:
    """Names grouped by the reason against them."""
    grouped: dict[str, list[str]] = {}
    for name, reason in passed.items():
        grouped.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in grouped.items())


def _available(failed: Iterable[str]) -> str:
    names = [rung.name for rung in RUNGS if rung.name not in failed and rung.obstacle() is None]
    return ", ".join(names) or "none"
