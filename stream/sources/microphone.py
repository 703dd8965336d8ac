"""Microphones by name or number, through PyAudio (PortAudio) at the device's own rate and channels."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import threading
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miar_rt.installing import install_command
from stream.clock import AudioTimeline, CaptureClock
from stream.events import AudioChunk, SignalGap
from stream.portaudio import serve
from stream.processes import OwnProcess
from stream.sources import (
    CLOSE_SECONDS,
    OPEN_SECONDS,
    Device,
    NoDefaultDevice,
    SourceError,
)
from stream.sources.devices import choose_device
from stream.sources.mailboxes import SoundQueue
from stream.sources.resample import MonoResampler

BLOCK_SECONDS = 0.02
STALLED_SECONDS = 1.2
"""A stream that gives nothing for so long is given up: PortAudio may spin where it should say that it ended."""

_ADC_TIME = "callback time less age by the device's ADC time"
_ADC_SLACK = 0.1
_WARM_UP = 10
_LATENCY = "callback time less reported latency"

log = logging.getLogger("miar.live")


def discover_microphones() -> list[Device]:
    """Devices that PortAudio can record from.

    Raises
    ------
    SourceError
        PyAudio is not installed, or the sound system does not answer within ``OPEN_SECONDS``.
    """
    with contextlib.closing(_started()) as portaudio:
        return _inputs(portaudio)[1]


class Microphone:
    """A microphone as 16 kHz mono.

    Keeps the contract of ``stream.sources.AudioSource``.

    Parameters
    ----------
    which
        Number, identifier, name or a part of one (see ``discover_microphones``); ``None`` for the system's
        default.
    clock
        What its sound is stamped on: samples are counted and held to the times of the callbacks, less the age
        that the device's ADC time gives the first block where that is believable, else less the latency that
        PortAudio reports.

    Raises
    ------
    NoDefaultDevice
        On entering: none was named, and there is none or PyAudio is missing.
    SourceError
        On entering: the named one is not there or cannot be opened, or PyAudio is missing.
    """

    ended = False

    def __init__(self, which: int | str | None, clock: CaptureClock) -> None:
        self._which = which
        self._clock = clock
        self._queue = SoundQueue()
        self._portaudio: OwnProcess | None = None
        self._hearing: threading.Thread | None = None
        self.name = self.identifier = "default microphone" if which is None else str(which)
        self.time_base = _LATENCY
        self.drift = 0.0
        self.lost = False

    @property
    def dropped_samples(self) -> int:
        """Samples at 16 kHz that were captured and not read in time."""
        return self._queue.dropped

    def __enter__(self) -> Microphone:
        portaudio = _started()
        try:
            capture = self._open(portaudio)
        except BaseException:
            portaudio.close()
            raise
        self._portaudio = portaudio
        self._hearing = threading.Thread(target=self._hear, args=(portaudio, capture), daemon=True)
        self._hearing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._portaudio and self._hearing:
            self._portaudio.kill()
            self._hearing.join(CLOSE_SECONDS)

    def read(self, timeout: float) -> list[AudioChunk | SignalGap]:
        """All sound not read yet; see ``AudioSource``."""
        return self._queue.take(timeout)

    def _open(self, portaudio: OwnProcess) -> _Capture:
        """Find the device and have its stream started."""
        infos, devices = _inputs(portaudio, self._which is None)
        device = choose_device(devices, self._which, "microphone")
        self.name, self.identifier = device.name, device.identifier
        info = infos[devices.index(device)]
        rate = int(info["defaultSampleRate"])
        choices = _channel_choices(int(info["maxInputChannels"]))
        started = _answer(portaudio, device.index, rate, round(rate * BLOCK_SECONDS), choices)
        if started is None:
            raise SourceError(
                f"microphone {device.index} ({device.name}) cannot be opened; close the program that uses it, "
                "or choose another"
            )
        return _Capture(self._queue, rate, *started)

    def _hear(self, portaudio: OwnProcess, capture: _Capture) -> None:
        """Take blocks until the process dies, or gives nothing for so long that it never will."""
        patience = OPEN_SECONDS
        try:
            while portaudio.pipe.poll(patience):
                captured_by, data, times, overflow = portaudio.pipe.recv()
                capture.take(self._clock.from_monotonic(captured_by), data, times, overflow)
                self.time_base, self.drift = capture.time_base, capture.drift
                patience = STALLED_SECONDS
        except (EOFError, OSError):
            pass  # it died
        finally:
            self.lost = True
            self._queue.close()
            portaudio.close()
            log.debug("%s ended: %s", self.name, portaudio.last_words)


class _Capture:
    """What happens to each block of a running stream."""

    def __init__(self, queue: SoundQueue, rate: int, channels: int, latency: float) -> None:
        self.time_base = _LATENCY
        self._age: float | None = None
        self._warm_up = _WARM_UP
        self._earliest = math.inf
        self._queue = queue
        self._rate = rate
        self._channels = channels
        self._latency = latency
        self._timeline = AudioTimeline(rate)
        self._resampler = MonoResampler(rate)

    @property
    def drift(self) -> float:
        """As ``AudioTimeline.drift``."""
        return self._timeline.drift

    def take(self, now: float, data: bytes, times: dict[str, float], overflow: bool) -> None:
        """Stamp, convert and queue one block, of which the callback came at ``now``.

        How old a block is at its callback is settled by the first one: on some hosts later ADC times wander by
        half a second while sound comes without a break. The first ``_WARM_UP`` blocks only tell when sound
        starts, as the very first callbacks come in bursts.
        """
        samples = np.frombuffer(data, np.int16).reshape(-1, self._channels)
        if self._age is None:
            duration = len(samples) / self._rate
            adc = adc_age(times, duration, self._latency)
            self.time_base = _LATENCY if adc is None else _ADC_TIME
            self._age = max(self._latency, duration) if adc is None else adc
        stated = now - self._age
        if self._warm_up:
            self._warm_up -= 1
            self._earliest = min(self._earliest, stated) + len(samples) / self._rate
            return
        stated = min(stated, self._earliest)
        self._earliest = math.inf
        placed = self._timeline.place(len(samples), stated, overflow)
        if placed.missing:
            self._put(placed.t - placed.missing - self._resampler.pending, self._resampler.flush())
            cause = "device lost sound" if overflow else "sound stopped coming for a while"
            self._queue.put(SignalGap("audio", placed.t - placed.missing, placed.t, cause))
        t = placed.t - self._resampler.pending
        self._put(t, self._resampler.push(samples))

    def _put(self, t: float, samples: NDArray[np.int16]) -> None:
        if len(samples):
            self._queue.put(AudioChunk(t, samples))


def adc_age(times: dict[str, float], duration: float, latency: float) -> float | None:
    """Seconds from the capture of a block's first sample to its callback, by PortAudio's ``times``.

    ``None`` where that is not to be believed: several hosts report zero, the future, a time at which the block
    cannot have been complete (PortAudio's issues 121, 135, 149, 531), or one far from the latency they report.
    """
    captured = times.get("input_buffer_adc_time", 0.0)
    age = times.get("current_time", 0.0) - captured
    return age if captured > 0.0 and 0.5 * duration <= age <= latency + _ADC_SLACK else None


def _channel_choices(most: int) -> list[int]:
    """Numbers of channels to try: sound servers offer dozens, hardware may insist on all it has."""
    return list(dict.fromkeys((min(most, 2), 1, most)))


def _inputs(portaudio: OwnProcess, default: bool = False) -> tuple[list[dict[str, Any]], list[Device]]:
    """What PortAudio can record from, as it says and as we do; ``default`` is whether nothing else is asked for."""
    found = _answer(portaudio)
    if isinstance(found, ImportError):
        raise (NoDefaultDevice if default else SourceError)(
            f"recording needs PyAudio: {install_command('mic')} (Debian: apt install portaudio19-dev); {found}"
        ) from found
    first, infos = found
    infos = [info for info in infos if info["maxInputChannels"] > 0]
    return infos, [
        Device("microphone", int(info["index"]), info["name"], _identifier(info), info["index"] == first)
        for info in infos
    ]


def _identifier(info: dict[str, Any]) -> str:
    """Host and name without the card number, which depends on the order of plugging in."""
    return f"{info['host']}:{re.sub(r' *[(]hw:[0-9,]+[)]$', '', info['name'])}"


def _started() -> OwnProcess:
    try:
        return OwnProcess(serve)
    except OSError as error:
        raise SourceError(f"PortAudio's process cannot be started: {error}; free memory or processes") from error


def _answer(portaudio: OwnProcess, *question: Any) -> Any:
    """What PortAudio's process says next; ``SourceError`` where it dies or takes too long."""
    try:
        if question:
            portaudio.pipe.send(question)
        if portaudio.pipe.poll(OPEN_SECONDS):
            return portaudio.pipe.recv()
    except (EOFError, OSError) as error:
        portaudio.close()
        raise SourceError(f"PortAudio ended: {portaudio.last_words}") from error
    raise SourceError(f"PortAudio did not answer within {OPEN_SECONDS:.0f} s; restart the sound server")
