"""The protocol as data: message types, the handshake and its limits. No sockets, no clock, no threads.

A connection goes ``hello`` (server) -> ``identify`` (client) -> ``ready`` (server) -> events. Unknown fields
are ignored and unknown types answered with an ``error`` that keeps the connection, so that older and newer
programs can talk; ``PROTOCOL_VERSION`` rises only when something breaks.
"""

from __future__ import annotations

import hmac
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from miar_rt.signals import EMOTIONS, MODALITIES
from stream.events import PROTOCOL_VERSION, Published, Status

Format: TypeAlias = Literal["json", "msgpack"]
SUBPROTOCOLS: Mapping[str, Format] = {"miar.v1.json": "json", "miar.v1.msgpack": "msgpack"}

EVENT_TYPES: tuple[type[Published], ...] = typing.get_args(Published)
EVENTS: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in EVENT_TYPES)
"""Every kind of event a client can ask for."""
DEFAULT_EVENTS = frozenset(EVENTS) - {"landmarks"}
"""Landmarks are a hundred kilobytes a second, and a face to be recognised by: they come to who asks for them."""

ErrorCode: TypeAlias = Literal[
    "bad_message", "unknown_type", "bad_field", "bad_token", "not_identified",
    "rate_limited", "unsupported", "request_failed", "bad_name", "busy", "not_saved",
    "no_device", "not_recording", "disk_full",
]  # fmt: skip

CLOSE_BAD_TOKEN = 4001
CLOSE_IDENTIFY_TIMEOUT = 4002
CLOSE_RATE_LIMITED = 4003

RequestId: TypeAlias = int | str


def server_name() -> str:
    """Name and version as ``hello`` gives them."""
    try:
        return f"miar-live/{metadata.version('miar-live')}"
    except metadata.PackageNotFoundError:
        return "miar-live/unknown"


class HelloInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the host program tells about itself.

    ``sources`` names what each modality listens to (``{"vision": "camera 0"}``): the pages show it for as
    long as it is being captured.
    """

    rate: float = 10.0
    checkpoint: str = ""
    engine: str = ""
    sources: dict[str, str] = {}


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello", kw_only=True):
    """First message of the server; ``sentiment`` holds the ends of the scale."""

    protocol: int = PROTOCOL_VERSION
    server: str = msgspec.field(default_factory=server_name)
    classes: tuple[str, ...] = EMOTIONS
    sentiment: tuple[int, int] = (-3, 3)
    modalities: tuple[str, ...] = MODALITIES
    rate: float
    checkpoint: str
    engine: str
    needs_token: bool
    sources: dict[str, str] = {}
    events: tuple[str, ...] = EVENTS

    @classmethod
    def of(cls, info: HelloInfo, *, needs_token: bool) -> Hello:
        """The greeting of a program described by ``info``."""
        return cls(**msgspec.structs.asdict(info), needs_token=needs_token)

    def renamed(self, status: Status) -> Hello:
        """The greeting with the source by the name that a status gives it."""
        if status.state != "ok" or status.modality is None or not status.detail:
            return self
        return msgspec.structs.replace(self, sources={**self.sources, status.modality: status.detail})


class RequestError(RuntimeError):
    """A request that cannot be carried out: ``code`` is stable, the text is for people."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code


class Ready(msgspec.Struct, frozen=True, tag_field="type", tag="ready", kw_only=True):
    """The client is known; ``events`` are those it will get of those it asked for."""

    events: tuple[str, ...]
    max_rate: float | None


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error", kw_only=True):
    """Something the client did that cannot be served; ``code`` is stable, ``message`` is for people."""

    code: ErrorCode
    message: str
    id: RequestId | None = None


class Reply(msgspec.Struct, frozen=True, tag_field="type", tag="reply", kw_only=True):
    """The outcome of the request with the same ``id``."""

    id: RequestId
    data: dict[str, Any]


class Identify(msgspec.Struct, frozen=True, tag_field="type", tag="identify", kw_only=True):
    """Who the client is and what it wants: ``max_rate`` bounds results a second, and landmarks; the newest win."""

    token: str | None = None
    events: tuple[str, ...] | None = None
    max_rate: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None


class Pause(msgspec.Struct, frozen=True, tag_field="type", tag="pause", kw_only=True):
    """Stop listening and looking until ``resume``."""

    id: RequestId


class Resume(msgspec.Struct, frozen=True, tag_field="type", tag="resume", kw_only=True):
    """Go on after ``pause``."""

    id: RequestId


class SetRate(msgspec.Struct, frozen=True, tag_field="type", tag="set_rate", kw_only=True):
    """Score at most ``rate`` times a second, for everybody."""

    id: RequestId
    rate: Annotated[float, msgspec.Meta(ge=1, le=60)]


class ListDevices(msgspec.Struct, frozen=True, tag_field="type", tag="list_devices", kw_only=True):
    """Ask for the cameras and microphones that can be had."""

    id: RequestId


class ChooseDevice(msgspec.Struct, frozen=True, tag_field="type", tag="choose_device", kw_only=True):
    """Look through another camera or listen to another microphone, one of those that ``list_devices`` gives."""

    id: RequestId
    kind: Literal["camera", "microphone"]
    identifier: str


