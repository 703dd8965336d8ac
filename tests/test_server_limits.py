"""What a client can make the server hold or do, and what it answers to those who try."""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import json
import shutil
import socket
import ssl
import subprocess
import sys
import typing
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from loopback import TOKEN, WAIT, eventually, free_server, ws
from serving_samples import result
from websockets.sync.client import connect

from stream.events import Status
from stream.serving import fanout, health, protocol, sockets
from stream.serving import server as server_module
from stream.serving.health import Health
from stream.serving.server import Options, Server

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module("raw_client")
    scripts = {path.stem for path in SCRIPTS.glob("*.py")}
    for name in scripts & sys.modules.keys():
        sys.modules.pop(name, None)


@pytest.fixture
def server() -> Iterator[Server]:
    with free_server() as one:
        yield one


def say(server: Server, *pieces: bytes) -> bytes:
    """All that comes back before the server hangs up."""
    heard = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as one:
        for piece in pieces:
            one.sendall(piece)
        while came := one.recv(65536):
            heard += came
    return heard


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_the_first_of_pipelined_requests_is_answered(server: Server, raw: ModuleType) -> None:
    answer = say(server, raw.request("/healthz") * 3)
    assert status(answer) == 200
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer


def test_what_comes_before_the_handshake_is_answered_waits_for_it(server: Server, raw: ModuleType) -> None:
    server.publish(result(7))
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as one:
        one.sendall(raw.upgrade() + raw.message(type="identify"))
        heard = b""
        while b'"seq":7' not in heard:
            heard += one.recv(65536)
    assert heard.index(b"101") < heard.index(b'"hello"') < heard.index(b'"ready"')


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 400),
        (b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 600 + b"\r\n") * 100, 431),
    ],
)
def test_what_is_no_request_is_told_so(server: Server, junk: bytes, code: int) -> None:
    assert status(say(server, junk)) == code


def test_a_slow_handshake_is_told_so(raw: ModuleType) -> None:
    with Server(port=0, options=Options(identify_seconds=0.2)) as server:
        assert status(say(server, raw.request()[:-2])) == 408
        assert say(server) == b""


@pytest.mark.parametrize("kind", ["pings", "empty fragments"])
def test_too_many_frames_close_only_their_sender(server: Server, raw: ModuleType, kind: str) -> None:
    empty = raw.frame(b"", raw.CONT, fin=False)
    flood = raw.frame(b"x" * 100, raw.PING) * 3000 if kind == "pings" else raw.frame(b"", fin=False) + empty * 3000
    answer = say(server, raw.upgrade(), flood)
    assert protocol.CLOSE_RATE_LIMITED.to_bytes(2, "big") + b"too much at once" in answer
    assert len(answer) < 100_000


def test_a_fault_in_a_request_keeps_the_connection() -> None:
    def carry_out(_: protocol.Request) -> dict[str, typing.Any]:
        raise KeyError("no such thing")

    with Server(port=0, on_request=carry_out) as server, connect(ws(server), proxy=None) as client:
        client.send('{"type": "identify"}')
        client.send('{"type": "pause", "id": 1}')
        client.send('{"type": "dance", "id": 2}')
        answers = [json.loads(client.recv(timeout=WAIT)) for _ in range(4)][2:]
    assert [(one["code"], one["id"]) for one in answers] == [("request_failed", 1), ("unknown_type", 2)]
    assert answers[0]["message"] == "KeyError"


def test_files_are_left_for_the_rest_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets.resource, "getrlimit", lambda _: (256, 4096))
    assert sockets.affordable(1024) == 256 - sockets.RESERVED_FILES
    assert sockets.affordable(10) == 10


