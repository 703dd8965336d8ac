"""``miar calibrate``: measure one person's neutral, refuse what is none, store it, and show what it changes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.baseline import Baseline, Neutral
from calibration.profile import Profile, Profiles, checked_name
from miar_rt.neutral import inputs_name, known_seconds, measure, personal
from miar_rt.signals import EMOTIONS, FeatureFrame, Modality
from stream.app import RunFailed, say, tell, under_way
from stream.calibration_meter import Meter
from stream.calibration_view import LINES, CalibrationView, instructions
from stream.clock import CaptureClock
from stream.events import AudioChunk, Result
from stream.extraction import Extraction, Step
from stream.inputs import Devices, warm_up
from stream.options import CalibrateOptions, LiveOptions, check_options
from stream.profiles import PARTS, told_seconds
from stream.scoring import Scorer, load_scorer
from stream.senses import Senses
from stream.session import Session, SessionConfig
from stream.sources.media_file import MediaFile
from stream.workers import DeviceLost

SHORTEST, LONGEST = 5.0, 300.0
RATE = 5.0
STRONG, MUCH = 0.7, 0.4
"""A class other than neutral with such a probability, in such a share of the results, is no neutral. Of the voices
of RAVDESS actors 17 to 20 plain neutral stays below 0.2 and calm below 0.35, anger reaches 0.3 to 0.75."""

WAIT_SECONDS = 0.02
REMEDIES: Mapping[Modality, str] = {
    "audio": "read the lines aloud and without long pauses",
    "vision": "look into the camera all the time",
}

FACE_SHARE, LEAST_FACE = 0.5, 3.0
VOICE_SHARE, LEAST_VOICE = 0.2, 2.0
"""How much of the time a face must be seen and a voiced sound be heard, and seconds at least."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """What was seen and heard, as features without sound or picture, of which modalities, and how it went."""

    steps: Sequence[Step]
    wanted: frozenset[Modality]
    meter: Meter


def run_calibrate(name: str, options: CalibrateOptions) -> None:
    """Calibrate to a person and store the profile; the old one stays when this one is refused.

    Raises
    ------
    RunFailed
        What was seen and heard is no neutral, or too little.
    Exception
        One of ``app.WRONG_INPUT`` before anything is captured.
    """
    name, store, live = checked_name(name), Profiles(), as_live(options)
    store.make_folder()
    scorer, why = load_scorer(options.checkpoint, options.engine)
    with contextlib.closing(scorer.engine):
        say(why)
        stretch = _of_devices(live, options.seconds) if options.input is None else _of_file(live, options.seconds)
        with under_way():
            neutral, unknown = measure(_frames(stretch)), answers(stretch, scorer, {})
            if complaint := complain(stretch, neutral, unknown):
                raise RunFailed(f"not stored: {complaint}")
            known = answers(stretch, scorer, personal(neutral))
            profile = Profile(name, time.time(), inputs_name(), neutral)
            path = store.save(profile)
    say(f"before: {summary(unknown)}")
    say(f"after:  {summary(known)}")
    say(f"profile {name}, {told_seconds(profile)}: {path}")


def as_live(options: CalibrateOptions) -> LiveOptions:
    """The same sources for ``miar-live``; ``ValueError`` when the options cannot be meant."""
    if not SHORTEST <= options.seconds <= LONGEST:
        raise ValueError(f"--seconds must be {SHORTEST:g} to {LONGEST:g}, not {options.seconds:g}")
    live = LiveOptions(
        camera=options.camera,
        no_camera=options.no_camera,
        mic=options.mic,
        no_mic=options.no_mic,
        input=options.input,
        accept_notice=options.accept_notice,
    )
    check_options(live)
    return live


def _of_file(live: LiveOptions, seconds: float) -> Stretch:
    """Everything a file says in its first seconds, as fast as it goes."""
    if live.input is None:
        raise ValueError("no file to calibrate with: give --input FILE")
    media = MediaFile(live.input, video=not live.no_camera, audio=not live.no_mic)
    with under_way(), Extraction(None) as extraction:
        meter = Meter(media.has_video, media.has_audio)
        return _take(extraction.run(media, seconds), meter, CalibrationView(seconds, (), say))


def _of_devices(live: LiveOptions, seconds: float) -> Stretch:
    """Everything that camera and microphone say while the person does as they are told."""
    with contextlib.ExitStack() as held:
        clock, lines = CaptureClock(), list[str]()
        devices = Devices(live, clock, held)
        warm_up(devices, recording=False)
        if not live.accept_notice:
            tell(lines)
        clock.restart()
        devices.open(lines)
        for line in lines:
            say(line)
        meter = Meter(devices.sees, devices.hears)
        task = (instructions(seconds, meter.sees, meter.hears), *(LINES if meter.hears else ()))
        held.enter_context(under_way())
        return _take(watched(devices, clock, seconds, held), meter, CalibrationView(seconds, task, say))


def watched(devices: Devices, clock: CaptureClock, seconds: float, held: contextlib.ExitStack) -> Iterator[Step]:
    """What open devices say for so many seconds, extracted as it comes, in the caller's own thread."""
    senses = held.enter_context(contextlib.closing(Senses()))
    audio = held.enter_context(devices.audio.hold()) if devices.audio else None
    video = held.enter_context(devices.video.hold()) if devices.video else None
    while clock.now() < seconds:
        for item in audio.read(WAIT_SECONDS) if audio else ():
            if isinstance(item, AudioChunk):
                yield Step(clock.now(), item, [*senses.hear(item), *senses.poll()])
        frame = video.read_latest(WAIT_SECONDS * 10, 0.0 if audio else WAIT_SECONDS) if video else None
        if frame is not None:
            yield Step(clock.now(), frame, [senses.see(frame)])
        for source in (audio, video):
            if source is not None and source.lost:
                raise DeviceLost(f"{source.name} is gone")


