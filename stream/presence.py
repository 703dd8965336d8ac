"""Which modality can be used right now, and the reason when it cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from miar_rt.features.face_ids import MISSED_SECONDS
from miar_rt.features.voice_activity import SpeechGate
from miar_rt.signals import MODALITIES, FeatureFrame, Modality, Word
from stream.events import Reason

STALE_SECONDS = 1.0
"""A signal that has not moved for so long is not the present any more."""

SPEECH_MEMORY_SECONDS = 2.0
"""So long after the last speech the voice of the window still speaks for the person."""


PAUSE_SECONDS = 0.5
"""With nothing said for so long nobody is speaking."""

AHEAD_SECONDS = 0.1
"""A stamp may lie so far in the future, by the jitter of clocks; what lies further has not happened."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a modality is usable; if so the time of its newest signal, if not why."""

    reason: Reason | None
    newest: float | None

    @property
    def present(self) -> bool:
        """True when there is no reason against it."""
        return self.reason is None


@dataclass
class Standing:
    """All that presence depends on: what is blocked and why, and when each kind of signal came last.

    ``gate`` says whether somebody speaks, ``known`` whether the language of the newest words can be scored.
    """

    blocked: dict[Modality, Reason | None]
    gate: SpeechGate = field(default_factory=SpeechGate)
    speech: float | None = None
    acoustic: float | None = None
    picture: float | None = None
    face: float | None = None
    word: float | None = None
    known: bool = True


class PresenceTracker:
    """Pure bookkeeping of what has been seen, heard and said, by capture time in seconds.

    Attributes
    ----------
    standing
        What it has noted so far.
    """

    def __init__(self, listening_to: Iterable[Modality], word_memory: float) -> None:
        wanted = set(listening_to)
        self.standing = Standing({name: None if name in wanted else "off" for name in MODALITIES})
        self._word_memory = word_memory

    def block(self, modality: Modality, reason: Reason | None) -> None:
        """Declare a modality unusable for ``reason``, or usable again with ``None``."""
        self.standing.blocked[modality] = reason

    def saw(self, frame: FeatureFrame) -> None:
        """Take note of a feature frame."""
        if frame.kind == "acoustic":
            self.standing.acoustic = frame.t
        elif frame.kind == "voice":
            if self.standing.gate.push(float(frame.values[0])):
                self.standing.speech = frame.t
        else:
            self.standing.picture = frame.t
            if frame.valid:
                self.standing.face = frame.t

    def heard(self, words: Iterable[Word], known: bool = True) -> None:
        """Take note of the words as they stand now; ``known`` is whether their language can be scored."""
        ends = [word.t1 for word in words]
        if ends:
            self.standing.known = known
            self.standing.word = max(ends) if self.standing.word is None else max(self.standing.word, *ends)

    def speaking(self, now: float) -> bool:
        """Whether somebody speaks."""
        return not _older(self.standing.speech, now, PAUSE_SECONDS)

    def at(self, now: float) -> dict[Modality, Availability]:
        """State of every modality at ``now``."""
        found = {
            "text": self._text(now),
            "audio": self._audio(now),
            "vision": self._vision(now, self.standing.face),
        }
        return {name: self._unblocked(name, found[name]) for name in MODALITIES}

    def vision(self, now: float, face: float | None) -> Availability:
        """State at ``now`` of a face that was seen last at ``face``."""
        return self._unblocked("vision", self._vision(now, face))

    def _unblocked(self, name: Modality, found: Availability) -> Availability:
        return Availability(self.standing.blocked[name], None) if self.standing.blocked[name] else found

    def _text(self, now: float) -> Availability:
        word = self.standing.word
        if word is None:
            return Availability("no_words_yet", None)
        if not self.standing.known:
            return Availability("unsupported_language", None)
        return _unless("stale", _older(word, now, self._word_memory), word)

    def _audio(self, now: float) -> Availability:
        acoustic = self.standing.acoustic
        if acoustic is None and now <= STALE_SECONDS:
            return Availability("silence", None)
        if _older(acoustic, now, STALE_SECONDS):
            return Availability("stale", None)
        return _unless("silence", _older(self.standing.speech, now, SPEECH_MEMORY_SECONDS), acoustic)

    def _vision(self, now: float, face: float | None) -> Availability:
        picture = self.standing.picture
        if picture is None and now <= STALE_SECONDS:
            return Availability("no_face", None)
        if _older(picture, now, STALE_SECONDS):
            return Availability("stale", None)
        # against the picture and not the present: on a busy machine pictures come late with a face in every one
        return _unless("no_face", _older(face, picture, MISSED_SECONDS), face)


def _older(t: float | None, now: float | None, seconds: float) -> bool:
    """Whether ``t`` is too long before ``now``, or so far ahead that it cannot have happened."""
    return t is None or now is None or not -AHEAD_SECONDS <= now - t <= seconds


def _unless(reason: Reason, absent: bool, newest: float | None) -> Availability:
    return Availability(reason, None) if absent else Availability(None, newest)
