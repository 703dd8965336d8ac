"""``miar calibrate``: measure one person's neutral, refuse what is none, store it, and show what it changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from calibration.profile import Profiles, checked_name
from miar_rt.signals import Modality
from stream.app import RunFailed, say, tell, under_way
from stream.calibration_judge import Complaint, Stretch, judge, summary
from stream.calibration_meter import ABOUT_A_FILE, Meter
from stream.calibration_view import LINES, CalibrationView, instructions
from stream.clock import CaptureClock
from stream.events import AudioChunk
from stream.extraction import Extraction, Step
from stream.inputs import Devices, warm_up
from stream.options import CalibrateOptions, LiveOptions, check_options
from stream.profiles import told_seconds
from stream.scoring import load_scorer
from stream.senses import Senses
from stream.sources.media_file import MediaFile
from stream.workers import DeviceLost

SHORTEST, LONGEST = 5.0, 300.0
WAIT_SECONDS = 0.02


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
    since = store.stamp(name)
    scorer, why = load_scorer(options.checkpoint, options.engine)
    with contextlib.closing(scorer.engine):
        say(why)
        stretch = _of_devices(live, options.seconds) if options.input is None else _of_file(live, options.seconds)
        say(f"measured {stretch.meter.now:.0f} s; working out what it changes")
        with under_way():
            judged = judge(name, stretch, scorer)
            if isinstance(judged, Complaint):
                raise RunFailed(f"not stored: {judged}")
            path = store.save(judged.profile, since)
    say(f"before: {summary(judged.before)}")
    say(f"after:  {summary(judged.after)}")
    say(f"profile {name}, {told_seconds(judged.profile)}: {path}")


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
        meter = Meter(media.has_video, media.has_audio, advice=ABOUT_A_FILE)
        stretch = _take(extraction.run(media, seconds), meter, CalibrationView(seconds, (), say))
    if media.damage:
        say(f"warning: {media.damage}")
    return stretch


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
