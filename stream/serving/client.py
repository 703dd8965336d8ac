"""A client for miar-live that can be copied as one file: it needs only ``websockets`` (>= 15) and ``msgspec``.

    async for result in MiarClient("ws://127.0.0.1:8765/"):
        print(result.label, result.confidence)

    for result in SyncMiarClient("ws://127.0.0.1:8765/"):
        print(result.label, result.confidence)

Both reconnect by themselves. Reading slowly is no harm: the server then leaves results out and sends the newest.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar, get_args

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect as sync_connect
from websockets.typing import Subprotocol

FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0
BAD_TOKEN = 4001


class RefusedError(Exception):
    """The server does not let this client in; trying again would not help."""


class RequestError(Exception):
    """A request that was not carried out: ``code`` is stable, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Sentiment(msgspec.Struct, frozen=True):
    """Sentiment on the scale -3..3 with the bounds of its 80 % interval."""

    value: float
    low: float
    high: float


class ModalityState(msgspec.Struct, frozen=True):
    """Whether a modality was present, or why not, how old its newest signal was, what it contributed."""

    present: bool
    reason: str | None
    age_ms: float | None
    contribution: float


class TranscriptState(msgspec.Struct, frozen=True):
    """The words of the last seconds: committed for good, and the partial hypothesis after them."""

    committed: str
    partial: str
    asr: str | None


class ModelInfo(msgspec.Struct, frozen=True):
    """Which checkpoint and engine made a result."""

    checkpoint: str
    engine: str


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from the capture of each modality's newest signal to the hand-over to the sockets."""

    text: float | None
    audio: float | None
    vision: float | None
    score: float
    total: float | None


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """With no modality present emotions, label, confidence and sentiment are ``None``."""

    emotions: dict[str, float] | None
    raw_emotions: dict[str, float] | None
    label: str | None
    confidence: float | None
    sentiment: Sentiment | None
    modalities: dict[str, ModalityState]


class Face(Scores, frozen=True, kw_only=True):
    """One of several; its ``box`` has ``x``, ``y``, ``width`` and ``height``, 0 to 1 inside the picture."""

    id: int
    primary: bool
    box: dict[str, float]
    speaking: bool
    agreement: float | None


class Result(Scores, frozen=True, tag_field="type", tag="result", kw_only=True):
    """One score; ``faces`` holds everybody in the picture, ``None`` where the server follows one face only."""

    version: int
    seq: int
    time: float | None
    media_time: float
    gate: dict[str, float]
    transcript: TranscriptState
    latency_ms: Latency | None
    model: ModelInfo
    profile: str | None
    faces: list[Face] | None = None


class TimedWord(msgspec.Struct, frozen=True):
    """A word; times count in seconds from the session's start."""

    text: str
    t0: float
    t1: float
    final: bool
    confidence: float


class Transcript(msgspec.Struct, frozen=True, tag_field="type", tag="transcript", kw_only=True):
    """Words as they change, ``final`` ones once; ``gap`` is a stretch of sound never decoded, from and to."""

    media_time: float
    asr: str
    words: list[TimedWord]
    speech_final: bool
    language: str | None = None
    gap: tuple[float, float] | None = None


class RecordingState(msgspec.Struct, frozen=True):
    """A recording that runs: its name and the Unix seconds since when."""

    name: str
    since: float


class Status(msgspec.Struct, frozen=True, tag_field="type", tag="status", kw_only=True):
    """Devices, what was dropped, what waits in mailboxes, and ``hints`` at what keeps people from being perceived.

    ``drift_ms``: how far the microphone's clock ran ahead, all corrected; ``recording``: what is being written.
    """

    media_time: float
    modality: str | None
    state: str
    detail: str
    dropped: dict[str, int]
    waiting: dict[str, int] = {}
    hints: list[str] = []
    drift_ms: float | None = None
    recording: RecordingState | None = None


