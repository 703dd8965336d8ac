"""Corpora as questions to a network: which windows are scored, and how the answers become one a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.temperature import Temperatures
from miar_rt.engines import Scores
from miar_rt.features.appearance import Appearance
from miar_rt.features.text import Encoder
from miar_rt.input_spec import SPEC, InputSpec
from miar_rt.metrics import emotion_scores, sentiment_scores
from miar_rt.signals import MODALITIES, Array, Modality
from miar_rt.training.batches import SPEECH, Texts, Windows, join, network_inputs
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import Clip, Utterance, read_fer2013, read_meld, read_mosei, read_mosi, read_ravdess
from miar_rt.training.extract import (
    EncodedHypotheses,
    Ragged,
    crops_of,
    extract_clips,
    extract_stills,
    extract_texts,
    face_rows,
)
from miar_rt.training.simulate import written
from miar_rt.window import Baselines, Statistics

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BATCH = 64
TEXT_DELAY = 0.3
ANSWER_EVERY = 0.5


Score = Callable[[Mapping[str, Array], Array], Scores]
"""What an engine answers to the network's named inputs and ``presence [B, P, 3]``."""


class Answers(NamedTuple):
    """What a network says to windows: ``logits [windows, classes]``, ``sentiment`` and ``spread`` ``[windows]``."""

    logits: Floats
    sentiment: Floats
    spread: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """A corpus with a modality to answer from, and perhaps others beside it.

    Attributes
    ----------
    modality
        What is given; what says which windows there are.
    truth
        Class numbers or sentiments ``[n]``.
    rated
        Whether the truth is a sentiment.
    owner
        int64 ``[windows]``: which sample each window belongs to; samples without one stay unanswered.
    windows
        Makes the raw windows of some numbers, full length.
    weight
        float64 ``[windows]``: what each window counts in its sample's answer, equally much when not given.
    beside
        Likewise for what is given beside it: windows with nothing in them where it was not there.
    """

    modality: Modality
    truth: Floats
    rated: bool
    owner: Integers
    windows: Callable[[Integers], Windows]
    weight: Floats | None = None
    beside: Mapping[Modality, Callable[[Integers], Windows]] = field(default_factory=dict)

    @property
    def modalities(self) -> list[Modality]:
        """All that is given."""
        return [name for name in MODALITIES if name == self.modality or name in self.beside]


def voice_exam(
    labels: Sequence[int],
    grids: Ragged | Sequence[Array],
    spec: InputSpec = SPEC,
    baselines: Baselines = (),
) -> Exam:
    """Clips, each answered by the mean over the windows that end every half second while there is a voice.

    A window counts as long as the voice that is heard in it: the first ones know a syllable.
    ``baselines`` holds the speaker's baseline of each clip, or nothing at all.
    """
    moments = [(clip, end) for clip in range(len(grids)) for end in answer_steps(grids[clip], spec)]

    def windows(numbers: Integers) -> Windows:
        values = np.stack([window_ending(grids[moments[i][0]], moments[i][1], spec) for i in numbers])
        persons = [baselines[moments[i][0]] for i in numbers] if baselines else []
        return Windows(values, np.isfinite(values[:, :, :-1]).any(axis=2), persons)

    owner = np.array([clip for clip, _ in moments], np.int64)
    weight = np.array([_heard(grids[clip], end, spec) for clip, end in moments])
    return Exam("audio", np.array(labels, np.float64), False, owner, windows, weight)


def _heard(grid: Array, step: int, spec: InputSpec) -> float:
    """Seconds of speech in the window whose newest row is ``step``; never quite nothing."""
    rows = grid[max(step + 1 - spec.audio_steps, 0) : step + 1, -1]
    return max(float((np.nan_to_num(rows) > SPEECH).sum()), 1.0) / spec.audio_rate


