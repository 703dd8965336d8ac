"""A real server and real clients over loopback."""

import contextlib
import http.client
import json
import socket
import threading
import typing
from collections.abc import Iterator

import msgspec
import pytest
from loopback import TOKEN, WAIT, eventually, free_server, ws
from serving_samples import result
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from stream.events import Landmarks, Status, Transcript
from stream.serving import fanout, protocol
from stream.serving.pages import FILES
from stream.serving.schema import json_schema
from stream.serving.server import SPARE_CONNECTIONS, Options, Server, ServerError


@pytest.fixture
def server() -> Iterator[Server]:
    with free_server() as one:
        yield one


def open_socket(server: Server, **options: typing.Any) -> ClientConnection:
    return connect(ws(server), proxy=None, compression=None, **options)


def receive(client: ClientConnection) -> dict[str, typing.Any]:
    return typing.cast("dict[str, typing.Any]", json.loads(client.recv(timeout=WAIT)))


def identify(client: ClientConnection, **fields: typing.Any) -> dict[str, typing.Any]:
    assert receive(client)["type"] == "hello"
    client.send(json.dumps({"type": "identify", **fields}))
    return receive(client)


def get(server: Server, target: str, **headers: str) -> http.client.HTTPResponse:
    return ask(server, "GET", target, **headers)


def ask(server: Server, method: str, target: str, **headers: str) -> http.client.HTTPResponse:
    one = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT)
    one.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return one.getresponse()


def test_handshake_and_results(server: Server) -> None:
    with open_socket(server) as client:
        assert client.subprotocol is None
        ready = identify(client)
        usual = ["calibration", "result", "status", "transcript"]
        assert ready == {"type": "ready", "events": usual, "max_rate": None}
        server.publish(result(7))
        assert receive(client) == json.loads(msgspec.json.encode(result(7)))


def test_msgpack_holds_the_same(server: Server) -> None:
    with open_socket(server, subprotocols=[Subprotocol("miar.v1.msgpack")]) as client:
        assert client.subprotocol == "miar.v1.msgpack"
        assert msgspec.msgpack.decode(client.recv(timeout=WAIT))["type"] == "hello"
        client.send(msgspec.msgpack.encode({"type": "identify"}))
        assert msgspec.msgpack.decode(client.recv(timeout=WAIT))["type"] == "ready"
        server.publish(result(7))
        assert msgspec.msgpack.decode(client.recv(timeout=WAIT)) == msgspec.to_builtins(result(7))


def test_subprotocols_nobody_knows_are_passed_over(server: Server) -> None:
    with open_socket(server, subprotocols=[Subprotocol("chat"), Subprotocol("miar.v1.json")]) as client:
        assert client.subprotocol == "miar.v1.json"


def test_a_new_client_gets_the_last_result_at_once(server: Server) -> None:
    server.publish(result(3))
    eventually(lambda: b'"seconds_since_result": null' not in get(server, "/healthz").read())
    with open_socket(server) as client:
        identify(client)
        assert receive(client)["seq"] == 3


def test_only_the_events_asked_for_are_sent(server: Server) -> None:
    words = Transcript(media_time=1.0, asr="sphinx", words=[], speech_final=True)
    with open_socket(server) as client:
        identify(client, events=["transcript"])
        server.publish(result(1))
        server.publish(words)
        assert receive(client)["type"] == "transcript"


def test_max_rate_keeps_the_newest(server: Server) -> None:
    with open_socket(server) as slow, open_socket(server) as quick:
        identify(slow, max_rate=2)
        identify(quick)
        for seq in range(1, 21):
            server.publish(result(seq))
            assert receive(quick)["seq"] == seq
        first = receive(slow)["seq"]
        second = receive(slow)["seq"]
    assert first == 1
    assert second > first
    assert server.dropped.get("max_rate", 0) >= second - first - 1


@pytest.mark.parametrize("shake", [-0.03, 0.0, 0.03])
def test_half_of_the_rate_is_every_second_result_also_with_a_clock_that_shakes(shake: float) -> None:
    hello = protocol.Hello.of(protocol.HelloInfo(), needs_token=False)
    listener = fanout.Listener(typing.cast("typing.Any", None), protocol.Connection(hello))
    listener.connection.receive('{"type": "identify", "max_rate": 5}', 0.0)
    sent = []
    for i in range(20):
        now = 0.1 * i + shake * (i % 4 == 2)
        if listener.due("result", now):
            listener.took("result", now)
            sent.append(i)
        assert not listener.due("result", now + 0.06, waited=True)
    assert sent == list(range(0, 20, 2))


