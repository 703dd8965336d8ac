"""The Python clients against a real server over loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import msgspec
import pytest
from loopback import TOKEN, WAIT, eventually, free_server, ws
from serving_samples import face, result

from stream.events import Calibration, CalibrationPart, Landmarks
from stream.serving import client
from stream.serving.client import MiarClient, RefusedError, SyncMiarClient
from stream.serving.client import Result as ClientResult
from stream.serving.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with free_server() as one:
        yield one


def test_python_client_reconnects_and_is_typed() -> None:
    server = Server(port=0)
    server.start()
    port = server.port
    seen: list[ClientResult] = []

    async def listen() -> None:
        async for one in MiarClient(ws(server)):
            seen.append(one)
            if one.seq == 2:
                return

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    server.publish(result(1))
    eventually(lambda: len(seen) >= 1)
    server.stop()
    with Server(port=port) as again:
        again.publish(result(2))
        thread.join(WAIT)
    assert [one.seq for one in seen] == [1, 2]
    assert seen[1] == msgspec.convert(msgspec.to_builtins(result(2)), ClientResult)
    assert seen[1].modalities["vision"].reason == "no_face"
    assert seen[1].faces is None
    together = msgspec.structs.replace(result(3), faces=[face(1), face(2, speaking=True)])
    found = msgspec.json.decode(msgspec.json.encode(together), type=ClientResult).faces
    assert found is not None
    assert [(one.id, one.speaking, one.box["width"]) for one in found] == [(1, False, 0.1), (2, True, 0.1)]


def test_sync_client(server: Server) -> None:
    server.publish(result(9))
    for one in SyncMiarClient(ws(server), max_rate=5):
        assert one.seq == 9
        break


def test_who_asks_gets_landmarks_and_calibrations_typed(server: Server) -> None:
    face = Landmarks(media_time=1.0, aspect=1.5, points=[(0.1, 0.2, -0.3)] * 478)
    parts = {"face": CalibrationPart(1.5, "too_dark", "too dark: turn on a light")}
    step = Calibration(profile="ann", state="running", seconds=20.0, left=3.5, parts=parts)
    messages = SyncMiarClient(ws(server), events=("landmarks", "calibration")).messages()
    published = threading.Thread(target=lambda: (eventually(lambda: server.wanted("landmarks")), tell()))

    def tell() -> None:
        server.publish(result(1))
        server.publish(face)
        server.publish(step)

    published.start()
    got = [next(messages), next(messages)]
    published.join()
    assert got == [
        msgspec.convert(msgspec.to_builtins(face), client.Landmarks),
        msgspec.convert(msgspec.to_builtins(step), client.Calibration),
    ]
    assert isinstance(got[1], client.Calibration)
    assert got[1].parts["face"].trouble == "too_dark"


def test_clients_give_up_where_trying_again_is_no_use() -> None:
    with Server(port=0, token=TOKEN) as server:
        with pytest.raises(RefusedError):
            next(iter(SyncMiarClient(ws(server), token="wrong")))  # noqa: S106
        with pytest.raises(RefusedError):
            next(iter(SyncMiarClient(f"{ws(server)}elsewhere")))
        server.publish(result(4))
        assert next(iter(SyncMiarClient(ws(server), token=TOKEN))).seq == 4


def test_a_client_that_shall_not_reconnect_tells_the_loss() -> None:
    with pytest.raises(OSError, match=r".+"):
        next(iter(SyncMiarClient("ws://127.0.0.1:9/", reconnect=False)))
