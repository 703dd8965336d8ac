"""What travels from the extractors and recognisers into the window builder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Modality: TypeAlias = Literal["text", "audio", "vision"]
MODALITIES: tuple[Modality, ...] = ("text", "audio", "vision")

FeatureKind: TypeAlias = Literal["acoustic", "voice", "face"]
RecogniserKind: TypeAlias = Literal["written", "whisper", "sphinx"]
RECOGNISER_KINDS: tuple[RecogniserKind, ...] = ("written", "whisper", "sphinx")

EMOTIONS: tuple[str, ...] = ("neutral", "happiness", "sadness", "anger", "surprise", "disgust", "fear")

Array: TypeAlias = NDArray[np.float32]


Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One of several faces in a picture.

    Attributes
    ----------
    id
        Stays the same while the face is followed, from 1 on; none is used twice.
    box
        As fractions of the picture's width and height, 0 to 1.
    primary
        Whether it is the one that the frame's own values are of.
    values
        As of a ``face`` frame.
    """

    id: int
    box: Box
    primary: bool
    values: Array


@dataclass(frozen=True, slots=True, eq=False)
class FeatureFrame:
    """One frame of features.

    Attributes
    ----------
    kind
        ``acoustic``: 25 eGeMAPSv02 low-level descriptors at 100 Hz; ``voice``: one voice-activity
        probability every 32 ms; ``face``: the channels of ``InputSpec.vision`` for one picture.
    t
        Seconds on the capture clock: the end of the shortest stretch of signal the frame describes.
    values
        float32 ``[n]``; NaN marks a channel that has no meaning in this frame (pitch of an unvoiced frame).
    valid
        False when the signal arrived but holds nothing to measure (a picture without a face).
    company
        Of a face: whether another one, not much smaller, was in the picture when there was last a look around.
        No score depends on it.
    faces
        All faces in the picture, where several are followed; the primary one may be missing among them.
    """

    kind: FeatureKind
    t: float
    values: Array
    valid: bool = True
    company: bool = False
    faces: tuple[Face, ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word with its start and end in seconds on the capture clock."""

    t0: float
    t1: float
    text: str
    final: bool = True
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class WordsUpdate:
    """What a recogniser says after it has heard sound up to ``t``.

    ``committed`` holds only words committed since the update before and is never retracted;
    ``partial`` replaces the partial hypothesis before it. ``speech_final`` ends an utterance. ``gap`` is a
    stretch of sound, from and to in seconds, that was never decoded: what was said in it is not known.
    """

    t: float
    kind: RecogniserKind
    committed: tuple[Word, ...] = ()
    partial: tuple[Word, ...] = ()
    speech_final: bool = False
    language: str | None = None
    gap: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EncodedText:
    """Token embeddings of a run of words.

    Attributes
    ----------
    tokens
        float32 ``[T, 384]``, without the encoder's special tokens.
    word_index
        int64 ``[T]``: which word each token belongs to, non-decreasing.
    """

    tokens: Array
    word_index: NDArray[np.int64]
