"""Live sessions in tests: sources that keep the contract without a device, and sessions that keep what they got."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from random_checkpoint import random_checkpoint

from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.signals import FeatureFrame, RecogniserKind, WordsUpdate
from stream.asr import Recogniser
from stream.clock import CaptureClock
from stream.events import SAMPLE_RATE, AudioChunk, Outgoing, Result, SignalGap, Status, VideoFrame
from stream.live import Live
from stream.scoring import Scorer
from stream.session import Session, SessionConfig
from stream.sources import CHUNK_SAMPLES, AudioSource, SourceError, VideoSource
from stream.sources.realtime import RealtimeMedia
from stream.sources.slot import Slot

LONG = 60.0


class Spy(Session):
    """A session that keeps the features and words it was given."""

    def __init__(self, rate: float = 10.0, scorer: Scorer | None = None) -> None:
        checkpoint = random_checkpoint()
        super().__init__(scorer or Scorer(checkpoint, OnnxEngine(checkpoint)), None, SessionConfig(rate))
        self.frames: list[FeatureFrame] = []
        self.words: list[WordsUpdate] = []

    def push_features(self, frame: FeatureFrame) -> None:
        self.frames.append(frame)
        super().push_features(frame)

    def push_words(self, update: WordsUpdate) -> None:
        self.words.append(update)
        super().push_words(update)

    def of(self, kind: str) -> list[FeatureFrame]:
        return [frame for frame in self.frames if frame.kind == kind]


class Microphone:
    """Hands out noise in chunks of 20 ms when they are due, ``chunks`` of them; then it is lost."""

    name = identifier = "test microphone"
    time_base = "the capture clock"
    ended = False
    dropped_samples = 0
    drift = 0.0

    def __init__(self, clock: CaptureClock, chunks: int = 1_000_000, refuses: bool = False) -> None:
        self._clock = clock
        self._left = chunks
        self._refuses = refuses
        self.opened = self.closed = 0

    @property
    def lost(self) -> bool:
        return self._left == 0

    def __enter__(self) -> Microphone:
        if self._refuses:
            raise SourceError("it is not back yet")
        self.opened += 1
        self._next = self._clock.now()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def read(self, timeout: float) -> list[AudioChunk | SignalGap]:
        if self.lost:
            return []
        seconds = CHUNK_SAMPLES / SAMPLE_RATE
        if self._next + seconds > self._clock.now():
            time.sleep(timeout)
            return []
        samples = np.random.default_rng(self._left).normal(0, 300, CHUNK_SAMPLES).astype(np.int16)
        chunk = AudioChunk(self._next, samples)
        self._next += seconds
        self._left -= 1
        return [chunk]


class Camera:
    """Hands out one grey picture whenever it is asked."""

    name = identifier = "test camera"
    time_base = "the capture clock"
    ended = lost = False
    dropped_frames = 0

    def __init__(self, clock: CaptureClock) -> None:
        self._clock = clock
        self.opened = self.closed = 0

    def __enter__(self) -> Camera:
        self.opened += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def read_latest(self, max_age: float, timeout: float) -> VideoFrame | None:  # noqa: ARG002 - the contract's
        time.sleep(0.03)
        return VideoFrame(self._clock.now(), np.full((48, 64, 3), 128, np.uint8))


class Words:
    """A recogniser that says ``updates`` at the end of the sound and does ``then`` with each chunk and there."""

    kind: RecogniserKind = "sphinx"
    name = "test recogniser"

    def __init__(self, then: Callable[[], None] = lambda: None, updates: tuple[WordsUpdate, ...] = ()) -> None:
        self._then = then
        self._updates = updates
        self.gaps: list[tuple[float, float]] = []

    def push(self, t: float, samples: np.ndarray, speech: bool) -> list[WordsUpdate]:  # noqa: ARG002 - the contract's
        self._then()
        return []

    def gap(self, t0: float, t1: float) -> None:
        self.gaps.append((t0, t1))

    def abandon(self) -> list[WordsUpdate]:
        return []

    def finish(self) -> list[WordsUpdate]:
        self._then()
        return list(self._updates)

    def close(self) -> None:
        """Nothing to free."""


@dataclass
class Heard:
    """A listener that keeps everything, and lets a test wait for something."""

    events: list[Outgoing] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, event: Outgoing) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    @property
    def results(self) -> list[Result]:
        return [event for event in list(self.events) if isinstance(event, Result)]

    @property
    def notices(self) -> list[tuple[str | None, str]]:
        found = [event for event in list(self.events) if isinstance(event, Status)]
        return [(event.modality, event.state) for event in found]

    def wait_for(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, LONG)

    def wait_for_result(self, condition: Callable[[Result], object]) -> None:
        """Wait for a result from now on that meets ``condition``."""
        known = len(self.results)
        self.wait_for(lambda: any(condition(result) for result in self.results[known:]))


def reason(modality: str, expected: str | None) -> Callable[[Result], bool]:
    return lambda result: result.modalities[modality].reason == expected


def make_live(
    session: Session,
    listener: Callable[[Outgoing], None],
    *,
    clock: CaptureClock,
    video: VideoSource | None = None,
    audio: AudioSource | None = None,
    recogniser: Recogniser | None = None,
) -> Live:
    return Live(
        session,
        recogniser,
        video=Slot(video) if video else None,
        audio=Slot(audio) if audio else None,
        clock=clock,
        listener=listener,
    )


def play(path: Path, session: Session, recogniser: Recogniser | None = None) -> tuple[Heard, Live]:
    """A file through the live path to its end, with capture times that are media times."""
    clock, heard = CaptureClock(), Heard()
    with RealtimeMedia(path, clock, origin=0.0) as media:
        live = make_live(
            session,
            heard,
            clock=clock,
            video=media if media.has_video else None,
            audio=media if media.has_audio else None,
            recogniser=recogniser,
        )
        live.start()
        while live.going(LONG):
            time.sleep(0.01)
        live.stop()
    return heard, live
