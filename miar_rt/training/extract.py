"""Every corpus through the live extractors, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from numpy.typing import NDArray
from rich.progress import track as bar

from miar_rt.features.acoustic import AcousticExtractor
from miar_rt.features.appearance import Appearance
from miar_rt.features.face import FaceExtractor, face_values
from miar_rt.features.face_crop import face_crop
from miar_rt.features.face_geometry import LANDMARKS, neutral_face
from miar_rt.features.text import EXTRACTOR as TEXT_EXTRACTOR
from miar_rt.features.text import Encoder, TextEncoder
from miar_rt.features.voice_activity import VoiceActivity
from miar_rt.input_spec import SPEC, InputSpec
from miar_rt.signals import Array, EncodedText, FeatureFrame
from miar_rt.training.cache import Arrays, FeatureCache, digest
from miar_rt.training.corpora import Clip
from miar_rt.training.simulate import SAMPLE_RATE, Hypothesis, live_sound
from miar_rt.window import WindowBuilder

Samples = NDArray[np.int16]
Integers = NDArray[np.int64]
T = TypeVar("T")
Rows = TypeVar("Rows", Sequence[Any], NDArray[Any])

REVISION = {"audio": 1, "vision": 2, "text": 1}
"""Raised when what is extracted changes while the packages below it do not."""


def extractor_versions(encoder: Encoder | None = None, appearance: Appearance | None = None) -> dict[str, str]:
    """Name and version of what makes each modality's features, as a checkpoint states them."""
    made = {
        "text": encoder_name(encoder),
        "audio": f"opensmile {version('opensmile')}; VAD of faster-whisper {version('faster-whisper')}",
        "vision": f"FaceMesh of mediapipe {version('mediapipe')}",
    }
    return made if appearance is None else made | {"appearance": appearance.name}


def encoder_name(encoder: Encoder | None) -> str:
    """Name of a text encoder; of the published one, which need not be open for that, when ``None``."""
    return TEXT_EXTRACTOR if encoder is None else encoder.name


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Rows of many samples, one after another: sample ``i`` is ``values[starts[i] : starts[i + 1]]``."""

    values: NDArray[Any]
    starts: Integers

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self.values[self.starts[index] : self.starts[index + 1]]


def gather(parts: Iterable[Arrays], name: str) -> Ragged:
    """Join shards that hold rows under ``name`` and their counts under ``<name>_count``."""
    kept = list(parts)
    counts = np.concatenate([part[f"{name}_count"] for part in kept])
    return Ragged(np.concatenate([part[name] for part in kept]), np.concatenate([[0], np.cumsum(counts)]))


def chunks(items: Rows, size: int) -> Iterator[Rows]:
    """``items``, a sequence or an array, in runs of ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def track(items: Sequence[T], what: str, progress: bool) -> Iterable[T]:
    """``items`` with a progress bar, where one was asked for."""
    if not progress:
        return items
    return bar(items, description=what)


