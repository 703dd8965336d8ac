"""Which recogniser to use, and one line that says why."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from stream.asr import Recogniser, RecogniserUnavailable

MODEL_VARIABLE = "MIAR_WHISPER_MODEL"


def choose_recogniser(
    spec: str, language: str | None, clock: Callable[[], float] | None = None
) -> tuple[Recogniser | None, str]:
    """Make the recogniser that ``spec`` asks for.

    Parameters
    ----------
    spec
        ``auto``: Whisper when its weights are here or can be fetched, else pocketsphinx. ``whisper`` or
        ``whisper:MODEL``: a size, an ``owner/name`` on the Hugging Face hub or a folder; without ``MODEL`` the
        variable ``MIAR_WHISPER_MODEL`` or the machine decides. ``sphinx``. ``off``.
    language
        ISO 639-1 code; ``None`` lets Whisper detect it.
    clock
        The capture clock's present, in live use, so that Whisper notices when it falls behind.

    Returns
    -------
    The recogniser, ``None`` when words are off, and one line that says what was chosen and why.

    Raises
    ------
    ValueError
        ``spec`` is none of these.
    RecogniserUnavailable
        The recogniser was named and cannot be had here.
    """
    if (model := model_in(spec)) is not None:
        return _whisper(model, language, clock)
    if spec == "sphinx":
        return _sphinx(language), "words by pocketsphinx, as asked"
    if spec == "auto":
        return _auto(language, clock)
    if spec == "off":
        return None, "words are off, as asked"
    raise ValueError(f"no speech recogniser {spec!r}: use auto, whisper, whisper:MODEL, sphinx or off")


def model_in(spec: str) -> str | None:
    """The model in ``whisper:MODEL``, ``""`` for ``whisper`` alone, ``None`` for anything else."""
    name, colon, model = spec.partition(":")
    return model if name == "whisper" and bool(colon) == bool(model) else None


def decided(model: str, language: str | None) -> tuple[str, str]:
    """``model``, or the one that the variable names, else the one for this machine; and why."""
    from stream.asr.whisper_model import preferred_size

    if model:
        return model, "as asked"
    if named := os.environ.get(MODEL_VARIABLE):
        return named, f"as {MODEL_VARIABLE} says"
    size, hardware = preferred_size(language)
    return size, f"chosen for {hardware}"


def _auto(language: str | None, clock: Callable[[], float] | None) -> tuple[Recogniser | None, str]:
    try:
        return _whisper("", language, clock)
    except (RecogniserUnavailable, ValueError) as error:
        why = str(error)
    try:
        return _sphinx(language), f"words by pocketsphinx, English only: {why}"
    except RecogniserUnavailable as error:
        return None, f"no words: {why}; {error}"


def _sphinx(language: str | None) -> Recogniser:
    from stream.asr.apart import Apart
    from stream.asr.sphinx import SphinxRecogniser

    if language not in {None, "en"}:
        raise RecogniserUnavailable(f"pocketsphinx knows English only, not {language!r}: use --asr whisper")
    return Apart(SphinxRecogniser)


def _whisper(model: str, language: str | None, clock: Callable[[], float] | None) -> tuple[Recogniser, str]:
    from stream.asr.whisper import WhisperRecogniser
    from stream.asr.whisper_model import WhisperModel, find_weights

    model, why = decided(model, language)
    weights = WhisperModel(find_weights(model, fetch=True), Path(model).name, language)
    return WhisperRecogniser(weights, language, clock), f"words by {weights.name}, {why}"
