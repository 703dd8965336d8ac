"""Between a thread that captures and one that reads: bounded, and honest about what did not fit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from stream.events import SAMPLE_RATE, AudioChunk, SignalGap, VideoFrame
from stream.sources import MAILBOX_SECONDS


class _Mailbox:
    """Waiting for something to read, until it is closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0

    def close(self) -> None:
        """Nothing more comes: readers take what is left and then return at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class LatestFrame(_Mailbox):
    """Holds the newest picture; ``dropped`` counts the ones nobody took in time.

    Parameters
    ----------
    now
        The capture clock, by which the age of a picture is told.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._frame: VideoFrame | None = None

    @property
    def empty(self) -> bool:
        """Whether everything was taken."""
        return self._frame is None

    def put(self, frame: VideoFrame) -> None:
        """Replace whatever is there."""
        with self._changed:
            self.dropped += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def take(self, max_age: float, timeout: float) -> VideoFrame | None:
        """The newest picture at most ``max_age`` seconds old, waiting up to ``timeout`` seconds for it."""
        deadline = self._now() + timeout
        with self._changed:
            while True:
                frame, self._frame = self._frame, None
                if frame is not None and self._now() - frame.t <= max_age:
                    return frame
                self.dropped += frame is not None
                left = deadline - self._now()
                if self._closed or left <= 0.0:
                    return None
                self._changed.wait(left)


class SoundQueue(_Mailbox):
    """Holds sound in order, at most ``seconds`` of it; what does not fit is lost from the oldest on.

    The loss reads as one ``SignalGap`` in front of what is left, and ``dropped`` counts its samples.
    """

    def __init__(self, seconds: float = MAILBOX_SECONDS) -> None:
        super().__init__()
        self._limit = round(seconds * SAMPLE_RATE)
        self._items: deque[AudioChunk | SignalGap] = deque()
        self._held = 0

    @property
    def empty(self) -> bool:
        """Whether everything was taken."""
        return not self._items

    def put(self, item: AudioChunk | SignalGap) -> None:
        """Append; loses the oldest sound when the queue is full."""
        with self._changed:
            self._items.append(item)
            self._held += len(item.samples) if isinstance(item, AudioChunk) else 0
            if self._held > self._limit:
                self._shorten()
            self._changed.notify_all()

    def take(self, timeout: float) -> list[AudioChunk | SignalGap]:
        """Everything there is, waiting up to ``timeout`` seconds for anything."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout)
            items = list(self._items)
            self._items.clear()
            self._held = 0
            return items

    def _shorten(self) -> None:
        t0 = _start(self._items[0])
        while len(self._items) > 1 and (self._held > self._limit or isinstance(self._items[0], SignalGap)):
            oldest = self._items.popleft()
            if isinstance(oldest, AudioChunk):
                self._held -= len(oldest.samples)
                self.dropped += len(oldest.samples)
        t1 = _start(self._items[0])
        if t1 > t0:
            self._items.appendleft(SignalGap("audio", t0, t1, "sound was not read in time"))


def _start(item: AudioChunk | SignalGap) -> float:
    return item.t if isinstance(item, AudioChunk) else item.t0
