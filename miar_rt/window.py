"""The only builder of model inputs: live, analyze, replay and training all come through here.

Feature frames fall into steps on a fixed grid of the capture clock, so that a step's value depends on the
signal alone and never on when somebody asked. Normalisation and a person's baseline happen here too and
nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibration.baseline import Baseline
from miar_rt.input_spec import SPEC, VOICED_DESCRIPTORS, InputSpec
from miar_rt.signals import (
    MODALITIES,
    RECOGNISER_KINDS,
    Array,
    EncodedText,
    FeatureFrame,
    Modality,
    RecogniserKind,
    Word,
)

Mask = NDArray[np.bool_]
Owned: TypeAlias = Callable[[NDArray[np.float64]], Mask]
CLIP = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """Location and scale of a modality's channels over training data, float32 ``[channels]`` each."""

    location: Array
    scale: Array


Statistics = Mapping[Modality, ChannelStatistics]
Baselines = Sequence[Baseline | None]


@dataclass(frozen=True, slots=True, eq=False)
class ModelInput:
    """One window, normalised and finite, or raw with NaN where a channel had nothing to say.

    Attributes
    ----------
    values
        float32 ``[steps, channels]`` for each modality.
    masks
        bool ``[steps]`` for each modality: which rows hold anything.
    groups
        float32 ``[4]``: which face channel groups (mesh, pose, units, appearance) hold anything.
    presence, baseline
        bool ``[3]`` in the order of ``MODALITIES``: modality usable; personal baseline applied to it.
    """

    values: dict[Modality, Array]
    masks: dict[Modality, Mask]
    groups: Array
    presence: Mask
    baseline: Mask


