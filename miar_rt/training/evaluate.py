"""How well a checkpoint answers a corpus, scored by an engine on the windows that the live path would form."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from miar_rt.checkpoint import Checkpoint, load_checkpoint
from miar_rt.engines import Engine
from miar_rt.engines.choose import AUTO, choose_engine
from miar_rt.features.appearance import Appearance
from miar_rt.features.text_onnx import open_encoder
from miar_rt.training.action_units import face_baselines, read_action_units, unit_rows
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import FEATURES, Clip, read_ravdess
from miar_rt.training.exams import CORPORA, Exam, Score, ask, face_exam, grade, make_exam, voice_exam, with_faces
from miar_rt.training.extract import extract_clips
from miar_rt.training.persons import PLAIN_NEUTRAL, neutral_clips, voice_baselines


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
        One of ``CORPORA``, or ``mosi-features`` for what ``feature_runs.evaluate_features`` gives.
    path
        Its folder or file.
    checkpoint
        Folder of the checkpoint; the one that ships by default.
    modalities
        Which modalities are given; all that the corpus has by default.
    faces
        RAVDESS only: action units of the same takes, as ``action_units.read_action_units`` takes them.
    baseline
        RAVDESS only. ``none`` and ``neutral`` score without each actor's plain neutral clips; ``neutral`` takes
        these as the actor's baseline, of voice and face alike.
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
    if corpus == FEATURES:
        return _features(path, checkpoint, modalities, faces, baseline, text_encoder)
    _check_request(corpus, modalities, faces, baseline)
    model = load_checkpoint(checkpoint)
    reads = text_encoder is not None or CORPORA[corpus] == "text"
    encoder = open_encoder(text_encoder, model.extractors, model.text_adapter) if reads else None
    if corpus == "ravdess":
        given = modalities or _can_be_given(corpus, faces)
        exam = takes_exam(read_ravdess(path), given, faces, baseline, model.ignored_baselines)
    else:
        looks = Appearance.wanted_by(model.extractors)
        exam = make_exam(corpus, path, FeatureCache(), encoder=encoder, appearance=looks)
    scores = _graded(exam, model)
    head = {"corpus": corpus, "n": scores.pop("n"), "n_scored": scores.pop("n_scored")}
    return head | {"modalities": exam.modalities, "checkpoint": model.name} | scores


def _graded(exam: Exam, model: Checkpoint) -> dict[str, Any]:
    engine, _ = choose_engine(AUTO, model)
    try:
        return grade(exam, ask(exam, _told(engine, model), model.statistics, model.spec), model.temperatures)
    finally:
        engine.close()


def _features(
    path: Path,
    checkpoint: Path | None,
    modalities: Sequence[str] | None,
    faces: Path | None,
    baseline: str | None,
    text_encoder: Path | None,
) -> dict[str, Any]:
    from miar_rt.training.feature_runs import evaluate_features

    if faces is not None or baseline is not None:
        raise ValueError(f"--faces and --baseline are for ravdess, not for {FEATURES}")
    return evaluate_features(path, checkpoint, modalities, text_encoder)


def _check_request(corpus: str, modalities: Sequence[str] | None, faces: Path | None, baseline: str | None) -> None:
    if corpus not in CORPORA:
        raise ValueError(f"unknown corpus {corpus!r}: choose one of {', '.join([*CORPORA, FEATURES])}")
    if faces is not None and corpus != "ravdess":
        raise ValueError(f"--faces is for ravdess, {corpus} has none beside it")
    possible = _can_be_given(corpus, faces)
    if modalities is not None and not (modalities and set(modalities) <= set(possible)):
        hint = " (its faces with --faces)" if corpus == "ravdess" and faces is None else ""
        given = ",".join(modalities) or "nothing"
        raise ValueError(f"{corpus} can be scored from {' and '.join(possible)}, not from {given}{hint}")
    if baseline not in {None, "none", "neutral"}:
        raise ValueError(f"unknown baseline {baseline!r}: choose none or neutral")
    if baseline is not None and corpus != "ravdess":
        raise ValueError(f"--baseline is for ravdess, {corpus} has nobody's neutral clips")


def _can_be_given(corpus: str, faces: Path | None) -> Sequence[str]:
    return (CORPORA[corpus],) if faces is None else ("audio", "vision")


def takes_exam(
    clips: Sequence[Clip],
    modalities: Collection[str],
    faces: Path | None,
    baseline: str | None,
    ignored: Collection[str] = (),
) -> Exam:
    """The exam of RAVDESS's takes from their voices, their faces or both; ``ValueError`` as in ``evaluate``.

    Baselines of ``ignored`` modalities are not applied.
    """
    units = read_action_units(faces) if faces and "vision" in modalities else {}
    rows = unit_rows(clips, units)
    if units and not np.isfinite(rows).any():
        raise ValueError(f"{faces}: has none of the clips (audio_name is the name of the sound file)")
    scored = [i for i, clip in enumerate(clips) if baseline is None or clip.emotion != PLAIN_NEUTRAL]
    if not scored:
        raise ValueError("there is nothing but plain neutral clips to score")
    labels, actors = [clips[i].label for i in scored], [clips[i].actor for i in scored]
    missing = set(actors) - neutral_clips(clips).keys() if baseline == "neutral" else set()
    if missing:
        raise ValueError(f"actor {min(missing)} has no plain neutral clip (emotion 01) to be a baseline")
    seen = face_baselines(clips, rows) if baseline == "neutral" and "vision" not in ignored else {}
    if "audio" not in modalities:
        return face_exam(labels, rows[scored], baselines=[seen.get(actor) for actor in actors])
    grids = extract_clips(clips, 0, FeatureCache())
    heard = voice_baselines(clips, grids) if baseline == "neutral" and "audio" not in ignored else {}
    voices = voice_exam(labels, [grids[i] for i in scored], baselines=[heard.get(actor) for actor in actors])
    if not units:
        return voices
    return with_faces(voices, rows[scored], baselines=[seen.get(actor) for actor in actors])


def _told(engine: Engine, model: Checkpoint) -> Score:
    return lambda inputs, presence: engine.score(model.told(inputs), presence)
