"""A live session over stand-ins for devices, all of whose parts can be broken, and what is true of them when."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import raw_client
from stand_ins import MjpegCamera, PulseMicrophone, jpegs, numbered_faces

from miar_rt.features.face import FaceExtractor
from miar_rt.signals import FeatureFrame
from stream import live as live_module
from stream.app import open_words
from stream.clock import CaptureClock, awake_and_asleep
from stream.events import AudioChunk, Outgoing, Result
from stream.live import Live
from stream.options import AnalyzeOptions
from stream.recording import RecordedSession, Recorder
from stream.recording_format import Entry, describe_session
from stream.scoring import Scorer, load_scorer
from stream.senses import Hearing
from stream.serving.server import Server
from stream.session import SessionConfig
from stream.sources import SourceError
from stream.sources.camera import Camera
from stream.sources.microphone import Microphone
from stream.sources.slot import Slot

TEXT = (
    "What a wonderful day this is. I had not expected to see you here, and it makes me very happy. "
    "Please tell me what happened, because I heard about it only this morning."
)
ANSWER_SECONDS = 60.0


class Saboteur:
    """Lets a worker crash or hang when it comes by."""

    def __init__(self) -> None:
        self._crash: set[str] = set()
        self._hang: set[str] = set()
        self._freed = threading.Event()

    def crash(self, where: str) -> None:
        """Once."""
        self._crash.add(where)

    def hang(self, where: str) -> None:
        """The next one that comes by, until ``free``."""
        self._freed.clear()
        self._hang.add(where)

    def free(self) -> None:
        """Let go on whoever hangs."""
        self._freed.set()

    def visit(self, where: str) -> None:
        """A worker comes by."""
        if where in self._crash:
            self._crash.discard(where)
            raise RuntimeError("injected")
        if where in self._hang:
            self._hang.discard(where)
            self._freed.wait(ANSWER_SECONDS)


class Recordings:
    """Stands where a session has its recorder, so that another can take over while the session runs.

    Attributes
    ----------
    made
        Folder of each recording, with the times of the results that must be in it.
    full
        Whether the disk is: what comes from then on cannot be there.
    """

    def __init__(self, folder: Path, scorer: Scorer, config: SessionConfig) -> None:
        self._folder, self._scorer, self._config = folder, scorer, config
        self.made: list[tuple[Path, list[float]]] = []
        self.begin()

    def begin(self) -> None:
        """A new recording."""
        folder = self._folder / f"recording-{len(self.made)}"
        self.recorder = Recorder(folder, describe_session(self._scorer, self._config, "sphinx", "faults"))
        self.recorder.__enter__()
        self.made.append((folder, []))
        self.full = False

    def put(self, entry: Entry) -> None:
        """As ``Recorder.put``."""
        self.recorder.put(entry)

    def take(self, event: Outgoing) -> None:
        """As ``Recorder.take``; remembers what must be in the recording."""
        if isinstance(event, Result) and not self.full:
            self.made[-1][1].append(event.media_time)
        self.recorder.take(event)

    @property
    def ended(self) -> bool:
        """Whether the recording of now has ended by itself."""
        return all(thread.name != "miar-record" for thread in threading.enumerate())

    @property
    def file(self) -> Path:
        """Where its rows go."""
        return self.made[-1][0] / "events.arrow"


@dataclass
class World:
    """Everything that runs, and what listeners were told."""

    folder: Path
    saboteur: Saboteur = field(default_factory=Saboteur)
    results: list[Result] = field(default_factory=list)
    slept: float = 0.0
    slow: list[socket.socket] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    live: Live = field(init=False)

    def seconds(self) -> float:
        """What the capture clock counts by: a machine that can be put to sleep."""
        return awake_and_asleep() + self.slept

    def listen(self, event: Outgoing) -> None:
        """Take what the session says; also a place to break the scoring thread at."""
        self.saboteur.visit("score")
        self.server.publish(event)
        self.recordings.take(event)
        if isinstance(event, Result):
            with self.changed:
                self.results.append(event)
                self.changed.notify_all()

    def hang_camera(self) -> None:
        """It keeps the connection and gives nothing."""
        self.camera.hung.set()

    def freeze_camera(self) -> None:
        """It gives the same picture again and again."""
        self.camera.frozen.set()

    def mend_camera(self) -> None:
        """It is as before."""
        self.camera.hung.clear()
        self.camera.frozen.clear()

    def connect_slow(self) -> None:
        """A client that asks for everything and never reads."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.connect(("127.0.0.1", self.server.port))
        client.sendall(raw_client.upgrade(f"127.0.0.1:{self.server.port}"))
        client.sendall(raw_client.message(type="identify", events=["result", "transcript", "status"]))
        self.slow.append(client)

    def disconnect_slow(self) -> None:
        """It goes away."""
        self.slow.pop().close()

    def fill_disk(self) -> None:
        """No file can grow beyond what the recording holds now; waits until the recording has noticed."""
        self.recordings.full = True
        limit = self.recordings.file.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self.recordings.ended and time.monotonic() < deadline:
            time.sleep(0.05)

    def empty_disk(self) -> None:
        """There is room again, and a new recording."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.recordings.begin()

    def sleep(self) -> None:
        """The machine wakes after a while that was longer than anything remembered."""
        self.slept += 3600.0

    @contextlib.contextmanager
    def running(self) -> Iterator[World]:
        """Begin; everything is closed at the end."""
        with contextlib.ExitStack() as held:
            self._plug_in(held)
            self._open(held)
            self.live.start()
            held.callback(self.live.stop)
            yield self

    def speak(self) -> None:
        """Somebody talks into the microphone from now on."""
        self.microphone.play(self.speech)

    def signal(self, module: str, number: int) -> None:
        """A signal to the process of ours that runs what is in a module."""
        for child in psutil.Process().children():
            if module in child.cmdline():
                child.send_signal(number)

    def _plug_in(self, held: contextlib.ExitStack) -> None:
        self.microphone = PulseMicrophone(self.folder)
        os.environ.update(self.microphone.variables)
        held.callback(self.microphone.stop)
        self.microphone.start()
        self.speech = speech(self.folder)
        self.speak()
        self.camera = MjpegCamera(jpegs(numbered_faces(16)))
        held.callback(self.camera.stop)
        self.camera.start()

    def _open(self, held: contextlib.ExitStack) -> None:
        self.clock = CaptureClock(self.seconds)
        scorer, _ = load_scorer(None, "onnx")
        held.callback(scorer.engine.close)
        config = SessionConfig(10.0)
        self.recogniser, encoder = open_words(
            AnalyzeOptions(asr="sphinx"), scorer.checkpoint, self.clock.now, held, []
        )
        self.server = held.enter_context(Server(port=0))
        self.recordings = Recordings(self.folder, scorer, config)
        held.callback(lambda: self.recordings.recorder.__exit__(None, None, None))
        eyes = opened(Camera(self.camera.url, self.clock))
        ears = opened(Microphone(None, self.clock))
        video = Slot(eyes, lambda: Camera(self.camera.url, self.clock))
        audio = Slot(ears, lambda: Microphone(None, self.clock))
        held.callback(video.close)
        held.callback(audio.close)
        session: Any = RecordedSession(self.recordings, scorer, encoder, config)  # type: ignore[arg-type]
        self.live = Live(session, self.recogniser, video=video, audio=audio, clock=self.clock, listener=self.listen)
        held.enter_context(sabotaged(self.saboteur))


def opened(source: Any) -> Any:
    """A source that is open; a sound server that just started may not show its devices at once."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return source.__enter__()
        except SourceError:
            if time.monotonic() > deadline:
                raise


