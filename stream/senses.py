"""Sound and pictures into feature frames and words, for those who do not run the extractors in threads."""

from __future__ import annotations

from types import TracebackType

from miar_rt.features.acoustic import LOOKAHEAD_SECONDS, AcousticExtractor, check_samples
from miar_rt.features.appearance import Appearance
from miar_rt.features.face import FaceExtractor
from miar_rt.features.voice_activity import SpeechGate, VoiceActivity
from miar_rt.signals import FeatureFrame, WordsUpdate
from stream.asr import Recogniser
from stream.events import SAMPLE_RATE, AudioChunk, SignalGap, VideoFrame

LONGEST_PUSH_SECONDS = 60.0
"""Half of what the acoustic graph keeps while nobody takes it."""

AWAITED_PUSH_SECONDS = 1.0
"""Sound longer than this is waited for: who pushes so much at once asks about it next, and not while it happens."""

SPLICE_SECONDS = 1e-3
"""Chunks whose times differ from the count of samples by more than this are placed anew."""


class Count:
    """Counts samples beside the extractors that do so, and tells when that is not good enough any more.

    A device whose clock drifts is off by microseconds from one chunk to the next, and by seconds after hours.
    """

    def __init__(self) -> None:
        self._next: float | None = None

    def leaves(self, chunk: AudioChunk) -> bool:
        """Take a chunk; whether its time is not where the count is, so that the count goes on from there."""
        left = self._next is None or abs(chunk.t - self._next) > SPLICE_SECONDS
        start = chunk.t if left or self._next is None else self._next
        self._next = start + len(chunk.samples) / SAMPLE_RATE
        return left

    def jump(self, t: float) -> None:
        """The next sample was captured at ``t``."""
        self._next = t


class Hearing:
    """Acoustic and voice extractors over one stream of chunks; a context manager.

    ``feed`` takes a chunk for the acoustic graph, which answers later; ``listen`` takes the same chunk for the
    voice-activity network, which answers at once. They are two calls so that a file can be fed ahead of time.
    """

    def __init__(self) -> None:
        self.acoustic = AcousticExtractor()
        self._voice = VoiceActivity()
        self._gate = SpeechGate()
        self._fed = Count()
        self._listened = Count()
        self.samples = 0

    def __enter__(self) -> Hearing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.acoustic.close()

    def feed(self, chunk: AudioChunk) -> None:
        """Give a chunk to the acoustic graph."""
        if self._fed.leaves(chunk):
            self.acoustic.rebase(chunk.t)
        self.acoustic.push(chunk.samples)
        self.samples += len(chunk.samples)

    def listen(self, chunk: AudioChunk) -> tuple[list[FeatureFrame], bool]:
        """Voice-activity frames of a chunk, and whether somebody is speaking at its end."""
        if self._listened.leaves(chunk):
            self._voice.rebase(chunk.t)
        frames = self._voice.push(chunk.samples)
        for frame in frames:
            self._gate.push(float(frame.values[0]))
        return frames, self._gate.speaking

    def gap(self, gap: SignalGap) -> None:
        """Sound was lost: what the voice-activity network remembers is not what came before."""
        self._voice.reset(gap.t1)
        self._listened.jump(gap.t1)


class Senses:
    """Eyes and ears in the caller's own thread; either is opened when the first signal for it comes."""

    def __init__(
        self, recogniser: Recogniser | None = None, appearance: Appearance | None = None, faces: int = 1
    ) -> None:
        self._recogniser = recogniser
        self._appearance = appearance
        self._faces = faces
        self._hearing: Hearing | None = None
        self._face: FaceExtractor | None = None

    def hear(self, chunk: AudioChunk) -> list[FeatureFrame | WordsUpdate]:
        """What a chunk of sound says at once, and acoustic frames of earlier ones; its own follow by ``poll``.

        But for the newest, those of a chunk longer than ``AWAITED_PUSH_SECONDS`` come with it.

        Raises
        ------
        TypeError, ValueError
            The samples are not int16 ``[n]``, or longer than ``LONGEST_PUSH_SECONDS``; nothing has changed then.
        """
        check_samples(chunk.samples)
        seconds = len(chunk.samples) / SAMPLE_RATE
        if seconds > LONGEST_PUSH_SECONDS:
            raise ValueError(f"{seconds:.1f} s of sound at once: push {LONGEST_PUSH_SECONDS:.0f} s at most")
        if self._hearing is None:
            self._hearing = Hearing()
        earlier = self._hearing.acoustic.poll()
        self._hearing.feed(chunk)
        frames, speaking = self._hearing.listen(chunk)
        if seconds > AWAITED_PUSH_SECONDS:
            sure = chunk.t + seconds - LOOKAHEAD_SECONDS
            earlier += self._hearing.acoustic.wait_until(sure, timeout=LONGEST_PUSH_SECONDS)
        words = self._recogniser.push(chunk.t, chunk.samples, speaking) if self._recogniser else []
        return [*earlier, *frames, *words]

    def see(self, frame: VideoFrame) -> FeatureFrame:
        """The face of one picture."""
        if self._face is None:
            self._face = FaceExtractor(appearance=self._appearance, faces=self._faces)
        return self._face.extract(frame.t, frame.image)

    def poll(self) -> list[FeatureFrame]:
        """Acoustic frames that have come out by now."""
        return self._hearing.acoustic.poll() if self._hearing else []

    def close(self) -> None:
        """Stop the extractors and the recogniser."""
        if self._hearing is not None:
            self._hearing.acoustic.close()
        if self._face is not None:
            self._face.close()
        if self._recogniser is not None:
            self._recogniser.close()
