"""The other end of a microphone: PortAudio, in a process of its own.

When its sound server dies, PortAudio may hang, abort, or spin for ever while it fills memory and stderr; and it
lists the devices of the moment at which it was started for as long as its process lives. So a process is started
for every look at the devices and every recording. Light to import, for that moment.
"""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

MEMORY_BYTES = 1 << 30
"""Many times what it needs."""

LOOK_SECONDS = 0.1


def serve(pipe: Connection) -> None:
    """Send what there is, then record what is asked for and send that, until it ends.

    Sends the error where PyAudio is missing; else the index of the default input, ``None`` without one, and every
    device as PortAudio describes it with the name of its ``host``. Then takes index, rate, samples in a block and
    the numbers of channels to try. Sends ``None`` when none can be opened; else the number of channels and the
    latency in seconds, then the blocks: the time of the callback on ``time.monotonic()``, the samples, the times
    that PortAudio states, and whether it lost sound before.
    """
    with contextlib.suppress(ValueError):  # there is a lower limit
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        import pyaudio
    except ImportError as error:
        pipe.send(error)
        return
    audio = pyaudio.PyAudio()
    pipe.send(_devices(audio))
    index, rate, block, choices = pipe.recv()
    for channels in choices:
        with contextlib.suppress(OSError):
            stream = _start(audio, pipe, index, rate, block, channels)
            break
    else:
        pipe.send(None)
        return
    while stream.is_active():
        time.sleep(LOOK_SECONDS)


def _devices(audio: Any) -> tuple[int | None, list[dict[str, Any]]]:
    default = None
    with contextlib.suppress(OSError):
        default = int(audio.get_default_input_device_info()["index"])
    infos = [audio.get_device_info_by_index(index) for index in range(audio.get_device_count())]
    return default, [{**info, "host": audio.get_host_api_info_by_index(info["hostApi"])["name"]} for info in infos]


def _start(audio: Any, pipe: Connection, index: int, rate: int, block: int, channels: int) -> Any:
    """A running stream; PortAudio calls ``captured`` on a thread of its own."""
    import pyaudio

    turn = threading.Lock()

    def captured(data: bytes, _: int, times: dict[str, float], status: int) -> tuple[None, int]:
        captured_by = time.monotonic()
        with turn:
            pipe.send((captured_by, data, times, bool(status & pyaudio.paInputOverflow)))
        return None, pyaudio.paContinue

    stream = audio.open(
        format=pyaudio.paInt16, channels=channels, rate=rate, input=True, input_device_index=index,
        frames_per_buffer=block, stream_callback=captured, start=False,
    )  # fmt: skip
    with turn:
        stream.start_stream()
        pipe.send((channels, stream.get_input_latency()))
    return stream
