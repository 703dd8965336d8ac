"""Training windows: what the extractors gave, cut and disturbed as live windows are.

They are made into the network's inputs by ``miar_rt.window``, as live ones are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.baseline import Baseline
from miar_rt.input_spec import SPEC, InputSpec
from miar_rt.signals import MODALITIES, Array, Modality
from miar_rt.training.extract import EncodedHypotheses, Ragged
from miar_rt.training.persons import Speakers
from miar_rt.window import Baselines, ChannelStatistics, Mask, Statistics, WindowBuilder, inputs_of

Integers = NDArray[np.int64]
Random = np.random.Generator

SPEECH = 0.5
LEAST_SPEECH_SECONDS = 0.5
TOKENS_LOST = 0.15
BLENDED, BLEND = 0.3, 0.3
"""Share of stills that move towards another of their class, and how far at most."""
TRACKING_JITTER = 0.008
"""Of landmarks, in eye distances: up to a fraction of what they vary between faces."""
LOOKLESS, UNITS_ALONE = 0.15, 0.1
"""Shares of faces without appearance, and with nothing but action units."""
MARGIN = 2
"""Empty rows kept before the earliest filled one when a batch is trimmed: what the convolution reaches over."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Raw windows of one modality.

    Attributes
    ----------
    values
        float32 ``[B, steps, channels]`` with NaN.
    mask
        bool ``[B, steps]``: which rows hold anything.
    baselines
        Whose baseline goes with each window, or nothing at all.
    """

    values: Array
    mask: Mask
    baselines: Baselines = ()


class Voices:
    """Acoustic grids of all clips in several renderings, of which windows ending anywhere are cut.

    ``speakers`` knows the baselines of those who speak; without it nobody has one.
    """

    def __init__(self, copies: Sequence[Ragged], spec: InputSpec = SPEC, speakers: Speakers | None = None) -> None:
        self.copies = copies
        self._speakers = speakers
        self._spec = spec
        self._ends = [[_ends(copy[i], spec) for i in range(len(copy))] for copy in copies]

    def draw(self, clips: Integers, random: Random, clean: float = 0.25, known: float = 0.0) -> Windows:
        """One window of each clip, ending somewhere after half a second of speech, later ends more often.

        A share of ``clean`` is as recorded, and with a share of ``known`` goes the speaker's baseline.
        """
        steps = self._spec.audio_steps
        persons: list[Baseline | None] = [None] * len(clips)
        values = np.full((len(clips), steps, len(self._spec.audio_channels)), np.nan, np.float32)
        for row, clip in enumerate(clips):
            copy = 0 if random.random() < clean else int(random.integers(len(self.copies)))
            ends = self._ends[copy][clip]
            end = int(ends[max(random.integers(len(ends), size=2))]) + 1
            cut = self.copies[copy][clip][max(end - steps, 0) : end]
            late = min(int(random.integers(4)), len(cut) - 1)  # frames still on their way
            values[row, steps - len(cut) : steps - late] = cut[: len(cut) - late]
            if self._speakers and random.random() < known:
                persons[row] = self._speakers.draw(copy, int(clip), random)
        _drop_bursts(values, random)
        return Windows(values, np.isfinite(values[:, :, :-1]).any(axis=2), persons)


def _ends(grid: Array, spec: InputSpec) -> Integers:
    """Steps at which a window holds enough speech to say anything; at worst the last one."""
    spoken = np.cumsum(np.nan_to_num(grid[:, -1]) > SPEECH, dtype=np.int64)
    spoken[spec.audio_steps :] -= spoken[: -spec.audio_steps]
    ends = np.flatnonzero(spoken >= LEAST_SPEECH_SECONDS * spec.audio_rate)
    return ends if len(ends) else np.array([len(grid) - 1])


def _drop_bursts(values: Array, random: Random, share: float = 0.3) -> None:
    """Lose a stretch of up to a third of the rows in some windows, in place; the newest half second stays."""
    steps = values.shape[1]
    for row in np.flatnonzero(random.random(len(values)) < share):
        length = int(random.integers(1, steps // 3))
        start = int(random.integers(0, steps - length - steps // 8))
        values[row, start : start + length] = np.nan


class Faces:
    """Stills as short windows: one face that moves a little, in any place and at any size.

    ``appearances`` float32 ``[draws, 2, n, 64]`` are embeddings of disturbed crops, as they are and mirrored.
    """

    def __init__(
        self,
        stills: Array,
        mirrored: Array,
        labels: Integers,
        appearances: Array | None = None,
        spec: InputSpec = SPEC,
    ) -> None:
        self._versions = np.stack([stills, mirrored])
        self._appearances = appearances
        self._spec = spec
        self._labels = labels
        self._same = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}

    def draw(self, stills: Integers, steps: int, random: Random, known: float = 0.0) -> Windows:
        """A window of each still: up to ``steps`` rows, the newest last.

        A share of ``known`` comes with a baseline that changes nothing: pictures of strangers tell no neutral, and
        the network must not take it for a sign of how the face was seen.
        """
        others = np.array([random.choice(self._same[int(self._labels[i])]) for i in stills])
        side = (random.random(len(stills)) < 0.5).astype(np.int64)
        first, second = (self._rows(side, which, random) for which in (stills, others))
        blend = _wander(len(stills), steps, random) * (random.random((len(stills), 1)) < BLENDED) * BLEND
        values = first[:, None] + np.abs(blend)[..., None] * (second - first)[:, None]
        self._disturb(values, random)
        length = random.integers(1, steps + 1, len(stills))
        values[np.arange(steps)[None] < (steps - length)[:, None]] = np.nan
        values[(random.random((len(stills), steps)) < 0.1) & (np.arange(steps) < steps - 1)] = np.nan
        self._lose_groups(values, random)
        persons = [_anyone(values.shape[2]) if random.random() < known else None for _ in stills]
        return Windows(values.astype(np.float32), np.isfinite(values).any(axis=2), persons)

    def _lose_groups(self, values: Array, random: Random) -> None:
        """Some windows have no appearance, some nothing but action units, as where another tool read them off."""
        groups, lot = self._spec.vision_groups, random.random(len(values))
        values[lot < LOOKLESS, :, groups["appearance"]] = np.nan
        for name in ("mesh", "pose", "appearance"):
            values[lot > 1.0 - UNITS_ALONE, :, groups[name]] = np.nan

    def _rows(self, side: Integers, stills: Integers, random: Random) -> Array:
        """Channels of stills, each seen from its ``side``; the appearance is that of one of several crops."""
        rows: Array = self._versions[side, stills]
        if self._appearances is not None:
            chosen = random.integers(len(self._appearances), size=len(stills))
            rows[:, self._spec.vision_groups["appearance"]] = self._appearances[chosen, side, stills]
        return rows

    def _disturb(self, values: Array, random: Random) -> None:
        """Tracking jitter on mesh and measures; pose as if the face were anywhere before a camera."""
        groups, (count, steps) = self._spec.vision_groups, values.shape[:2]
        level = random.uniform(0.0, TRACKING_JITTER, (count, 1, 1)).astype(np.float32)
        for name in ("mesh", "units"):
            width = groups[name].stop - groups[name].start
            values[:, :, groups[name]] += level * random.standard_normal((count, steps, width), np.float32)
            values[:, :, groups[name]] += level * random.standard_normal((count, 1, width), np.float32)
        pose = values[:, :, groups["pose"]]
        pose[:, :, :3] += 0.05 * random.standard_normal((count, 1, 3)) + 0.03 * random.standard_normal(
            (count, steps, 3)
        )
        pose[:, :, 3:5] = place(count, random)[:, None, :2]
        pose[:, :, 5] = place(count, random)[:, None, 2]


def _anyone(channels: int) -> Baseline:
    """The baseline that leaves everything as it is."""
    return Baseline(np.ones(channels), np.zeros(channels))


def place(count: int, random: Random) -> Array:
    """Where faces are before a camera, ``[count, 3]``: x, y and eye distance as shares of the picture's height."""
    middle = random.normal(0.0, 0.2, (count, 2))
    return np.column_stack([middle, np.exp(random.uniform(np.log(0.04), np.log(0.5), count))]).astype(np.float32)


