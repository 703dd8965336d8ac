"""openSMILE kept running as one graph: sound goes in, low-level descriptors come out of two sinks.

Uses only what the ``opensmile`` wheel ships. Its stock configuration joins all descriptors before they leave
and grows some buffers for ever; here every level is a ring and the spectral and the voicing descriptors leave
by sinks of their own, so that the slower of the two is not held up by a further join. The mel bands, which the
stock configuration keeps to itself, leave by a third.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.input_spec import MEL_BANDS, VOICED_DESCRIPTORS
from miar_rt.signals import Array

SAMPLE_RATE = 16000
MAX_PENDING = 12_000
"""Frames (two minutes) that may lie untaken before a push is refused."""

_WAVE_SECONDS = 10
_CHUNK = SAMPLE_RATE // 2
_LEVELS = {
    "egemapsv02_lldsetE_smo": VOICED_DESCRIPTORS.start,
    "egemapsv02_lldsetF_smo": VOICED_DESCRIPTORS.stop - VOICED_DESCRIPTORS.start,
    "egemapsv02_melspecMfcc": MEL_BANDS,
}
"""The levels that leave by sinks and how wide they are, in the order of a frame's columns."""
_MEL_FLOOR = 100.0
"""Power of a band, in steps of 16-bit sound, below which rounding drowns it."""
_FRAGMENTS = ("gemaps/v01b/GeMAPSv01b_core.lld.conf.inc", "egemaps/v02/eGeMAPSv02_core.lld.conf.inc")
# Longer than the stock rings: the Viterbi smoother may hold 40 frames back while sound arrives in bursts.
_RINGS = {"bufferModeRbConf": 20, "bufferModeRbLagConf": 400, "bufferModeConf": 400}
_RING = "writer.levelconf.growDyn = 0\nwriter.levelconf.isRb = 1\nwriter.levelconf.nT = {frames}\n"

_SOURCE = f"""
[componentInstances:cComponentManager]
instance[dataMemory].type=cDataMemory
instance[sound].type=cExternalAudioSource
printLevelStats=0

[sound:cExternalAudioSource]
writer.dmLevel=wave
writer.levelconf.growDyn=0
writer.levelconf.isRb=1
writer.levelconf.nT={SAMPLE_RATE * _WAVE_SECONDS}
sampleRate={SAMPLE_RATE}
nBits=16
channels=1

"""
_SINK = """
[componentInstances:cComponentManager]
instance[{level}_out].type=cExternalSink
[{level}_out:cExternalSink]
reader.dmLevel = {level}
blocksize = 1
"""


class AcousticError(RuntimeError):
    """openSMILE stopped, or could not be started."""


