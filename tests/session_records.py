"""Sessions to record: one with everything in it that a session can be told, and what was put into its recording."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from test_session import HashedWords, acoustic, face, said, voice

from calibration.baseline import Baseline
from miar_rt.signals import Face, FeatureFrame, Modality
from stream.events import DeviceStatus, Outgoing
from stream.recording import RecordedSession, Recorder
from stream.recording_format import Entry, describe_session
from stream.scoring import Scorer
from stream.session import Session, SessionConfig

SECONDS = 6.0


def odd_values(frame: FeatureFrame) -> FeatureFrame:
    """With what JSON could not carry: NaN, an infinity, minus zero and the smallest number."""
    frame.values[:4] = np.nan, -np.inf, -0.0, 1e-45
    return frame


def doubled(name: Modality, session: Session) -> Baseline:
    width = session._scorer.checkpoint.spec.widths[name]
    return Baseline(np.full(width, 2.0), np.zeros(width))


def live_through(
    session: Session, listener: Callable[[Outgoing], None], at: Callable[[int], None] = lambda _: None
) -> None:
    """Six seconds with everything in them that a session can be told; ``at`` is called before each of 600 steps."""
    generator = np.random.default_rng(5)
    for step in range(round(SECONDS * 100)):
        at(step)
        t = step / 100 + float(generator.uniform(0.0, 1e-3))
        session.push(acoustic(t))
        if step % 3 == 0:
            session.push(voice(t, float(generator.uniform(0.3, 1.0))))
            session.push(face(t, valid=generator.uniform() > 0.1))
        if step % 40 == 39:
            session.push(said(t, "naïve 😀 words", final=step % 80 == 79))
        if step == 200:
            session.push(odd_values(face(t)))
            session.set_rate(7.3)
        if step in {250, 450}:
            session.set_person("bob", {} if step == 450 else {"audio": doubled("audio", session)})
        if step in {300, 400}:
            session.push(DeviceStatus("vision", t, "device_lost" if step == 300 else None, "unplugged"))
        for event in session.advance(t + float(generator.uniform(0.0, 5e-3))):
            listener(event)
    for event in session.finish(SECONDS + 0.01):
        listener(event)


def record(folder: Path, scorer: Scorer, listener: Callable[[Outgoing], None] = lambda _: None) -> list[Entry]:
    """A recording of ``live_through``; all that was put into it."""
    config = SessionConfig(rate=10.0, profile="ann")
    generator = np.random.default_rng(9)
    width = scorer.checkpoint.spec.widths["vision"]
    scorer.builder.baseline = {"vision": Baseline(generator.uniform(0.5, 2.0, width), generator.normal(size=width))}
    put: list[Entry] = []
    with Recorder(folder, describe_session(scorer, config, "sphinx", "a test")) as recorder:
        original = recorder.put
        recorder.put = lambda entry: (put.append(entry), original(entry))[1]  # type: ignore[method-assign]

        def both(event: Outgoing) -> None:
            recorder.take(event)
            listener(event)

        live_through(RecordedSession(recorder, scorer, HashedWords(), config), both)
    return put


def bits(entry: Entry | Face) -> bytes:
    """Every bit of an entry."""
    if isinstance(entry, FeatureFrame):
        return repr((entry.kind, entry.t, entry.valid)).encode() + entry.values.tobytes()
    if isinstance(entry, Face):
        return repr((entry.id, entry.box, entry.primary)).encode() + entry.values.tobytes()
    return repr(entry).encode()


@dataclass(frozen=True)
class Recorded:
    """A finished recording, not to be changed, and the bits of everything in it."""

    folder: Path
    bits: list[bytes]

    def copy(self, target: Path) -> Path:
        return Path(shutil.copytree(self.folder, target))
