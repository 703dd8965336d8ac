"""Teaching MiniLM what feelings are like in words, by low-rank adapters, before the fusion network reads it.

One pooled answer an utterance trains them: its emotion where a corpus has one, its sentiment where it is rated on
the CMU scale. Pooled is what the utterance itself says; words of the one before it, which live windows still hold,
are read and not answered for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from rich.progress import track as bar
from torch import Tensor, nn

from miar_rt.features.text import EXTRACTOR, WORD_TABLE, mapped, pieces, published
from miar_rt.input_spec import TOKEN_WIDTH
from miar_rt.network import MASKED
from miar_rt.signals import EMOTIONS, Array
from miar_rt.training.cache import FeatureCache, digest
from miar_rt.training.corpora import Utterance
from miar_rt.training.minilm import MiniLm, adapt, adapter_state
from miar_rt.training.recipe import Recipe
from miar_rt.training.simulate import Hypothesis

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH, SORTED_BATCHES = 32, 50
DROPOUT, HEAD_DROPOUT, HEAD_RATE, WARMUP, SMOOTHING = 0.1, 0.2, 1e-3, 100, 0.05
UNLABELLED = -1
REVISION = 1
"""Raised with every change of what is learned here."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A corpus to learn from: ``heard[variant][utterance]``, each utterance taken ``times`` an epoch."""

    utterances: Sequence[Utterance]
    heard: Sequence[Sequence[Hypothesis]]
    times: int = 1


class Lesson(NamedTuple):
    """Word pieces with special ones around; pooled are those from ``start`` to the last but one."""

    ids: list[int]
    start: int
    label: int
    sentiment: float


class PooledHeads(nn.Module):
    """Emotion and sentiment from the mean of some tokens: the adapters are trained through them, nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.LayerNorm(TOKEN_WIDTH), nn.Dropout(HEAD_DROPOUT))
        self.emotion = nn.Linear(TOKEN_WIDTH, len(EMOTIONS))
        self.sentiment = nn.Linear(TOKEN_WIDTH, 1)

    def forward(self, tokens: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[B, 7]`` and sentiments ``[B]`` of ``tokens [B, T, 384]`` where ``pooled [B, T]`` is 1."""
        weight = pooled / pooled.sum(dim=1, keepdim=True).clamp(min=1.0)
        mean = self.before((tokens * weight.unsqueeze(-1)).sum(dim=1))
        return self.emotion(mean), self.sentiment(mean).squeeze(-1)


def text_adapter(
    readings: Sequence[Reading], recipe: Recipe, cache: FeatureCache, *, progress: bool = False
) -> dict[str, Array]:
    """Train the adapters of a recipe, or take them from the cache when the same ones were trained before.

    Parameters
    ----------
    readings
        What to learn from.
    recipe
        Says how large the adapters are and how long they are trained.
    cache
        Keeps them.
    progress
        Whether to show a progress bar.

    Returns
    -------
    dict
        What ``features.text.TextEncoder`` takes as ``adapters``.

    Raises
    ------
    TextEncoderUnavailable
        When the published MiniLM cannot be had.
    """
    texts = [[u.text, u.label, u.sentiment, reading.times] for reading in readings for u in reading.utterances]
    key = {
        "texts": digest(repr(texts).encode()), "variants": [len(reading.heard) for reading in readings],
        "rank": recipe.adapter_rank, "epochs": recipe.adapter_epochs, "rate": recipe.adapter_rate,
        "encoder": EXTRACTOR, "revision": REVISION,
    }  # fmt: skip
    return cache.shard("text_adapter", key, lambda: Lessons(readings, recipe).learn(progress))