class _Grid:
    """Means of frames by time step, in a ring as long as the window."""

    def __init__(self, rate: int, steps: int, width: int) -> None:
        self._rate = rate
        self._steps = steps
        self._index = np.full(steps, -1, dtype=np.int64)
        self._sum = np.zeros((steps, width), dtype=np.float32)
        self._count = np.zeros((steps, width), dtype=np.float32)

    def add(self, t: float, values: Array) -> None:
        step = math.floor(t * self._rate)
        slot = step % self._steps
        if self._index[slot] > step:
            return
        if self._index[slot] != step:
            self._index[slot] = step
            self._sum[slot] = 0.0
            self._count[slot] = 0.0
        finite = np.isfinite(values)
        self._sum[slot] += np.where(finite, values, np.float32(0.0))
        self._count[slot] += finite

    def read(self, t: float) -> tuple[Array, Mask]:
        """Steps up to and with the one that holds ``t``: values with NaN for nothing, and which rows hold any."""
        last = math.floor(t * self._rate)
        steps = np.arange(last - self._steps + 1, last + 1)
        slots = steps % self._steps
        here = self._index[slots] == steps
        count = np.where(here[:, None], self._count[slots], np.float32(0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = self._sum[slots] / count
        values[count == 0.0] = np.nan
        return values, np.asarray(count.any(axis=1))


class WindowBuilder:
    """Rolling windows of all three modalities; pure: it knows no thread, device or clock.

    Attributes
    ----------
    baseline
        Of the person in the window, by modality; nothing for a person who is not known.
    running
        What has been learned of them meanwhile, where ``baseline`` has nothing.
    ignored
        Modalities that neither is applied to.
    """

    def __init__(
        self,
        spec: InputSpec = SPEC,
        baseline: Mapping[Modality, Baseline] | None = None,
        ignored: Collection[str] = (),
    ) -> None:
        self.spec = spec
        self.baseline = baseline or {}
        self.ignored = ignored
        self.running: Mapping[Modality, Baseline] = {}
        widths = spec.widths
        self._acoustic = _Grid(spec.audio_rate, spec.audio_steps, widths["audio"] - 1)
        self._voice = _Grid(spec.audio_rate, spec.audio_steps, 1)
        self._face = _Grid(spec.vision_rate, spec.vision_steps, widths["vision"])
        self._words: tuple[Word, ...] = ()
        self._encoded: EncodedText | None = None
        self._kind: RecogniserKind = "written"

    def push(self, frame: FeatureFrame) -> None:
        """Take one feature frame; frames of one kind come in order of time."""
        if not frame.valid:
            return
        if frame.kind == "acoustic":
            self._acoustic.add(frame.t, _with_voicing(frame.values))
        elif frame.kind == "voice":
            self._voice.add(frame.t, frame.values)
        else:
            self._face.add(frame.t, frame.values)

    def set_words(self, words: Sequence[Word], encoded: EncodedText, kind: RecogniserKind) -> None:
        """Replace the words by ``words``, whose token embeddings are ``encoded``."""
        self._words, self._encoded, self._kind = tuple(words), encoded, kind

    def raw(self, t: float) -> ModelInput:
        """The window that ends at ``t`` in the extractors' own units, NaN where a channel has nothing."""
        audio, audio_mask = self.sound(t)
        vision, vision_mask = self._face.read(t)
        text, text_mask = self.text(t)
        values: dict[Modality, Array] = {"text": text, "audio": audio, "vision": vision}
        masks: dict[Modality, Mask] = {"text": text_mask, "audio": audio_mask, "vision": vision_mask}
        presence = np.array([masks[name].any() for name in MODALITIES])
        groups = [np.isfinite(vision[:, columns]).any() for columns in self.spec.vision_groups.values()]
        return ModelInput(values, masks, np.array(groups, np.float32), presence, np.zeros(3, np.bool_))

    def build(self, t: float, statistics: Statistics, present: Mapping[Modality, bool]) -> ModelInput:
        """The normalised window that ends at ``t``; modalities not ``present`` are masked out."""
        return normalise(personalise(restrict(self.raw(t), present), self.applied), statistics)

    @property
    def applied(self) -> Mapping[Modality, Baseline]:
        """The baselines in use, by modality."""
        return {name: one for name, one in {**self.running, **self.baseline}.items() if name not in self.ignored}

    def sound(self, t: float) -> tuple[Array, Mask]:
        """Of ``raw``: the rows of the voice, and which of them hold anything."""
        acoustic, mask = self._acoustic.read(t)
        voice, _ = self._voice.read(t)
        return np.concatenate([acoustic, voice], axis=1), mask

    def text(self, t: float) -> tuple[Array, Mask]:
        """Of ``raw``: the rows of the words, the newest last, and which of them hold anything."""
        spec = self.spec
        values = np.full((spec.text_tokens, spec.widths["text"]), np.nan, dtype=np.float32)
        mask = np.zeros(spec.text_tokens, dtype=np.bool_)
        if self._encoded is None or not self._words:
            return values, mask
        rows = _word_rows(self._words, self._kind, t, spec)
        recent = np.flatnonzero(rows[self._encoded.word_index, 0] <= 1.0)[-spec.text_tokens :]
        if len(recent):
            values[-len(recent) :, : spec.token_width] = self._encoded.tokens[recent]
            values[-len(recent) :, spec.token_width :] = rows[self._encoded.word_index[recent]]
            mask[-len(recent) :] = True
        return values, mask


class FaceWindow(WindowBuilder):
    """The window of one of several faces: its own pictures, and what is its of the sound and the words of all.

    Parameters
    ----------
    shared
        Takes the sound and the words.
    owned
        Tells of capture times float64 ``[n]`` whether it was this face that spoke then, bool ``[n]``.
    """

    def __init__(self, shared: WindowBuilder, owned: Owned) -> None:
        super().__init__(shared.spec, ignored=shared.ignored)
        self._shared = shared
        self._owned = owned

    def sound(self, t: float) -> tuple[Array, Mask]:
        """As ``WindowBuilder``."""
        values, mask = self._shared.sound(t)
        last = math.floor(t * self.spec.audio_rate)
        mine = self._owned((last - np.arange(len(mask))[::-1]) / self.spec.audio_rate)
        values[~mine] = np.nan
        return values, mask & mine

    def text(self, t: float) -> tuple[Array, Mask]:
        """As ``WindowBuilder``."""
        values, mask = self._shared.text(t)
        spoken = t - values[:, self.spec.token_width].astype(np.float64) * self.spec.text_seconds
        kept = values[mask & self._owned(np.where(mask, spoken, t))]
        values[:], mask[:] = np.nan, False
        if len(kept):
            # the newest come last, as where nobody else spoke
            values[-len(kept) :], mask[-len(kept) :] = kept, True
        return values, mask


def _with_voicing(acoustics: Array) -> Array:
    """Acoustics ``[51]`` with the voiced flag after them; pitch-bound ones are NaN where unvoiced."""
    row = np.empty(len(acoustics) + 1, dtype=np.float32)
    row[:-1] = acoustics
    voiced = acoustics[VOICED_DESCRIPTORS.start] > 0.0
    row[-1] = voiced
    if not voiced:
        row[VOICED_DESCRIPTORS] = np.nan
    return row


def _word_rows(words: Sequence[Word], kind: RecogniserKind, t: float, spec: InputSpec) -> Array:
    """Age (1 = as old as the window), partial flag, confidence and recogniser of each word, ``[words, 6]``."""
    one_hot = [float(kind == name) for name in RECOGNISER_KINDS]
    rows = [[max(t - w.t1, 0.0) / spec.text_seconds, float(not w.final), w.confidence, *one_hot] for w in words]
    return np.array(rows, dtype=np.float32)


def restrict(window: ModelInput, present: Mapping[Modality, bool]) -> ModelInput:
    """The window with every modality that is not ``present`` taken out."""
    presence = np.array([bool(present[name]) for name in MODALITIES]) & window.presence
    masks = {name: window.masks[name] & presence[i] for i, name in enumerate(MODALITIES)}
    groups = window.groups if presence[2] else np.zeros_like(window.groups)
    return ModelInput(window.values, masks, groups, presence, window.baseline & presence)


def personalise(window: ModelInput, baseline: Mapping[Modality, Baseline]) -> ModelInput:
    """The raw window as an average person would have given it, and flags that say for which modalities."""
    moved = {name: one.apply(window.values[name]) for name, one in baseline.items()}
    applied = np.array([name in baseline for name in MODALITIES]) & window.presence
    return ModelInput({**window.values, **moved}, window.masks, window.groups, window.presence, applied)


def normalise(window: ModelInput, statistics: Statistics) -> ModelInput:
    """Centre and scale every channel, clip, and put 0 (the centre) where there is nothing."""
    values: dict[Modality, Array] = {}
    for name in MODALITIES:
        scaled = (window.values[name] - statistics[name].location) / statistics[name].scale
        scaled[~window.masks[name]] = 0.0
        values[name] = np.nan_to_num(np.clip(scaled, -CLIP, CLIP), nan=0.0).astype(np.float32)
    return ModelInput(values, window.masks, window.groups, window.presence, window.baseline)


def as_batch(windows: Sequence[ModelInput]) -> dict[str, Array]:
    """Stack normalised windows into the network's named inputs, float32 with the batch first."""
    return _named(
        ModelInput(
            {name: np.stack([w.values[name] for w in windows]) for name in MODALITIES},
            {name: np.stack([w.masks[name] for w in windows]) for name in MODALITIES},
            *(np.stack([getattr(w, field) for w in windows]) for field in ("groups", "presence", "baseline")),
        )
    )


def inputs_of(
    values: dict[Modality, Array],
    masks: dict[Modality, Mask],
    statistics: Statistics,
    spec: InputSpec,
    baselines: Mapping[Modality, Baselines] | None = None,
) -> dict[str, Array]:
    """The network's named inputs from raw windows ``[B, steps, channels]`` with NaN, as training cuts them.

    ``baselines`` holds, for some modalities, the baseline that goes with each of the ``B`` windows or ``None``.
    """
    vision = values["vision"]
    groups = [np.isfinite(vision[:, :, columns]).any(axis=(1, 2)) for columns in spec.vision_groups.values()]
    applied, everything = np.zeros((len(vision), 3), np.bool_), np.ones((len(vision), 3), np.bool_)
    moved = dict(values)
    for name, persons in (baselines or {}).items():
        rows = zip(values[name], persons, strict=True)
        moved[name] = np.stack([row if person is None else person.apply(row) for row, person in rows])
        applied[:, MODALITIES.index(name)] = [person is not None for person in persons]
    raw = ModelInput(moved, masks, np.stack(groups, axis=1).astype(np.float32), everything, applied)
    return _named(normalise(raw, statistics))


def _named(batch: ModelInput) -> dict[str, Array]:
    masks = {f"{name}_mask": mask.astype(np.float32) for name, mask in batch.masks.items()}
    return {**batch.values, **masks, "groups": batch.groups, "baseline": batch.baseline.astype(np.float32)}