def answer_steps(grid: Array, spec: InputSpec = SPEC) -> Integers:
    """Last steps of the windows of a recording that are scored: from half a second of speech to its end."""
    spoken = np.flatnonzero(np.nan_to_num(grid[:, -1]) > SPEECH)
    if not len(spoken):
        return np.array([len(grid) - 1])
    last = min(spoken[-1] + round(0.3 * spec.audio_rate), len(grid) - 1)
    first = min(spoken[0] + round(0.5 * spec.audio_rate), last)
    return np.arange(last, first - 1, -round(ANSWER_EVERY * spec.audio_rate))[::-1]


def window_ending(grid: Array, step: int, spec: InputSpec = SPEC) -> Array:
    """The window whose newest row is ``step`` of a grid, ``[steps, channels]``."""
    window = np.full((spec.audio_steps, grid.shape[1]), np.nan, np.float32)
    rows = grid[max(step + 1 - spec.audio_steps, 0) : step + 1]
    window[spec.audio_steps - len(rows) :] = rows
    return window


def face_exam(
    labels: Integers | Sequence[int], rows: Array, spec: InputSpec = SPEC, baselines: Baselines = ()
) -> Exam:
    """Stills, each a window of one picture; those without a face have none.

    ``baselines`` holds the baseline of each one's person, or nothing at all.
    """
    found = np.flatnonzero(np.isfinite(rows).any(axis=1))
    return Exam(
        "vision",
        np.array(labels, np.float64),
        False,
        found,
        lambda numbers: stills(rows, found[numbers], spec, baselines),
    )


def stills(rows: Array, numbers: Integers, spec: InputSpec = SPEC, baselines: Baselines = ()) -> Windows:
    """Windows of one picture each, those of ``rows [n, channels]`` that have the given numbers."""
    values = np.full((len(numbers), spec.vision_steps, rows.shape[1]), np.nan, np.float32)
    values[:, -1] = rows[numbers]
    persons = [baselines[i] for i in numbers] if baselines else []
    return Windows(values, np.isfinite(values).any(axis=2), persons)


def with_faces(exam: Exam, rows: Array, spec: InputSpec = SPEC, baselines: Baselines = ()) -> Exam:
    """The exam with the faces of its samples beside, ``rows [samples, channels]`` as in ``face_exam``."""
    owner = exam.owner
    return replace(exam, beside={"vision": lambda numbers: stills(rows, owner[numbers], spec, baselines)})


def text_exam(utterances: Sequence[Utterance], encoded: EncodedHypotheses) -> Exam:
    """Transcripts a moment after their last word: by emotion where they have one, else by sentiment."""
    texts = Texts([encoded])
    rated = utterances[0].label is None
    truth = np.array([u.sentiment if rated else u.label for u in utterances], np.float64)
    owner = np.array([i for i in range(len(encoded)) if len(encoded.tokens[i])], np.int64)

    def windows(numbers: Integers) -> Windows:
        return join([texts.window(0, int(owner[i]), TEXT_DELAY) for i in numbers])

    return Exam("text", truth, rated, owner, windows)


CORPORA: Mapping[str, Modality] = {
    "ravdess": "audio", "fer2013": "vision", "meld": "text", "mosi": "text", "mosei": "text",
}  # fmt: skip
"""Corpora there are exams of, and the modality each is answered from."""

_TRANSCRIPTS: Mapping[str, Callable[[Path], list[Utterance]]] = {
    "meld": read_meld, "mosi": read_mosi, "mosei": read_mosei,
}  # fmt: skip


