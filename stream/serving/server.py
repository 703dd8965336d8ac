"""The websocket and page server: one thread with its own event loop, one port.

Nothing here waits for a client: events enter through a bounded queue and leave through ``fanout``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.typing import Subprotocol

from stream.events import Published, Result, Status
from stream.serving import protocol
from stream.serving.doors import Doors, is_loopback
from stream.serving.fanout import Encoded, Fanout, Listener
from stream.serving.health import Health
from stream.serving.metrics import Metrics
from stream.serving.pages import Page, Pages
from stream.serving.sockets import (
    WAITING_CONNECTIONS,
    BoundedConnection,
    ServerError,
    affordable,
    bind,
    quiet_logger,
    reachable,
    reset,
    respond,
    select_subprotocol,
    tls_context,
)

QUEUE_EVENTS = 256
FLUSH_SECONDS = 0.02
SWEEP_SECONDS = 1.0
STOP_SECONDS = 0.6
SPARE_CONNECTIONS = 16
ACCEPTED_AT_ONCE = 16
"""A crowd is let in by so many, between which the loop does other things and refuses those that are too many."""
CROWDED_SECONDS = 60.0
MAX_MESSAGE_BYTES = 16 * 1024

log = logging.getLogger("miar.server")

__all__ = ["Options", "RequestHandler", "Server", "ServerError", "tls_context"]

RequestHandler = Callable[[protocol.Request], dict[str, Any]]
"""Carries out a client's request in a worker thread; what it raises as ``ValueError`` or ``RuntimeError`` is
told to the client in one line."""


@dataclass(frozen=True)
class Options:
    """Limits and doors of a server.

    Attributes
    ----------
    max_clients
        Open connections at once; a few more are told so by HTTP 503, the rest are cut off. Fewer where this
        process may not open so many files (``ulimit -n``).
    identify_seconds
        Time for the opening handshake, and again from there to ``identify``.
    hosts, origins
        Host names and page origins let in beyond our own, see :class:`stream.serving.doors.Doors`.
    """

    max_clients: int = 1024
    identify_seconds: float = 5.0
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Server:
    """Publishes events to websocket clients and serves the pages.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one, then given by :attr:`port`.
    describe
        What ``hello`` says about the program.
    token
        Asked of every client. Listening beyond loopback without one makes one up: see :attr:`token`.
    tls
        See :func:`tls_context`.
    on_request
        Carries out clients' requests; without it they are answered with ``unsupported``.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        describe: protocol.HelloInfo | None = None,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        on_request: RequestHandler | None = None,
        options: Options | None = None,
    ) -> None:
        self.host, self.port = host, port
        self.token = token or (None if is_loopback(host) else secrets.token_urlsafe(18))
        self._hello = protocol.Hello.of(describe or protocol.HelloInfo(), needs_token=self.token is not None)
        self._tls, self._on_request = tls, on_request
        self._options = options or Options()
        self._max_clients = self._options.max_clients
        self._crowded_at = float("-inf")
        self._doors = Doors(host, self._options.hosts, self._options.origins)
        self._health = Health()
        self._metrics = Metrics(self._client_count, lambda: self._health.result_age(time.monotonic()))
        self._pages = Pages(self._metrics.render, self._report, self.token)
        self._fanout = Fanout(self._metrics.count_drops)
        self._queue: deque[Published] = deque(maxlen=QUEUE_EVENTS)
        self._newest: Encoded | None = None
        self._media_time = 0.0
        self._connected: set[BoundedConnection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._workers = ThreadPoolExecutor(1, "miar-request")
        self._flushing = False

    @property
    def url(self) -> str:
        """Address of the dashboard, with the token behind ``#`` where it never leaves the browser.

        Listening on every address, it is one that other machines can use.
        """
        scheme = "https" if self._tls else "http"
        host = reachable(self.host)
        name = f"[{host}]" if ":" in host else host
        return f"{scheme}://{name}:{self.port}/" + (f"#token={quote(self.token)}" if self.token else "")

    @property
    def dropped(self) -> dict[str, int]:
        """Messages that somebody did not get, by cause."""
        return dict(self._metrics.dropped)

    @property
    def open_connections(self) -> int:
        """Connections of any kind that are open now."""
        return len(self._connected)

    def wanted(self, name: str) -> bool:
        """Whether any client asked for this kind of event; safe from any thread."""
        return any(one.connection.ready and name in one.connection.events for one in list(self._fanout.listeners))

    def unsent_bytes(self) -> list[int]:
        """For each client, what waits in this process to be sent to it."""
        return [one.socket.transport.get_write_buffer_size() for one in list(self._fanout.listeners)]

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; on return clients can connect. :class:`ServerError` if the address cannot be had."""
        self._max_clients = affordable(self._options.max_clients)
        listening = bind(self.host, self.port)
        self.port = listening.getsockname()[1]
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening, started)), name="miar-server", daemon=True
        )
        self._thread.start()
        started.wait()

    def publish(self, event: Published) -> None:
        """Give ``event`` to the clients; safe from any thread, never waits, does nothing while not started."""
        if self._loop is None:
            return
        if len(self._queue) == QUEUE_EVENTS:
            self._metrics.count_drops("queue")
        self._queue.append(event)
        self._call(self._drain)

    def stop(self) -> None:
        """Close every connection and the port, within a second; safe to call twice."""
        if self._thread is None or self._stopping is None:
            return
        self._call(self._stopping.set)
        self._thread.join()
        self._thread = self._stopping = self._loop = None
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            # closed between a caller's look and here: then there is nobody left to tell
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function)

    async def _serve(self, listening: socket.socket, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._note_fault)
        self._stopping = asyncio.Event()
        server = await serve(
            self._handle,
            sock=listening,
            backlog=ACCEPTED_AT_ONCE,
            ssl=self._tls,
            ssl_handshake_timeout=self._options.identify_seconds if self._tls else None,
            subprotocols=[Subprotocol(name) for name in protocol.SUBPROTOCOLS],
            select_subprotocol=select_subprotocol,
            process_request=self._process_request,
            compression=None,  # messages are small and due at once; deflate costs 300 kB a client
            create_connection=cast("type[ServerConnection]", self._new_socket),
            server_header=None,
            open_timeout=self._options.identify_seconds,
            close_timeout=STOP_SECONDS / 2,
            ping_interval=None,  # the sweep asks who still reads, and draws gentler conclusions
            max_size=MAX_MESSAGE_BYTES,
            logger=quiet_logger(),
        )
        listening.listen(WAITING_CONNECTIONS)
        sweeper = asyncio.create_task(self._sweep())
        started.set()
        await self._stopping.wait()
        sweeper.cancel()
        server.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.wait_closed(), STOP_SECONDS)
        for connected in list(self._connected):
            connected.transport.abort()

    def _new_socket(self, *arguments: Any, **options: Any) -> BoundedConnection:
        if len(self._connected) >= self._max_clients:
            self._tell_crowd()
        return BoundedConnection(self._connected, self._max_clients + SPARE_CONNECTIONS, *arguments, **options)

    def _note_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "accept" in context["message"]:
            self._tell_crowd()
        else:
            loop.default_exception_handler(context)

    def _tell_crowd(self) -> None:
        if (now := time.monotonic()) - self._crowded_at > CROWDED_SECONDS:
            self._crowded_at = now
            why = " (ulimit -n)" if self._max_clients < self._options.max_clients else ""
            log.warning("too many connections: more than %d are refused%s", self._max_clients, why)

    def _process_request(self, _: ServerConnection, request: HttpRequest) -> Response | None:
        hosts = request.headers.get_all("Host")
        if not self._doors.host_allowed(hosts):
            return respond(Page(421, b"not a name of this server\n"), "localhost")
        if not self._doors.origin_allowed(request.headers.get_all("Origin"), hosts[0]):
            return respond(Page(403, b"this origin is not on the list\n"), hosts[0])
        if len(self._connected) > self._max_clients:
            return respond(Page(503, b"too many connections\n"), hosts[0])
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            method = getattr(request, "method", "GET")
            authorization = " ".join(request.headers.get_all("Authorization"))
            return respond(self._pages.answer(method, request.path, authorization), hosts[0])
        if request.path.partition("?")[0] != "/":
            return respond(Page(404, b"the websocket is at /\n"), hosts[0])
        return None

    async def _handle(self, connected: ServerConnection) -> None:
        name = connected.subprotocol
        fmt = protocol.SUBPROTOCOLS[name] if name else "json"
        listener = Listener(cast("BoundedConnection", connected), protocol.Connection(self._hello, fmt, self.token))
        self._fanout.listeners.add(listener)
        impatient = asyncio.get_running_loop().call_later(
            self._options.identify_seconds, self._close_unidentified, listener
        )
        try:
            await connected.send(protocol.encode(self._hello, fmt))
            async for data in connected:
                await self._receive(listener, data)
        except ConnectionClosed:
            return
        finally:
            impatient.cancel()
            self._fanout.remove(listener)

    async def _receive(self, listener: Listener, data: str | bytes) -> None:
        before = listener.connection.ready
        reaction = listener.connection.receive(data, time.monotonic())
        for answer in reaction.answers:
            await self._answer(listener, answer)
        if reaction.request is not None:
            await self._answer(listener, await self._carry_out(reaction.request))
        if reaction.close is not None:
            await listener.socket.close(reaction.close)
        elif listener.connection.ready and not before and self._newest is not None:
            self._fanout.deliver(self._newest, time.monotonic(), [listener])

    async def _answer(self, listener: Listener, answer: protocol.Ready | protocol.Reply | protocol.Error) -> None:
        if isinstance(answer, protocol.Error):
            self._metrics.count_error(answer.code)
        await listener.socket.send(protocol.encode(answer, listener.connection.format))

    async def _carry_out(self, request: protocol.Request) -> protocol.Reply | protocol.Error:
        if self._on_request is None:
            return protocol.Error(code="unsupported", message="this program takes no requests", id=request.id)
        loop = asyncio.get_running_loop()
        try:
            data = await loop.run_in_executor(self._workers, self._on_request, request)
        except protocol.RequestError as error:
            return protocol.Error(code=error.code, message=str(error), id=request.id)
        except (ValueError, RuntimeError) as error:
            return protocol.Error(code="request_failed", message=str(error), id=request.id)
        except Exception as error:
            # a fault of this program is none of the client's: it keeps its connection
            log.exception("a request could not be carried out")
            return protocol.Error(code="request_failed", message=type(error).__name__, id=request.id)
        return protocol.Reply(id=request.id, data=data)

    def _close_unidentified(self, listener: Listener) -> None:
        if not listener.connection.ready:
            self._metrics.count_error("identify_timeout")
            closing = listener.socket.close(protocol.CLOSE_IDENTIFY_TIMEOUT, "identify_timeout")
            listener.closing = asyncio.ensure_future(closing)

    def _drain(self) -> None:
        events = [self._queue.popleft() for _ in range(len(self._queue))]
        last = max((i for i, event in enumerate(events) if isinstance(event, Result)), default=-1)
        now = time.monotonic()
        for i, event in enumerate(events):
            encoded = Encoded(event)
            if isinstance(event, Status):
                self._hello = self._hello.renamed(event)
            self._health.take(event, now)
            self._metrics.observe(event)
            if isinstance(event, Result):
                self._newest, self._media_time = encoded, event.media_time
                if i < last:
                    self._metrics.count_drops("superseded")
                    continue
            self._fanout.deliver(encoded, now)
        self._flush_later()

    def _flush_later(self) -> None:
        if self._fanout.holding and not self._flushing and self._loop is not None:
            self._flushing = True
            self._loop.call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._fanout.flush(time.monotonic())
        self._flush_later()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._fanout.ask()
            self._fanout.tell_losses(self._media_time, time.monotonic())
            for listener in self._fanout.give_up(time.monotonic()):
                self._metrics.count_error("too_slow")
                reset(listener.socket.transport)

    def _client_count(self) -> int:
        return sum(listener.connection.ready for listener in list(self._fanout.listeners))

    def _report(self) -> dict[str, object]:
        return self._health.report(time.monotonic(), self._client_count())
