"""Finding, fetching, loading and running Whisper weights with faster-whisper."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import Word
from stream.asr import RecogniserUnavailable
from stream.asr.plausible import Segment

_SIZES = ("tiny", "base", "small", "medium", "large-v1", "large-v2", "large-v3")
_NAMES = frozenset([*_SIZES, *(f"{size}.en" for size in _SIZES[:4])])
_NEEDED = ("config.json", "model.bin", "tokenizer.json")
_FETCHED = (*_NEEDED, "preprocessor_config.json", "vocabulary.*")
_HUB_TIMEOUT_S = 4.0
_TOKENS_PER_S = 12
_MOST_TOKENS = 200


class NotFetched(RecogniserUnavailable):
    """Weights are not here and could not be downloaded; one line says so and names the command that does it."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"whisper {model} is not here and {reason}; `miar fetch whisper:{model}` gets it once")
        self.reason = reason


class WhisperModel:
    """CTranslate2 Whisper weights from ``folder``: float16 on a CUDA device, else int8 on two CPU threads.

    Raises
    ------
    RecogniserUnavailable
        The folder holds no Whisper model that CTranslate2 can read, or one that does not know ``language``.
    """

    def __init__(self, folder: Path, name: str, language: str | None = None) -> None:
        if missing := _missing(folder):
            raise RecogniserUnavailable(f"{folder} is no CTranslate2 Whisper model: {', '.join(missing)} missing")
        self._model, precision = _load(folder)
        self._beam = 5 if precision == "float16" else 1
        self.name = f"whisper {name} {precision}"
        if not _knows(self._model, language):
            raise RecogniserUnavailable(f"whisper {name} does not know {language!r}: name another model")

    def transcribe(
        self, sound: NDArray[np.float32], language: str | None, prompt: str
    ) -> tuple[list[Segment], str | None]:
        """Words of float32 ``[n]`` at 16 kHz, times counting from its start, and the language heard."""
        segments, info = self._model.transcribe(
            sound,
            language=language,
            beam_size=self._beam,
            temperature=0.0,
            condition_on_previous_text=False,
            initial_prompt=prompt or None,
            word_timestamps=True,
            # doubts are judged in plausible.py, where every number is at hand
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            # speech has a pace: a decoder that loops must not run on to its limit
            max_new_tokens=min(_MOST_TOKENS, 16 + round(len(sound) / 16_000 * _TOKENS_PER_S)),
        )
        return [_segment(segment) for segment in segments], info.language

    def close(self) -> None:
        """Free the weights."""
        self._model.model.unload_model()


def find_weights(model: str, fetch: bool) -> Path:
    """The folder that holds the weights of ``model``.

    Parameters
    ----------
    model
        A folder, a size (``tiny.en``, ``small``, ``large-v3``) or an ``owner/name`` on the Hugging Face hub.
    fetch
        Download what is not in the local cache; without a connection that fails within seconds.

    Raises
    ------
    RecogniserUnavailable
        The weights are not here and cannot be fetched (``NotFetched``).
    ValueError
        ``model`` is neither a folder nor a model's name, or the hub knows none of this name.
    """
    if Path(model).expanduser().is_dir():
        return Path(model).expanduser()
    repo = _repository(model)
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise RecogniserUnavailable(
            f"faster-whisper cannot be used ({error}): pip install faster-whisper"
        ) from error
    try:
        folder = Path(hub.snapshot_download(repo, allow_patterns=list(_FETCHED), local_files_only=True))
    except (OSError, ValueError) as error:
        if not fetch:
            raise RecogniserUnavailable(f"the weights of whisper {model} are not in the local cache") from error
    else:
        # a download that broke off leaves a folder with a part of it
        if not fetch or not _missing(folder):
            return folder
    return _fetch(hub, repo, model)


def preferred_size(language: str | None) -> tuple[str, str]:
    """The model this machine can follow speech with, and why in a few words."""
    suffix = ".en" if language == "en" else ""
    if _cuda_devices():
        return f"small{suffix}", "a CUDA device"
    cores = os.cpu_count() or 1
    size = "base" if cores >= 8 else "tiny"
    return f"{size}{suffix}", f"{cores} CPU cores and no CUDA device"


def _repository(model: str) -> str:
    if model in _NAMES:
        return f"Systran/faster-whisper-{model}"
    owner, _, name = model.partition("/")
    if owner and name and not any(c in name for c in "/\\ ") and not model.startswith((".", "~")):
        return model
    raise ValueError(
        f"no whisper model {model!r}: give a folder, an owner/name or one of {', '.join(sorted(_NAMES))}"
    )


def _fetch(hub: Any, repo: str, model: str) -> Path:
    try:
        hub.HfApi().repo_info(repo, timeout=_HUB_TIMEOUT_S)
        if sys.stderr.isatty():
            return Path(hub.snapshot_download(repo, allow_patterns=list(_FETCHED)))
        from faster_whisper.utils import disabled_tqdm

        return Path(hub.snapshot_download(repo, allow_patterns=list(_FETCHED), tqdm_class=disabled_tqdm))
    except hub.errors.RepositoryNotFoundError as error:
        raise ValueError(f"no whisper model {model!r} on the Hugging Face hub") from error
    # the hub's client lets the errors of whichever HTTP library it uses through
    except Exception as error:
        raise NotFetched(model, _reason(error)) from error


def _reason(error: Exception) -> str:
    """Why nothing came, without the words of the HTTP library where there is simply no connection."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"TransportError", "ConnectionError", "Timeout", "OfflineModeIsEnabled"}:
        return "there is no network"
    return f"cannot be fetched ({(str(error).strip() or type(error).__name__).splitlines()[0]})"


def _missing(folder: Path) -> list[str]:
    return [file for file in _NEEDED if not (folder / file).is_file()]


def _not_installed(error: ImportError) -> RecogniserUnavailable:
    return RecogniserUnavailable(f"faster-whisper cannot be used ({error}): pip install faster-whisper")


def _cuda_devices() -> int:
    try:
        import ctranslate2

        return int(ctranslate2.get_cuda_device_count())
    except (ImportError, RuntimeError):
        return 0


def _load(folder: Path) -> tuple[Any, str]:
    try:
        from faster_whisper import WhisperModel as Weights
    except ImportError as error:
        raise RecogniserUnavailable(
            f"faster-whisper cannot be used ({error}): pip install faster-whisper"
        ) from error
    if _cuda_devices():
        try:
            return Weights(str(folder), device="cuda", compute_type="float16"), "float16"
        # a driver without the libraries CTranslate2 needs: the CPU still works
        except RuntimeError:
            pass
    try:
        return Weights(str(folder), device="cpu", compute_type="int8", cpu_threads=2), "int8"
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise RecogniserUnavailable(f"{folder} holds no Whisper model that can be read: {reason}") from error


def _knows(model: Any, language: str | None) -> bool:
    return language is None or language in model.supported_languages


def _segment(segment: Any) -> Segment:
    words = tuple(
        Word(word.start, word.end, word.word.strip(), False, float(word.probability))
        for word in segment.words or ()
        if word.word.strip()
    )
    return Segment(words, segment.no_speech_prob, segment.avg_logprob, segment.compression_ratio)