@contextlib.contextmanager
def sabotaged(saboteur: Saboteur) -> Iterator[None]:
    """Extractors that pass by a saboteur before they do what they do."""

    class Eyes(FaceExtractor):
        def extract(self, t: float, image: Any) -> FeatureFrame:
            saboteur.visit("look")
            return super().extract(t, image)

    class Ears(Hearing):
        def listen(self, chunk: AudioChunk) -> tuple[list[FeatureFrame], bool]:
            saboteur.visit("listen")
            return super().listen(chunk)

    kept = live_module.FaceExtractor, live_module.Hearing
    live_module.FaceExtractor, live_module.Hearing = Eyes, Ears  # type: ignore[misc]
    try:
        yield
    finally:
        live_module.FaceExtractor, live_module.Hearing = kept  # type: ignore[misc]


def speech(folder: Path, repeats: int = 60) -> Path:
    """Ten minutes of somebody who hardly pauses, in a little noise: a room is never digitally silent."""
    said, path = folder / "said.wav", folder / "speech.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", TEXT, "-o", str(said)], check=True)
    with wave.open(str(said)) as file:
        parameters, pcm = file.getparams(), np.frombuffer(file.readframes(file.getnframes()), np.int16)
    noise = np.random.default_rng(1).integers(-20, 21, len(pcm)).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams(parameters)
        file.writeframes(np.tile(np.clip(pcm // 2 + noise, -32768, 32767), repeats).tobytes())
    return path