def _wander(count: int, steps: int, random: Random) -> Array:
    """Smooth random courses ``[count, steps]`` between about -1 and 1."""
    phase, speed = random.uniform(0.0, 2 * np.pi, (count, 1)), random.uniform(0.02, 0.5, (count, 1))
    return np.asarray(np.sin(phase + speed * np.arange(steps)), np.float32)


class Texts:
    """Encoded hypotheses, several of each utterance, seen some time after their last word."""

    def __init__(self, variants: Sequence[EncodedHypotheses], spec: InputSpec = SPEC) -> None:
        self.variants = variants
        self._builder = WindowBuilder(spec)

    def draw(self, texts: Integers, delays: NDArray[np.float64], random: Random) -> Windows:
        """One window of each text in a random variant, ``delays`` seconds after its last word, some tokens lost."""
        chosen = random.integers(len(self.variants), size=len(texts))
        whole = join([self.window(int(v), int(i), float(d)) for v, i, d in zip(chosen, texts, delays, strict=True)])
        lost = random.random(whole.mask.shape) < TOKENS_LOST
        lost[:, -1] = False
        return Windows(whole.values, whole.mask & ~lost)

    def window(self, variant: int, text: int, delay: float) -> Windows:
        """The window of one hypothesis ``delay`` seconds after its last word, ``[1, steps, channels]``."""
        encoded = self.variants[variant]
        hypothesis = encoded.hypotheses[text]
        self._builder.set_words(hypothesis.words, encoded.encoded(text), hypothesis.kind)
        raw = self._builder.raw(max((w.t1 for w in hypothesis.words), default=0.0) + delay)
        return Windows(raw.values["text"][None], raw.masks["text"][None])