class _Outputs:
    """What the sinks have given and how the run stands; written on openSMILE's thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.queues: tuple[deque[Array], ...] = tuple(deque() for _ in _LEVELS)
        self.ended = False
        self.error: Exception | None = None

    @property
    def pending(self) -> int:
        return min(map(len, self.queues))

    def add(self, queue: deque[Array], row: Array) -> None:
        with self.changed:
            queue.append(row.reshape(-1).copy())
            self.changed.notify_all()


class AcousticGraph:
    """The running graph. One thread writes and takes; openSMILE works on a thread of its own.

    Raises
    ------
    AcousticError
        openSMILE could not be started; from every later call once it has stopped unasked.
    """

    def __init__(self) -> None:
        self._outputs = _Outputs()
        self._ending = False
        try:
            # openSMILE has read the files of the folder by the time it has started
            with tempfile.TemporaryDirectory(prefix="miar-acoustic-") as folder:
                self._smile = _start(Path(folder), self._outputs)
        except Exception as error:
            raise AcousticError(f"openSMILE could not be started: {error}") from error
        self._thread = threading.Thread(
            target=_run, args=(self._smile, self._outputs), name="opensmile", daemon=True
        )
        self._thread.start()
        # A native thread that calls into a dying interpreter takes the process down: stop it first.
        self.close = weakref.finalize(self, _stop, self._smile, self._thread)

    @property
    def pending(self) -> int:
        """Frames that have come out and were not taken."""
        return self._outputs.pending

    def write(self, samples: NDArray[np.int16], timeout: float = 5.0) -> None:
        """Give sound to openSMILE, waiting while its ten seconds of buffer are full.

        Raises
        ------
        AcousticError
            openSMILE stopped, or took nothing for ``timeout`` seconds.
        BufferError
            ``MAX_PENDING`` frames lie untaken.
        """
        if self._ending:
            raise AcousticError("the sound was said to have ended")
        for start in range(0, len(samples), _CHUNK):
            self._check()
            if self.pending > MAX_PENDING:
                raise BufferError(f"{self.pending} acoustic frames were not taken; poll before pushing more sound")
            self._write_chunk(samples[start : start + _CHUNK].tobytes(), timeout)

    def _write_chunk(self, data: bytes, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self._smile.external_audio_source_write_data("sound", data):
            self._check()
            if time.monotonic() > deadline:
                raise AcousticError(f"openSMILE took no sound for {timeout:g} s")
            time.sleep(0.002)

    def take(self, limit: int | None = None) -> list[Array]:
        """Rows of ``ACOUSTICS`` that have come out, in order, at most ``limit``."""
        self._check()
        outputs = self._outputs
        with outputs.changed:
            count = outputs.pending if limit is None else min(limit, outputs.pending)
            rows = [[queue.popleft() for queue in outputs.queues] for _ in range(count)]
        return [np.concatenate([*descriptors, np.log(mel + _MEL_FLOOR)]) for *descriptors, mel in rows]

    def wait(self, frames: int, timeout: float) -> bool:
        """Wait until ``frames`` frames can be taken; False where the time or the input ends before."""
        outputs = self._outputs
        with outputs.changed:
            outputs.changed.wait_for(lambda: outputs.ended or outputs.pending >= frames, timeout)
        self._check()
        return outputs.pending >= frames

    def end(self, timeout: float) -> None:
        """Tell openSMILE that no more sound comes and wait until the last frame is out."""
        self._check()
        if not self._ending:
            self._ending = True
            self._smile.external_audio_source_set_eoi("sound")
        self._thread.join(timeout)
        self._check()
        if self._thread.is_alive():
            raise AcousticError(f"openSMILE did not end within {timeout:g} s")

    def _check(self) -> None:
        if not self.close.alive:
            raise AcousticError("the acoustic extractor is closed")
        if self._outputs.error is not None:
            raise AcousticError(f"openSMILE stopped: {self._outputs.error}") from self._outputs.error
        if self._outputs.ended and not self._ending:
            raise AcousticError("openSMILE stopped before the sound ended")


def _start(folder: Path, outputs: _Outputs) -> Any:
    from opensmile.core.lib import OpenSMILE

    smile = OpenSMILE()
    smile.initialize(str(_write_configuration(folder)), _write_rings(folder), loglevel=0)
    for (level, columns), queue in zip(_LEVELS.items(), outputs.queues, strict=True):
        found = smile.external_sink_get_num_elements(f"{level}_out")
        if found != columns:
            raise AcousticError(f"level {level} of this openSMILE has {found} columns instead of {columns}")
        smile.external_sink_set_callback_ex(f"{level}_out", lambda row, _, q=queue: outputs.add(q, row))
    return smile


def _write_configuration(folder: Path) -> Path:
    """The graph's configuration, with the fragments it includes copied beside it.

    openSMILE reads ASCII paths only, and the environment may lie under a path that is not.
    """
    import opensmile

    fragments = Path(opensmile.__file__).parent / "core" / "config"
    includes = ""
    for name in _FRAGMENTS:
        copy = folder / Path(name).name
        shutil.copyfile(fragments / name, copy)
        includes += f"\\{{{copy}}}\n"
    path = folder / "stream.conf"
    path.write_text(_SOURCE + includes + "".join(_SINK.format(level=level) for level in _LEVELS))
    return path


def _write_rings(folder: Path) -> dict[str, str]:
    options = {}
    for name, frames in _RINGS.items():
        path = folder / f"{name}.inc"
        path.write_text(_RING.format(frames=frames))
        options[name] = str(path)
    return options


def _run(smile: Any, outputs: _Outputs) -> None:
    try:
        smile.run()
    except Exception as error:
        outputs.error = error
    with outputs.changed:
        outputs.ended = True
        outputs.changed.notify_all()


def _stop(smile: Any, thread: threading.Thread) -> None:
    from opensmile.core.lib import OpenSmileException

    # The end of input also ends a run that starts only after the abort.
    for request in (lambda: smile.external_audio_source_set_eoi("sound"), smile.abort):
        with contextlib.suppress(OpenSmileException):
            request()
    thread.join(1.0)
    if not thread.is_alive():
        smile.free()
