"""Everything a media file says, in media time: deterministic, and as fast as it goes.

Every item counts at the moment it would have been complete in real time, and extraction takes no time; words
and descriptors arrive with the delay that their algorithms need and no other. Items are extracted a little
ahead of the media clock by one thread each for faces, voice activity and words, each in order, so that two runs
agree to the last bit however the threads are scheduled.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

from miar_rt.features.acoustic import LOOKAHEAD_SECONDS
from miar_rt.features.appearance import Appearance
from miar_rt.features.face import FaceExtractor
from miar_rt.signals import FeatureFrame
from stream.asr import Recogniser
from stream.events import SAMPLE_RATE, AudioChunk, SignalGap, VideoFrame
from stream.senses import Hearing
from stream.session import Signal
from stream.sources.media_file import MediaFile, due

ACOUSTIC_DELAY = 0.03
"""Seconds of later sound after which live gets most descriptors; here they come exactly so much later."""

AHEAD_SECONDS = LOOKAHEAD_SECONDS + 0.4
ACOUSTIC_RATE = 100

Item: TypeAlias = AudioChunk | VideoFrame | SignalGap


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What is known by ``now``: the item that was complete then, none at the very end, and what has come out."""

    now: float
    item: Item | None
    signals: Sequence[Signal]


@dataclass(frozen=True, slots=True)
class _Pending:
    """An item on its way: when it counts, and what it will say by then."""

    now: float
    item: Item
    findings: Sequence[Future[Sequence[Signal]]]


class Extraction:
    """Extractors over one media file; a context manager.

    Parameters
    ----------
    recogniser
        Closed by the caller; ``None`` for no words.
    appearance, faces
        As ``FaceExtractor`` takes them.
    """

    def __init__(self, recogniser: Recogniser | None, appearance: Appearance | None = None, faces: int = 1) -> None:
        self._recogniser = recogniser
        self._hearing = Hearing()
        self._face = FaceExtractor(appearance=appearance, faces=faces)
        self._eye, self._ear, self._scribe = (ThreadPoolExecutor(1, name) for name in ("eye", "ear", "scribe"))
        self._acoustic: deque[FeatureFrame] = deque()
        self._settled = 0
        self._now = 0.0

    def __enter__(self) -> Extraction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for executor in (self._scribe, self._ear, self._eye):
            executor.shutdown(cancel_futures=True)
        self._hearing.acoustic.close()
        self._face.close()

    def run(self, media: MediaFile, seconds: float | None = None) -> Iterator[Step]:
        """One step for each item of ``media``, up to ``seconds`` of it, and a last one without an item."""
        pending: deque[_Pending] = deque()
        for item in media.packets():
            now = due(item)
            if seconds is not None and now > seconds:
                break
            pending.append(_Pending(now, item, self._submit(item)))
            while pending[0].now <= now - AHEAD_SECONDS:
                self._settle()
                yield self._step(pending.popleft())
        yield from self._drain(pending)

    def _submit(self, item: Item) -> list[Future[Sequence[Signal]]]:
        if isinstance(item, VideoFrame):
            return [self._eye.submit(self._see, item)]
        if isinstance(item, SignalGap):
            self._ear.submit(self._hearing.gap, item)
            return [self._scribe.submit(self._miss, item)]
        self._hearing.feed(item)
        heard = self._ear.submit(self._hearing.listen, item)
        return [
            self._ear.submit(lambda: heard.result()[0]),
            self._scribe.submit(lambda: self._write(item, heard.result()[1])),
        ]

    def _see(self, frame: VideoFrame) -> Sequence[Signal]:
        return [self._face.extract(frame.t, frame.image)]

    def _write(self, chunk: AudioChunk, speaking: bool) -> Sequence[Signal]:
        return self._recogniser.push(chunk.t, chunk.samples, speaking) if self._recogniser else []

    def _miss(self, gap: SignalGap) -> Sequence[Signal]:
        if self._recogniser:
            self._recogniser.gap(gap.t0, gap.t1)
        return []

    def _step(self, pending: _Pending) -> Step:
        """What has come out by ``pending.now``."""
        self._now = max(self._now, pending.now)
        signals: list[Signal] = []
        while self._acoustic and self._acoustic[0].t <= self._now - ACOUSTIC_DELAY:
            signals.append(self._acoustic.popleft())
        for findings in pending.findings:
            signals += findings.result()
        return Step(self._now, pending.item, signals)

    def _settle(self) -> None:
        """Wait for the acoustic frames that the sound fed so far lets out for sure: no fewer, no more."""
        sure = math.floor((self._hearing.samples / SAMPLE_RATE - LOOKAHEAD_SECONDS) * ACOUSTIC_RATE)
        if sure > self._settled:
            self._acoustic.extend(self._hearing.acoustic.wait_for(sure - self._settled))
            self._settled = sure

    def _drain(self, pending: deque[_Pending]) -> Iterator[Step]:
        """The end of the file: the last items, the last frames, the last words."""
        self._acoustic.extend(self._hearing.acoustic.finish())
        for item in pending:
            yield self._step(item)
        words = self._scribe.submit(self._recogniser.finish).result() if self._recogniser else []
        yield Step(self._now + ACOUSTIC_DELAY, None, words)
