"""Calibration while a session runs: asked for by ``calibrate``, told of by ``calibration`` events."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import msgspec

from calibration.baseline import Baseline
from calibration.profile import ProfileError, Profiles, checked_name
from miar_rt.checkpoint import Checkpoint
from miar_rt.engines.choose import choose_engine
from miar_rt.neutral import MEASURED, personal
from miar_rt.signals import Array, FeatureFrame, Modality
from stream.calibration_judge import Complaint, Judged, Stretch, judge, means
from stream.calibration_meter import Meter
from stream.calibration_view import LINES, instructions
from stream.events import AudioChunk, Calibration, CalibrationPart, Rejection, VideoFrame
from stream.extraction import Item, Step
from stream.onlookers import Onlooker
from stream.profiles import not_trained_with, told_seconds
from stream.scoring import Scorer
from stream.serving.protocol import RequestError

TELL_SECONDS = 0.25
JUDGING = "Measured. Working out what it changes."
DECIMALS = 4

log = logging.getLogger("miar.live")


class LiveCalibration(Onlooker):
    """Collects one person's neutral beside a running session, stores it and lets the session use it.

    Parameters
    ----------
    captured
        Which of ``audio`` and ``vision`` the session has a source for.
    checkpoint
        Judges the stretch, in an engine of its own.
    now
        The capture clock.
    publish
        Takes the events.
    use
        Takes the name and the baselines of a profile to be used from then on.
    """

    def __init__(
        self,
        captured: Set[Modality],
        checkpoint: Checkpoint,
        *,
        now: Callable[[], float],
        publish: Callable[[Calibration], None],
        use: Callable[[str, Mapping[Modality, Baseline]], None],
    ) -> None:
        self._captured = frozenset(captured) & frozenset(MEASURED)
        self._checkpoint = checkpoint
        self._now = now
        self._publish = publish
        self._use = use
        self._lock = threading.Lock()
        self._running: _Run | None = None
        self._cancelled = threading.Event()

    def start(self, name: str, seconds: float) -> dict[str, Any]:
        """Begin, and tell what the person is to do; ``RequestError`` says why not."""
        try:
            name, store = checked_name(name), Profiles()
        except ProfileError as error:
            raise RequestError("bad_name", str(error)) from error
        try:
            store.make_folder()
        except ProfileError as error:
            raise RequestError("not_saved", str(error)) from error
        if not self._captured:
            raise RequestError("unsupported", "nothing is captured that a person has a neutral in")
        with self._lock:
            if self._running is not None:
                raise RequestError("busy", f"a calibration of {self._running.name!r} is running: wait for its end")
            self._cancelled.clear()
            self._running = run = _Run(name, seconds, self._now(), self._captured, store.stamp(name))
        threading.Thread(target=self._attend, args=(run, store), name="miar-calibrate", daemon=True).start()
        return {"profile": name, "seconds": seconds, "task": run.task, "lines": run.lines}

    def cancel(self) -> None:
        """End what is running, if anything is, without a profile."""
        self._cancelled.set()

    def saw(self, frame: VideoFrame, found: FeatureFrame, landmarks: Array | None) -> None:  # noqa: ARG002
        """As ``Onlooker``."""
        self._take(frame, [found])

    def heard(self, chunk: AudioChunk | None, found: Sequence[FeatureFrame]) -> None:
        """As ``Onlooker``."""
        self._take(chunk, found)

    def _take(self, item: Item | None, found: Sequence[FeatureFrame]) -> None:
        if self._running is None:
            return
        # two threads come here: under the lock their steps are in one order
        with self._lock:
            if self._running is not None:
                self._running.take(Step(self._now(), item, found))

    def _attend(self, run: _Run, store: Profiles) -> None:
        """Count down, judge, store; whatever happens, the end is told."""
        outcome = run.rejected("interrupted", "not stored: something went wrong")
        try:
            while not self._cancelled.wait(TELL_SECONDS) and (left := run.left(self._now())) > 0.0:
                with self._lock:
                    event = run.progress(left)
                self._publish(event)
            self._publish(run.over())
            outcome = self._finish(run, store)
        except Exception as error:
            log.warning("calibrating %s failed: %s", run.name, error, exc_info=log.isEnabledFor(logging.DEBUG))
        finally:
            with self._lock:
                self._running = None
            self._publish(outcome)

    def _finish(self, run: _Run, store: Profiles) -> Calibration:
        with self._lock:
            stretch, run.open = run.stretch(), False
        if self._cancelled.is_set():
            return run.rejected("interrupted", "not stored: interrupted")
        engine, _ = choose_engine("onnx", self._checkpoint)
        with contextlib.closing(engine):
            judged = judge(run.name, stretch, Scorer(self._checkpoint, engine))
        if isinstance(judged, Complaint):
            return run.rejected(judged.code, f"not stored: {judged}")
        try:
            store.save(judged.profile, run.since)
        except ProfileError as error:
            return run.rejected("not_saved", str(error))
        baseline = personal(judged.profile.neutral)
        self._use(run.name, baseline)
        return run.done(judged, not_trained_with(self._checkpoint, baseline))


class _Run:
    """One calibration and what it has seen and heard so far."""

    def __init__(self, name: str, seconds: float, began: float, captured: frozenset[Modality], since: int) -> None:
        sees, hears = "vision" in captured, "audio" in captured
        self.name, self.since = name, since
        self.task = instructions(seconds, sees, hears)
        self.lines = LINES if hears else ()
        self.open = True
        self._seconds = seconds
        self._began = began
        self._captured = captured
        self._meter = Meter(sees, hears, began)
        self._kept: list[Step] = []

    def left(self, now: float) -> float:
        """Seconds to go."""
        return self._began + self._seconds - now

    def take(self, step: Step) -> None:
        """Take what came out; the sound or picture itself is looked at and not kept."""
        if self.open:
            self._meter.take(step)
            self._kept.append(replace(step, item=None))

    def stretch(self) -> Stretch:
        """All of it."""
        return Stretch(self._kept, self._captured, self._meter)

    def progress(self, left: float) -> Calibration:
        """What to do and how it goes."""
        seconds = {"face": self._meter.face_seconds, "voice": self._meter.voice_seconds}
        advice = self._meter.states()
        parts = {
            name: CalibrationPart(round(seconds[name], 2), trouble, advice[name])
            for name, trouble in self._meter.troubles().items()
        }
        return Calibration(
            profile=self.name,
            state="running",
            seconds=self._seconds,
            left=round(left, 2),
            task=self.task,
            lines=self.lines,
            parts=parts,
        )

    def over(self) -> Calibration:
        """That nothing is left to do but to wait for the verdict."""
        return msgspec.structs.replace(self.progress(0.0), task=JUDGING, lines=())

    def rejected(self, code: Rejection, message: str) -> Calibration:
        """That there is no profile, and why."""
        return Calibration(profile=self.name, state="rejected", seconds=self._seconds, code=code, message=message)

    def done(self, judged: Judged, warning: str | None) -> Calibration:
        """That the profile is stored and in use, and what it changes."""
        before, after = (
            {name: round(share, DECIMALS) for name, share in means(rows).items()}
            for rows in (judged.before, judged.after)
        )
        message = f"profile {self.name}, {told_seconds(judged.profile)}, is stored and in use"
        return Calibration(
            profile=self.name,
            state="done",
            seconds=self._seconds,
            before=before,
            after=after,
            message=f"{message}; warning: {warning}" if warning else message,
        )
