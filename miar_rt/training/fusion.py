"""Training any fusion network, MIAR or a peer, on samples that lie in memory: same batches, same absences."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from miar_rt.alignment import AlignmentLoss
from miar_rt.input_spec import FileShapes
from miar_rt.network import Miar, MiarConfig, Outputs
from miar_rt.signals import MODALITIES, Array, Modality
from miar_rt.training.batches import Windows, channel_statistics
from miar_rt.training.pairing import ALL, PAIRS, SINGLES
from miar_rt.training.peer import PeerOutputs
from miar_rt.training.peers import LateFusion, make_peer
from miar_rt.window import ModelInput, Statistics, normalise

Integers = NDArray[np.int64]

PATTERNS = np.array([ALL, *PAIRS, *SINGLES], np.float32)
"""All that is present, then the pairs, then the single ones."""

SCORED_AT_ONCE = 128


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Samples of all three modalities, ready for a network.

    Attributes
    ----------
    inputs
        The network's named inputs but for ``presence``, float32 with the samples first.
    presence
        float32 ``[n, 3]``.
    labels
        Classes int64 ``[n]``, where that is what is asked.
    ratings
        Sentiments float32 ``[n]``, where that is what is asked.
    """

    inputs: dict[str, Tensor]
    presence: Tensor
    labels: Tensor | None = None
    ratings: Tensor | None = None

    def __len__(self) -> int:
        return len(self.presence)

    def take(self, numbers: Integers | Tensor) -> Samples:
        """Some of the samples, by number."""
        at = torch.as_tensor(numbers)
        return Samples(
            {name: value[at] for name, value in self.inputs.items()},
            self.presence[at],
            None if self.labels is None else self.labels[at],
            None if self.ratings is None else self.ratings[at],
        )

    def only(self, *names: Modality) -> Samples:
        """The same with the other modalities absent."""
        kept = torch.tensor([float(name in names) for name in MODALITIES])
        return replace(self, presence=self.presence * kept)


def statistics_of(windows: dict[Modality, Windows], rows: Integers | None = None) -> Statistics:
    """Location and scale of the channels over some rows, all by default."""
    some = slice(None) if rows is None else rows
    return {name: channel_statistics(Windows(w.values[some], w.mask[some])) for name, w in windows.items()}


def shapes_of(windows: dict[Modality, Windows], classes: tuple[str, ...]) -> FileShapes:
    """Widths and steps of windows ``[n, steps, channels]``."""
    widths = {name: windows[name].values.shape[2] for name in MODALITIES}
    return FileShapes(widths, {name: windows[name].values.shape[1] for name in MODALITIES}, classes)


def as_samples(
    windows: dict[Modality, Windows],
    statistics: Statistics,
    labels: Integers | None = None,
    ratings: Array | None = None,
) -> Samples:
    """Normalise windows with NaN as the live path does; what no number stands for is 0, the training mean."""
    values = {name: w.values for name, w in windows.items()}
    masks = {name: w.mask for name, w in windows.items()}
    presence = np.stack([masks[name].any(axis=1) for name in MODALITIES], axis=1)
    count = len(presence)
    raw = ModelInput(values, masks, np.zeros((count, 4), np.float32), presence, np.zeros((count, 3), np.bool_))
    ready = normalise(raw, statistics)
    inputs: dict[str, Tensor] = {name: torch.from_numpy(ready.values[name]) for name in MODALITIES}
    inputs |= {f"{name}_mask": torch.from_numpy(masks[name].astype(np.float32)) for name in MODALITIES}
    inputs |= {"groups": torch.zeros(count, 4), "baseline": torch.zeros(count, 3)}
    return Samples(
        inputs,
        torch.from_numpy(presence.astype(np.float32)),
        None if labels is None else torch.from_numpy(labels),
        None if ratings is None else torch.from_numpy(ratings),
    )