def _take(steps: Iterator[Step], meter: Meter, view: CalibrationView) -> Stretch:
    """Show how it goes, and keep what was extracted without the sound and the pictures."""
    kept: list[Step] = []
    with view:
        for step in steps:
            meter.take(step)
            view.update(meter)
            kept.append(replace(step, item=None))
    here: dict[Modality, bool] = {"audio": meter.hears, "vision": meter.sees}
    return Stretch(kept, frozenset(name for name, wanted in here.items() if wanted), meter)


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


def complain(stretch: Stretch, neutral: Mapping[str, Neutral], probabilities: Floats) -> str | None:
    """Why a stretch is not a neutral that can be used and how to mend it, in one line; ``None`` when it is."""
    return _too_little(stretch, neutral) or _not_neutral(probabilities)


def _too_little(stretch: Stretch, neutral: Mapping[str, Neutral]) -> str | None:
    least: dict[Modality, float] = {
        "audio": max(VOICE_SHARE * stretch.meter.now, LEAST_VOICE),
        "vision": max(FACE_SHARE * stretch.meter.now, LEAST_FACE),
    }
    states = stretch.meter.states()
    for name in sorted(stretch.wanted):
        part, remedy = PARTS[name], REMEDIES[name]
        seconds = known_seconds(name, neutral[name]) if name in neutral else 0.0
        if seconds < least[name]:
            return f"{seconds:.1f} s of {part} and {least[name]:.1f} s are needed: {states[part] or remedy}"
    return None


def _not_neutral(probabilities: Floats) -> str | None:
    strong = (probabilities >= STRONG).mean(axis=0) if len(probabilities) else np.zeros(len(EMOTIONS))
    strong[EMOTIONS.index("neutral")] = 0.0
    if strong.sum() < MUCH:
        return None
    name = EMOTIONS[int(strong.argmax())]
    return (
        f"for {strong.sum():.0%} of the time this looks and sounds like {name} or another strong emotion, not like "
        "neutral: relax, and read as you would read a shopping list"
    )


def summary(probabilities: Floats) -> str:
    """Mean probabilities of a stretch, the largest first."""
    means = probabilities.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    return ", ".join(f"{EMOTIONS[i]} {means[i]:.0%}" for i in order)
