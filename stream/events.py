"""What flows through the live path: signals going in, results and notices coming out.

Times are seconds on one monotonic capture clock unless a field says otherwise. The outgoing types are the
JSON of the protocol: a reader ignores fields it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from miar_rt.signals import Modality

SAMPLE_RATE = 16_000
DECIMALS = 6
"""Of times and shares that go out."""

PROTOCOL_VERSION = 1

Reason: TypeAlias = Literal[
    "off", "device_lost", "failed", "no_face", "silence", "no_words_yet", "stale", "unsupported_language"
]

Hint: TypeAlias = Literal["too_dark", "clipping", "too_quiet"]


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """Mono sound: ``samples`` int16 ``[n]`` at 16 kHz, ``t`` the capture time of the first one."""

    t: float
    samples: NDArray[np.int16]

    @property
    def t_end(self) -> float:
        """Capture time of the instant after the last sample."""
        return self.t + len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One picture: ``image`` uint8 ``[height, width, 3]`` in RGB order, captured at ``t``."""

    t: float
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SignalGap:
    """Signal between ``t0`` and ``t1`` that was lost and never reached the extractors."""

    modality: Modality
    t0: float
    t1: float
    cause: str


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """From ``t`` on a modality cannot be had for ``reason``; ``None`` says that it can again."""

    modality: Modality
    t: float
    reason: Reason | None
    detail: str = ""


class Sentiment(msgspec.Struct, frozen=True):
    """Sentiment on the CMU scale -3..3 with the bounds of its 80 % interval."""

    value: float
    low: float
    high: float


class ModalityState(msgspec.Struct, frozen=True):
    """Whether a modality was present in a result, or why not, how old it was and what it contributed."""

    present: bool
    reason: Reason | None
    age_ms: float | None
    contribution: float


class TranscriptState(msgspec.Struct, frozen=True):
    """The words of the last seconds: committed for good, and the partial hypothesis after them."""

    committed: str
    partial: str
    asr: str | None


class ModelInfo(msgspec.Struct, frozen=True):
    """Which checkpoint and engine made a result."""

    checkpoint: str
    engine: str


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from the capture of each modality's newest signal to the hand-over to the sockets.

    ``score`` is the time the network took; ``total`` counts from the newest signal of all.
    """

    text: float | None
    audio: float | None
    vision: float | None
    score: float
    total: float | None


class FaceBox(msgspec.Struct, frozen=True):
    """Where a face is: its left upper corner and its size, as fractions of the picture's width and height."""

    x: float
    y: float
    width: float
    height: float


class FaceResult(msgspec.Struct, frozen=True, kw_only=True):
    """One of several faces; ``id`` is its own for as long as it is followed. Other fields as in a result.

    ``speaking``: somebody speaks, and it is this mouth that moves with the sound. ``agreement`` is how well it
    does, about -1 to 1; ``None`` while nobody speaks.
    """

    id: int
    primary: bool
    box: FaceBox
    speaking: bool
    agreement: float | None
    emotions: dict[str, float] | None
    raw_emotions: dict[str, float] | None
    label: str | None
    confidence: float | None
    sentiment: Sentiment | None
    modalities: dict[str, ModalityState]


class Result(msgspec.Struct, frozen=True, tag_field="type", tag="result", kw_only=True):
    """One score. With no modality present emotions, label, confidence and sentiment are ``None``.

    ``faces`` is there only where several faces are followed: all that are in the picture, the primary one, which
    the other fields are about, among them.
    """

    version: int = PROTOCOL_VERSION
    seq: int
    time: float | None
    media_time: float
    emotions: dict[str, float] | None
    raw_emotions: dict[str, float] | None
    label: str | None
    confidence: float | None
    sentiment: Sentiment | None
    modalities: dict[str, ModalityState]
    gate: dict[str, float]
    transcript: TranscriptState
    latency_ms: Latency | None
    model: ModelInfo
    profile: str | None
    faces: list[FaceResult] | msgspec.UnsetType = msgspec.UNSET


