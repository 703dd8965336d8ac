"""What runs the network: one file an engine, all behind one contract; ``choose`` walks the ladder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from miar_rt.signals import Array


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Answers for B windows under P availability patterns, before calibration.

    Attributes
    ----------
    logits
        ``[B, P, 7]`` in the order of ``InputSpec.classes``.
    sentiment, spread
        ``[B, P]``: location on -3..3 and scale.
    gate
        ``[B, P, 4]``: weights of the text, audio, vision and fused tokens.
    """

    logits: Array
    sentiment: Array
    spread: Array
    gate: Array


class Engine(Protocol):
    """Runs one network; not shared between threads.

    Attributes
    ----------
    name
        As ``--engine`` takes it.
    precision
        ``float32``, or ``float16`` where most of the network computes in half precision.
    """

    name: str
    precision: str

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        ...

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        """Score ``batch``, as ``window.as_batch`` gives it, under patterns ``presence`` float32 ``[B, P, 3]``.

        Raises
        ------
        EngineFailed
            When what it runs on gave out: another engine may go on.
        """
        ...

    def close(self) -> None:
        """Give back memory and devices; the engine cannot be used afterwards."""
        ...


class EngineUnavailable(RuntimeError):  # noqa: N818 - what is the matter, in one word
    """An engine that cannot run here; one line says why."""


class EngineFailed(RuntimeError):  # noqa: N818 - it names what happened
    """What an engine runs on gave out, such as a GPU that is gone or has no memory left; one line says how."""


def one_line(error: BaseException) -> str:
    """What an error says, in one line of bearable length."""
    return " ".join(str(error).split())[:200] or type(error).__name__
