"""``miar fetch``: the weights that do not come with the packages."""

from __future__ import annotations

from stream.app import RunFailed
from stream.asr.choose import decided, model_in
from stream.asr.whisper_model import NotFetched, find_weights


def fetch(what: str, language: str | None) -> str:
    """Fetch the weights of Whisper, unless they are here; one line that says where they are.

    Raises
    ------
    ValueError
        ``what`` is neither ``whisper`` nor ``whisper:MODEL``, or there is no such model.
    RunFailed
        They cannot be had.
    """
    asked = model_in(what)
    if asked is None:
        raise ValueError(f"nothing to fetch called {what!r}: use whisper or whisper:MODEL")
    model, why = decided(asked, language)
    try:
        folder = find_weights(model, fetch=True)
    except NotFetched as error:
        raise RunFailed(f"whisper {model}, {why}, is not here and {error.reason}") from error
    return f"whisper {model}, {why}, is in {folder}"
