"""The live path stage by stage, one picture or piece of sound after the other in one thread."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench_report import percentiles
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import Engine, Scores
from miar_rt.engines.choose import choose_engine
from miar_rt.features.appearance import Appearance
from miar_rt.signals import Array, Modality
from miar_rt.window import ModelInput
from stream.events import AudioChunk, Outgoing, Result, VideoFrame
from stream.scoring import Answer, Scorer
from stream.senses import Senses
from stream.serving import protocol
from stream.serving.server import Server
from stream.session import Session, SessionConfig
from stream.sources.media_file import MediaFile, due

ARRIVAL_SECONDS = 5.0

SOURCES = ("one picture", "a piece of sound")
STAGES = (
    *(f"{what}, {source}" for source in SOURCES for what in ("capture", "extract")),
    "window", "copy in", "score and copy out", "calibrate", "encode", "encode and send, to arrival",
)  # fmt: skip


class Watch:
    """Collects milliseconds by stage."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)

    @contextlib.contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Time what is inside."""
        began = time.perf_counter()
        yield
        self.add(stage, began, time.perf_counter())

    def add(self, stage: str, began: float, ended: float) -> None:
        """Take a time measured elsewhere."""
        self.times[stage].append((ended - began) * 1e3)


class WatchedEngine:
    """The engine, and when it began and ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.precision = engine.name, engine.precision
        self.began = self.ended = 0.0

    def describe(self) -> str:
        """As the engine."""
        return self._engine.describe()

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        """As the engine."""
        self.began = time.perf_counter()
        scores = self._engine.score(batch, presence)
        self.ended = time.perf_counter()
        return scores

    def close(self) -> None:
        """As the engine."""
        self._engine.close()


class WatchedScorer(Scorer):
    """A scorer whose stages are timed."""

    def __init__(self, checkpoint: Checkpoint, engine: WatchedEngine, watch: Watch) -> None:
        super().__init__(checkpoint, engine)
        self._watched, self._watch = engine, watch

    def score(self, t: float, present: Mapping[Modality, bool]) -> Answer | None:
        """As ``Scorer.score``."""
        began = time.perf_counter()
        answer = super().score(t, present)
        if answer is not None:
            self._watch.add("calibrate", self._watched.ended, time.perf_counter())
            self._watch.add("window", began, self._answering)
        return answer

    def answer(self, window: ModelInput) -> Answer:
        """As ``Scorer.answer``."""
        self._answering = time.perf_counter()
        answer = super().answer(window)
        self._watch.add("copy in", self._answering, self._watched.began)
        self._watch.add("score and copy out", self._watched.began, self._watched.ended)
        return answer


class Client:
    """A websocket client on this machine that notes when each result arrived."""

    def __init__(self, server: Server, held: contextlib.ExitStack) -> None:
        self._arrived: dict[int, float] = {}
        self._changed = threading.Condition()
        self._socket = held.enter_context(connect(f"ws://127.0.0.1:{server.port}/"))
        self._socket.recv()
        self._socket.send('{"type": "identify", "events": ["result"]}')
        self._socket.recv()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in self._socket:
                now, seq = time.perf_counter(), json.loads(message)["seq"]
                with self._changed:
                    self._arrived[seq] = now
                    self._changed.notify()

    def wait_for(self, seq: int) -> float:
        """When a result arrived."""
        with self._changed:
            if not self._changed.wait_for(lambda: seq in self._arrived, ARRIVAL_SECONDS):
                raise SystemExit("a result did not arrive")
            return self._arrived[seq]


def measure_stages(
    file: Path, seconds: float, rate: float, checkpoint: Checkpoint, engine: str
) -> dict[str, dict[str, float]]:
    """Percentiles in milliseconds by stage, over so many seconds of a file."""
    watch = Watch()
    chosen, _ = choose_engine(engine, checkpoint)
    scorer = WatchedScorer(checkpoint, WatchedEngine(chosen), watch)
    senses = Senses(appearance=Appearance.wanted_by(checkpoint.extractors))
    session = Session(scorer, None, SessionConfig(rate), senses)
    server = Server(port=0)
    with contextlib.ExitStack() as held:
        held.enter_context(server)
        client = Client(server, held)
        held.callback(session.close)
        items = MediaFile(file).packets()
        while True:
            began = time.perf_counter()
            item = next(items, None)
            if item is None or due(item) > seconds:
                break
            if isinstance(item, VideoFrame):
                watch.add("capture, one picture", began, time.perf_counter())
                with watch.on("extract, one picture"):
                    session.push_frame(item.t, item.image)
            elif isinstance(item, AudioChunk):
                watch.add("capture, a piece of sound", began, time.perf_counter())
                with watch.on("extract, a piece of sound"):
                    session.push_audio(item.t, item.samples)
            _deliver(session.advance(due(item)), server, client, watch)
    # the first of each loads what it needs
    steady = {stage: watch.times[stage][1:] for stage in STAGES}
    return {stage: {**percentiles(times), "n": len(times)} for stage, times in steady.items() if times}


def _deliver(events: list[Outgoing], server: Server, client: Client, watch: Watch) -> None:
    for event in events:
        if isinstance(event, Result):
            with watch.on("encode"):
                protocol.encode(event, "json")
            began = time.perf_counter()
            server.publish(event)
            watch.add("encode and send, to arrival", began, client.wait_for(event.seq))