def test_max_rate_bounds_landmarks_by_themselves(server: Server) -> None:
    with open_socket(server) as client:
        identify(client, events=["result", "landmarks", "status"], max_rate=1)
        for at in range(10):
            server.publish(Landmarks(media_time=at, aspect=1.0, points=None))
        server.publish(result(1))
        server.publish(Status(media_time=0.0, modality=None, state="running", detail="", dropped={}))
        heard = [receive(client) for _ in range(3)]
    assert [one["type"] for one in heard] == ["landmarks", "result", "status"]
    assert heard[0]["media_time"] == 0
    assert server.dropped["max_rate"] == 9


def test_publishing_before_and_after_is_harmless() -> None:
    server = Server(port=0)
    server.publish(result())
    server.start()
    server.publish(result())
    server.stop()
    server.stop()
    server.publish(result())


def test_stop_does_not_wait_for_clients() -> None:
    server = Server(port=0)
    server.start()
    half_open = socket.create_connection(("127.0.0.1", server.port))
    with open_socket(server) as client:
        identify(client)
        server.stop()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=WAIT)
    half_open.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "miar-server"]


def test_a_port_in_use_is_one_line(server: Server) -> None:
    with pytest.raises(ServerError, match=rf"^port {server.port} on 127.0.0.1 is in use; .*--port$"):
        Server(port=server.port).start()


@pytest.mark.parametrize(("host", "port"), [("203.0.113.77", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 70000)])
def test_an_address_that_cannot_be_had_is_one_line(host: str, port: int) -> None:
    with pytest.raises(ServerError) as caught:
        Server(host, port).start()
    assert "\n" not in str(caught.value)


def test_beyond_loopback_a_token_is_made() -> None:
    open_server = Server("0.0.0.0", 0)  # noqa: S104 - never started
    assert open_server.token is not None
    assert len(open_server.token) >= 24
    assert open_server.url.endswith(f"#token={open_server.token}")
    assert Server(port=0).token is None


def test_wrong_and_right_tokens() -> None:
    with Server(port=0, token=TOKEN) as server:
        with open_socket(server) as client:
            assert identify(client, token="wrong")["code"] == "bad_token"  # noqa: S106
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=WAIT)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == protocol.CLOSE_BAD_TOKEN
        with open_socket(server) as client:
            assert identify(client, token=TOKEN)["type"] == "ready"
        assert get(server, "/metrics").status == 401
        assert get(server, "/metrics", Authorization=f"Bearer {TOKEN}").status == 200


def test_who_does_not_identify_is_closed() -> None:
    with Server(port=0, options=Options(identify_seconds=0.2)) as server, open_socket(server) as client:
        receive(client)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=WAIT)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == protocol.CLOSE_IDENTIFY_TIMEOUT


def test_unknown_types_and_junk_keep_the_connection(server: Server) -> None:
    with open_socket(server) as client:
        identify(client)
        for message, code in (
            ('{"type": "dance"}', "unknown_type"),
            ("junk", "bad_message"),
            (b"\xff", "bad_message"),
        ):
            client.send(message)
            assert receive(client)["code"] == code
        server.publish(result(1))
        assert receive(client)["seq"] == 1


def test_an_oversize_message_closes_only_its_sender(server: Server) -> None:
    with open_socket(server) as client, open_socket(server) as other:
        identify(client)
        identify(other)
        client.send("x" * 20_000)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=WAIT)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        server.publish(result(2))
        assert receive(other)["seq"] == 2


def test_requests_without_a_handler_are_unsupported(server: Server) -> None:
    with open_socket(server) as client:
        identify(client)
        client.send('{"type": "pause", "id": 5}')
        answer = receive(client)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", "unsupported", 5)


def test_requests_are_carried_out_and_their_failures_told() -> None:
    def carry_out(request: protocol.Request) -> dict[str, typing.Any]:
        if isinstance(request, protocol.SetRate):
            return {"rate": request.rate}
        raise ValueError("not while recording")

    with Server(port=0, on_request=carry_out) as server, open_socket(server) as client:
        identify(client)
        client.send('{"type": "set_rate", "id": "a", "rate": 20}')
        assert receive(client) == {"type": "reply", "id": "a", "data": {"rate": 20.0}}
        client.send('{"type": "pause", "id": "b"}')
        answer = receive(client)
        assert (answer["code"], answer["message"], answer["id"]) == ("request_failed", "not while recording", "b")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