class Landmarks(msgspec.Struct, frozen=True, tag_field="type", tag="landmarks", kw_only=True):
    """MediaPipe's 478 points of the face, ``(x, y, z)`` each, x and y 0 to 1 inside a picture of ``aspect``."""

    media_time: float
    aspect: float
    points: list[tuple[float, float, float]] | None


class CalibrationPart(msgspec.Struct, frozen=True):
    """Face or voice while a calibration runs: usable seconds so far, and what to mend right now, if anything."""

    seconds: float
    trouble: str | None
    advice: str | None


class Calibration(msgspec.Struct, frozen=True, tag_field="type", tag="calibration", kw_only=True):
    """How a guided calibration goes: ``running``, ``done`` or ``rejected``."""

    profile: str
    state: str
    seconds: float
    left: float = 0.0
    task: str = ""
    lines: tuple[str, ...] = ()
    parts: dict[str, CalibrationPart] = {}
    before: dict[str, float] | None = None
    after: dict[str, float] | None = None
    code: str | None = None
    message: str = ""


Message: TypeAlias = Result | Transcript | Status | Landmarks | Calibration

_Kind = TypeVar("_Kind", Result, Message)
_TYPES: dict[str, Any] = {str(kind.__struct_config__.tag): kind for kind in get_args(Message)}


class _Envelope(msgspec.Struct):
    type: str


class _Error(msgspec.Struct):
    code: str
    message: str


class _Talk:
    """The client's side of the handshake and the waits between attempts; knows no socket."""

    subprotocols = (Subprotocol("miar.v1.msgpack"),)

    def __init__(self, token: str | None, events: Sequence[str], max_rate: float | None) -> None:
        identify = {"type": "identify", "token": token, "events": list(events), "max_rate": max_rate}
        self.identify = msgspec.msgpack.encode(identify)
        self._wait = FIRST_WAIT

    def take(self, data: str | bytes) -> tuple[Message | None, bool]:
        """The event in ``data``, if it is one we know, and whether ``identify`` is due."""
        binary = data.encode() if isinstance(data, str) else data
        kind = msgspec.msgpack.decode(binary, type=_Envelope).type
        if kind == "ready":
            self._wait = FIRST_WAIT
        if kind == "error":
            error = msgspec.msgpack.decode(binary, type=_Error)
            if error.code == "bad_token":
                raise RefusedError(error.message)
        event = msgspec.msgpack.decode(binary, type=_TYPES[kind]) if kind in _TYPES else None
        return event, kind == "hello"

    def lost(self, error: Exception | None, reconnect: bool) -> float:
        """Seconds until the next attempt; raises where there shall be none."""
        if isinstance(error, InvalidStatus) and error.response.status_code in (401, 403, 404, 421):
            raise RefusedError(f"the server answered {error.response.status_code}") from error
        if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == BAD_TOKEN:
            raise RefusedError("the server needs its token") from error
        if not reconnect and error is not None:
            raise error
        wait = self._wait * random.uniform(0.75, 1.25)  # noqa: S311 - a spread of knocks, not a secret
        self._wait = min(self._wait * 2.0, LONGEST_WAIT)
        return wait


class _Question:
    """The client's side of one request over a connection of its own; knows no socket."""

    def __init__(self, identify: bytes, kind: str, fields: dict[str, Any]) -> None:
        self._sends = {"hello": identify, "ready": msgspec.msgpack.encode({**fields, "type": kind, "id": 1})}

    def take(self, data: str | bytes) -> tuple[bytes | None, dict[str, Any] | None]:
        """What is to be sent next, if anything is, and the data of the answer once it has come."""
        message = msgspec.msgpack.decode(data.encode() if isinstance(data, str) else data)
        kind = message["type"]
        if kind == "error":
            refused = message["code"] == "bad_token"
            raise RefusedError(message["message"]) if refused else RequestError(message["code"], message["message"])
        return self._sends.get(kind), message["data"] if kind == "reply" else None


_LOST = (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, asyncio.TimeoutError)


