"""How well a checkpoint answers a corpus, scored by an engine on the windows that the live path would form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from miar_rt.checkpoint import load_checkpoint
from miar_rt.engines.choose import AUTO, choose_engine
from miar_rt.features.text import Encoder
from miar_rt.features.text_onnx import open_encoder
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import read_ravdess
from miar_rt.training.exams import CORPORA, Exam, ask, clips_exam, grade, make_exam

PLAIN_NEUTRAL = 1
"""RAVDESS's emotion code of the clips that serve as a person's baseline."""


def evaluate(
    corpus: str,
    path: Path,
    *,
    checkpoint: Path | None = None,
    modalities: Sequence[str] | None = None,
    faces: Path | None = None,
    baseline: str | None = None,
    text_encoder: Path | None = None,
) -> dict[str, Any]:
    """Score a corpus.

    Parameters
    ----------
    corpus
        One of ``CORPORA``.
    path
        Its folder or file.
    checkpoint
        Folder of the checkpoint; the one that ships by default.
    modalities
        Which modalities are given; all that the corpus has by default.
    faces
        Action units of the same takes. Not available yet.
    baseline
        RAVDESS only. ``none`` leaves each actor's plain neutral clips out; ``neutral`` is not available yet.
    text_encoder
        Folder of the text encoder that the checkpoint was trained on; the published MiniLM otherwise.

    Returns
    -------
    dict
        ``corpus n n_scored modalities checkpoint`` and the scores of ``metrics.emotion_scores`` or
        ``metrics.sentiment_scores``.

    Raises
    ------
    ValueError
        When something asked for does not exist, the corpus or the checkpoint cannot be read, or the checkpoint was
        trained on another text encoder.
    TextEncoderUnavailable
        When the text encoder cannot be had.
    """
    _check_request(corpus, modalities, faces, baseline)
    model = load_checkpoint(checkpoint)
    reads = CORPORA[corpus] == "text" or text_encoder is not None
    encoder = open_encoder(text_encoder, model.extractors) if reads else None
    exam = _exam(corpus, path, baseline, encoder)
    engine, _ = choose_engine(AUTO, model)
    try:
        scores = grade(exam, ask(exam, engine.score, model.statistics, model.spec), model.temperatures)
    finally:
        engine.close()
    head = {"corpus": corpus, "n": scores.pop("n"), "n_scored": scores.pop("n_scored")}
    return head | {"modalities": [exam.modality], "checkpoint": model.name} | scores


def _check_request(corpus: str, modalities: Sequence[str] | None, faces: Path | None, baseline: str | None) -> None:
    if corpus not in CORPORA:
        raise ValueError(f"unknown corpus {corpus!r}: choose one of {', '.join(CORPORA)}")
    if modalities is not None and list(modalities) != [CORPORA[corpus]]:
        given = ",".join(modalities)
        raise ValueError(f"{corpus} can be scored from {CORPORA[corpus]}, not from {given or 'nothing'}")
    if faces is not None:
        raise ValueError("--faces is not available yet: no checkpoint here was trained on action units")
    if baseline not in {None, "none", "neutral"}:
        raise ValueError(f"unknown baseline {baseline!r}: choose none or neutral")
    if baseline is not None and corpus != "ravdess":
        raise ValueError(f"--baseline is for ravdess, {corpus} has nobody's neutral clips")
    if baseline == "neutral":
        raise ValueError("--baseline neutral is not available yet: this version scores without a personal baseline")


def _exam(corpus: str, path: Path, baseline: str | None, encoder: Encoder | None) -> Exam:
    if baseline is None:
        return make_exam(corpus, path, FeatureCache(), encoder=encoder)
    clips = [clip for clip in read_ravdess(path) if clip.emotion != PLAIN_NEUTRAL]
    if not clips:
        raise ValueError(f"{path}: holds nothing but plain neutral clips")
    return clips_exam(clips, FeatureCache())