def test_a_crowd_is_refused_in_one_line_and_disturbs_nobody(raw: ModuleType) -> None:
    """Three hundred connections that ask for nothing, where files are scarce."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (192, 192))"
    program = f"import serve_results; {limit}; serve_results.main()"
    command = [sys.executable, "-c", program, "20", "", "1024", "60"]
    with contextlib.ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        server = stack.enter_context(subprocess.Popen(command, text=True, cwd=SCRIPTS, **pipes))  # type: ignore[call-overload]
        port = int(server.stdout.readline())
        client = stack.enter_context(connect(f"ws://127.0.0.1:{port}/", proxy=None))
        client.send('{"type": "identify"}')
        for _ in range(300):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT))
            one.sendall(raw.request()[:20])
        first = last = -1
        while last < first + 20:
            message = json.loads(client.recv(timeout=WAIT))
            last = message.get("seq", last)
            first = last if first < 0 else first
        server.kill()
        told = server.stderr.read().splitlines()
    assert told == ["too many connections: more than 64 are refused (ulimit -n)"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", key, "-out", made], check=True, capture_output=True)
    return made, key


def test_the_same_behind_tls(certificate: tuple[Path, Path], raw: ModuleType) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    hasty = Options(identify_seconds=1.0)
    with Server(port=0, tls=sockets.tls_context(*certificate), options=hasty) as server:
        assert server.url.startswith("https://")
        with connect(f"wss://127.0.0.1:{server.port}/", ssl=trusting, proxy=None) as client:
            client.send('{"type": "identify"}')
            assert [json.loads(client.recv(timeout=WAIT))["type"] for _ in range(2)] == ["hello", "ready"]
        for sent, code in ((raw.request("/healthz") * 2, 200), (b"junk\r\n\r\n", 400)):
            plain = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT)
            with trusting.wrap_socket(plain, server_hostname="127.0.0.1") as one:
                one.sendall(sent)
                assert status(one.recv(65536)) == code
        # who says nothing, or speaks without TLS, is not kept
        assert say(server) == b""
        assert b"HTTP" not in say(server, raw.request())


def test_a_certificate_that_cannot_be_used_is_one_line(certificate: tuple[Path, Path]) -> None:
    with pytest.raises(sockets.ServerError, match=r"^cannot use the certificate [^\n]*$"):
        sockets.tls_context(certificate[1], certificate[0])


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - never started
def test_the_address_shown_is_one_that_leads_here(host: str) -> None:
    url = Server(host, 0, token=TOKEN).url
    assert host not in url
    assert url.startswith("http://")
    assert sockets.reachable("192.0.2.7") == "192.0.2.7"


def test_health_says_when_a_session_has_died() -> None:
    one = Health()
    assert one.report(0.0, 0)["status"] == "starting"
    one.take(Status(media_time=0.0, modality=None, state="running", detail="", dropped={}), 1.0)
    one.take(Status(media_time=0.0, modality="vision", state="device_lost", detail="", dropped={}), 1.0)
    one.take(Status(media_time=0.0, modality="audio", state="adapting", detail="", dropped={}), 1.0)
    one.take(Status(media_time=0.0, modality=None, state="engine", detail="", dropped={}), 1.0)
    one.take(result(1), 2.0)
    found = one.report(2.5, 3)
    assert found == {"status": "ok", "clients": 3, "seconds_since_result": 0.5, "lost": {"vision": "device_lost"}}
    one.take(Status(media_time=0.0, modality="vision", state="ok", detail="", dropped={}), 3.0)
    one.take(Status(media_time=0.0, modality=None, state="paused", detail="", dropped={}), 3.0)
    assert one.report(4.0, 0)["status"] == "paused"
    assert one.report(4.0, 0)["lost"] == {}
    assert one.report(3.1 + health.STALLED_SECONDS, 0)["status"] == "stalled"


def test_a_dead_session_answers_503(server: Server, raw: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "STALLED_SECONDS", 0.0)
    server.publish(result(1))
    eventually(lambda: status(say(server, raw.request("/healthz"))) == 503)
    assert b'"stalled"' in say(server, raw.request("/healthz"))
    server.publish(Status(media_time=0.0, modality=None, state="running", detail="", dropped={"frames": 3}))
    text = say(server, raw.request("/metrics"))
    assert b"miar_result_age_seconds " in text
    assert b'miar_dropped_signals{what="frames"} 3.0' in text
    assert b'miar_dropped_messages_total{cause="congested"} 0.0' in text


@pytest.mark.usefixtures("raw")
def test_attacks_neither_get_in_nor_disturb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few seconds of ``scripts/fuzz_server.py``; it ends in ``SystemExit`` when anything is wrong."""
    command = ["fuzz_server.py", "--count", "1500", "--rate", "5", "--late", "1", "--seed", "1"]
    monkeypatch.setattr(sys, "argv", command)
    importlib.import_module("fuzz_server").main()
    assert "The server is up" in capsys.readouterr().out


