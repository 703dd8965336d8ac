"""The protocol by value and by property: no sockets here."""

import json
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import events
from stream.serving import client, protocol
from stream.serving.doors import Doors, is_loopback

TOKEN = "secret"  # noqa: S105 - of this test alone
USUAL = ("calibration", "result", "status", "transcript")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - never bound here


def hello(**changes: typing.Any) -> protocol.Hello:
    return protocol.Hello.of(protocol.HelloInfo(**changes), needs_token=False)


def connection(fmt: protocol.Format = "json", token: str | None = None) -> protocol.Connection:
    return protocol.Connection(hello(), fmt, token)


def test_hello_is_the_contract() -> None:
    greeting = json.loads(protocol.encode(hello(rate=25, checkpoint="default-1", engine="onnx"), "json"))
    assert greeting["type"] == "hello"
    assert greeting["protocol"] == 1
    assert greeting["server"].startswith("miar-live/")
    assert greeting["classes"] == ["neutral", "happiness", "sadness", "anger", "surprise", "disgust", "fear"]
    assert greeting["sentiment"] == [-3, 3]
    assert greeting["modalities"] == ["text", "audio", "vision"]
    assert (greeting["rate"], greeting["checkpoint"], greeting["engine"]) == (25, "default-1", "onnx")
    assert greeting["needs_token"] is False


def test_identify_takes_defaults_and_ignores_unknown_fields() -> None:
    one = connection()
    reaction = one.receive('{"type": "identify", "colour": "green"}', 0.0)
    assert reaction.answers == (protocol.Ready(events=USUAL, max_rate=None),)
    assert one.ready
    assert reaction.close is None


def test_identify_takes_events_and_rate_and_leaves_unknown_events_out() -> None:
    one = connection()
    reaction = one.receive('{"type": "identify", "events": ["result", "smell"], "max_rate": 5}', 0.0)
    assert reaction.answers == (protocol.Ready(events=("result",), max_rate=5.0),)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "bad_message"),
        ("{", "bad_message"),
        ("[]", "bad_message"),
        ("null", "bad_message"),
        ('{"no": "type"}', "bad_message"),
        ('{"type": 3}', "bad_message"),
        ('{"type": "identify", "x": ' + "[" * 5000 + "]" * 5000 + "}", "bad_message"),
        (b"\xff\xfe", "bad_message"),
        ("\ud800", "bad_message"),
        ('{"type": "dance"}', "unknown_type"),
        ('{"type": "identify", "token": 1}', "bad_field"),
        ('{"type": "identify", "max_rate": 0}', "bad_field"),
        ('{"type": "identify", "max_rate": 1e999}', "bad_field"),
        ('{"type": "identify", "events": "result"}', "bad_field"),
        ('{"type": "pause", "id": 1}', "not_identified"),
        ('{"type": "set_rate", "id": 1, "rate": 1000}', "bad_field"),
    ],
)
def test_what_cannot_be_served_has_a_stable_code_and_keeps_the_connection(message: str | bytes, code: str) -> None:
    one = connection()
    reaction = one.receive(message, 0.0)
    assert [answer.code for answer in reaction.answers if isinstance(answer, protocol.Error)] == [code]
    assert reaction.close is None
    assert one.receive('{"type": "identify"}', 0.1).answers[0] == protocol.Ready(events=USUAL, max_rate=None)


def test_errors_carry_the_id_of_the_request() -> None:
    one = connection()
    (answer,) = one.receive('{"type": "set_rate", "id": "r7", "rate": "fast"}', 0.0).answers
    assert isinstance(answer, protocol.Error)
    assert answer.id == "r7"


def test_not_a_number_is_no_rate() -> None:
    data = msgspec.msgpack.encode({"type": "identify", "max_rate": float("nan")})
    (answer,) = connection("msgpack").receive(data, 0.0).answers
    assert isinstance(answer, protocol.Error)
    assert answer.code == "bad_field"


@pytest.mark.parametrize("given_token", [None, "", "wrong", "secre", "secret ", "\u00e9"])
def test_a_wrong_token_closes(given_token: str | None) -> None:
    one = connection(token=TOKEN)
    reaction = one.receive(json.dumps({"type": "identify", "token": given_token}), 0.0)
    assert reaction.close == protocol.CLOSE_BAD_TOKEN
    assert not one.ready


