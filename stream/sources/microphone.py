"""Microphones by name or number, through PyAudio (PortAudio) at the device's own rate and channels."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.clock import AudioTimeline, CaptureClock
from stream.events import AudioChunk, SignalGap
from stream.silence import silent_stderr
from stream.sources import (
    CLOSE_SECONDS,
    OPEN_SECONDS,
    SILENT_DEVICE_SECONDS,
    Device,
    NoDefaultDevice,
    SourceError,
)
from stream.sources.devices import choose_device, within
from stream.sources.mailboxes import SoundQueue
from stream.sources.resample import MonoResampler

BLOCK_SECONDS = 0.02
_ADC_TIME = "callback time less age by the device's ADC time"
_ADC_SLACK = 0.1
_WARM_UP = 10
_LATENCY = "callback time less reported latency"


def discover_microphones() -> list[Device]:
    """Devices that PortAudio can record from.

    Raises
    ------
    SourceError
        PyAudio is not installed.
    """
    with silent_stderr(), _portaudio() as audio:
        return _microphones(audio)


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
        self._held = contextlib.ExitStack()
        self._stream: Any = None
        self._lost = False
        self._last_block = 0.0
        self.name = self.identifier = "default microphone" if which is None else str(which)
        self.time_base = _LATENCY
        self.drift = 0.0

    @property
    def lost(self) -> bool:
        """Whether sound stopped coming."""
        if self._stream is not None and not self._lost and self._silent():
            self._lost = True
            self._queue.close()
        return self._lost

    @property
    def dropped_samples(self) -> int:
        """Samples at 16 kHz that were captured and not read in time."""
        return self._queue.dropped

    def __enter__(self) -> Microphone:
        try:
            with silent_stderr():
                opened = within(OPEN_SECONDS, self._open)
        except SourceError:
            self._close()
            raise
        if not opened:
            raise SourceError(f"{self.name} did not open within {OPEN_SECONDS:.0f} s; restart the sound server")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        within(CLOSE_SECONDS, self._close)

    def read(self, timeout: float) -> list[AudioChunk | SignalGap]:
        """All sound not read yet; see ``AudioSource``."""
        return self._queue.take(0.0 if self.lost else timeout)

    def _silent(self) -> bool:
        try:
            active = self._stream.is_active()
        except OSError:
            active = False
        return not active or self._clock.now() - self._last_block > SILENT_DEVICE_SECONDS

    def _open(self) -> bool:
        """Find the device and start its stream; PortAudio calls ``_captured`` on a thread of its own."""
        audio = self._held.enter_context(_portaudio(self._which is None))
        device = choose_device(_microphones(audio), self._which, "microphone")
        self.name, self.identifier = device.name, device.identifier
        info = audio.get_device_info_by_index(device.index)
        rate = int(info["defaultSampleRate"])
        for channels in _channel_choices(int(info["maxInputChannels"])):
            with contextlib.suppress(OSError):
                self._start(audio, device.index, rate, channels)
                return True
        raise SourceError(
            f"microphone {device.index} ({device.name}) cannot be opened; close the program that uses it, "
            "or choose another"
        )

    def _start(self, audio: Any, index: int, rate: int, channels: int) -> None:
        import pyaudio

        block = round(rate * BLOCK_SECONDS)
        capture = _Capture(self._clock, self._queue, rate, channels)

        def captured(data: bytes, _: int, times: dict[str, float], status: int) -> tuple[None, int]:
            self._last_block = self._clock.now()
            capture.take(data, times, bool(status & pyaudio.paInputOverflow))
            self.time_base, self.drift = capture.time_base, capture.drift
            return None, pyaudio.paContinue

        self._last_block = self._clock.now() + OPEN_SECONDS - SILENT_DEVICE_SECONDS
        stream = audio.open(
            format=pyaudio.paInt16, channels=channels, rate=rate, input=True, input_device_index=index,
            frames_per_buffer=block, stream_callback=captured, start=False,
        )  # fmt: skip
        self._held.callback(stream.close)
        capture.latency = stream.get_input_latency()
        stream.start_stream()
        self._stream = stream

    def _close(self) -> None:
        self._queue.close()
        with contextlib.suppress(OSError):
            self._held.close()


class _Capture:
    """What happens to each block of a running stream, on PortAudio's thread."""

    def __init__(self, clock: CaptureClock, queue: SoundQueue, rate: int, channels: int) -> None:
        self.latency = 0.0
        self.time_base = _LATENCY
        self._age: float | None = None
        self._warm_up = _WARM_UP
        self._earliest = math.inf
        self._clock = clock
        self._queue = queue
        self._rate = rate
        self._channels = channels
        self._timeline = AudioTimeline(rate)
        self._resampler = MonoResampler(rate)

    @property
    def drift(self) -> float:
        """As ``AudioTimeline.drift``."""
        return self._timeline.drift

    def take(self, data: bytes, times: dict[str, float], overflow: bool) -> None:
        """Stamp, convert and queue one block.

        How old a block is at its callback is settled by the first one: on some hosts later ADC times wander by
        half a second while sound comes without a break. The first ``_WARM_UP`` blocks only tell when sound
        starts, as the very first callbacks come in bursts.
        """
        now = self._clock.now()
        samples = np.frombuffer(data, np.int16).reshape(-1, self._channels)
        if self._age is None:
            duration = len(samples) / self._rate
            adc = adc_age(times, duration, self.latency)
            self.time_base = _LATENCY if adc is None else _ADC_TIME
            self._age = max(self.latency, duration) if adc is None else adc
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


def _microphones(audio: Any) -> list[Device]:
    default = -1
    with contextlib.suppress(OSError):
        default = int(audio.get_default_input_device_info()["index"])
    infos = [audio.get_device_info_by_index(index) for index in range(audio.get_device_count())]
    return [
        Device("microphone", int(info["index"]), info["name"], _identifier(audio, info), info["index"] == default)
        for info in infos
        if info["maxInputChannels"] > 0
    ]


def _identifier(audio: Any, info: dict[str, Any]) -> str:
    """Host and name without the card number, which depends on the order of plugging in."""
    host = audio.get_host_api_info_by_index(info["hostApi"])["name"]
    return f"{host}:{re.sub(r' *[(]hw:[0-9,]+[)]$', '', info['name'])}"


@contextlib.contextmanager
def _portaudio(default: bool = False) -> Iterator[Any]:
    try:
        import pyaudio
    except ImportError as error:
        kind = NoDefaultDevice if default else SourceError
        raise kind(
            "recording needs PyAudio: pip install 'miar-live[mic]' (Debian: apt install portaudio19-dev)"
        ) from error
    audio = pyaudio.PyAudio()
    try:
        yield audio
    finally:
        audio.terminate()
