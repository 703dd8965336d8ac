"""A server on a free port of the loopback interface, and how to wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from stream.serving import protocol
from stream.serving.server import Options, Server

TOKEN = "correct horse"  # noqa: S105 - of these tests alone
WAIT = 20.0


def free_server() -> Server:
    """Not started, on a port that is taken when it starts."""
    return Server(port=0, describe=protocol.HelloInfo(engine="onnx"), options=Options(max_clients=40))


def ws(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/"


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)
