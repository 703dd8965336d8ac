"""How well a checkpoint answers a corpus, scored by an engine on the windows that the live path would form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from miar_rt.checkpoint import Checkpoint, load_checkpoint
from miar_rt.engines import Engine
from miar_rt.engines.choose import AUTO, choose_engine
from miar_rt.features.appearance import Appearance
from miar_rt.features.text import Encoder
from miar_rt.features.text_onnx import open_encoder
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import read_ravdess
from miar_rt.training.exams import CORPORA, Exam, Score, ask, grade, make_exam, voice_exam
from miar_rt.training.extract import extract_clips
from miar_rt.training.persons import PLAIN_NEUTRAL, voice_baselines


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
        RAVDESS only. ``none`` and ``neutral`` score without each actor's plain neutral clips; ``neutral`` takes
        these as the actor's baseline.
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
    encoder = open_encoder(text_encoder, model.extractors, model.text_adapter) if reads else None
    appearance = Appearance.wanted_by(model.extractors)
    exam = _exam(corpus, path, baseline, encoder, appearance)
    engine, _ = choose_engine(AUTO, model)
    try:
        scores = grade(exam, ask(exam, _told(engine, model), model.statistics, model.spec), model.temperatures)
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


def _exam(
    corpus: str, path: Path, baseline: str | None, encoder: Encoder | None, appearance: Appearance | None
) -> Exam:
    if baseline is None:
        return make_exam(corpus, path, FeatureCache(), encoder=encoder, appearance=appearance)
    clips = read_ravdess(path)
    scored = [i for i, clip in enumerate(clips) if clip.emotion != PLAIN_NEUTRAL]
    if not scored:
        raise ValueError(f"{path}: holds nothing but plain neutral clips")
    grids = extract_clips(clips, 0, FeatureCache())
    persons = voice_baselines(clips, grids) if baseline == "neutral" else {}
    missing = {clips[i].actor for i in scored} - persons.keys() if baseline == "neutral" else set()
    if missing:
        raise ValueError(f"{path}: actor {min(missing)} has no plain neutral clip (emotion 01) to be a baseline")
    return voice_exam(
        [clips[i].label for i in scored],
        [grids[i] for i in scored],
        baselines=[persons.get(clips[i].actor) for i in scored],
    )


def _told(engine: Engine, model: Checkpoint) -> Score:
    return lambda inputs, presence: engine.score(model.told(inputs), presence)
