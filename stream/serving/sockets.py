"""What the server needs of sockets: binding, TLS, counted connections, HTTP answers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http
import logging
import random
import resource
import socket
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event, State
from websockets.typing import Subprotocol

from stream.serving import protocol
from stream.serving.pages import Page, security_headers

KERNEL_BUFFER_BYTES = 128 * 1024
MAX_UNSENT_BYTES = 256 * 1024
"""Events stop long before; answers to pings would not."""
MAX_REQUEST_BYTES = 32 * 1024
MAX_FRAGMENTS = 64
PIECE_BYTES = 4096
LINGER_SECONDS = 1.0
PING_SECONDS = 10.0
PONG_SECONDS = 10.0
RESERVED_FILES = 128
WAITING_CONNECTIONS = 128
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
DATA_FRAMES = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)


class ServerError(Exception):
    """The server cannot start; the message is one line for the user."""


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for serving with the PEM files ``certificate`` and ``key``; :class:`ServerError` if unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ServerError(f"cannot use the certificate {certificate} with the key {key}: {error}") from error
    return context


class BoundedConnection(ServerConnection):
    """A connection whose client cannot make it hold or do more than it should.

    It counts from the first byte on, so that half-open handshakes are bounded too; it answers what is no
    request with 400 and what takes too long with 408, where the library hangs up; it bounds what comes before the
    answer, frames (also those of which no message comes, pings and empty fragments) and what nobody reads.
    """

    def __init__(self, everybody: set[BoundedConnection], limit: int, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._everybody, self._limit = everybody, limit
        self._frames = protocol.Bucket(rate=50.0, burst=400.0)
        self._before_answer = 0
        self._early = b""
        self._fragments = 0
        self._answered_junk = False
        self._ending: asyncio.TimerHandle | None = None
        self._asked_at: float | None = None
        self._answered = False
        self._next_ping = self.loop.time()

    @property
    def deaf(self) -> bool:
        """Whether a ping waits for its answer: the other side has not read what was sent before it.

        What is unsent does not tell: the kernels of both sides take megabytes that nobody reads.
        """
        return self._asked_at is not None and self.loop.time() - self._asked_at > PONG_SECONDS

    @property
    def reads(self) -> bool:
        """Whether every ping was answered, the first of which is sent at once."""
        return self._answered and self._asked_at is None

    def ask(self) -> None:
        """Ping now and then, one at a time."""
        now = self.loop.time()
        if self._asked_at is None and now >= self._next_ping and self.protocol.state is State.OPEN:
            self._asked_at = now
            self._next_ping = now + PING_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311 - not all at once
            self.protocol.send_ping(b"")
            self.send_data()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or cut it off where there are too many."""
        super().connection_made(transport)
        self._everybody.add(self)
        if len(self._everybody) > self._limit:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._everybody.discard(self)
        if self._ending is not None:
            self._ending.cancel()
        super().connection_lost(exc)
        self._forget()

    def _forget(self) -> None:
        # circles of the library, cut so that who is gone takes no memory until the next collection
        self.protocol.parser.close()
        vars(self.protocol).pop("select_subprotocol", None)
        if self.protocol.parser_exc is not None:
            self.protocol.parser_exc.__traceback__ = None

    async def handshake(self, *arguments: Any, **options: Any) -> None:
        """Answer the request; only then is what came after it looked at."""
        try:
            await super().handshake(*arguments, **options)
        except asyncio.CancelledError:
            if self.request is None and self._before_answer and not self._ending:
                self._write(Page(408, b"the request took too long\n"))
            raise
        early, self._early = self._early, b""
        if self._before_answer > MAX_REQUEST_BYTES:
            self.protocol.fail(protocol.CLOSE_RATE_LIMITED, "too much at once")
            self.send_data()
        elif early:
            self._take_frames(early)

    def data_received(self, data: bytes) -> None:
        """Take what came, in pieces small enough to stop in time."""
        if self.response is None:
            self._take_request(data)
        else:
            self._take_frames(data)

    def eof_received(self) -> None:
        """Stop answering: there is nobody to hear it."""
        self._answered_junk = True
        super().eof_received()

    def process_event(self, event: Event) -> None:
        """Pass a frame on unless there are too many."""
        super().process_event(event)
        if isinstance(event, Frame):
            if event.opcode is Opcode.PONG:
                self._asked_at, self._answered = None, True
            if event.opcode in DATA_FRAMES:
                self._fragments = 0 if event.fin else self._fragments + 1
            if self._fragments > MAX_FRAGMENTS or not self._frames.take(self.loop.time()):
                self.protocol.fail(protocol.CLOSE_RATE_LIMITED, "too much at once")

    def send_data(self) -> None:
        """Send what waits, an answer to junk before its end of file, and see to it that an end is one."""
        failure = self.protocol.handshake_exc
        if isinstance(failure, InvalidMessage) and not self._answered_junk:
            self._answered_junk = True
            self._write(Page(400, b"not a request that this server understands\n"))
        super().send_data()
        if self.protocol.close_expected() and self._ending is None:
            # the other side may never close its end
            self._ending = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def write_frame(self, data: bytes) -> None:
        """Send a whole frame, made once for many, unless the connection is closing."""
        if self.protocol.state is State.OPEN:
            self.transport.write(data)

    def _take_request(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            self._before_answer += len(line)
            if self._before_answer > MAX_REQUEST_BYTES:
                self._refuse_length()
            elif self.request is None:
                super().data_received(line)
            else:
                self._early += line

    def _refuse_length(self) -> None:
        if self.request is None and not self.protocol.close_expected():
            self.protocol.send_response(respond(Page(431, b"the request is too long\n"), "localhost"))
            self.send_data()

    def _take_frames(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            super().data_received(data[start : start + PIECE_BYTES])
        self.send_data()
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()

    def _write(self, page: Page) -> None:
        self.transport.write(respond(page, "localhost").serialize())


def reset(transport: asyncio.Transport) -> None:
    """Cut a connection off; the kernel is to forget what it still holds for it, too."""
    kept: socket.socket | None = transport.get_extra_info("socket")
    if kept is not None:
        with contextlib.suppress(OSError):
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def affordable(clients: int) -> int:
    """``clients``, or as many as leave files for the rest of this process."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return clients if allowed == resource.RLIM_INFINITY else max(min(clients, allowed - RESERVED_FILES), 1)


def reachable(host: str) -> str:
    """``host`` as another machine can type it: where it stands for every address, one that leads here."""
    if host not in WILDCARDS:
        return host
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # nothing is sent: this only asks which of our addresses faces the network
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; :class:`ServerError` in one line if the address cannot be had."""
    if not 0 <= port <= 65535:
        raise ServerError(f"port {port} is outside 0-65535; choose another with --port")
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ServerError(f"cannot listen on {host!r}: {error}") from error
    listening = socket.socket(family, kind, number)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # inherited by every connection: what the kernel may keep for a client that does not read
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
        listening.bind(address)
        listening.listen(WAITING_CONNECTIONS)
    except OSError as error:
        listening.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error}"
        raise ServerError(f"port {port} on {host} {reason}; choose another with --port") from error
    return listening


def respond(page: Page, host: str) -> Response:
    """``page`` as the library sends it, with the headers that every answer has."""
    headers = {
        "Content-Type": page.content_type,
        "Content-Length": str(len(page.body)),
        "Connection": "close",
        **security_headers(host),
        **page.headers,
    }
    return Response(page.status, http.HTTPStatus(page.status).phrase, Headers(headers), page.body)


def select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first offered that we speak; none is as good as JSON."""
    return next((name for name in offered if name in protocol.SUBPROTOCOLS), None)


def quiet_logger() -> logging.Logger:
    """Clients' broken handshakes are their affair and are counted, not printed."""
    logger = logging.getLogger("stream.serving.websockets")
    logger.setLevel(logging.CRITICAL)
    return logger
