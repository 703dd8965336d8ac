"""Whether an engine gives the answers of the float64 network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from calibration.temperature import softmax
from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import Engine, Scores
from miar_rt.input_spec import SPEC, InputSpec
from miar_rt.signals import MODALITIES, Array
from miar_rt.window import CLIP

PATTERNS: Array = np.array([p for p in product((1.0, 0.0), repeat=len(MODALITIES)) if any(p)], np.float32)
"""float32 ``[7, 3]``: every pattern of presence."""

LIMITS = {"float32": 1e-5, "float16": 5e-3}
"""How far an engine of that precision may be off."""

MARGIN = 0.02
"""Where the best class leads by more, another label is wrong."""

SIZES = (1, 4, 16, 64)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far answers are off: the largest difference of ``difference``, and how many labels are other ones."""

    difference: float
    other_labels: int

    def within(self, precision: str) -> bool:
        """Whether that is what this precision allows."""
        return self.difference <= LIMITS[precision] and not self.other_labels


def compare(scores: Scores, truth: Scores) -> Parity:
    """Hold answers against the true ones."""
    found, right = _probabilities(scores), _probabilities(truth)
    ranked = np.sort(right, axis=-1)
    clear = ranked[..., -1] - ranked[..., -2] > MARGIN
    other = (found.argmax(axis=-1) != right.argmax(axis=-1)) & clear
    return Parity(difference(scores, truth), int(other.sum()))


def _probabilities(scores: Scores) -> NDArray[np.float64]:
    return softmax(scores.logits.astype(np.float64))


def difference(scores: Scores, truth: Scores) -> float:
    """Largest difference of probabilities, gates, and of sentiment and spread in units of the scale's length."""
    probabilities = np.abs(_probabilities(scores) - _probabilities(truth)).max()
    scale = [
        np.abs(a - b).max() / 6.0 for a, b in ((scores.sentiment, truth.sentiment), (scores.spread, truth.spread))
    ]
    return float(max(probabilities, np.abs(scores.gate - truth.gate).max(), *scale))


def random_batch(windows: int, seed: int = 0, spec: InputSpec = SPEC) -> dict[str, Array]:
    """Normalised windows full of noise, with rows missing here and there."""
    generator = np.random.default_rng(seed)
    batch: dict[str, Array] = {}
    for name in MODALITIES:
        steps, width = spec.steps[name], spec.widths[name]
        mask = (generator.random((windows, steps)) < 0.8).astype(np.float32)
        mask[:, -1] = 1.0
        noise = np.clip(generator.normal(size=(windows, steps, width)), -CLIP, CLIP).astype(np.float32)
        batch[name], batch[f"{name}_mask"] = noise * mask[..., None], mask
    batch["groups"] = (generator.random((windows, len(spec.vision_groups))) < 0.7).astype(np.float32)
    batch["baseline"] = (generator.random((windows, 3)) < 0.5).astype(np.float32)
    return batch


def everywhere(windows: int, patterns: Array = PATTERNS) -> Array:
    """``patterns`` for every window, ``[windows, patterns, 3]``."""
    return np.tile(patterns, (windows, 1, 1))


def check(engine: Engine, checkpoint: Checkpoint, sizes: Sequence[int] = SIZES) -> Mapping[int, Parity]:
    """Hold an engine against the float64 network on noise under all patterns, by number of windows.

    Raises
    ------
    EngineFailed
        As the engine does.
    """
    import torch

    from miar_rt.engines.torch_engine import TorchEngine

    truth, found = TorchEngine(checkpoint, dtype=torch.float64), {}
    for windows in sizes:
        batch, presence = random_batch(windows, seed=windows, spec=checkpoint.spec), everywhere(windows)
        found[windows] = compare(engine.score(batch, presence), truth.score(batch, presence))
    return found