class Lessons:
    """One training of the adapters; see ``text_adapter``."""

    def __init__(self, readings: Sequence[Reading], recipe: Recipe) -> None:
        torch.manual_seed(0)
        self._random = np.random.default_rng(0)
        self._readings, self._recipe = readings, recipe
        self._tokenizer, weights_file = published()
        weights = {name: torch.from_numpy(np.array(array)) for name, array in mapped(weights_file).items()}
        self._table = weights[WORD_TABLE]
        self._network = MiniLm()
        self._network.load_state_dict({name: weights[name] for name in self._network.state_dict()})
        self._adapters = adapt(self._network, recipe.adapter_rank, DROPOUT)
        self._heads = PooledHeads()
        groups = [list(self._adapters_parameters()), list(self._heads.parameters())]
        rates = (recipe.adapter_rate, HEAD_RATE)
        self._optimizer = torch.optim.AdamW(
            [{"params": params, "lr": rate} for params, rate in zip(groups, rates, strict=True)], weight_decay=0.01
        )
        self._everything = [p for params in groups for p in params]

    def learn(self, progress: bool, steps: int | None = None) -> dict[str, Array]:
        """Train for all epochs of the recipe, or for some ``steps``; the adapters."""
        epoch = sum(len(r.utterances) * r.times for r in self._readings)
        steps = steps or round(self._recipe.adapter_epochs * math.ceil(epoch / BATCH))
        course = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda step: _course(step, steps))
        batches = self._batches()
        for _ in bar(range(steps), description="text adapter", disable=not progress):
            loss = self._loss(next(batches))
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._everything, 1.0)
            self._optimizer.step()
            course.step()
        return {name: tensor.numpy() for name, tensor in adapter_state(self._adapters).items()}

    def _adapters_parameters(self) -> Iterator[nn.Parameter]:
        return (p for adapter in self._adapters.values() for p in (adapter.down, adapter.up))

    def _batches(self) -> Iterator[list[Lesson]]:
        """Batches without end, of texts of like length, because padding costs as much as words."""
        epoch = [(r, i) for r in self._readings for i in range(len(r.utterances)) for _ in range(r.times)]
        many = BATCH * SORTED_BATCHES
        while True:
            order = self._random.permutation(len(epoch))
            for start in range(0, len(epoch), many):
                chosen = sorted(
                    (self._lesson(*epoch[i]) for i in order[start : start + many]),
                    key=lambda lesson: len(lesson.ids),
                )
                batches = [chosen[first : first + BATCH] for first in range(0, len(chosen), BATCH)]
                for number in self._random.permutation(len(batches)):
                    yield batches[number]

    def _lesson(self, reading: Reading, number: int) -> Lesson:
        heard = reading.heard[int(self._random.integers(len(reading.heard)))][number]
        return lesson(self._tokenizer, heard, reading.utterances[number])

    def _loss(self, batch: Sequence[Lesson]) -> Tensor:
        ids, there, pooled = padded(batch)
        tokens = self._network(self._table[ids], ((1.0 - there) * MASKED)[:, None, None])
        logits, sentiment = self._heads(tokens, pooled)
        label, truth = (torch.tensor(column) for column in list(zip(*batch, strict=True))[2:])
        labelled = label != UNLABELLED
        entropy: Tensor = nn.functional.cross_entropy(
            logits, label, ignore_index=UNLABELLED, label_smoothing=SMOOTHING, reduction="sum"
        )
        error: Tensor = (sentiment - truth)[~labelled].abs().sum()
        return (entropy + error) / len(batch)


def _course(step: int, steps: int) -> float:
    return min((step + 1) / WARMUP, 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0))))


def lesson(tokenizer: Tokenizer, heard: Hypothesis, truth: Utterance) -> Lesson:
    """A hypothesis as word pieces, with what is known about its utterance."""
    ids, owners = pieces(tokenizer, [word.text for word in heard.words])
    before = sum(1 for owner in owners if owner is not None and owner < heard.earlier)
    start = min(1 + before, max(len(ids) - 2, 1))
    label = UNLABELLED if truth.label is None else truth.label
    return Lesson(ids, start, label, truth.sentiment or 0.0)


def padded(batch: Sequence[Lesson]) -> tuple[Tensor, Tensor, Tensor]:
    """Word pieces int64 ``[B, T]``, and float32 masks ``[B, T]`` of those that are there and of those pooled."""
    ids = torch.zeros(len(batch), max(len(one.ids) for one in batch), dtype=torch.long)
    there, pooled = torch.zeros(ids.shape), torch.zeros(ids.shape)
    for row, one in enumerate(batch):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        there[row, : len(one.ids)] = 1.0
        pooled[row, one.start : len(one.ids) - 1] = 1.0
    return ids, there, pooled
