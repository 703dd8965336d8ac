"""What the server needs of sockets: binding, TLS, counted connections, HTTP answers."""

from __future__ import annotations

import asyncio
import errno
import http
import logging
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.typing import Subprotocol

from stream.serving import protocol
from stream.serving.pages import Page, security_headers

KERNEL_BUFFER_BYTES = 128 * 1024


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
    """A connection that counts from the first byte on, so that half-open handshakes are bounded too."""

    def __init__(self, everybody: set[BoundedConnection], limit: int, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._everybody, self._limit = everybody, limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or cut it off where there are too many."""
        super().connection_made(transport)
        self._everybody.add(self)
        if len(self._everybody) > self._limit:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._everybody.discard(self)
        super().connection_lost(exc)


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
        listening.listen(128)
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
