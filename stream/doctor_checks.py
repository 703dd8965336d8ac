"""The checks of ``miar doctor``, in the order in which they are shown."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from miar_rt.installing import install_command
from stream.doctor import Check, Examiner
from stream.doctor_gpu import examine_gpu, examine_threads
from stream.doctor_packages import (
    DISTRIBUTION,
    conflicts,
    extras,
    installed_versions,
    judge,
    requirements,
    shadows,
    twins,
)
from stream.sources import Device, SourceError

if TYPE_CHECKING:
    from miar_rt.checkpoint import Checkpoint

PYTHONS = ((3, 10), (3, 12))
_LIBRARIES = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}
_FACE_MODEL = "modules/face_landmark/face_landmark_with_attention.tflite"


def _python() -> Iterator[Check]:
    here = sys.version_info[:2]
    fits = PYTHONS[0] <= here <= PYTHONS[1]
    detail = f"{platform.python_version()} on {platform.machine()}"
    if not fits:
        detail += "; needed is 3.10, 3.11 or 3.12: mediapipe with its face model exists for those only"
    mend = None if fits else 'uv python install 3.12 && make setup PYTHON="$(uv python find 3.12)"'
    yield Check("Python", fits, detail, mend, essential=True)


def _packages() -> Iterator[Check]:
    needed, versions = requirements(), installed_versions()
    problems = list(conflicts(versions))
    said = {problem.name.removeprefix("conflict: ") for problem in problems}
    if needed is None:
        detail = f"{DISTRIBUTION} runs from a folder and is not installed, so that releases were not compared"
        yield Check("packages", None, detail, install_command())
    else:
        problems += [check for check in judge(needed, versions) if check.name.removeprefix("package ") not in said]
    if needed and not problems:
        yield Check("packages", True, f"{len(needed)} installed, all in range", essential=True)
    yield from problems
    yield from twins(versions)
    yield from shadows(metadata.packages_distributions())


def _system_libraries() -> Iterator[Check]:
    if not sys.platform.startswith("linux"):
        return
    missing = [package for library, package in _LIBRARIES.items() if not _loads(library)]
    if missing:
        detail = f"OpenCV needs {' and '.join(missing)}"
        yield Check("system libraries", False, detail, f"sudo apt-get install {' '.join(missing)}", essential=True)
    else:
        yield Check("system libraries", True, "OpenCV's are there", essential=True)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _face_model() -> Iterator[Check]:
    folder = _package_folder("mediapipe")
    there = folder is not None and (folder / _FACE_MODEL).is_file()
    detail = "FaceMesh is in mediapipe's wheel" if there else "this mediapipe holds no FaceMesh model"
    yield Check(
        "face", there, detail, None if there else "pip install 'mediapipe>=0.10.18,<0.10.22'", essential=True
    )


def _voice() -> Iterator[Check]:
    folder = _package_folder("opensmile")
    libraries = sorted(folder.glob("core/bin/**/*SMILEapi.*")) if folder else []
    loads = any(_loads(str(library)) for library in libraries)
    detail = "openSMILE's library loads" if loads else "openSMILE's library is missing or does not load"
    yield Check(
        "voice", loads, detail, None if loads else "pip install --force-reinstall opensmile", essential=True
    )


def _voice_activity() -> Iterator[Check]:
    from miar_rt.features.voice_activity import silero_path

    try:
        silero_path()
    except FileNotFoundError as error:
        yield Check("voice activity", False, str(error), "pip install 'faster-whisper>=1.2,<2'", essential=True)
    else:
        yield Check("voice activity", True, "Silero's network is in faster-whisper's wheel", essential=True)


def _package_folder(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    spec = find_spec(name)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]) if folders else None


def _pocketsphinx() -> Iterator[Check]:
    folder = _package_folder("pocketsphinx")
    there = folder is not None and (folder / "model/en-us/en-us").is_dir()
    detail = "with its English model" if there else "pocketsphinx or its English model is missing"
    yield Check(
        "words: pocketsphinx", there, detail, None if there else "pip install --force-reinstall pocketsphinx"
    )


def _whisper() -> Iterator[Check]:
    from stream.asr import RecogniserUnavailable
    from stream.asr.whisper_model import find_weights, preferred_size

    size, why = preferred_size("en")
    try:
        folder = find_weights(size, fetch=False)
    except RecogniserUnavailable as error:
        mend = f"miar fetch whisper:{size}  (or say --asr whisper:FOLDER)"
        yield Check("words: whisper", None, f"{error}; pocketsphinx is used until they are fetched", mend)
    else:
        yield Check("words: whisper", True, f"{size}, chosen for {why}, in {folder}")


def _text_encoder() -> Iterator[Check]:
    from miar_rt.features.text import EXTRACTOR, TextEncoder, TextEncoderUnavailable

    try:
        TextEncoder().encode(["hello"])
    except TextEncoderUnavailable as error:
        mend = install_command("offline")
        yield Check("words: meaning", False, f"words are left out of the score: {error}", mend)
    else:
        yield Check("words: meaning", True, f"{EXTRACTOR}, the published weights")


def _checkpoint() -> Iterator[Check]:
    """The default checkpoint, what its corpora allow, and the engine that would run it."""
    from miar_rt.checkpoint import CheckpointError, load_checkpoint

    try:
        checkpoint = load_checkpoint(None)
    except CheckpointError as error:
        mend = install_command("", "--force-reinstall", "--no-deps")
        yield Check("checkpoint", False, str(error), mend, essential=True)
        return
    corpora = checkpoint.corpora.get("samples", {})
    trained = ", ".join(corpora) or "nothing it tells of"
    yield Check("checkpoint", True, f"{checkpoint.name} loads; trained on {trained}", essential=True)
    if "ravdess" in corpora:
        yield Check(
            "licence: checkpoint", None, f"{checkpoint.name}: RAVDESS is CC BY-NC-SA 4.0, no commercial use"
        )
    yield _engine(checkpoint)


def _engine(checkpoint: Checkpoint) -> Check:
    from miar_rt.engines import EngineUnavailable
    from miar_rt.engines.choose import AUTO, RUNGS, choose_engine

    try:
        engine, why = choose_engine(AUTO, checkpoint)
    except EngineUnavailable as error:
        return Check("engine", False, str(error), "pip install --force-reinstall onnxruntime", essential=True)
    engine.close()
    available = ", ".join(rung.name for rung in RUNGS if rung.obstacle() is None)
    detail = f"available: {available}; auto takes {why.removeprefix('engine ')}"
    return Check("engine", True, detail, essential=True)


def _cameras() -> Iterator[Check]:
    from stream.sources.camera import discover_cameras

    mend = "connect one (a user needs the group video: sudo usermod -aG video $USER), or miar-live --camera URL"
    yield _devices("camera", discover_cameras, mend)
    closed = [node for d in discover_cameras() if not os.access(node := f"/dev/video{d.index}", os.R_OK | os.W_OK)]
    if closed:
        detail = f"no right to open {', '.join(closed)}"
        yield Check("camera: permission", False, detail, "sudo usermod -aG video $USER  (then log in again)")


def _microphones() -> Iterator[Check]:
    from stream.sources.microphone import discover_microphones

    if find_spec("pyaudio") is None:
        mend = f"sudo apt-get install portaudio19-dev gcc && {install_command('mic')}"
        yield Check("microphone", False, "PyAudio is not installed", mend)
        return
    yield _devices("microphone", discover_microphones, "connect one, or start the sound server")


def _devices(kind: str, discover: Callable[[], list[Device]], mend: str) -> Check:
    try:
        found = discover()
    except (SourceError, ImportError, OSError) as error:
        portaudio = kind == "microphone" and "libportaudio" in str(error)
        return Check(kind, False, str(error), "sudo apt-get install libportaudio2" if portaudio else None)
    names = ", ".join(f"{device.index} {device.name}" for device in found)
    return Check(kind, True, names) if found else Check(kind, None, "none found; files work without", mend)


def _port() -> Iterator[Check]:
    from stream.serving.server import Server, ServerError

    server = Server()
    try:
        with server:
            pass
    except ServerError as error:
        yield Check("port", False, str(error), f"miar-live --port {server.port + 1}")
    else:
        yield Check("port", True, f"{server.port} is free")


def _cache() -> Iterator[Check]:
    from platformdirs import user_cache_path

    folder = user_cache_path(DISTRIBUTION)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        detail = f"{folder} cannot be written ({error.strerror}): what it would keep is made anew at each start"
        yield Check("cache", False, detail, 'export XDG_CACHE_HOME="$(mktemp -d)"')
    else:
        yield Check("cache", True, f"{folder} can be written")


def _personal() -> Iterator[Check]:
    """Where profiles and the agreement to the notice are, and whether others can read them."""
    from stream.consent import consent_file, has_agreed

    folder = consent_file().parent
    here = next(one for one in (folder, *folder.parents) if one.exists())
    open_to_others = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    if not os.access(here, os.W_OK):
        detail = f"{folder} cannot be written: profiles cannot be kept, and the notice is shown at each start"
        yield Check("personal files", False, detail, f"sudo chown -R $USER {here}")
    elif open_to_others:
        detail = f"others can read {open_to_others[0]}"
        yield Check("personal files", False, detail, f"chmod -R go= {folder}")
    else:
        yield Check("personal files", True, f"{folder} can be written, and nobody else reads what is in it")
    said = "was agreed to" if has_agreed() else "is shown, and wants a yes, when devices are first used"
    yield Check("notice", None, f"what people in view must know {said} (docs/responsible-use.md)")


def _licence() -> Iterator[Check]:
    yield Check("licence: openSMILE", None, "audEERING's research licence, no commercial use (its wheel says MIT)")


EXAMINERS: tuple[Examiner, ...] = (
    Examiner("Python", True, _python),
    Examiner("packages", True, _packages),
    Examiner("system libraries", True, _system_libraries),
    Examiner("face", True, _face_model),
    Examiner("voice", True, _voice),
    Examiner("voice activity", True, _voice_activity),
    Examiner("checkpoint", True, _checkpoint),
    Examiner("words: meaning", False, _text_encoder),
    Examiner("words: pocketsphinx", False, _pocketsphinx),
    Examiner("words: whisper", False, _whisper),
    Examiner("camera", False, _cameras),
    Examiner("microphone", False, _microphones),
    Examiner("GPU", False, examine_gpu),
    Examiner("threads", False, examine_threads),
    Examiner("port", False, _port),
    Examiner("cache", False, _cache),
    Examiner("personal files", False, _personal),
    Examiner("Lab Streaming Layer", False, extras),
    Examiner("licence: openSMILE", False, _licence),
)
