"""Which voice, face and text make one training sample.

No corpus here holds all three of one person, so samples are put together: matched by label, matched by
sentiment, and deliberately in conflict. Matched ones are independent given the label, which real people are
not; what fusion learns from them is to weigh evidence, and conflicts keep it from being too sure. Some modalities
go astray: they are of another sample while the answer stays, as when somebody says in a flat voice what moves them.
What a modality can say is bounded by how often it does (a mixture likelihood, as in robust regression).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import EMOTIONS

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Random = np.random.Generator

CLASSES = len(EMOTIONS)
VALENCE = np.array([0.0, 1.5, -1.3, -1.5, 0.2, -1.7, -1.2], np.float32)
"""Sentiment lent to voices and faces, by emotion, where no corpus rates them: a sign and a rough size."""

OLD_SHARE, OLDEST_WORDS, FRESH_SECONDS, AGEING = 0.25, 13.0, 2.0, 0.05
"""Share of windows with old words and the age of the oldest, in seconds; from when on words go astray, and how much
more likely with every second."""
ASTRAY_WEIGHT = 1e-3
"""What a modality that went astray counts beside one that did not."""

SINGLES: tuple[tuple[int, int, int], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
PAIRS: tuple[tuple[int, int, int], ...] = ((1, 1, 0), (1, 0, 1), (0, 1, 1))
ALL: tuple[int, int, int] = (1, 1, 1)


class ByLabel:
    """Samples of a corpus by class, to draw one of a wanted class."""

    def __init__(self, labels: Integers) -> None:
        self.labels = labels
        self._members = [np.flatnonzero(labels == label) for label in range(CLASSES)]
        self.prior = np.array([len(m) for m in self._members], np.float64) / max(len(labels), 1)

    def draw(self, wanted: Integers, random: Random) -> Integers:
        """One sample of each ``wanted`` class, or of any class where a corpus lacks it."""
        everyone = np.arange(len(self.labels))
        pools = (self._members[label] if len(self._members[label]) else everyone for label in wanted)
        return np.array([pool[random.integers(len(pool))] for pool in pools], np.int64)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of a batch; the rest of it is matched by label.

    Attributes
    ----------
    sentiment, conflict
        Matched by sentiment; deliberately in conflict.
    takes
        Whose face is that of the very take that the voice is of, where there is one.
    astray
        Whose text, voice or face has gone astray; texts more often as they get older.
    """

    sentiment: float = 0.3
    conflict: float = 0.12
    takes: float = 0.0
    astray: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One batch by index, with what is known about each modality of each sample.

    Attributes
    ----------
    text, audio, vision
        int64 ``[B]``: which text, voice and face.
    emotion
        float32 ``[B, 3, classes]``: label of each modality as a distribution, zeros where it has none.
    sentiment, trust
        float32 ``[B, 3]``: sentiment of each modality and how far to trust it.
    agreeing
        bool ``[B, 3]``: the modality belongs together with the others.
    astray
        bool ``[B, 3]``: the modality says nothing about the sample.
    taken
        bool ``[B]``: the face is that of the voice's take, and not of ``vision``.
    delay
        float64 ``[B]``: seconds since the last word.
    """

    text: Integers
    audio: Integers
    vision: Integers
    emotion: Floats
    sentiment: Floats
    trust: Floats
    agreeing: Flags
    astray: Flags
    taken: Flags
    delay: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Corpora:
    """Labels of everything there is to pair; texts with an emotion come before those with only a sentiment.

    ``text_sentiment`` holds the sentiment of every text, ``rated`` the numbers of those rated on the CMU scale,
    corpus by corpus, and ``rated_shares`` how often each of these is drawn from. ``taken`` says which voices have
    the face of their take.
    """

    text: ByLabel
    audio: ByLabel
    vision: ByLabel
    text_sentiment: Floats
    rated: Sequence[Integers]
    rated_shares: Sequence[float]
    taken: Flags | None = None
    lent_trust: float = 0.15

    @property
    def mixed_prior(self) -> NDArray[np.float64]:
        """Mean class shares of the three corpora: what matched samples are drawn from."""
        prior = (self.text.prior + self.audio.prior + self.vision.prior) / 3.0
        return np.asarray(prior / prior.sum())


def draw_batch(corpora: Corpora, size: int, mixture: Mixture, random: Random) -> Draw:
    """Put together ``size`` samples."""
    labels = random.choice(CLASSES, size=(size, 3), p=corpora.mixed_prior)
    kind, delay = random.random(size), draw_delays(size, random)
    conflicting = kind < mixture.conflict
    by_sentiment = kind >= 1.0 - mixture.sentiment
    astray = draw_astray(mixture, delay, random) & ~conflicting[:, None]
    astray[by_sentiment, 0] = False
    text = np.zeros(size, np.int64)
    text[by_sentiment] = _rated_texts(corpora, int(by_sentiment.sum()), random)
    meant = labels[:, 0].copy()
    meant[by_sentiment] = _labels_of(corpora.text_sentiment[text[by_sentiment]], random)
    agreeing = ~conflicting[:, None] & ~astray
    labels = np.where(agreeing, meant[:, None], labels)
    text[~by_sentiment] = corpora.text.draw(labels[~by_sentiment, 0], random)
    audio, vision = corpora.audio.draw(labels[:, 1], random), corpora.vision.draw(labels[:, 2], random)
    taken = (random.random(size) < mixture.takes) & (corpora.taken[audio] if corpora.taken is not None else False)
    astray[taken, 2], agreeing[taken, 2] = astray[taken, 1], agreeing[taken, 1]
    faces = np.where(taken, corpora.audio.labels[audio], corpora.vision.labels[vision])
    known = np.stack(
        [corpora.text.labels[np.where(by_sentiment, 0, text)], corpora.audio.labels[audio], faces], axis=1
    )
    emotion = np.eye(CLASSES, dtype=np.float32)[known]
    emotion[by_sentiment, 0] = 0.0
    sentiment, trust = VALENCE[known], np.full((size, 3), corpora.lent_trust, np.float32)
    sentiment[:, 0] = corpora.text_sentiment[text]
    trust[by_sentiment, 0] = 1.0
    return Draw(text, audio, vision, emotion, sentiment, trust, agreeing, astray, taken, delay)


def draw_delays(size: int, random: Random) -> NDArray[np.float64]:
    """Seconds since the last word: mostly a moment, in a quarter of the windows up to the age at which words go."""
    fresh, old = random.uniform(0.0, 1.0, size) ** 2 * 6.0, random.uniform(3.0, OLDEST_WORDS, size)
    return np.asarray(np.where(random.random(size) < OLD_SHARE, old, fresh))


def draw_astray(mixture: Mixture, delay: NDArray[np.float64], random: Random) -> Flags:
    """Which modalities ``[B, 3]`` have gone astray: words that were said long ago tell little of now."""
    chances = np.tile(mixture.astray, (len(delay), 1))
    if mixture.astray[0]:
        chances[:, 0] = np.minimum(chances[:, 0] + AGEING * np.maximum(delay - FRESH_SECONDS, 0.0), 0.9)
    return np.asarray(random.random(chances.shape) < chances)


def _rated_texts(corpora: Corpora, count: int, random: Random) -> Integers:
    chosen = random.choice(len(corpora.rated), size=count, p=corpora.rated_shares)
    return np.array([random.choice(corpora.rated[i]) for i in chosen], np.int64)


def _labels_of(sentiment: Floats, random: Random) -> Integers:
    """An emotion that fits a sentiment: happiness above 0.5, an unpleasant one below -0.5, else a mild one."""
    unpleasant = np.flatnonzero(VALENCE < -0.5)
    mild = random.choice([EMOTIONS.index("neutral"), EMOTIONS.index("surprise")], size=len(sentiment), p=[0.8, 0.2])
    negative = np.where(sentiment < -0.5, random.choice(unpleasant, size=len(sentiment)), mild)
    return np.where(sentiment > 0.5, EMOTIONS.index("happiness"), negative).astype(np.int64)


def draw_patterns(random: Random) -> Floats:
    """Availability patterns ``[5, 3]`` of one step: each modality alone, one pair, and all three."""
    return np.array([*SINGLES, PAIRS[random.integers(3)], ALL], np.float32)


def emotion_targets(draw: Draw, patterns: Floats) -> tuple[Floats, Floats]:
    """Soft labels ``[B, P, classes]`` of every pattern and whether there is one ``[B, P]``.

    The mean over the labelled modalities that are present, those astray only where there is nothing else: a
    conflict is answered with both.
    """
    total = np.einsum("bmc,bm,pm->bpc", draw.emotion, _weights(draw), patterns)
    weight = total.sum(axis=2)
    return total / np.maximum(weight, 1e-6)[..., None], (weight > 0).astype(np.float32)


def sentiment_targets(draw: Draw, patterns: Floats) -> tuple[Floats, Floats]:
    """Sentiment ``[B, P]`` of every pattern, by trust, and the trust of its most trusted modality."""
    trust = draw.trust[:, None] * patterns[None]
    weight = trust * _weights(draw)[:, None]
    total = np.maximum(weight.sum(axis=2), 1e-6)
    return (weight * draw.sentiment[:, None]).sum(axis=2) / total, trust.max(axis=2)


def _weights(draw: Draw) -> Floats:
    return np.where(draw.astray, ASTRAY_WEIGHT, 1.0).astype(np.float32)


def class_weights(corpora: Corpora, patterns: Floats) -> Floats:
    """Weights ``[P, classes]`` that give a modality alone the class shares of its own corpus back.

    Without them every modality would answer with the shares of the mixture.
    """
    mixed = corpora.mixed_prior
    singles: Sequence[ByLabel] = (corpora.text, corpora.audio, corpora.vision)
    weights = np.ones((len(patterns), CLASSES))
    for row, pattern in enumerate(patterns):
        if pattern.sum() == 1.0:
            weights[row] = singles[int(pattern.argmax())].prior / np.maximum(mixed, 1e-9)
    return weights.astype(np.float32)
