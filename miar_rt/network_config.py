"""Sizes of the network, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

LARGEST = 4096


@dataclass(frozen=True)
class MiarConfig:
    """Sizes of the network and the parts an ablation can switch off."""

    width: int = 128
    heads: int = 4
    feedforward: int = 256
    text_layers: int = 1
    audio_layers: int = 2
    vision_layers: int = 1
    audio_stride: int = 2
    interaction_layers: int = 2
    dropout: float = 0.2
    instance_norm: bool = True
    interaction: bool = True
    gate: bool = True


def require_config(config: Mapping[str, Any]) -> None:
    """Look for what no network can be made from; ``ValueError`` names it."""
    usual = {field.name: field.default for field in fields(MiarConfig)}
    for name, value in config.items():
        if name not in usual:
            raise ValueError(f"config has an unknown {name!r}")
        if not _fits(value, type(usual[name])):
            raise ValueError(f"config says that {name} is {value!r}")
    made = MiarConfig(**config)
    if not (made.heads and made.width and made.audio_stride and made.width % made.heads == 0):
        raise ValueError(f"config has {made.heads} heads in a width of {made.width}, stride {made.audio_stride}")


def _fits(value: object, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is type(value)
    if kind is int:
        return isinstance(value, int) and 0 <= value <= LARGEST
    return isinstance(value, (int, float)) and 0.0 <= value < 1.0