class TimedWord(msgspec.Struct, frozen=True):
    """A word of a transcript event; times count in seconds from the session's start."""

    text: str
    t0: float
    t1: float
    final: bool
    confidence: float


class Transcript(msgspec.Struct, frozen=True, tag_field="type", tag="transcript", kw_only=True):
    """Words as they change: newly committed ones (``final``) and the whole partial hypothesis.

    ``gap`` is a stretch of sound, from and to in seconds of media time, that was never decoded.
    """

    media_time: float
    asr: str
    words: list[TimedWord]
    speech_final: bool
    language: str | None = None
    gap: tuple[float, float] | None = None


LOSSES = {
    "frames": "{count} pictures passed over",
    "samples": "{seconds:.1f} s of sound lost",
    "speech": "{seconds:.1f} s of sound not searched for words",
    "inbox": "{count} signals lost",
}
"""What of ``Status.dropped`` is called for people; of sound it holds samples."""


class RecordingState(msgspec.Struct, frozen=True):
    """A recording that runs: its name and the Unix seconds since when."""

    name: str
    since: float


class Status(msgspec.Struct, frozen=True, tag_field="type", tag="status", kw_only=True):
    """What listeners should know about the machinery: devices, what was dropped, what waits in mailboxes.

    ``hints`` say what keeps a person from being seen or heard well; ``drift_ms`` how far the microphone's clock
    has run ahead of the capture clock, all of which was corrected. ``recording`` says what is being written down.
    """

    media_time: float
    modality: str | None
    state: str
    detail: str
    dropped: dict[str, int]
    waiting: dict[str, int] = {}
    hints: list[Hint] = []
    drift_ms: float | None = None
    recording: RecordingState | None = None

    def losses(self) -> list[str]:
        """What was dropped, for people."""
        return [
            LOSSES.get(name, f"{name}: {{count}}").format(count=count, seconds=count / SAMPLE_RATE)
            for name, count in self.dropped.items()
            if count
        ]


class Landmarks(msgspec.Struct, frozen=True, tag_field="type", tag="landmarks", kw_only=True):
    """Where MediaPipe's 478 points of the newest picture's face are; ``points`` is ``None`` where there is none.

    Each point is ``(x, y, z)``: x from the left and y from the top, 0 to 1 inside the picture; z in the unit of x,
    smaller towards the camera. ``aspect`` is the picture's width over its height.
    """

    media_time: float
    aspect: float
    points: list[tuple[float, float, float]] | None


Trouble: TypeAlias = Literal["too_dark", "no_face", "two_faces", "clipping", "too_quiet", "no_voice"]
Rejection: TypeAlias = Literal[
    "too_little_face", "too_little_voice", "two_faces", "not_neutral", "not_saved", "interrupted"
]


class CalibrationPart(msgspec.Struct, frozen=True):
    """Face or voice while a calibration runs: usable seconds so far, and what to mend right now, if anything."""

    seconds: float
    trouble: Trouble | None
    advice: str | None


class Calibration(msgspec.Struct, frozen=True, tag_field="type", tag="calibration", kw_only=True):
    """How a guided calibration goes.

    While it is ``running``: ``task`` says what to do, ``lines`` hold what to read, ``left`` counts the seconds
    down, ``parts`` hold ``face`` and ``voice`` as far as they are captured. ``done``: the profile is stored and in
    use; ``before`` and ``after`` are the mean probabilities of the same stretch without and with it.
    ``rejected``: ``code`` says why in a stable word and ``message`` in a line; an older profile is untouched.
    """

    profile: str
    state: Literal["running", "done", "rejected"]
    seconds: float
    left: float = 0.0
    task: str = ""
    lines: tuple[str, ...] = ()
    parts: dict[str, CalibrationPart] = {}
    before: dict[str, float] | None = None
    after: dict[str, float] | None = None
    code: Rejection | None = None
    message: str = ""


Outgoing: TypeAlias = Result | Transcript | Status
"""What a session and its machinery say."""

Published: TypeAlias = Outgoing | Landmarks | Calibration
"""What clients of the server can get."""