class Calibrate(msgspec.Struct, frozen=True, tag_field="type", tag="calibrate", kw_only=True):
    """Start a guided calibration of one person's neutral, stored as ``profile``."""

    id: RequestId
    profile: str
    seconds: Annotated[float, msgspec.Meta(ge=5, le=300)] = 20.0


class Record(msgspec.Struct, frozen=True, tag_field="type", tag="record", kw_only=True):
    """Start or stop storing what results depend on; ``name``, one of today's time if not given, is no path."""

    id: RequestId
    action: Literal["start", "stop"]
    name: str | None = None
    purpose: Annotated[str, msgspec.Meta(max_length=200)] | None = None


Request: TypeAlias = Pause | Resume | SetRate | ListDevices | ChooseDevice | Calibrate | Record
ClientMessage: TypeAlias = Identify | Request
ServerMessage: TypeAlias = Hello | Ready | Error | Reply | Published

CLIENT_TYPES: dict[str, type[ClientMessage]] = {
    str(kind.__struct_config__.tag): kind for kind in typing.get_args(ClientMessage)
}


class _Envelope(msgspec.Struct, frozen=True):
    type: str


class _Labelled(msgspec.Struct, frozen=True):
    id: RequestId | None = None


def encode(message: ServerMessage, fmt: Format) -> str | bytes:
    """A message as it goes over the wire: text for JSON, binary for MessagePack."""
    if fmt == "msgpack":
        return msgspec.msgpack.encode(message)
    return msgspec.json.encode(message).decode()


def decode(data: str | bytes, fmt: Format, kind: Any) -> Any:
    """``data`` as a ``kind``; :class:`msgspec.DecodeError` if it is not one."""
    decoder = msgspec.msgpack.decode if fmt == "msgpack" else msgspec.json.decode
    try:
        return decoder(data.encode() if isinstance(data, str) else data, type=kind)
    except (RecursionError, UnicodeError) as error:
        raise msgspec.DecodeError(str(error)) from error


def parse(data: str | bytes, fmt: Format) -> ClientMessage | Error:
    """A client's message, or the error that answers it."""
    try:
        name = decode(data, fmt, _Envelope).type
    except msgspec.DecodeError as error:
        return Error(code="bad_message", message=f"not an object with a type: {error}")
    if name not in CLIENT_TYPES:
        known = ", ".join(CLIENT_TYPES)
        return Error(code="unknown_type", message=f"unknown type {name[:40]!r}; known: {known}", id=_id(data, fmt))
    try:
        return typing.cast("ClientMessage", decode(data, fmt, CLIENT_TYPES[name]))
    except msgspec.DecodeError as error:
        return Error(code="bad_field", message=str(error), id=_id(data, fmt))


def _id(data: str | bytes, fmt: Format) -> RequestId | None:
    try:
        return typing.cast("_Labelled", decode(data, fmt, _Labelled)).id
    except msgspec.DecodeError:
        return None


@dataclass(frozen=True, slots=True)
class Reaction:
    """What to do about a message: answers to send, a request to carry out, a code to close with."""

    answers: tuple[Ready | Error, ...] = ()
    request: Request | None = None
    close: int | None = None


class Bucket:
    """What a client may still send: ``rate`` more each second, ``burst`` at most."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._last = burst, float("-inf")

    def take(self, now: float) -> bool:
        """Use one up; False where none is left."""
        self._left = min(self._burst, self._left + max(now - self._last, 0.0) * self._rate)
        self._last = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Connection:
    """One client's side of the conversation, given its messages and the time of each."""

    def __init__(self, hello: Hello, fmt: Format = "json", token: str | None = None) -> None:
        self.hello = hello
        self.format: Format = fmt
        self.ready = False
        self.events: frozenset[str] = frozenset()
        self.max_rate: float | None = None
        self._token = token
        self._bucket = Bucket(rate=10.0, burst=40.0)

    def receive(self, data: str | bytes, now: float) -> Reaction:
        """Take one message that arrived at ``now`` (seconds on any steady clock)."""
        if not self._bucket.take(now):
            error = Error(code="rate_limited", message="at most 10 messages a second, 40 at once")
            return Reaction((error,), close=CLOSE_RATE_LIMITED)
        message = parse(data, self.format)
        if isinstance(message, Error):
            return Reaction((message,))
        if isinstance(message, Identify):
            return self._identify(message)
        if not self.ready:
            text = "identify first"
            return Reaction((Error(code="not_identified", message=text, id=message.id),))
        return Reaction(request=message)

    def _identify(self, message: Identify) -> Reaction:
        if self._token is not None and not same_token(message.token or "", self._token):
            error = Error(code="bad_token", message="this server needs its token in identify")
            return Reaction((error,), close=CLOSE_BAD_TOKEN)
        wanted = DEFAULT_EVENTS if message.events is None else frozenset(message.events)
        self.events = wanted & frozenset(EVENTS)
        self.max_rate = message.max_rate
        self.ready = True
        return Reaction((Ready(events=tuple(sorted(self.events)), max_rate=self.max_rate),))


def same_token(given: str, expected: str) -> bool:
    """Compare in a time that tells nothing about where the two differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
