from __future__ import annotations

import itertools
import signal
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from stream.clock import CaptureClock
from stream.events import SAMPLE_RATE, AudioChunk, SignalGap
from stream.sources import SourceError
from stream.sources.microphone import Microphone, discover_microphones

if TYPE_CHECKING:
    from stand_ins import PulseMicrophone

pytestmark = pytest.mark.device

LIMIT = 30.0


def noise_wav(path: Path, rate: int, channels: int) -> NDArray[np.float64]:
    """0.8 s of noise below 6 kHz, so that it fits in one place only; returns it at 16 kHz."""
    spectrum = np.fft.rfft(np.random.default_rng(5).standard_normal(round(0.8 * SAMPLE_RATE)))
    spectrum[np.fft.rfftfreq(12_800, 1 / SAMPLE_RATE) > 6000.0] = 0.0
    at_16k = np.fft.irfft(spectrum)
    at_16k *= 0.3 / np.abs(at_16k).max()
    n = round(0.8 * rate)
    wide = np.zeros(n // 2 + 1, complex)
    wide[: len(spectrum)] = np.fft.rfft(at_16k)[: len(wide)]
    pcm = np.rint(np.fft.irfft(wide, n) * (n / 12_800) * 32767).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(pcm[:, None], channels, axis=1).tobytes())
    return at_16k * 32767


def wait_for_sound(microphone: Microphone, clock: CaptureClock) -> None:
    """A null sink takes a second or two until the first block of its monitor comes."""
    while not microphone.read(0.5):
        assert clock.now() < LIMIT


def listen(microphone: Microphone, clock: CaptureClock, until_heard: float) -> list[AudioChunk | SignalGap]:
    """Read until the sound has come and has been over for half a second."""
    items, loud = list[AudioChunk | SignalGap](), 0.0
    while clock.now() < LIMIT:
        for item in microphone.read(0.5):
            items.append(item)
            if isinstance(item, AudioChunk) and np.abs(item.samples).max() > 300:
                loud += item.t_end - item.t
        tail = [i for i in items[-25:] if isinstance(i, AudioChunk)]
        if loud > until_heard and all(np.abs(i.samples).max() < 300 for i in tail):
            return items
    pytest.fail("the microphone did not hear what was played")


def likeness(heard: NDArray[np.float64], played: NDArray[np.float64]) -> float:
    """Correlation of ``played`` with what was heard, at the best lag in 16ths of a sample."""
    n = len(heard) + len(played)
    product = np.fft.rfft(heard, n) * np.conj(np.fft.rfft(played, n))
    match = np.fft.irfft(product, 16 * n) * 16
    begin = int(match.argmax()) // 16
    here = heard[begin : begin + len(played)]
    return float(match.max() / (np.linalg.norm(here) * np.linalg.norm(played)))


@pytest.mark.parametrize("pulse_microphone", [(16_000, 1), (44_100, 2), (48_000, 2)], indirect=True)
def test_what_is_played_is_heard(
    pulse_microphone: PulseMicrophone, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rate, channels = request.node.callspec.params["pulse_microphone"]
    played = noise_wav(tmp_path / "noise.wav", rate, channels)
    clock = CaptureClock()
    with Microphone(None, clock) as microphone:
        wait_for_sound(microphone, clock)
        pulse_microphone.play(tmp_path / "noise.wav")
        items = listen(microphone, clock, until_heard=0.6)
        time_base = microphone.time_base
        assert not microphone.lost
    chunks = [i for i in items if isinstance(i, AudioChunk)]
    heard = np.concatenate([c.samples for c in chunks]).astype(float)
    assert likeness(heard, played) > 0.97  # the sound server's own resampler takes some of it
    assert time_base.startswith("callback time less")
    assert not any(isinstance(i, SignalGap) for i in items)
    assert microphone.dropped_samples == 0


def test_time_goes_on_without_gaps(pulse_microphone: PulseMicrophone) -> None:
    clock = CaptureClock()
    items = list[AudioChunk | SignalGap]()
    with Microphone("default", clock) as microphone:
        while len(items) < 50 and clock.now() < LIMIT:
            items += microphone.read(0.5)
            newest = items[-1].t_end if items and isinstance(items[-1], AudioChunk) else 0.0
            assert newest <= clock.now()
    assert len(items) >= 50
    assert pulse_microphone.folder.exists()
    chunks = [i for i in items if isinstance(i, AudioChunk)]
    assert len(chunks) == len(items)
    for before, after in itertools.pairwise(chunks):
        assert after.t == pytest.approx(before.t_end, abs=0.001)
    assert chunks[0].t >= 0.0


def test_closing_ends_the_stream(pulse_microphone: PulseMicrophone) -> None:
    clock = CaptureClock()
    for _ in range(2):
        with Microphone(None, clock) as microphone:
            wait_for_sound(microphone, clock)
        microphone.read(0.0)
        assert microphone.read(0.0) == []
    assert pulse_microphone.folder.exists()


def test_a_server_that_dies_is_noticed(pulse_microphone: PulseMicrophone) -> None:
    clock = CaptureClock()
    with Microphone(None, clock) as microphone:
        wait_for_sound(microphone, clock)
        pulse_microphone.stop()
        while not microphone.lost:
            microphone.read(0.1)
            assert clock.now() < LIMIT
        microphone.read(0.0)
        assert microphone.read(LIMIT) == []
    assert microphone.lost


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_process_that_hangs_or_dies_is_noticed_and_gone(pulse_microphone: PulseMicrophone, number: int) -> None:
    assert pulse_microphone.folder.exists()
    clock = CaptureClock()
    with Microphone(None, clock) as microphone:
        wait_for_sound(microphone, clock)
        (portaudio,) = (one for one in psutil.Process().children() if "stream.portaudio" in one.cmdline())
        portaudio.send_signal(number)
        while not microphone.lost:
            microphone.read(0.1)
            assert clock.now() < LIMIT
    assert not psutil.pid_exists(portaudio.pid)


def test_a_server_that_hangs_holds_nobody_up(
    pulse_microphone: PulseMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.sources.microphone.OPEN_SECONDS", 1.0)
    pulse_microphone.hang()
    try:
        with pytest.raises(SourceError, match="did not answer within 1 s"):
            discover_microphones()
    finally:
        pulse_microphone.go_on()


def test_a_device_that_appears_later_is_listed(pulse_microphone: PulseMicrophone) -> None:
    pulse_microphone.stop()
    assert not any(device.default for device in discover_microphones())
    pulse_microphone.start()
    assert any(device.default for device in discover_microphones())


def test_devices_are_listed_and_chosen_by_what_is_listed(
    pulse_microphone: PulseMicrophone, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pulse_microphone.folder.exists()
    found = discover_microphones()
    (default,) = [device for device in found if device.default]
    assert (default.kind, default.name, default.identifier) == ("microphone", "default", "ALSA:default")
    for which in (default.index, str(default.index), default.name, default.identifier):
        with Microphone(which, CaptureClock()) as microphone:
            assert microphone.identifier == default.identifier
    with pytest.raises(SourceError, match="there is no microphone 'cello'"), Microphone("cello", CaptureClock()):
        pass
    assert capfd.readouterr().err == ""


def test_a_default_device_that_cannot_be_opened_says_so(pulse_microphone: PulseMicrophone) -> None:
    pulse_microphone.stop()
    with pytest.raises(SourceError) as caught, Microphone("default", CaptureClock()):
        pass
    assert "\n" not in str(caught.value)
