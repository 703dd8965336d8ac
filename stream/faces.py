"""Several faces in one session: a window and an answer for each; voice and words are those of who speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from miar_rt.adapting import Adapter, Learned
from miar_rt.features.face_ids import FORGET_SECONDS
from miar_rt.features.speaker import WINDOW_SECONDS, Speaker
from miar_rt.features.turns import Turns
from miar_rt.signals import Face, FeatureFrame, Modality
from miar_rt.window import FaceWindow, ModelInput, Owned, WindowBuilder
from stream.adapting import adapt, profile_in_use
from stream.events import FaceBox, FaceResult, Status
from stream.presence import SPEECH_MEMORY_SECONDS, Availability, PresenceTracker
from stream.scoring import Answer, Scorer
from stream.verdicts import Verdict, Verdicts

Found: TypeAlias = Mapping[Modality, Availability]

PLACES = 4
LATE_SECONDS = 1.0
"""About so long after somebody has begun to speak after somebody else it is noticed."""

SILENT, WORDLESS = Availability("silence", None), Availability("no_words_yet", None)
"""Of a face while others speak, and of one that has not said anything for as long as words count."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What is said of one person: what there was to go by, the answer, and how it goes out."""

    found: Found
    answer: Answer | None
    verdict: Verdict
    profile: str | None
    notices: Sequence[Status]


@dataclass(frozen=True)
class PersonState:
    """What came of a window so far: the last answer as smoothed, with its time; its label; what was adapted to."""

    smoothed: tuple[float, list[float]] | None
    label: int | None
    learned: Learned | None


@dataclass(frozen=True)
class FacesState:
    """What came of each face, by id; the primary one; the speaker and who may be next; who had the floor when."""

    persons: dict[int, PersonState]
    primary: int | None
    speaker: int | None
    leads: tuple[int, float] | None
    turns: list[tuple[float, int]]


class Person:
    """A window and what came of it so far."""

    def __init__(self, scorer: Scorer, half_life: float, adapting: bool, builder: WindowBuilder) -> None:
        self.builder = builder
        self._verdicts = Verdicts(scorer.checkpoint.spec.classes, half_life)
        self._adapter = Adapter(builder) if adapting else None

    @property
    def state(self) -> PersonState:
        """All but the window."""
        learned = None if self._adapter is None else self._adapter.learned
        return PersonState(self._verdicts.smoother.state, self._verdicts.hysteresis.label, learned)

    def resume(self, state: PersonState) -> None:
        """Go on where another was."""
        self._verdicts.smoother.resume(state.smoothed)
        self._verdicts.hysteresis.label = state.label
        if self._adapter is not None and state.learned is not None:
            self._adapter.resume(state.learned)

    def scored(self, now: float, found: Found, answer: Answer | None, profile: str | None) -> Scored:
        """Take the answer at ``now`` to what was ``found``; ``profile`` names whose baseline is in use."""
        verdict, profile = self._verdicts.of(now, found, answer), profile_in_use(profile, self.builder)
        notices: Sequence[Status] = ()
        if answer is not None and self._adapter is not None:
            notices = adapt(now, self._adapter, self.builder, answer)
        return Scored(found, answer, verdict, profile, notices)


@dataclass(slots=True, eq=False)
class _Followed:
    """A face that is followed, and when it was seen last."""

    person: Person
    face: Face
    seen: float


