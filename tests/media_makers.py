"""Media files made in the test that needs them, and what to look for in what comes out of them."""

from __future__ import annotations

import itertools
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from stream.events import SAMPLE_RATE, AudioChunk, VideoFrame
from stream.sources.media_file import MediaItem


def tone(seconds: float, rate: int, channels: int = 1, hertz: float = 440.0) -> NDArray[np.float32]:
    """``[channels, n]``: the same tone on every channel, at half of full scale."""
    wave_ = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave_.astype(np.float32), (channels, 1))


def quadrants(width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """Red, green, blue and white quarters, so that orientation and colour order can be told."""
    image = np.zeros((height, width, 3), np.uint8)
    h, w = height // 2, width // 2
    image[:h, :w], image[:h, w:], image[h:, :w], image[h:, w:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    return image


def corner_colours(image: NDArray[np.uint8]) -> list[str]:
    """Nearest names of the quarters' colours: top left, top right, bottom left, bottom right."""
    h, w = image.shape[:2]
    names = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    points = [image[y, x].astype(int) for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)]
    return [min(names, key=lambda n: int(np.abs(p - names[n]).sum())) for p in points]


def write_video(
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    times: Sequence[Fraction] | None = None,
    fps: int = 25,
    sound: NDArray[np.float32] | None = None,
    sound_rate: int = 16_000,
    sound_start: float = 0.0,
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    **options: Any,
) -> Path:
    times = times or [Fraction(i, fps) for i in range(len(images))]
    with av.open(str(path), "w", **options) as container:
        video: Any = container.add_stream(codec, rate=max(fps, 25))
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = pix_fmt
        if codec == "mpeg4":
            video.bit_rate = 4_000_000
        video.codec_context.time_base = Fraction(1, 12_000 if codec == "mpeg4" else 1000)
        audio: Any = None if sound is None else container.add_stream("pcm_s16le", rate=sound_rate, layout="mono")
        for image, t in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(t / video.codec_context.time_base), video.codec_context.time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            _encode_sound(container, audio, sound, sound_rate, sound_start)
    return path


def _encode_sound(container: Any, stream: Any, sound: NDArray[np.float32], rate: int, start: float) -> None:
    pcm = np.rint(sound[:1] * 32767).astype(np.int16)
    for begin in range(0, pcm.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(pcm[:, begin : begin + 1024].copy(), format="s16", layout="mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(start * rate) + begin
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_wav(path: Path, pcm: NDArray[Any], rate: int) -> Path:
    """``pcm``: ``[n, channels]``, uint8 or int16."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(pcm.shape[1])
        file.setsampwidth(pcm.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return path


def sound_of(items: Sequence[MediaItem]) -> NDArray[np.int16]:
    return np.concatenate([i.samples for i in items if isinstance(i, AudioChunk)])


def pictures_of(items: Sequence[MediaItem]) -> list[VideoFrame]:
    return [i for i in items if isinstance(i, VideoFrame)]


def assert_unbroken(items: Sequence[MediaItem]) -> None:
    chunks = [i for i in items if isinstance(i, AudioChunk)]
    for before, after in itertools.pairwise(chunks):
        assert after.t == pytest.approx(before.t_end, abs=1e-9)


def assert_tone(samples: NDArray[np.int16], hertz: float = 440.0, tolerance: float = 40.0) -> None:
    """The tone that went in, at its amplitude and phase (away from the ends, where filters settle)."""
    expected = 0.5 * 32767 * np.sin(2 * np.pi * hertz * np.arange(len(samples)) / SAMPLE_RATE)
    assert np.abs(samples - expected)[800:-800].max() < tolerance
