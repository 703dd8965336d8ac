"""Whether a stretch of features is a person's neutral, and what knowing it changes; pure."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.baseline import Baseline, Neutral
from calibration.profile import Profile
from miar_rt.neutral import inputs_name, known_seconds, measure, personal
from miar_rt.signals import EMOTIONS, FeatureFrame, Modality
from stream.calibration_meter import Meter
from stream.events import Rejection, Result
from stream.extraction import Step
from stream.profiles import PARTS
from stream.scoring import Scorer
from stream.session import Session, SessionConfig

RATE = 5.0
STRONG, MUCH = 0.7, 0.4
"""A class other than neutral with such a probability, in such a share of the results, is no neutral. Of the voices
of RAVDESS actors 17 to 20 plain neutral stays below 0.2 and calm below 0.35, anger reaches 0.3 to 0.75."""

CODES: Mapping[Modality, Rejection] = {"audio": "too_little_voice", "vision": "too_little_face"}
NEEDED: Mapping[Modality, tuple[float, float]] = {"audio": (0.2, 2.0), "vision": (0.5, 3.0)}
"""In how much of the time a voiced sound must be heard and a face be seen, and for how many seconds at least."""

COMPANY_SHARE = 0.2
"""With another face in so much of the time that a face is seen, nobody can tell whose was measured."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """What was seen and heard, as features without sound or picture, of which modalities, and how it went."""

    steps: Sequence[Step]
    wanted: frozenset[Modality]
    meter: Meter


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why a stretch is not a neutral that can be used: in a stable word, and in a line that says how to mend it."""

    code: Rejection
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A profile to be stored, and the probabilities ``[results, classes]`` of its stretch without and with it."""

    profile: Profile
    before: Floats
    after: Floats


def judge(name: str, stretch: Stretch, scorer: Scorer) -> Judged | Complaint:
    """A person's profile from a stretch, or why there is none."""
    measured, unknown = measure(_frames(stretch)), answers(stretch, scorer, {})
    needed = stretch.wanted - set(scorer.checkpoint.ignored_baselines) or stretch.wanted
    if complaint := complain(stretch, measured, unknown, needed):
        return complaint
    neutral: dict[str, Neutral] = {
        name: measured[name] for name in sorted(stretch.wanted) if not _missing(name, measured, stretch.meter)
    }
    known = answers(stretch, scorer, personal(neutral))
    return Judged(Profile(name, time.time(), inputs_name(), neutral), unknown, known)


def _frames(stretch: Stretch) -> Iterator[FeatureFrame]:
    return (signal for step in stretch.steps for signal in step.signals if isinstance(signal, FeatureFrame))


def answers(stretch: Stretch, scorer: Scorer, baseline: Mapping[Modality, Baseline]) -> Floats:
    """Probabilities ``[results, classes]`` of a stretch for a person with a baseline."""
    one = Scorer(scorer.checkpoint, scorer.engine)
    one.builder.baseline = baseline
    session = Session(one, None, SessionConfig(RATE, stretch.wanted))
    found = []
    for step in stretch.steps:
        for signal in step.signals:
            session.push(signal)
        found += [event for event in session.advance(step.now) if isinstance(event, Result)]
    rows = [list(result.raw_emotions.values()) for result in found if result.raw_emotions]
    return np.array(rows, np.float64).reshape(-1, len(scorer.checkpoint.spec.classes))


def complain(
    stretch: Stretch, neutral: Mapping[str, Neutral], probabilities: Floats, needed: Collection[Modality]
) -> Complaint | None:
    """Why a stretch is not a neutral that can be used; ``None`` when it is.

    What is wanted and not ``needed`` may fall short.
    """
    return (
        _too_little(stretch, neutral, needed)
        or _not_alone(stretch.meter)
        or _not_neutral(probabilities, stretch.meter)
    )


def _too_little(stretch: Stretch, neutral: Mapping[str, Neutral], needed: Collection[Modality]) -> Complaint | None:
    states, remedies = stretch.meter.states(), stretch.meter.advice.too_little
    for name in sorted(needed):
        if missing := _missing(name, neutral, stretch.meter):
            return Complaint(CODES[name], f"{missing}: {states[PARTS[name]] or remedies[name]}")
    return None


def _missing(name: Modality, neutral: Mapping[str, Neutral], meter: Meter) -> str:
    """How much there is of a modality and how much is needed; empty when it is enough."""
    # a camera may give fewer pictures than the window has rows
    heard = known_seconds(name, neutral[name]) if name in neutral else 0.0
    seconds = meter.face_seconds if name == "vision" else heard
    share, least = NEEDED[name]
    least = max(share * meter.now, least)
    return "" if seconds >= least else f"{seconds:.1f} s of {PARTS[name]} and {least:.1f} s are needed"


def _not_alone(meter: Meter) -> Complaint | None:
    if meter.company_seconds <= COMPANY_SHARE * meter.face_seconds:
        return None
    return Complaint(
        "two_faces", f"for {meter.company_seconds:.1f} s there were {meter.advice.troubles['two_faces']}"
    )


def _not_neutral(probabilities: Floats, meter: Meter) -> Complaint | None:
    strong = (probabilities >= STRONG).mean(axis=0) if len(probabilities) else np.zeros(len(EMOTIONS))
    strong[EMOTIONS.index("neutral")] = 0.0
    if strong.sum() < MUCH:
        return None
    name = EMOTIONS[int(strong.argmax())]
    return Complaint(
        "not_neutral",
        f"for {strong.sum():.0%} of the time this looks and sounds like {name} or another strong emotion, not like "
        f"neutral: {meter.advice.calm}",
    )


def means(probabilities: Floats) -> dict[str, float]:
    """Mean probabilities of a stretch by class, the largest first."""
    shares = probabilities.mean(axis=0)
    return {EMOTIONS[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable")}


def summary(probabilities: Floats) -> str:
    """The same for people."""
    return ", ".join(f"{name} {share:.0%}" for name, share in means(probabilities).items())
