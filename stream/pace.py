"""Whether what is captured is also used in time, and in which words to say that it is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stream.events import SAMPLE_RATE

PICTURES_A_SECOND = 10.0
"""Fewer than these reach the network only if the camera gives no more, or if this machine is too busy."""

LATEST_SOUND_SECONDS = 0.5
LATEST_WORDS_SECONDS = 2.0
"""A recogniser that decodes a growing buffer pauses for a second or so by design."""


class Losses(dict[str, int]):
    """What was lost so far, by kind, to sources that follow one another and each count from 0."""

    def __init__(self, kinds: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(kinds, 0))
        self._counted: dict[str, tuple[object, int]] = {}

    def count(self, kind: str, source: object, lost: int) -> None:
        """Take what ``source`` has lost by now."""
        before, counted = self._counted.get(kind, (None, 0))
        self[kind] += lost - (counted if before is source else 0)
        self._counted[kind] = source, lost


class Pace:
    """Judges the time between two calls of ``judge``; pure.

    Attributes
    ----------
    pictures
        How many were looked at so far.
    sound_lag, words_lag
        Seconds between the capture of the newest sound and the moment it was listened to, and searched for words.
    """

    def __init__(self) -> None:
        self.pictures = 0
        self.sound_lag = self.words_lag = 0.0
        self._then = 0.0
        self._pictures_then = 0
        self._lost_then: dict[str, int] = {}

    def judge(self, now: float, dropped: Mapping[str, int]) -> str:
        """What lags behind, in words for people; empty while nothing does.

        Parameters
        ----------
        dropped
            Losses since the start: ``frames``, ``samples`` and undecoded ``speech`` in samples at 16 kHz.
        """
        lost = {name: count - self._lost_then.get(name, 0) for name, count in dropped.items()}
        used, seconds = self.pictures - self._pictures_then, max(now - self._then, 1e-3)
        self._lost_then, self._pictures_then, self._then = dict(dropped), self.pictures, now
        return ", ".join(self._complaints(lost, used, seconds))

    def _complaints(self, lost: Mapping[str, int], used: int, seconds: float) -> Iterator[str]:
        frames, samples, undecoded = (lost.get(name, 0) for name in ("frames", "samples", "speech"))
        if frames and used < PICTURES_A_SECOND * seconds:
            yield f"{used} of {used + frames} pictures were looked at"
        if samples:
            yield f"{samples / SAMPLE_RATE:.1f} s of sound were lost"
        if undecoded:
            yield f"{undecoded / SAMPLE_RATE:.1f} s of sound were not searched for words"
        if self.sound_lag > LATEST_SOUND_SECONDS:
            yield f"sound is {self.sound_lag:.1f} s late"
        if self.words_lag > LATEST_WORDS_SECONDS:
            yield f"words are {self.words_lag:.1f} s late"