def read_sound(path: Path) -> Samples:
    """A sound file as int16 mono at 16 kHz.

    Raises
    ------
    ValueError
        When it cannot be decoded or holds no sound.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    try:
        with av.open(str(path)) as container:
            frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path}: holds no sound that can be decoded") from error
    if not frames:
        raise ValueError(f"{path}: holds no sound")
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def sound_frames(samples: Samples, t0: float) -> list[FeatureFrame]:
    """Acoustic and voice-activity frames of a recording whose first sample was captured at ``t0``."""
    with AcousticExtractor(t0) as extractor:
        frames: list[FeatureFrame] = []
        for start in range(0, len(samples), SAMPLE_RATE):
            extractor.push(samples[start : start + SAMPLE_RATE])
            frames += extractor.poll()
        frames += extractor.finish()
    return frames + VoiceActivity(t0).push(samples)


def audio_grid(samples: Samples, t0: float = 0.0, spec: InputSpec = SPEC) -> Array:
    """All steps of a recording as the window builder forms them, float32 ``[steps, channels]`` with NaN.

    The rows up to step ``k`` are the window at any time within that step, after the last frame of it came.
    """
    steps = math.floor((t0 + len(samples) / SAMPLE_RATE) * spec.audio_rate) + 1
    builder = WindowBuilder(replace(spec, audio_seconds=steps / spec.audio_rate))
    for frame in sound_frames(samples, t0):
        builder.push(frame)
    return builder.raw((steps - 0.5) / spec.audio_rate).values["audio"]


def extract_clips(
    clips: Sequence[Clip], copy: int, cache: FeatureCache, *, spec: InputSpec = SPEC, progress: bool = False
) -> Ragged:
    """Acoustic grids of every clip; ``copy`` 0 as it is, others through ``simulate.live_sound``."""
    runs = list(chunks(clips, 60))
    what = f"voices, rendering {copy}" if copy else "voices"
    return gather([_clip_shard(run, copy, cache, spec) for run in track(runs, what, progress)], "grid")


def _clip_shard(clips: Sequence[Clip], copy: int, cache: FeatureCache, spec: InputSpec) -> Arrays:
    content = [digest(clip.path.read_bytes()) for clip in clips]
    key = {
        "content": content, "copy": copy, "revision": REVISION["audio"], "rate": spec.audio_rate,
        "channels": spec.audio_channels, "opensmile": version("opensmile"), "voice": version("faster-whisper"),
    }  # fmt: skip
    if copy:
        key["sessions"] = [clip.session for clip in clips]

    def make() -> Arrays:
        seeds = [np.random.default_rng([copy, int(name, 16)]) for name in content]
        return pack("grid", [_rendered(clip, copy, seed, spec) for clip, seed in zip(clips, seeds, strict=True)])

    return cache.shard("audio", key, make)


def _rendered(clip: Clip, copy: int, random: np.random.Generator, spec: InputSpec) -> Array:
    samples = read_sound(clip.path)
    if not copy:
        return audio_grid(samples, spec=spec)
    session = np.random.default_rng([copy, *clip.session])
    return audio_grid(live_sound(samples, random, session), random.uniform(0.0, 1.0 / spec.audio_rate), spec)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedHypotheses:
    """Hypotheses and their token embeddings, kept as float16."""

    hypotheses: Sequence[Hypothesis]
    tokens: Ragged
    word_index: Ragged

    def __len__(self) -> int:
        return len(self.hypotheses)

    def encoded(self, index: int) -> EncodedText:
        """The token embeddings of one hypothesis as the text encoder gave them, but for rounding."""
        return EncodedText(self.tokens[index].astype(np.float32), self.word_index[index])


def extract_texts(
    hypotheses: Sequence[Hypothesis],
    cache: FeatureCache,
    *,
    encoder: Encoder | None = None,
    what: str = "texts",
    progress: bool = False,
) -> EncodedHypotheses:
    """Token embeddings of every hypothesis, by a live text encoder: the published one when not given."""
    name = encoder_name(encoder)
    opened = lru_cache(1)(lambda: encoder or TextEncoder())  # with the first shard that is not kept yet
    runs = list(chunks(hypotheses, 500))
    parts = [_text_shard(run, cache, name, opened) for run in track(runs, what, progress)]
    return EncodedHypotheses(hypotheses, gather(parts, "tokens"), gather(parts, "word_index"))


def _text_shard(
    hypotheses: Sequence[Hypothesis], cache: FeatureCache, name: str, opened: Callable[[], Encoder]
) -> Arrays:
    texts = [[word.text for word in hypothesis.words] for hypothesis in hypotheses]
    key = {"texts": digest(repr(texts).encode()), "encoder": name, "revision": REVISION["text"]}

    def make() -> Arrays:
        encoded = [opened().encode(words) for words in texts]
        tokens = pack("tokens", [text.tokens.astype(np.float16) for text in encoded])
        return tokens | pack("word_index", [text.word_index for text in encoded])

    return cache.shard("text", key, make)


def extract_stills(images: NDArray[np.uint8], cache: FeatureCache, *, progress: bool = False) -> Array:
    """Landmarks float32 ``[n, 478, 3]`` in pixels of grey stills ``[n, h, w]``; NaN where no face is found."""
    faces: list[FaceExtractor] = []
    runs = list(chunks(images, 500))
    parts = [_still_shard(run, cache, faces) for run in track(runs, "faces", progress)]
    for extractor in faces:
        extractor.close()
    return np.concatenate([part["landmarks"] for part in parts])


def _still_shard(images: NDArray[np.uint8], cache: FeatureCache, faces: list[FaceExtractor]) -> Arrays:
    key = {
        "images": digest(images.tobytes()), "shape": images.shape,
        "mediapipe": version("mediapipe"), "revision": REVISION["vision"],
    }  # fmt: skip

    def make() -> Arrays:
        if not faces:
            faces.append(FaceExtractor(static=True))
        return {"landmarks": np.stack([_landmarks(faces[0], image) for image in images])}

    return cache.shard("vision", key, make)


def _landmarks(faces: FaceExtractor, image: NDArray[np.uint8]) -> Array:
    faces.extract_still(np.repeat(image[:, :, None], 3, axis=2))
    found = faces.landmarks
    return np.full((LANDMARKS, 3), np.nan, np.float32) if found is None else found.astype(np.float32)


def face_rows(landmarks: Array, width: int, height: int) -> Array:
    """Face channels float32 ``[n, channels]`` of landmarks in pixels of their pictures; NaN rows for no face."""
    rows = np.full((len(landmarks), SPEC.widths["vision"]), np.nan, np.float32)
    for i in np.flatnonzero(np.isfinite(landmarks[:, 0, 0])):
        rows[i] = face_values(landmarks[i], width, height)
    return rows


def crops_of(images: NDArray[np.uint8], landmarks: Array) -> Array:
    """Crops float32 ``[n, 48, 48]`` of grey stills ``[n, h, w]`` in which a face was found."""
    return np.stack([face_crop(image, points) for image, points in zip(images, landmarks, strict=True)])


def mirrored(landmarks: Array, width: int) -> Array:
    """The same faces seen in a mirror: each point takes the place of its counterpart on the other side."""
    flipped = landmarks[:, counterparts()].copy()
    flipped[:, :, 0] = width - flipped[:, :, 0]
    return flipped


@lru_cache
def counterparts() -> Integers:
    """For each landmark the number of the one that mirrors it on the symmetrical neutral face."""
    face = neutral_face().astype(np.float64)
    distance = np.square(face[:, None] * (-1.0, 1.0, 1.0) - face[None]).sum(axis=2)
    return np.asarray(distance.argmin(axis=1), np.int64)


def pack(name: str, rows: Sequence[NDArray[Any]]) -> Arrays:
    """Arrays of a shard: the rows of all samples and how many each has."""
    return {name: np.concatenate(rows), f"{name}_count": np.array([len(r) for r in rows], np.int64)}