class MiarClient:
    """Results of a running miar-live, as they come.

    Parameters
    ----------
    url
        ``ws://host:port/`` or ``wss://host:port/``.
    token
        If the server asks for one.
    events
        Kinds of messages to get from :meth:`messages`.
    max_rate
        At most so many results a second; the newest win.
    reconnect
        Connect again whenever the connection is lost, after 0.25 s growing to 8 s.

    Raises
    ------
    RefusedError
        While iterating, where a new attempt would not help: a wrong token, a door that stays closed.
    """

    def __init__(
        self,
        url: str = "ws://127.0.0.1:8765/",
        *,
        token: str | None = None,
        events: Sequence[str] = ("result",),
        max_rate: float | None = None,
        reconnect: bool = True,
    ) -> None:
        self.url, self.reconnect = url, reconnect
        self._talk = _Talk(token, events, max_rate)

    def __aiter__(self) -> AsyncIterator[Result]:
        return self._iterate((Result,))

    def messages(self) -> AsyncIterator[Message]:
        """Every message of the kinds asked for."""
        return self._iterate(tuple(_TYPES.values()))

    async def request(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Carry out a request, ``"pause"`` or ``"record"`` for example, and get the data of its reply.

        Raises
        ------
        RequestError, RefusedError, OSError, websockets.WebSocketException
            The server says why not, by a stable code; lets nobody in; cannot be reached.
        """
        question = _Question(self._talk.identify, kind, fields)
        async with connect(self.url, subprotocols=self._talk.subprotocols, compression=None, proxy=None) as socket:
            while True:
                due, answer = question.take(await socket.recv())
                if due is not None:
                    await socket.send(due)
                if answer is not None:
                    return answer

    async def _iterate(self, kinds: tuple[type[_Kind], ...]) -> AsyncIterator[_Kind]:
        while True:
            error: Exception | None = None
            try:
                # no proxy: one from the environment would be asked for 127.0.0.1 too
                async with connect(
                    self.url, subprotocols=self._talk.subprotocols, compression=None, proxy=None
                ) as socket:
                    async for data in socket:
                        message, identify = self._talk.take(data)
                        if identify:
                            await socket.send(self._talk.identify)
                        if isinstance(message, kinds):
                            try:
                                yield message
                            except GeneratorExit:
                                # the loop may be about to end: do not wait for a closing handshake
                                socket.transport.close()
                                raise
            except _LOST as lost:
                error = lost
            wait = self._talk.lost(error, self.reconnect)
            if not self.reconnect:
                return
            await asyncio.sleep(wait)


class SyncMiarClient:
    """The synchronous twin of :class:`MiarClient`, with the same parameters."""

    def __init__(
        self,
        url: str = "ws://127.0.0.1:8765/",
        *,
        token: str | None = None,
        events: Sequence[str] = ("result",),
        max_rate: float | None = None,
        reconnect: bool = True,
    ) -> None:
        self.url, self.reconnect = url, reconnect
        self._talk = _Talk(token, events, max_rate)

    def request(self, kind: str, **fields: Any) -> dict[str, Any]:
        """As ``MiarClient``."""
        question = _Question(self._talk.identify, kind, fields)
        with sync_connect(self.url, subprotocols=self._talk.subprotocols, compression=None, proxy=None) as socket:
            while True:
                due, answer = question.take(socket.recv())
                if due is not None:
                    socket.send(due)
                if answer is not None:
                    return answer

    def __iter__(self) -> Iterator[Result]:
        return (message for message in self.messages() if isinstance(message, Result))

    def messages(self) -> Iterator[Message]:
        """Every message of the kinds asked for."""
        while True:
            error: Exception | None = None
            try:
                with sync_connect(
                    self.url, subprotocols=self._talk.subprotocols, compression=None, proxy=None
                ) as socket:
                    for data in socket:
                        message, identify = self._talk.take(data)
                        if identify:
                            socket.send(self._talk.identify)
                        if message is not None:
                            yield message
            except _LOST as lost:
                error = lost
            wait = self._talk.lost(error, self.reconnect)
            if not self.reconnect:
                return
            time.sleep(wait)
