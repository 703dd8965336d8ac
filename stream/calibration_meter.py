"""What a calibration has seen and heard so far, and what the person should mend right now; pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from miar_rt.features.voice_activity import CHUNK_SECONDS
from miar_rt.signals import FeatureFrame, Modality
from stream.events import AudioChunk, Trouble, VideoFrame
from stream.extraction import Step

RECENT_SECONDS = 2.0
DARK = 40.0
"""Mean of a picture's 8-bit values below which faces are found badly and measured worse."""

QUIET = -45.0
"""Decibels below full scale: the loudest 20 ms of speech at a sensible gain are 20 dB above."""

CLIPPED, CLIPPED_SHARE = 32_700, 0.002
SPEECH = 0.5
LONGEST_FRAME = 0.2
"""A face counts for the time since the picture before, and no longer than this."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to say about each trouble, about too little of a modality, and about strong emotions."""

    troubles: Mapping[Trouble, str]
    too_little: Mapping[Modality, str]
    calm: str


TWO_FACES = "two faces: only the person to be measured may be in the picture"
TO_THE_PERSON = Advice(
    {
        "too_dark": "too dark: turn on a light in front of you",
        "no_face": "no face found: look into the camera",
        "two_faces": TWO_FACES,
        "clipping": "too loud, the sound is clipped: turn the microphone down or move away from it",
        "too_quiet": "too quiet: speak up or come closer to the microphone",
        "no_voice": "no voice heard: read the lines aloud",
    },
    {"audio": "read the lines aloud and without long pauses", "vision": "look into the camera all the time"},
    "relax, and read as you would read a shopping list",
)
ABOUT_A_FILE = Advice(
    {
        "too_dark": "the picture is too dark",
        "no_face": "no face found",
        "two_faces": TWO_FACES,
        "clipping": "the sound is clipped",
        "too_quiet": "the voice is too quiet",
        "no_voice": "no voice heard",
    },
    {"audio": "the person in the file is not heard enough", "vision": "the person in the file is not seen enough"},
    "take a file in which the person is calm",
)


class _Recent:
    """Values of the last ``RECENT_SECONDS``."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, float]] = deque()

    def add(self, t: float, value: float) -> None:
        self._kept.append((t, value))
        while self._kept[0][0] < t - RECENT_SECONDS:
            self._kept.popleft()

    def over(self, what: Callable[[list[float]], float]) -> float | None:
        return what([value for _, value in self._kept]) if self._kept else None


class Meter:
    """Takes the steps of a calibration.

    Parameters
    ----------
    sees, hears
        Whether there is a picture, and sound.
    began
        When it began, on the clock of the steps.
    advice
        What is said to a person who is there, or about one in a file.

    Attributes
    ----------
    sees, hears, advice
        As given.
    now, face_seconds, voice_seconds, company_seconds
        Seconds so far, with a face, with somebody speaking, and with another face beside the first.
    """

    def __init__(self, sees: bool, hears: bool, began: float = 0.0, advice: Advice = TO_THE_PERSON) -> None:
        self.sees, self.hears, self.advice = sees, hears, advice
        self._began = began
        self.now = self.face_seconds = self.voice_seconds = self.company_seconds = 0.0
        self._picture: float | None = None
        self._light, self._face, self._level, self._clipped, self._voice = (_Recent() for _ in range(5))
        self._company = _Recent()

    def take(self, step: Step) -> None:
        """Take what has come out by ``step.now``."""
        self.now = max(self.now, step.now - self._began)
        if isinstance(step.item, VideoFrame):
            self._light.add(step.item.t, float(step.item.image[::8, ::8].mean()))
        elif isinstance(step.item, AudioChunk) and len(step.item.samples):
            samples = step.item.samples.astype(np.float64)
            self._level.add(step.item.t, 20.0 * math.log10(max(math.sqrt(np.mean(samples**2)), 0.1) / 32_768.0))
            self._clipped.add(step.item.t, float(np.mean(np.abs(samples) >= CLIPPED)))
        for signal in step.signals:
            if isinstance(signal, FeatureFrame):
                self._note(signal)

    def _note(self, frame: FeatureFrame) -> None:
        if frame.kind == "voice":
            speaking = bool(frame.values[0] >= SPEECH)
            self._voice.add(frame.t, speaking)
            self.voice_seconds += CHUNK_SECONDS * speaking
        elif frame.kind == "face":
            before, self._picture = self._picture, frame.t
            self._face.add(frame.t, frame.valid)
            self._company.add(frame.t, frame.valid and frame.company)
            if frame.valid and before is not None:
                seen = min(max(frame.t - before, 0.0), LONGEST_FRAME)
                self.face_seconds += seen
                self.company_seconds += seen * frame.company

    def states(self) -> dict[str, str | None]:
        """Face and voice by name, as far as wanted: what to mend, or ``None`` where all is well."""
        return {part: self.advice.troubles[one] if one else None for part, one in self.troubles().items()}

    def troubles(self) -> dict[str, Trouble | None]:
        """As ``states``, in stable words."""
        found: dict[str, Trouble | None] = {}
        if self.sees:
            found["face"] = self._of_face()
        if self.hears:
            found["voice"] = self._of_voice()
        return found

    def _of_face(self) -> Trouble | None:
        if (light := self._light.over(_mean)) is not None and light < DARK:
            return "too_dark"
        if (self._face.over(_mean) or 0.0) < 0.5:
            return "no_face"
        return "two_faces" if (self._company.over(_mean) or 0.0) > 0.5 else None

    def _of_voice(self) -> Trouble | None:
        if (self._clipped.over(_mean) or 0.0) > CLIPPED_SHARE:
            return "clipping"
        if (level := self._level.over(max)) is not None and level < QUIET:
            return "too_quiet"
        if (self._voice.over(_mean) or 0.0) < 0.1:
            return "no_voice"
        return None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