@pytest.fixture
def unread(raw: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, socket.socket]]:
    """A server in a hurry and a client that stopped reading, until the first result passed it by."""
    monkeypatch.setattr(sockets, "PING_SECONDS", 0.0)
    monkeypatch.setattr(sockets, "PONG_SECONDS", 0.1)
    monkeypatch.setattr(server_module, "SWEEP_SECONDS", 0.02)
    with free_server() as server, socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as one:
        one.sendall(raw.upgrade() + raw.message(type="identify"))

        def passed_by() -> bool:
            server.publish(result(next(numbers)))
            return bool(server.dropped.get("congested"))

        numbers = itertools.count()
        eventually(passed_by)
        yield server, one


def test_who_does_not_read_loses_messages_first_and_the_connection_later(
    unread: tuple[Server, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before anything is unsent: kernels take megabytes that nobody reads."""
    server, _ = unread
    assert max(server.unsent_bytes()) == 0
    assert server.open_connections == 1
    monkeypatch.setattr(fanout, "GIVE_UP_SECONDS", 0.1)
    eventually(lambda: server.open_connections == 0)
    assert b'miar_errors_total{code="too_slow"} 1.0' in server._pages._render_metrics()


def test_who_reads_again_is_told_what_it_missed(unread: tuple[Server, socket.socket], raw: ModuleType) -> None:
    server, one = unread
    server.publish(result(10_000))
    one.sendall(raw.frame(b"", raw.PONG))
    heard = b""
    while b'"lagging"' not in heard or b'"seq":10000' not in heard:
        heard += one.recv(65536)
    assert b'"dropped":{"client":' in heard


@pytest.mark.parametrize("end", ["by the client", "by the server"])
def test_who_is_gone_is_forgotten_without_a_collection(server: Server, raw: ModuleType, end: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as one:
        one.sendall(raw.upgrade() + raw.message(type="identify"))
        eventually(lambda: server._client_count() == 1)
        (gone,) = (weakref.ref(connected) for connected in server._connected)
        gc.disable()
        try:
            if end == "by the client":
                one.close()
            else:
                server._call(lambda: [sockets.reset(connected.transport) for connected in server._connected])
            eventually(lambda: gone() is None)
        finally:
            gc.enable()


def test_who_is_known_to_read_is_served_before_who_is_not(
    server: Server, raw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[sockets.BoundedConnection] = []
    write = sockets.BoundedConnection.write_frame

    def noted(one: sockets.BoundedConnection, data: bytes) -> None:
        served.append(one)
        write(one, data)

    monkeypatch.setattr(sockets.BoundedConnection, "write_frame", noted)
    monkeypatch.setattr(server_module, "SWEEP_SECONDS", 0.02)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=WAIT))
            silent.sendall(raw.upgrade() + raw.message(type="identify"))
            reading = stack.enter_context(connect(ws(server), proxy=None))
            reading.send('{"type": "identify"}')
        eventually(lambda: [one.reads for one in server._connected].count(True) == 3)
        server.publish(result(1))
        eventually(lambda: len(served) == 6)
    assert [one.reads for one in served] == [True] * 3 + [False] * 3


@pytest.mark.usefixtures("raw")
def test_many_clients_and_ones_that_do_not_read_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = importlib.import_module("bench_clients")
    monkeypatch.setattr(bench, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(bench, "READERS", 2)
    *_, row = bench.bench_loads([(3, 20.0)], 0.5).splitlines()
    assert row.startswith("| 3 | 20 | ")
    told = bench.bench_stalled(1, 20.0, 1.5, 1)
    assert "median" in told
    assert "no message was lost; 0 cut off (30 s" in told
    assert "grew by at most" in bench.bench_stalled(1, 20.0, 1.5, 0)
