"""The server against its published schema alone: what that allows is served, all else is answered by an error."""

from __future__ import annotations

import functools
import json
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from loopback import WAIT, free_server, ws
from serving_samples import nothing, result
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from stream.events import Calibration, CalibrationPart, Landmarks, Status, TimedWord, Transcript
from stream.serving.server import Server

DOCS = Path(__file__).resolve().parents[1] / "docs"
SCHEMA: dict[str, typing.Any] = json.loads((DOCS / "schema.json").read_text(encoding="utf-8"))
ASYNCAPI: dict[str, typing.Any] = json.loads((DOCS / "asyncapi.json").read_text(encoding="utf-8"))
FORMATS = {"json": msgspec.json, "msgpack": msgspec.msgpack}
Message: typing.TypeAlias = "dict[str, typing.Any]"

KNOWN_WORDS = {
    "$ref",
    "anyOf",
    "enum",
    "type",
    "properties",
    "required",
    "items",
    "default",
    "title",
    "description",
}
KNOWN_WORDS |= {"minimum", "maximum", "exclusiveMinimum", "maxLength"}

WHOLE = st.integers(-(2**63), 2**64 - 1)
ANYTHING = st.recursive(
    # 3.0 is an integer to JSON Schema and none to the server
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False).filter(lambda x: x % 1 != 0) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@functools.cache
def validator(who: str) -> Draft202012Validator:
    """Judges messages of the server or the client."""
    return Draft202012Validator({**SCHEMA, **SCHEMA[who]})


def follow(reference: str) -> dict[str, typing.Any]:
    """What a reference inside the AsyncAPI document leads to."""
    node: typing.Any = ASYNCAPI
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return follow(node["$ref"]) if "$ref" in node else node


def made_of(schema: dict[str, typing.Any]) -> st.SearchStrategy[typing.Any]:
    """Values that a schema allows; a word of it that is not known here is an error, not a guess."""
    assert schema.keys() <= KNOWN_WORDS
    if "$ref" in schema:
        return made_of(follow(schema["$ref"]))
    if "anyOf" in schema:
        return st.one_of([made_of(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "array":
        return st.lists(made_of(schema["items"]), max_size=4)
    if schema["type"] == "number":
        lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
        return st.floats(lowest, schema.get("maximum"), exclude_min="exclusiveMinimum" in schema)
    text = st.text(max_size=schema.get("maxLength"))
    plain = {"string": text, "integer": WHOLE, "null": st.none()}
    return made_of_fields(schema) if schema["type"] == "object" else plain[schema["type"]]


def made_of_fields(schema: dict[str, typing.Any]) -> st.SearchStrategy[Message]:
    """Objects with the fields that are needed, some of the others, and some that nobody knows."""
    fields = {name: made_of(one) for name, one in schema["properties"].items()}
    needed = {name: fields[name] for name in schema["required"]}
    optional = {name: one for name, one in fields.items() if name not in needed}
    unknown = st.dictionaries(st.text().filter(lambda name: name not in fields), ANYTHING, max_size=2)
    known = st.fixed_dictionaries(needed, optional=optional)
    return st.builds(lambda a, b: {**a, **b}, unknown, known)


ALLOWED = st.one_of(
    [
        made_of(follow(message["$ref"])["payload"])
        for operation in ASYNCAPI["operations"].values()
        if operation["action"] == "receive"
        for message in operation["messages"]
    ]
)


@st.composite
def spoiled(draw: st.DrawFn) -> typing.Any:
    """An allowed message with something changed; often it is none any more."""
    message = draw(ALLOWED)
    change = draw(st.sampled_from(("field", "less", "other type", "no object")))
    name = draw(st.sampled_from(sorted(message)))
    if change == "less":
        return {key: value for key, value in message.items() if key != name}
    if change == "no object":
        return draw(ANYTHING)
    return {**message, ("type" if change == "other type" else name): draw(ANYTHING)}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    one = free_server()
    one._on_request = msgspec.to_builtins
    with one:
        yield one


class Client:
    """Speaks one format and believes nothing that the schema does not allow."""

    def __init__(self, socket: ClientConnection, name: str) -> None:
        self._socket, self._format = socket, FORMATS[name]
        self._text = name == "json"

    def send(self, message: typing.Any) -> None:
        data = self._format.encode(message)
        self._socket.send(data.decode() if self._text else data)

    def receive(self) -> Message:
        data = self._socket.recv(timeout=WAIT)
        message = self._format.decode(data.encode() if isinstance(data, str) else data)
        validator("server").validate(message)
        return typing.cast("Message", message)

    def ask(self, message: typing.Any) -> Message:
        self.send(message)
        return self.receive()


def connected(server: Server, name: str) -> ClientConnection:
    return connect(ws(server), subprotocols=[Subprotocol(f"miar.v1.{name}")], proxy=None, compression=None)


@pytest.mark.parametrize("name", sorted(FORMATS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages=st.lists(st.one_of(ALLOWED, spoiled()), min_size=1, max_size=12))
def test_what_the_schema_allows_is_served_and_nothing_else(
    server: Server, name: str, messages: list[typing.Any]
) -> None:
    with connected(server, name) as socket:
        client = Client(socket, name)
        assert client.receive()["type"] == "hello"
        assert client.ask({"type": "identify"})["type"] == "ready"
        for message in messages:
            answer = client.ask(message)
            if not validator("client").is_valid(message):
                assert answer["type"] == "error"
            elif message["type"] == "identify":
                assert answer["type"] == "ready"
            else:
                assert (answer["type"], answer["id"]) == ("reply", message["id"])


@settings(max_examples=20, deadline=None)
@given(message=ALLOWED, cut=st.integers(1, 20))
def test_half_a_message_is_an_error_and_the_connection_stays(server: Server, message: Message, cut: int) -> None:
    with connected(server, "json") as socket:
        client = Client(socket, "json")
        client.receive()
        socket.send(json.dumps(message)[:-cut])
        assert client.receive()["type"] == "error"
        assert client.ask({"type": "identify"})["type"] == "ready"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_event_is_as_the_schema_says(name: str) -> None:
    words = [TimedWord("so", 0.1, 0.4, True, 0.9), TimedWord("well", 0.4, 0.6, False, 0.5)]
    events = (
        result(1),
        nothing(2),
        Transcript(media_time=1.0, asr="sphinx", words=words, speech_final=False, gap=(0.0, 0.1)),
        Status(media_time=1.0, modality="vision", state="device_lost", detail="gone", dropped={"frames": 2}),
        Landmarks(media_time=1.0, aspect=1.5, points=[(0.5, 0.25, -0.1)] * 478),
        Landmarks(media_time=1.0, aspect=1.5, points=None),
        Calibration(
            profile="ann",
            state="running",
            seconds=20.0,
            left=7.5,
            task="look",
            parts={"voice": CalibrationPart(3.0, "too_quiet", "speak up")},
        ),
        Calibration(profile="ann", state="rejected", seconds=20.0, code="not_neutral", message="somebody laughed"),
    )
    with free_server() as server, connected(server, name) as socket:
        client = Client(socket, name)
        hello = client.receive()
        client.ask({"type": "identify", "events": hello["events"]})
        for event in events:
            server.publish(event)
            assert client.receive()["type"] == event.__struct_config__.tag