def test_a_page_from_elsewhere_cannot_listen(server: Server, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, open_socket(server, origin=Origin(origin)):
        pass
    assert refused.value.response.status_code == 403


def test_our_own_page_can_listen(server: Server) -> None:
    with open_socket(server, origin=Origin(f"http://127.0.0.1:{server.port}")) as client:
        assert receive(client)["type"] == "hello"


@pytest.mark.parametrize("target", ["/", "/metrics", "/healthz"])
def test_a_rebound_name_is_turned_away(server: Server, target: str) -> None:
    answer = get(server, target, Host=f"evil.example:{server.port}")
    assert answer.status == 421
    assert b"html" not in answer.read()


def test_a_rebound_name_cannot_listen(server: Server) -> None:
    name = f"evil.example:{server.port}"
    raw = socket.create_connection(("127.0.0.1", server.port))
    options: dict[str, typing.Any] = {"sock": raw, "origin": Origin(f"http://{name}"), "proxy": None}
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://{name}/", **options):
        pass
    assert refused.value.response.status_code == 421


def test_too_many_clients_are_turned_away() -> None:
    with Server(port=0, options=Options(max_clients=2)) as server:
        with open_socket(server) as first, open_socket(server):
            with pytest.raises(InvalidStatus) as refused, open_socket(server):
                pass
            assert refused.value.response.status_code == 503
            assert receive(first)["type"] == "hello"
        eventually(lambda: not server.open_connections)
        with open_socket(server) as client:
            assert receive(client)["type"] == "hello"


def test_a_flood_of_connections_is_cut_off() -> None:
    with Server(port=0, options=Options(max_clients=2)) as server:
        address = ("127.0.0.1", server.port)
        flood = [socket.create_connection(address, timeout=WAIT) for _ in range(2 + SPARE_CONNECTIONS + 1)]
        with contextlib.suppress(ConnectionError):
            assert flood[-1].recv(1) == b""
        assert server.open_connections <= 2 + SPARE_CONNECTIONS
        for one in flood:
            one.close()
        eventually(lambda: not server.open_connections)
        assert get(server, "/healthz").status == 200


@pytest.mark.parametrize("target", sorted(FILES))
def test_every_page_is_there_under_a_strict_policy(server: Server, target: str) -> None:
    answer = get(server, target)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == FILES[target][1]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert f"ws://127.0.0.1:{server.port}" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    body = answer.read().decode()
    assert len(body) == len(body.encode().decode())
    assert "https://" not in body
    assert "http://" not in body.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(
    "target",
    [
        "/../server.py", "/..%2fserver.py", "/%2e%2e/server.py", "//etc/passwd", "/style.css/../../server.py",
        "/overlay/../index.html", "/index.html%00.css", "/__init__.py", "/etc/passwd", "/\\..\\server.py",
        "/style.css/",
    ],
)  # fmt: skip
def test_no_path_leads_out(server: Server, target: str) -> None:
    answer = get(server, target)
    assert answer.status == 404
    assert answer.read() == b"there is no such page\n"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_change_nothing(server: Server, method: str) -> None:
    # websockets before 17 takes anything but GET for no request at all
    with contextlib.suppress(http.client.RemoteDisconnected):
        assert ask(server, method, "/").status in {400, 405}
    assert get(server, "/").status == 200


def test_schema_metrics_and_health(server: Server) -> None:
    server.publish(result(1))
    with open_socket(server) as client:
        identify(client)
        assert receive(client)["seq"] == 1
        assert json.loads(get(server, "/schema").read()) == json.loads(json.dumps(json_schema()))
        assert json.loads(get(server, "/healthz").read())["clients"] == 1
        text = get(server, "/metrics").read().decode()
    assert "miar_results_total 1.0" in text
    assert "miar_clients 1.0" in text
    assert 'miar_latency_seconds_count{stage="audio"} 1.0' in text
    assert 'miar_signal_age_seconds{modality="audio"} 0.072' in text
    assert 'miar_modality_present{modality="vision"} 0.0' in text


def test_a_client_that_does_not_read_holds_up_nobody(server: Server) -> None:
    big = Status(media_time=0.0, modality=None, state="x" * 50_000, detail="", dropped={})
    with open_socket(server, max_queue=1) as stuck, open_socket(server) as reader:
        identify(stuck)
        identify(reader, events=["result"])
        for seq in range(1, 401):
            server.publish(big)
            server.publish(result(seq))
            assert receive(reader)["seq"] == seq
        assert server.dropped["congested"] > 100
        assert max(server.unsent_bytes()) < fanout.CONGESTED_BYTES + 60_000
        told: dict[str, typing.Any] = {}
        newest = 0
        while newest < 400 or not told:  # once it reads again: old pieces, the newest result, what it missed
            message = receive(stuck)
            newest = max(newest, message.get("seq", 0))
            told = message if message.get("state") == "lagging" else told
        assert told["dropped"]["client"] > 100