def test_the_right_token_opens() -> None:
    one = connection(token=TOKEN + "\u00e9")
    assert one.receive('{"type": "identify", "token": "secret\u00e9"}', 0.0).close is None
    assert one.ready


def test_requests_come_through_once_identified() -> None:
    one = connection()
    one.receive('{"type": "identify"}', 0.0)
    reaction = one.receive('{"type": "set_rate", "id": 4, "rate": 25}', 0.1)
    assert reaction.request == protocol.SetRate(id=4, rate=25.0)
    assert reaction.answers == ()


def test_too_many_messages_close() -> None:
    one = connection()
    reactions = [one.receive('{"type": "identify"}', 0.0) for _ in range(41)]
    assert [reaction.close for reaction in reactions] == [None] * 40 + [protocol.CLOSE_RATE_LIMITED]


def test_ten_messages_a_second_are_fine_forever() -> None:
    one = connection()
    assert all(one.receive('{"type": "identify"}', i / 10).close is None for i in range(500))


@given(st.one_of(st.text(), st.binary()), st.sampled_from(["json", "msgpack"]))
def test_any_junk_is_answered_with_an_error(data: str | bytes, fmt: protocol.Format) -> None:
    reaction = connection(fmt).receive(data, 0.0)
    assert all(isinstance(answer, protocol.Error) for answer in reaction.answers)
    assert len(reaction.answers) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(sorted(protocol.CLIENT_TYPES)),
    st.dictionaries(st.sampled_from(["id", "token", "events", "max_rate", "rate", "profile", "x"]), json_values),
)
def test_any_field_values_are_taken_or_answered(name: str, fields: dict[str, typing.Any]) -> None:
    reaction = connection().receive(json.dumps({**fields, "type": name}), 0.0)
    assert len(reaction.answers) == 1
    assert reaction.close is None


@pytest.mark.parametrize(
    "name",
    [
        "Result",
        "Transcript",
        "Status",
        "Latency",
        "ModalityState",
        "TranscriptState",
        "Sentiment",
        "TimedWord",
        "Landmarks",
        "Calibration",
        "CalibrationPart",
    ],
)
def test_the_copied_client_knows_every_field(name: str) -> None:
    """client.py stands alone, so its types are its own: they must not fall behind."""
    assert sorted(getattr(client, name).__struct_fields__) == sorted(getattr(events, name).__struct_fields__)


def test_the_client_needs_only_websockets_and_msgspec() -> None:
    source = typing.cast("str", client.__file__)
    with open(source, encoding="utf-8") as file:  # noqa: PTH123
        imported = {line.split()[1].split(".")[0] for line in file if line.startswith(("import ", "from "))}
    ours = {"msgspec", "websockets"}
    assert imported - ours <= {"__future__", "asyncio", "random", "time", "collections", "typing"}


@pytest.mark.parametrize(
    ("bound", "value", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8765", True),
        ("127.0.0.1", "localhost:9000", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "[::1]:8765", True),
        ("127.0.0.1", "evil.example:8765", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "192.168.1.5:8765", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "localhost:8765/x", False),
        ("127.0.0.1", "user@localhost", False),
        ("127.0.0.1", "localhost:port", False),
        (EVERYWHERE, "192.168.1.5:8765", True),
        (EVERYWHERE, "[2001:db8::1]:8765", True),
        (EVERYWHERE, "evil.example", False),
    ],
)
def test_hosts(bound: str, value: str, allowed: bool) -> None:
    assert Doors(bound).host_allowed([value]) is allowed


def test_two_host_headers_are_one_too_many() -> None:
    assert not Doors("127.0.0.1").host_allowed(["localhost", "localhost"])
    assert not Doors("127.0.0.1").host_allowed([])


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ([], True),
        (["http://localhost:8765"], True),
        (["http://localhost:3000"], False),
        (["http://evil.example"], False),
        (["null"], False),
        (["http://localhost:8765", "http://localhost:8765"], False),
        (["http://studio.local"], True),
    ],
)
def test_origins(values: list[str], allowed: bool) -> None:
    doors = Doors("127.0.0.1", origins=["http://studio.local"])
    assert doors.origin_allowed(values, "localhost:8765") is allowed


@pytest.mark.parametrize(
    ("host", "inside"), [("::1", True), ("localhost", True), (EVERYWHERE, False), ("a.b", False)]
)
def test_loopback(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside
