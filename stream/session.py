"""The pure heart of the live path: signals and a time go in, results come out.

A session knows no thread, socket, device or clock. Everything its answers depend on enters through the
methods below with its capture time, in one order; the same calls give the same results. ``live.py``,
``analyze.py`` and other programs all drive this one class.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.baseline import Baseline
from miar_rt.features.appearance import Appearance
from miar_rt.features.several_faces import MOST_FACES
from miar_rt.features.text import Encoder
from miar_rt.features.text_onnx import open_encoder
from miar_rt.signals import MODALITIES, FeatureFrame, Modality, WordsUpdate
from stream.asr.choose import choose_recogniser
from stream.events import (
    DECIMALS,
    AudioChunk,
    DeviceStatus,
    FaceResult,
    ModelInfo,
    Outgoing,
    Result,
    Status,
    VideoFrame,
)
from stream.faces import Faces, Person, Scored
from stream.presence import Availability, PresenceTracker
from stream.profiles import know
from stream.recent_words import RecentWords, as_transcript, spoken
from stream.scoring import Scorer, load_scorer
from stream.senses import Senses
from stream.verdicts import weights

IDLE_SECONDS = 0.5
"""With nothing new to score, listeners are still told so this often."""

LONGEST_SECONDS = 1e10
"""Three centuries: time stamps beyond are wrong, Unix time is not."""

JITTER_SECONDS = 0.05

log = logging.getLogger("miar.live")

Signal: TypeAlias = FeatureFrame | WordsUpdate | DeviceStatus


@dataclass(frozen=True)
class SessionConfig:
    """How a session scores.

    Attributes
    ----------
    rate
        At most so many results a second, 1 to 60.
    listening_to
        Modalities that have a source; the others are ``off``.
    profile
        Name of the person's profile; ``Session.open`` applies it, other makers have given it to the scorer.
    adapt
        Whether a running baseline is kept of whoever is there, where the profile has none.
    faces
        How many faces at most are followed, 1 to 4: with more than one each result holds all of them.
    half_life
        Seconds after which half of an old probability has faded from ``emotions``, 0.001 to 1000.
    """

    rate: float = 10.0
    listening_to: frozenset[Modality] = field(default=frozenset(MODALITIES))
    profile: str | None = None
    half_life: float = 0.4
    adapt: bool = False
    faces: int = 1

    def __post_init__(self) -> None:
        if not 1.0 <= self.rate <= 60.0:
            raise ValueError(f"rate must be 1 to 60 results a second, not {self.rate:g}")
        if not 1e-3 <= self.half_life <= 1e3:
            raise ValueError(f"half_life must be 0.001 to 1000 seconds, not {self.half_life:g}")
        if not 1 <= self.faces <= MOST_FACES:
            raise ValueError(f"faces must be 1 to {MOST_FACES}, not {self.faces}")


class Session:
    """Windows, words and presence of one person or several, scored when something new has arrived.

    For one thread at a time: a program that pushes from several holds a lock of its own around each call.

    Parameters
    ----------
    scorer
        Checkpoint and engine.
    encoder
        Text encoder, or ``None`` when no words will be pushed.
    config
        Rate and sources.
    senses
        Extractors for sound and pictures pushed here; ``None`` when features are pushed instead.
    """

    def __init__(
        self,
        scorer: Scorer,
        encoder: Encoder | None,
        config: SessionConfig | None = None,
        senses: Senses | None = None,
    ) -> None:
        self.config = config or SessionConfig()
        self._scorer = scorer
        self._encoder = encoder
        self._senses = senses
        spec = scorer.checkpoint.spec
        self._presence = PresenceTracker(self.config.listening_to, spec.text_seconds)
        self._words = RecentWords(spec.text_seconds)
        make = functools.partial(Person, scorer, self.config.half_life, self.config.adapt)
        self._sole = make(scorer.builder)
        self._faces = Faces(scorer, make, self._presence) if self.config.faces > 1 else None
        self._model = ModelInfo(checkpoint=scorer.checkpoint.name, engine=scorer.engine.name)
        self._outbox: list[Outgoing] = []
        self._closed = False
        self._pushed = {"sound": -math.inf, "a picture": -math.inf}
        self._fresh = False
        self._period = 1.0 / self.config.rate
        self._due = 0.0
        self._last_score = 0.0
        self._seq = 0
        self.newest: Mapping[Modality, float | None] = dict.fromkeys(MODALITIES)

    @classmethod
    def open(
        cls,
        *,
        checkpoint: Path | str | None = None,
        engine: str = "auto",
        asr: str = "off",
        language: str | None = "en",
        text_encoder: Path | None = None,
        config: SessionConfig | None = None,
    ) -> Session:
        """A session that extracts by itself, for programs that have sound and pictures already.

        Parameters
        ----------
        checkpoint
            A checkpoint folder; the one that ships with the package when not given.
        engine
            As ``miar-live --engine``.
        asr
            As ``miar-live --asr``; ``off`` when the program pushes words of its own or none.
        language
            ISO 639-1 code of what ``asr`` will hear; ``None`` to detect it (whisper only).
        text_encoder
            As ``miar-live --text-encoder``: what the checkpoint was trained on, when that is not MiniLM.
        config
            Rate and sources, and whose profile to apply.

        Raises
        ------
        CheckpointError, EngineUnavailable, AppearanceUnavailable, RecogniserUnavailable, TextEncoderUnavailable,
        ValueError
            One line: what cannot be had, and what would be right.
        """
        scorer, _ = load_scorer(checkpoint, engine)
        lines: list[str] = []
        know(scorer, config.profile if config else None, lines)
        for line in lines:
            log.info(line)
        encoder = open_encoder(text_encoder, scorer.checkpoint.extractors, scorer.checkpoint.text_adapter)
        appearance = Appearance.wanted_by(scorer.checkpoint.extractors)
        recogniser, _ = choose_recogniser(asr, language)
        return cls(scorer, encoder, config, Senses(recogniser, appearance, config.faces if config else 1))

    def push_audio(self, t: float, samples: NDArray[np.int16]) -> None:
        """Take sound, int16 ``[n]`` mono at 16 kHz, whose first sample was captured at ``t`` seconds.

        A minute at once at most (``stream.senses.LONGEST_PUSH_SECONDS``). What is refused changes nothing.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            Times are wrong or run backwards; the array is; the session is closed or takes features.
        """
        later = _later(t, self._pushed["sound"], "sound")
        for finding in self._need_senses().hear(AudioChunk(t, samples)):
            self.push(finding)
        self._pushed["sound"] = later

    def push_frame(self, t: float, image: NDArray[np.uint8]) -> None:
        """Take a picture, uint8 ``[h, w, 3]`` in RGB order, captured at ``t`` seconds; see ``push_audio``.

        Sides of 16384 pixels at most (``miar_rt.features.face.LONGEST_SIDE``); 960 are enough.
        """
        later = _later(t, self._pushed["a picture"], "a picture")
        self.push_features(self._need_senses().see(VideoFrame(t, image)))
        self._pushed["a picture"] = later

    def __enter__(self) -> Session:
        """Itself, which is closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Stop the extractors and free the network; may be called again."""
        if self._closed:
            return
        self._closed = True
        if self._senses is not None:
            self._senses.close()
        self._scorer.engine.close()

    def _need_senses(self) -> Senses:
        self._check_open()
        if self._senses is None:
            raise RuntimeError("this session takes features; make one with Session.open to push sound and pictures")
        return self._senses

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this session is closed: open another")

    def push(self, signal: Signal) -> None:
        """Take whatever an extractor, a recogniser or a device says, by its kind."""
        if isinstance(signal, FeatureFrame):
            self.push_features(signal)
        elif isinstance(signal, WordsUpdate):
            self.push_words(signal)
        else:
            self.set_status(signal)

    def push_features(self, frame: FeatureFrame) -> None:
        """Take one feature frame of voice or face, in order of time for each kind."""
        _checked_time(frame.t, f"a {frame.kind} frame at")
        self._scorer.builder.push(frame)
        self._presence.saw(frame)
        if self._faces is not None:
            self._faces.saw(frame)
        if frame.kind != "voice":
            self._fresh = True

    def push_words(self, update: WordsUpdate) -> None:
        """Take what a recogniser says; times of words are capture times."""
        update = dataclasses.replace(update, committed=spoken(update.committed), partial=spoken(update.partial))
        if not (update.committed or update.partial or update.speech_final or update.gap or self._words.partial):
            return
        known = update.language is None or update.language in self._scorer.checkpoint.languages
        self._words.update(update, known)
        self._presence.heard((*update.committed, *update.partial), known)
        if self._encoder is not None:
            words = self._words.known()
            encoded = self._encoder.encode([word.text for word in words])
            self._scorer.builder.set_words(words, encoded, update.kind)
        self._outbox.append(as_transcript(update))
        self._fresh = True

    def set_status(self, status: DeviceStatus) -> None:
        """Take note that a modality cannot be had, or can again."""
        self._presence.block(status.modality, status.reason)
        self._fresh = True

    def set_rate(self, rate: float) -> None:
        """Score at most ``rate`` times a second from now on; ``ValueError`` outside 1 to 60."""
        self.config = dataclasses.replace(self.config, rate=rate)
        self._period = 1.0 / rate

    def set_person(self, profile: str | None, baseline: Mapping[Modality, Baseline]) -> None:
        """Take everybody for the person of a profile from now on, whose baselines are given."""
        self.config = dataclasses.replace(self.config, profile=profile)
        self._scorer.builder.baseline = baseline

    def advance(self, now: float) -> list[Outgoing]:
        """Tell the session that it is ``now``; get the transcripts and the result that are due.

        Raises
        ------
        ValueError
            When time runs backwards or is no number.
        """
        return self._advance(now)

    def finish(self, now: float) -> list[Outgoing]:
        """As ``advance``, when nothing more comes: what is not scored yet is scored however soon that is."""
        self._due = min(self._due, now)
        return self._advance(now)

    def _advance(self, now: float) -> list[Outgoing]:
        self._check_open()
        _checked_time(now, "it cannot be")
        if now < self._last_score:
            raise ValueError(f"time runs backwards: {now:.6f} s after {self._last_score:.6f} s")
        for frame in self._senses.poll() if self._senses else ():
            self.push_features(frame)
        idle = now - self._last_score >= max(IDLE_SECONDS, self._period)
        if (self._fresh and now >= self._due - 1e-9) or idle:
            self._outbox.append(self._score(now))
        outbox, self._outbox = self._outbox, []
        return outbox

    def _score(self, now: float) -> Result:
        # late by a little keeps the average rate, late by a lot does not lead to a burst
        self._due = max(self._due + self._period, now + 0.5 * self._period)
        self._fresh = False
        self._last_score = now
        found, primary = self._presence.at(now), None
        faces: list[FaceResult] | msgspec.UnsetType = msgspec.UNSET
        if self._faces is not None:
            primary, faces = self._faces.score(now, found, self.config.profile)
        primary = primary or self._alone(now, found)
        self._notice_engine(now)
        self._outbox += primary.notices
        self.newest = {name: primary.found[name].newest for name in MODALITIES}
        self._seq += 1
        return Result(
            seq=self._seq - 1,
            time=None,
            media_time=round(now, DECIMALS),
            **primary.verdict,
            gate=weights(primary.answer),
            transcript=self._words.state(now),
            latency_ms=None,
            model=self._model,
            profile=primary.profile,
            faces=faces,
        )

    def _alone(self, now: float, found: Mapping[Modality, Availability]) -> Scored:
        """What there is to go by, as one person's."""
        answer = self._scorer.score(now, {name: state.present for name, state in found.items()})
        return self._sole.scored(now, found, answer, self.config.profile)

    def _notice_engine(self, now: float) -> None:
        """Say so when another engine has taken over."""
        engine = self._scorer.engine
        if engine.name == self._model.engine:
            return
        self._model = msgspec.structs.replace(self._model, engine=engine.name)
        detail = f"{engine.name}: {engine.describe()}"
        self._outbox.append(
            Status(media_time=round(now, 3), modality=None, state="engine", detail=detail, dropped={})
        )


def _checked_time(t: Any, what: str) -> float:
    """``t`` in seconds; ``ValueError`` where nobody's clock can be, ``TypeError`` where it is no number."""
    if not isinstance(t, int | float | np.integer | np.floating):
        raise TypeError(f"{what} {t!r}: times are numbers of seconds, not {type(t).__name__}")
    seconds = float(t)
    if not abs(seconds) <= LONGEST_SECONDS:
        raise ValueError(f"{what} {t} s: times are seconds since the session's start")
    return seconds


def _later(t: float, before: float, what: str) -> float:
    """``t``, which may be earlier than ``before`` by the jitter of clocks alone."""
    if (t := _checked_time(t, f"{what} at")) < before - JITTER_SECONDS:
        raise ValueError(f"{what} at {t:.6f} s after {what} at {before:.6f} s: time runs backwards")
    return t
