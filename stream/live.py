"""Devices, threads and mailboxes around a session; the session itself stays pure.

Five threads at most: one looks, one listens, one recognises words, one scores, one sees whether they move; the
server has its own. What they pass on goes through bounded mailboxes into one order, the order in which the
session sees it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

from miar_rt.features.appearance import Appearance
from miar_rt.features.face import FaceExtractor
from miar_rt.signals import Modality, WordsUpdate
from stream.asr import Recogniser
from stream.asr.following import Follower
from stream.clock import CaptureClock
from stream.events import SAMPLE_RATE, AudioChunk, DeviceStatus, Hint, Outgoing, Reason, SignalGap, Status
from stream.liveness import PictureWatch, SoundWatch, Watch
from stream.onlookers import Onlookers
from stream.pace import Losses, Pace
from stream.senses import Hearing
from stream.session import Session, SessionConfig, Signal
from stream.sources import AudioSource, VideoSource
from stream.sources.slot import Slot, over
from stream.stamps import stamped
from stream.supervision import Crew
from stream.workers import Mailbox, Worker

INBOX_ITEMS = 2048
SPEECH_CHUNKS = 500
"""Chunks of 20 ms that wait for the recogniser at most: 10 s of sound."""

RECOGNISE_AT_ONCE = 10
"""Chunks taken at a time, few enough to notice in time that the session stops."""

PICTURE_MAX_AGE = 0.5
WAIT_SECONDS = 0.1
SOUND_WAIT_SECONDS = 0.01
STATUS_SECONDS = 2.0
STOP_SECONDS = 1.0
SENSES: dict[str, Modality] = {"look": "vision", "listen": "audio", "recognise": "text"}
PATIENCE = {"look": 2.0, "listen": 2.0, "recognise": 20.0, "score": 5.0}
"""Seconds without moving after which a worker has stalled; a recogniser may decode long, at once."""

log = logging.getLogger("miar.live")

Heard: TypeAlias = "tuple[AudioChunk, bool] | SignalGap"
Listener: TypeAlias = Callable[[Outgoing], None]


class Live:
    """A session fed by live sources.

    Parameters
    ----------
    session, recogniser
        ``recogniser`` may be ``None``; both are closed by the caller, after ``stop``.
    video, audio
        What to look at and listen to.
    clock
        The capture clock that the sources stamp with.
    listener
        Called with everything the session says, from the scoring thread: it must not wait.
    appearance
        As ``FaceExtractor`` takes it.

    Attributes
    ----------
    onlookers
        Who else is shown what is seen and heard.
    """

    def __init__(
        self,
        session: Session,
        recogniser: Recogniser | None,
        *,
        video: Slot[VideoSource] | None,
        audio: Slot[AudioSource] | None,
        clock: CaptureClock,
        listener: Listener,
        appearance: Appearance | None = None,
    ) -> None:
        self._session = session
        self._recogniser = None if recogniser is None else Follower(recogniser, clock.now)
        self._video = video
        self._audio = audio
        self._clock = clock
        self._listener = listener
        self._eyes = functools.partial(FaceExtractor, appearance=appearance, faces=session.config.faces)
        self._inbox: Mailbox[Signal] = Mailbox(INBOX_ITEMS)
        self._speech: Mailbox[Heard] = Mailbox(SPEECH_CHUNKS)
        self._notices: Mailbox[Status] = Mailbox(64)
        self._orders: Mailbox[Callable[[Session], None]] = Mailbox(64)
        self.onlookers = Onlookers()
        self._dropped = Losses(("frames", "samples", "speech"))
        self._pace = Pace()
        self._behind = False
        self._began = 0.0
        self._drift: float | None = None
        self._paused = threading.Event()
        self._sound_over = threading.Event()
        self._media_over = threading.Event()
        self._ended_at = 0.0
        self._over = threading.Event()
        self._finished = threading.Event()
        self._feeding: set[str] = set()
        self._gave_up: dict[str, str] = {}
        self._crew = Crew(self._stalled)
        self._watches: dict[Modality, Watch] = {}
        self._blocked: dict[Modality, Reason | None] = {}

    def start(self) -> None:
        """Start the threads."""
        self._began = self._clock.now()
        bodies: dict[str, Callable[[Worker], None]] = {"score": self._score}
        if self._video:
            bodies["look"] = self._look
        if self._audio:
            bodies["listen"] = self._listen
            if self._recogniser:
                bodies["recognise"] = self._recognise
        self._feeding = {name for name in bodies if name != "score"}
        for name, body in bodies.items():
            replaceable = name in {"look", "listen"}
            self._crew.add(functools.partial(self._worker, name, body), PATIENCE[name], replaceable)
        self._crew.start()

    def going(self, seconds: float | None = None) -> bool:
        """False once every source has ended and the last of it was scored, ``seconds`` are over, or on request."""
        return not self._finished.is_set() and (seconds is None or self._clock.now() - self._began < seconds)

    def request_stop(self) -> None:
        """Let ``going`` turn false; safe in a signal handler."""
        self._finished.set()

    def stop(self) -> None:
        """Stop the threads and wait for them, at most ``STOP_SECONDS``."""
        self._finished.set()
        late = self._crew.stop(STOP_SECONDS)
        if late:
            log.warning("still busy after %.1f s and left behind: %s", STOP_SECONDS, ", ".join(late))

    def pause(self, paused: bool) -> None:
        """Stop or resume looking and listening; while paused nothing captured is used."""
        (self._paused.set if paused else self._paused.clear)()
        self.tell("paused" if paused else "running")

    @property
    def paused(self) -> bool:
        """Whether looking and listening are stopped."""
        return self._paused.is_set()

    def set_rate(self, rate: float) -> None:
        """Score at most ``rate`` times a second from now on; ``ValueError`` outside 1 to 60."""
        checked = SessionConfig(rate).rate
        self.order(lambda session: session.set_rate(checked))

    def order(self, act: Callable[[Session], None]) -> None:
        """Let ``act`` speak to the session from the one thread that does, so that a recording is in one order."""
        self._orders.put(act)

    def tell(self, state: str, detail: str = "") -> None:
        """Let listeners know at once."""
        self._notices.put(self._status(self._clock.now(), None, state, detail))

    @property
    def failure(self) -> str | None:
        """Why nothing could go on: scoring gave up, or everything that captures did; one line."""
        sources = {worker.name for worker in self._crew.workers} & {"look", "listen"}
        hopeless = "score" in self._gave_up or (sources and sources <= self._gave_up.keys())
        return "; ".join(self._gave_up.values()) if hopeless else None

    @property
    def dropped(self) -> dict[str, int]:
        """What was lost so far because somebody was slow: pictures, samples, samples not decoded, items."""
        return {**self._dropped, "inbox": self._inbox.dropped}

    def _worker(self, name: str, body: Callable[[Worker], None]) -> Worker:
        modality = SENSES.get(name)

        def lost(detail: str) -> None:
            self._block(modality, "device_lost", detail)

        def failed(detail: str) -> None:
            self._gave_up[name] = detail
            self._block(modality, "failed", detail)
            if modality is None:
                self._finished.set()
            else:
                self._pour_away(worker)
                self._ended(worker)

        worker = Worker(name, body, lost, failed)
        return worker

    def _stalled(self, name: str, line: str) -> None:
        """Someone does not move any more, or moves again where ``line`` is empty."""
        self._block(SENSES.get(name), "stale" if line else None, line)

    def _heed(self, worker: Worker, modality: Modality, watch: Watch) -> None:
        """Pass on what a watch has found; what it hints at goes out with the next status."""
        self._watches[modality] = watch
        if watch.found is not None and not worker.stopping:
            self._block(modality, *watch.found)

    def _block(self, modality: Modality | None, reason: Reason | None, detail: str) -> None:
        """Pass on that a modality is gone or back, once for each change."""
        if modality is None or self._blocked.get(modality) == reason:
            return
        self._blocked[modality] = reason
        now = self._clock.now()
        self._inbox.put(DeviceStatus(modality, now, reason, detail))
        self._notices.put(self._status(now, modality, reason or "ok", detail))

    def _status(self, now: float, modality: Modality | None, state: str, detail: str) -> Status:
        return Status(
            media_time=round(now, 3),
            modality=modality,
            state=state,
            detail=detail,
            dropped=self.dropped,
            waiting={"inbox": self._inbox.depth, "speech": self._speech.depth},
            hints=self._hints(),
            drift_ms=None if self._drift is None else round(self._drift * 1e3, 1),
        )

    def _hints(self) -> list[Hint]:
        watches = {name: watch for name, watch in self._watches.items() if not self._blocked.get(name)}
        return [hint for watch in watches.values() for hint in watch.hints]

    def _state(self, now: float) -> Status:
        """How it goes as a whole; that this machine is too slow is also said to whoever started it, once."""
        if self.paused:
            return self._status(now, None, "paused", "")
        lag = self._pace.judge(now, self.dropped)
        if lag and not self._behind:
            log.warning("this machine is too busy to keep up: %s", lag)
        self._behind = bool(lag)
        return self._status(now, None, "behind" if lag else "running", lag)

    def _look(self, worker: Worker) -> None:
        """Pictures into face frames."""
        if self._video is None:
            return
        with self._video.hold() as source, self._eyes() as face:
            watch = PictureWatch(source.name, self._video.device)
            while self._video.serves(worker):
                frame = source.read_latest(PICTURE_MAX_AGE, WAIT_SECONDS)
                self._dropped.count("frames", source, source.dropped_frames)
                watch.take(self._clock.now(), frame)
                self._heed(worker, "vision", watch)
                if frame is None:
                    if over(source):
                        break
                elif watch.live and not self.paused:
                    found = face.extract(frame.t, frame.image)
                    self._put_all(worker, [found])
                    self._pace.pictures += 1
                    self.onlookers.saw(frame, found, face.landmarks)
                worker.beat()
        self._ended(worker)

    def _listen(self, worker: Worker) -> None:
        """Sound into descriptors, voice activity, and work for the recogniser."""
        if self._audio is None:
            return
        with self._audio.hold() as source, Hearing() as hearing:
            watch = SoundWatch(source.name, self._audio.device)
            while self._audio.serves(worker):
                items = source.read(SOUND_WAIT_SECONDS)
                self._dropped.count("samples", source, source.dropped_samples)
                watch.take(self._clock.now(), items)
                self._heed(worker, "audio", watch)
                if not self.paused:
                    self._hear(worker, items, hearing, watch)
                if not items and over(source):
                    break
                self._drift = source.drift if self._audio.device else None
                worker.beat()
            self._put_all(worker, hearing.acoustic.finish())
        self._ended(worker)

    def _hear(
        self, worker: Worker, items: list[AudioChunk | SignalGap], hearing: Hearing, watch: SoundWatch
    ) -> None:
        for item in items:
            if isinstance(item, SignalGap):
                hearing.gap(item)
                self._to_recogniser(worker, item)
                continue
            hearing.feed(item)
            frames, speaking = hearing.listen(item)
            watch.measure(item, speaking)
            self._put_all(worker, frames)
            self._to_recogniser(worker, (item, speaking))
            self.onlookers.heard(item, frames)
            self._pace.sound_lag = self._clock.now() - item.t_end
        descriptors = hearing.acoustic.poll()
        self._put_all(worker, descriptors)
        self.onlookers.heard(None, descriptors)

    def _to_recogniser(self, worker: Worker, heard: Heard) -> None:
        if self._recogniser is not None and not worker.stopping:
            self._speech.put(heard)

    def _put_all(self, worker: Worker, items: Sequence[Signal]) -> None:
        """Pass on what a worker found, unless another has its place by now."""
        for item in items if not worker.stopping else ():
            self._inbox.put(item)

    def _recognise(self, worker: Worker) -> None:
        """Sound into words, as fast as the recogniser can."""
        if self._recogniser is None:
            return
        while not worker.stopping:
            over = self._sound_over.is_set()
            waiting = self._speech.take(WAIT_SECONDS, limit=RECOGNISE_AT_ONCE)
            for heard in waiting:
                if isinstance(heard, SignalGap):
                    self._recogniser.gap(heard.t0, heard.t1)
                else:
                    chunk, speaking = heard
                    self._recognised(worker, self._recogniser.push(chunk.t, chunk.samples, speaking))
                    self._pace.words_lag = self._clock.now() - chunk.t_end
            if over and not waiting:
                self._recognised(worker, self._recogniser.finish())
                break
            worker.beat()
        self._ended(worker)

    def _recognised(self, worker: Worker, updates: list[WordsUpdate]) -> None:
        self._dropped["speech"] += sum(
            round((update.gap[1] - update.gap[0]) * SAMPLE_RATE) for update in updates if update.gap
        )
        self._put_all(worker, updates)

    def _score(self, worker: Worker) -> None:
        """Everything in one order into the session, and what it says to the listener."""
        told, scored = 0.0, 0.0
        while not worker.stopping:
            worker.beat()
            over = self._over.is_set()
            for order in self._orders.take(0.0) if self._orders.depth else ():
                order(self._session)
            for item in self._inbox.take(WAIT_SECONDS / 4):
                self._session.push(item)
            began = self._clock.now()
            if over:
                # what came last is scored at the moment it ended, not when the recogniser was done with it
                scored = max(scored, self._ended_at)
                events = self._session.finish(scored)
            elif self._media_over.is_set():
                events = []
            else:
                scored = began
                events = self._session.advance(began)
            for event in events:
                self._listener(self._completed(event, began))
            for notice in self._notices.take(0.0) if self._notices.depth else ():
                self._listener(notice)
            if began - told > STATUS_SECONDS:
                told = began
                self._listener(self._state(began))
            if over:
                self._finished.set()
                return

    def _completed(self, event: Outgoing, began: float) -> Outgoing:
        """With what a session cannot know: times of delivery, and what was lost."""
        if isinstance(event, Status):
            return self._status(event.media_time, None, event.state, event.detail)
        return stamped(event, self._session.newest, self._clock, began)

    def _ended(self, worker: Worker) -> None:
        """A worker has nothing more to give; when none has, what is left is scored and the session over."""
        if worker.stopping:
            return
        if worker.name == "listen":
            self._sound_over.set()
        self._feeding.discard(worker.name)
        if self._feeding <= {"recognise"} and not self._media_over.is_set():
            self._ended_at = self._clock.now()
            self._media_over.set()
        if not self._feeding:
            self._over.set()

    def _pour_away(self, worker: Worker) -> None:
        """Take what nobody uses any more: a file has ended only once both its sides were read."""
        with contextlib.suppress(Exception):
            if worker.name == "look" and self._video:
                self._video.drain(lambda pictures: pictures.read_latest(0.0, WAIT_SECONDS), worker)
            elif worker.name == "listen" and self._audio:
                self._audio.drain(lambda sound: sound.read(WAIT_SECONDS), worker)