class Faces:
    """All faces that are followed; pure, as the session is.

    Parameters
    ----------
    scorer
        Its window holds the sound and the words.
    make
        A person with a window.
    presence
        Of all that is captured.
    """

    def __init__(self, scorer: Scorer, make: Callable[[WindowBuilder], Person], presence: PresenceTracker) -> None:
        self._scorer = scorer
        self._make = make
        self._presence = presence
        self._turns = Turns()
        self._speaker = Speaker()
        self._agreement: Mapping[int, float] = {}
        self._followed: dict[int, _Followed] = {}
        self._primary: int | None = None

    @property
    def state(self) -> FacesState:
        """All but the windows."""
        persons = {name: one.person.state for name, one in self._followed.items()}
        return FacesState(persons, self._primary, self._speaker.who, self._speaker.leads, self._turns.taken)

    def resume(self, state: FacesState) -> None:
        """Go on where others were, having seen the same pictures; faces that they had forgotten are forgotten."""
        self._followed = {name: one for name, one in self._followed.items() if name in state.persons}
        for name, one in self._followed.items():
            one.person.resume(state.persons[name])
        self._primary = state.primary
        self._speaker.who, self._speaker.leads = state.speaker, state.leads
        self._turns.resume(state.turns)

    def saw(self, frame: FeatureFrame) -> None:
        """Take the faces of a picture, or a frame of sound."""
        if frame.kind == "acoustic":
            self._speaker.heard(frame)
        self._speaker.saw(frame.t, frame.faces)
        for face in frame.faces:
            known = self._followed.get(face.id)
            person = known.person if known else self._make(FaceWindow(self._scorer.builder, self._owned(face.id)))
            person.builder.push(FeatureFrame("face", frame.t, face.values))
            self._followed[face.id] = _Followed(person, face, frame.t)
            if face.primary:
                self._primary = face.id

    def score(self, now: float, found: Found, profile: str | None) -> tuple[Scored | None, list[FaceResult]]:
        """What is said of the primary face, if there is one, and of all that are in the picture."""
        self._followed = {name: one for name, one in self._followed.items() if now - one.seen <= FORGET_SECONDS}
        self._primary = self._primary if self._primary in self._followed else None
        self._give_turn(now)
        windows = {name: self._window(now, name, found) for name in self._followed}
        answered = {name: window for name, (_, window) in windows.items() if window.presence.any()}
        answers = dict(zip(answered, self._scorer.answers(list(answered.values())), strict=True))
        scored = {}
        for name, one in self._followed.items():
            whose = profile if name == self._primary else None
            scored[name] = one.person.scored(now, windows[name][0], answers.get(name), whose)
        seen = [self._told(name, one) for name, one in scored.items() if one.found["vision"].present]
        return (None if self._primary is None else scored[self._primary]), seen

    def _give_turn(self, now: float) -> None:
        """Voice and words are those of the mouth that moves with them, else the primary face's."""
        self._speaker.forget(self._followed)
        before = self._speaker.who
        self._agreement = self._speaker.judge(now) if self._presence.speaking(now) else {}
        late = LATE_SECONDS if before is not None else WINDOW_SECONDS
        who = self._speaker.who
        self._turns.give(now if who == before else now - late, self._primary if who is None else who)

    def _owned(self, name: int) -> Owned:
        return lambda times: self._turns.had(times, name)

    def _window(self, now: float, name: int, found: Found) -> tuple[Found, ModelInput]:
        """What there is to go by of one face, and its window."""
        one, own = self._followed[name], dict(found)
        own["vision"] = self._presence.vision(now, one.seen)
        if found["audio"].present and now - self._turns.latest(name, now) > SPEECH_MEMORY_SECONDS:
            own["audio"] = SILENT
        one.person.builder.baseline = self._scorer.builder.baseline if name == self._primary else {}
        present = {modality: state.present for modality, state in own.items()}
        window = one.person.builder.build(now, self._scorer.checkpoint.statistics, present)
        if present["text"] and not window.presence[0]:
            own["text"] = WORDLESS
        return own, window

    def _told(self, name: int, scored: Scored) -> FaceResult:
        face, agreement = self._followed[name].face, self._agreement.get(name)
        left, top, right, bottom = (round(edge, PLACES) for edge in face.box)
        return FaceResult(
            id=name,
            primary=name == self._primary,
            box=FaceBox(left, top, round(right - left, PLACES), round(bottom - top, PLACES)),
            speaking=name in self._agreement and name == self._speaker.who,
            agreement=None if agreement is None else round(agreement, PLACES),
            **scored.verdict,
        )