@dataclass(frozen=True)
class Plan:
    """How a network is trained; the same for all that are compared.

    Attributes
    ----------
    epochs, patience
        At most, and how many without a better validation score.
    batch, learning_rate, weight_decay
        Of AdamW; the rate falls as a cosine over the epochs.
    average
        Decay of the running mean of the weights, which is what is validated and kept.
    smoothing
        Of labels.
    alignment, unimodal
        Weights of MIAR's two extra losses.
    normalise_alignment
        Whether InfoNCE sees batch-normalised tokens.
    missing
        Whether modalities go missing in training and validation.
    """

    epochs: int = 30
    patience: int = 6
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    average: float = 0.99
    smoothing: float = 0.05
    alignment: float = 0.1
    unimodal: float = 0.05
    normalise_alignment: bool = True
    missing: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A trained network, its validation score (larger is better) and the epoch it is of, counted from 1."""

    network: nn.Module
    score: float
    epoch: int


def make_network(name: str, config: MiarConfig, shapes: FileShapes) -> nn.Module:
    """MIAR or a peer by name."""
    return Miar(config, shapes) if name == "miar" else make_peer(name, config, shapes)


def fit_network(
    make: Callable[[], nn.Module],
    train: Samples,
    valid: Samples,
    plan: Plan,
    seed: int,
    said: Callable[[int, float], Any] = lambda epoch, score: None,  # noqa: ARG005
) -> Fitted:
    """Train a network, and keep it as it was in the epoch that validated best.

    Parameters
    ----------
    make
        Makes it with random weights; called after seeding.
    train, valid
        Samples of different people or videos.
    plan, seed
        How.
    said
        Told every epoch, counted from 1, and its validation score.
    """
    torch.manual_seed(seed)
    network = make()
    losses = _Losses(network, plan)
    course = _Course(network, losses, len(train), plan)
    best = Fitted(deepcopy(network).eval(), -np.inf, 0)
    for epoch in range(1, plan.epochs + 1):
        network.train()
        for numbers in _batches(len(train), plan.batch):
            course.step(losses(network, train.take(numbers)))
        score = validate(course.mean, valid, plan)
        said(epoch, score)
        if score > best.score:
            best = Fitted(deepcopy(course.mean), score, epoch)
        if epoch - best.epoch >= plan.patience:
            break
    if isinstance(best.network, LateFusion):
        best.network.calibrate(valid.inputs, valid.labels, valid.ratings)
    return best


def _batches(count: int, size: int) -> list[Tensor]:
    """Random batches; a last one of a single sample, of which there are no statistics, is left out."""
    return [part for part in torch.split(torch.randperm(count), size) if len(part) > 1 or count == 1]


class _Course:
    """The optimiser, its rate and the running mean of the weights."""

    def __init__(self, network: nn.Module, losses: _Losses, count: int, plan: Plan) -> None:
        self._network = network
        self.mean = deepcopy(network).eval()
        weights = [*network.parameters(), *losses.alignment.parameters()]
        groups = [
            {"params": [w for w in weights if w.ndim >= 2], "weight_decay": plan.weight_decay},
            {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=plan.learning_rate)
        steps = plan.epochs * -(-count // plan.batch)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimiser, steps)
        self._average, self._taken = plan.average, 0

    def step(self, loss: Tensor) -> None:
        """One step down, and the mean after it."""
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()
        self._schedule.step()
        self._taken += 1
        keep = min(self._average, (1.0 + self._taken) / (10.0 + self._taken))
        with torch.no_grad():
            for mean, weight in zip(self.mean.parameters(), self._network.parameters(), strict=True):
                mean.lerp_(weight, 1.0 - keep)


class _Losses:
    """What a batch costs."""

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        width = network.config.width if isinstance(network, Miar) else 1
        self.alignment = AlignmentLoss(width, plan.normalise_alignment)
        self._plan = plan

    def __call__(self, network: nn.Module, batch: Samples) -> Tensor:
        presence = self._presence(network, batch)
        out = network(**batch.inputs, presence=presence)
        loss = self._task(out.logits, out.sentiment, batch)
        return loss + (self._own(out, batch) if isinstance(out, Outputs) else out.extra)

    def _presence(self, network: nn.Module, batch: Samples) -> Tensor:
        """``[B, P, 3]``: all that is there and, when asked for, a random part of it."""
        if isinstance(network, LateFusion):
            return torch.eye(3).expand(len(batch), -1, -1) * batch.presence.unsqueeze(1)
        whole = batch.presence.unsqueeze(1)
        if not self._plan.missing:
            return whole
        part = whole * torch.from_numpy(PATTERNS)[torch.randint(len(PATTERNS), (len(batch), 1))]
        part = torch.where(part.sum(-1, keepdim=True) > 0.0, part, whole)
        return torch.cat([whole, part], dim=1)

    def _task(self, logits: Tensor, sentiment: Tensor, batch: Samples) -> Tensor:
        loss = logits.new_zeros(())
        if batch.labels is not None:
            labels = batch.labels.unsqueeze(1).expand(-1, logits.shape[1])
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), label_smoothing=self._plan.smoothing
            )
        if batch.ratings is not None:
            loss = loss + (sentiment - batch.ratings.unsqueeze(1)).abs().mean()
        return loss

    def _own(self, out: Outputs, batch: Samples) -> Tensor:
        """MIAR's alignment and its unimodal heads, on the modalities that are there."""
        loss: Tensor = self._plan.alignment * self.alignment(out.unimodal, batch.presence)
        alone = self._task(out.unimodal_logits, out.unimodal_sentiment, batch)
        return loss + self._plan.unimodal * alone


def answer(network: nn.Module, samples: Samples, patterns: Array = PATTERNS) -> tuple[Array, Array]:
    """Logits ``[n, P, classes]`` and sentiments ``[n, P]`` under availability ``patterns [P, 3]``."""
    network.eval()
    parts = []
    wanted = torch.from_numpy(patterns)
    with torch.inference_mode():
        for numbers in torch.split(torch.arange(len(samples)), SCORED_AT_ONCE):
            some = samples.take(numbers)
            out: Outputs | PeerOutputs = network(**some.inputs, presence=some.presence.unsqueeze(1) * wanted)
            parts.append((out.logits.numpy(), out.sentiment.numpy()))
    logits, sentiment = zip(*parts, strict=True)
    return np.concatenate(logits), np.concatenate(sentiment)


def validate(network: nn.Module, valid: Samples, plan: Plan) -> float:
    """Accuracy less MAE; where modalities may go missing, half of it over the patterns in which some are."""
    patterns = PATTERNS if plan.missing else PATTERNS[:1]
    logits, sentiment = answer(network, valid, patterns)
    score = np.zeros(len(patterns))
    if valid.labels is not None:
        score += (logits.argmax(axis=2) == valid.labels.numpy()[:, None]).mean(axis=0)
    if valid.ratings is not None:
        score -= np.abs(sentiment - valid.ratings.numpy()[:, None]).mean(axis=0)
    return float(score[0] if len(score) == 1 else 0.5 * (score[0] + score[1:].mean()))