def make_exam(
    corpus: str,
    path: Path,
    cache: FeatureCache,
    *,
    encoder: Encoder | None = None,
    appearance: Appearance | None = None,
    progress: bool = False,
) -> Exam:
    """Read and extract a corpus of ``CORPORA``, and say which windows of it are scored.

    Words are read by ``encoder``, by the published one when it is not given; faces are also looked at by
    ``appearance`` when it is.

    Raises
    ------
    ValueError
        When it cannot be read.
    """
    if corpus == "ravdess":
        return clips_exam(read_ravdess(path), cache, progress=progress)
    if corpus == "fer2013":
        stills = read_fer2013(path)
        landmarks = extract_stills(stills.images, cache, progress=progress)
        rows = face_rows(landmarks, *stills.images.shape[:0:-1])
        if appearance is not None:
            found = np.isfinite(landmarks[:, 0, 0])
            crops = crops_of(stills.images[found], landmarks[found])
            rows[found, SPEC.vision_groups["appearance"]] = appearance.embed_crops(crops)
        return face_exam(stills.labels, rows)
    utterances = _TRANSCRIPTS[corpus](path)
    heard = [written(u.text) for u in utterances]
    return text_exam(utterances, extract_texts(heard, cache, encoder=encoder, progress=progress))


def clips_exam(clips: Sequence[Clip], cache: FeatureCache, *, progress: bool = False) -> Exam:
    """The exam of some clips as they were recorded."""
    return voice_exam([clip.label for clip in clips], extract_clips(clips, 0, cache, progress=progress))


def ask(exam: Exam, score: Score, statistics: Statistics, spec: InputSpec = SPEC) -> Answers:
    """Answers to every window of an exam."""
    parts = [score(*batch) for batch in _batches(exam, statistics, spec)]
    columns = ([np.asarray(getattr(p, name)[:, 0], np.float64) for p in parts] for name in Answers._fields)
    return Answers(*map(np.concatenate, columns))


def _batches(exam: Exam, statistics: Statistics, spec: InputSpec) -> Iterator[tuple[dict[str, Array], Array]]:
    for start in range(0, len(exam.owner), BATCH):
        numbers = np.arange(start, min(start + BATCH, len(exam.owner)))
        windows = {name: nothing(name, len(numbers), spec) for name in MODALITIES}
        windows[exam.modality] = exam.windows(numbers)
        presence = np.zeros((len(numbers), 1, 3), np.float32)
        presence[:, :, MODALITIES.index(exam.modality)] = 1.0
        for name, make in exam.beside.items():
            windows[name] = make(numbers)
            presence[:, 0, MODALITIES.index(name)] = windows[name].mask.any(axis=1)
        yield network_inputs(windows, statistics, spec), presence


def nothing(modality: Modality, batch: int, spec: InputSpec = SPEC) -> Windows:
    """Full-length windows without anything."""
    shape = (batch, spec.steps[modality])
    return Windows(np.full((*shape, spec.widths[modality]), np.nan, np.float32), np.zeros(shape, np.bool_))


def mean_by_owner(values: Floats, exam: Exam) -> Floats:
    """Weighted mean of ``values [windows, ...]`` for each sample; NaN where it has no window."""
    weight = np.ones(len(exam.owner)) if exam.weight is None else exam.weight
    shape = (-1, *[1] * (values.ndim - 1))
    total = np.zeros((len(exam.truth), *values.shape[1:]))
    np.add.at(total, exam.owner, values * weight.reshape(shape))
    count = np.bincount(exam.owner, weight, minlength=len(exam.truth))
    count[count == 0.0] = np.nan
    return np.asarray(total / count.reshape(shape))


def grade(exam: Exam, answers: Answers, temperatures: Temperatures) -> dict[str, Any]:
    """Scores of an exam by the definitions of ``metrics``, with ``n`` and ``n_scored``.

    Raises
    ------
    ValueError
        When no sample could be answered.
    """
    counts = {"n": len(exam.truth), "n_scored": len(np.unique(exam.owner))}
    if exam.rated:
        given = mean_by_owner(answers.sentiment, exam)
        scored = np.isfinite(given)
        return counts | sentiment_scores(exam.truth[scored], given[scored])
    probabilities = temperatures.probabilities(answers.logits, "+".join(exam.modalities))
    return counts | emotion_scores(exam.truth.astype(np.int64), mean_by_owner(probabilities, exam))