def join(windows: Sequence[Windows]) -> Windows:
    """Several batches of nobody in particular as one."""
    return Windows(np.concatenate([w.values for w in windows]), np.concatenate([w.mask for w in windows]))


def trim(inputs: Mapping[str, Array], spec: InputSpec = SPEC) -> dict[str, Array]:
    """The network's inputs without the oldest rows that are empty throughout; an even number of rows stays."""
    trimmed = dict(inputs)
    for name in MODALITIES:
        filled = np.flatnonzero(inputs[f"{name}_mask"].any(axis=0))
        steps = spec.steps[name]
        length = steps - int(filled[0]) + MARGIN if len(filled) else MARGIN
        length = min(length + length % 2, steps)
        trimmed[name] = inputs[name][:, -length:]
        trimmed[f"{name}_mask"] = inputs[f"{name}_mask"][:, -length:]
    return trimmed


def network_inputs(
    windows: dict[Modality, Windows], statistics: Statistics, spec: InputSpec = SPEC
) -> dict[str, Array]:
    """The network's named inputs but for ``presence``."""
    values = {name: w.values for name, w in windows.items()}
    persons = {name: w.baselines for name, w in windows.items() if w.baselines}
    return inputs_of(values, {name: w.mask for name, w in windows.items()}, statistics, spec, persons)


def channel_statistics(windows: Windows) -> ChannelStatistics:
    """Location and scale of every channel over training windows; 0 and 1 for channels nothing fills."""
    rows = windows.values[windows.mask].astype(np.float64)
    count = np.maximum(np.isfinite(rows).sum(axis=0), 1)
    location = np.nansum(rows, axis=0) / count
    scale = np.sqrt(np.nansum((rows - location) ** 2, axis=0) / count)
    return ChannelStatistics(location.astype(np.float32), np.where(scale > 1e-6, scale, 1.0).astype(np.float32))
