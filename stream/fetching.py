"""``miar fetch``: the weights that do not come with the packages."""

from __future__ import annotations

import os

from stream.app import RunFailed
from stream.asr.choose import MODEL_VARIABLE
from stream.asr.whisper_model import NotFetched, find_weights, preferred_size


def fetch(what: str, language: str | None) -> str:
    """Fetch the weights of Whisper, unless they are here; one line that says where they are.

    Raises
    ------
    ValueError
        ``what`` is neither ``whisper`` nor ``whisper:MODEL``, or there is no such model.
    RunFailed
        They cannot be had.
    """
    name, colon, model = what.partition(":")
    if name != "whisper" or bool(colon) != bool(model):
        raise ValueError(f"nothing to fetch called {what!r}: use whisper or whisper:MODEL")
    why = "as asked"
    if not model:
        model, why = os.environ.get(MODEL_VARIABLE, ""), f"as {MODEL_VARIABLE} says"
    if not model:
        model, hardware = preferred_size(language)
        why = f"chosen for {hardware}"
    try:
        folder = find_weights(model, fetch=True)
    except NotFetched as error:
        raise RunFailed(f"whisper {model}, {why}, is not here and {error.reason}") from error
    return f"whisper {model}, {why}, is in {folder}"
