"""Hands events to many clients without waiting for any: it lives on the server's loop and only writes.

A client whose socket is congested, or that asked for fewer results, has one slot: the newest result waits in
it and replaces the one before. Other events pass a congested client by. Every loss is counted. Clients that are
known to read are served first, so that those that do not cannot delay them.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from websockets.frames import Frame, Opcode

from stream.events import Published, Result, Status
from stream.serving import protocol
from stream.serving.sockets import BoundedConnection

CONGESTED_BYTES = 64 * 1024
"""A client with more than this unsent is passed by; with the kernel's part it bounds a client's memory."""
BOUNDED = frozenset({"result", "landmarks"})
"""What ``max_rate`` bounds, each for itself."""
CATCH_UP_SECONDS = 0.05
GIVE_UP_SECONDS = 30.0
"""A client congested for so long is disconnected."""


class Encoded:
    """An event and its frames, each made once and only when somebody wants it."""

    def __init__(self, event: Published) -> None:
        self.event = event
        self.name = str(event.__struct_config__.tag)
        self.is_result = isinstance(event, Result)
        self._made: dict[protocol.Format, bytes] = {}

    def frame(self, fmt: protocol.Format) -> bytes:
        """The event in format ``fmt`` as it goes over the wire."""
        if fmt not in self._made:
            data = protocol.encode(self.event, fmt)
            frame = Frame(Opcode.TEXT, data.encode()) if isinstance(data, str) else Frame(Opcode.BINARY, data)
            self._made[fmt] = frame.serialize(mask=False)
        return self._made[fmt]


@dataclass(eq=False)
class Listener:
    """An identified or still unknown client and what is kept for it."""

    socket: BoundedConnection
    connection: protocol.Connection
    held: Encoded | None = None
    next_due: dict[str, float] = field(default_factory=dict)
    congested_since: float | None = None
    lost: int = 0
    closing: Future[None] | None = None

    def wants(self, event: Encoded) -> bool:
        """Whether the client asked for this kind of event."""
        return self.connection.ready and event.name in self.connection.events

    def due(self, kind: str, now: float, waited: bool = False) -> bool:
        """Whether ``max_rate`` allows another event of this kind.

        One that comes a little early may go; one that has ``waited`` lets a newer one come a little late.
        """
        if self.connection.max_rate is None:
            return True
        slack = min(0.25 / self.connection.max_rate, CATCH_UP_SECONDS)
        return now >= self.next_due.get(kind, float("-inf")) + (slack if waited else -slack)

    def took(self, kind: str, now: float) -> None:
        """Note that an event of this kind goes out."""
        if self.connection.max_rate is not None:
            # a little late is made up for, so that the mean comes near the limit and stays below it
            interval = 1.0 / self.connection.max_rate
            behind = now - min(interval / 2.0, CATCH_UP_SECONDS)
            self.next_due[kind] = max(self.next_due.get(kind, now), behind) + interval

    def send(self, event: Encoded) -> None:
        """Write ``event`` to the socket."""
        self.socket.write_frame(event.frame(self.connection.format))

    def congested(self, now: float) -> bool:
        """Whether too much is unsent or unread; remembers since when."""
        if not self.socket.deaf and self.socket.transport.get_write_buffer_size() <= CONGESTED_BYTES:
            self.congested_since = None
        elif self.congested_since is None:
            self.congested_since = now
        return self.congested_since is not None


class Fanout:
    """All listeners; ``count_drops(cause)`` is told of every message that somebody did not get."""

    def __init__(self, count_drops: Callable[[str], None]) -> None:
        self.listeners: set[Listener] = set()
        self._holders: set[Listener] = set()
        self._count_drops = count_drops

    @property
    def holding(self) -> bool:
        """Whether a slot is full and :meth:`flush` has to be called soon."""
        return bool(self._holders)

    def remove(self, listener: Listener) -> None:
        """Forget a client that is gone."""
        self.listeners.discard(listener)
        self._holders.discard(listener)

    def deliver(self, event: Encoded, now: float, to: Iterable[Listener] | None = None) -> None:
        """Give ``event`` to everybody who wants it, or only to those in ``to``."""
        last = []
        for listener in self.listeners if to is None else to:
            if listener.wants(event) and self._admit(listener, event, now):
                if listener.socket.reads:
                    listener.send(event)
                else:
                    last.append(listener)
        for listener in last:
            listener.send(event)

    def flush(self, now: float) -> None:
        """Send what waits in slots whose time has come."""
        for listener in list(self._holders):
            held = listener.held
            if held is not None and listener.due(held.name, now, waited=True) and not listener.congested(now):
                self._release(listener)
                listener.took(held.name, now)
                listener.send(held)

    def ask(self) -> None:
        """Find out who still reads."""
        for listener in self.listeners:
            listener.socket.ask()

    def tell_losses(self, media_time: float, now: float) -> None:
        """Say to those who can hear again how many messages passed them by."""
        for listener in self.listeners:
            if listener.lost and not listener.congested(now):
                detail = "this client read too slowly"
                losses = {"client": listener.lost}
                listener.lost = 0
                notice = Status(
                    media_time=media_time, modality=None, state="lagging", detail=detail, dropped=losses
                )
                self.deliver(Encoded(notice), now, [listener])

    def give_up(self, now: float) -> list[Listener]:
        """Clients that have read nothing for too long."""
        stuck = [one for one in self.listeners if one.congested(now)]
        return [one for one in stuck if now - (one.congested_since or now) > GIVE_UP_SECONDS]

    def _admit(self, listener: Listener, event: Encoded, now: float) -> bool:
        congested = listener.congested(now)
        late = event.name in BOUNDED and not listener.due(event.name, now)
        if event.is_result and (congested or late):
            self._hold(listener, event)
        elif congested or late:
            self._lose(listener, "congested" if congested else "max_rate")
        else:
            listener.took(event.name, now)
            if event.is_result:
                self._release(listener)
        return not (congested or late)

    def _hold(self, listener: Listener, event: Encoded) -> None:
        if listener.held is not None:
            self._lose(listener, "congested" if listener.congested_since is not None else "max_rate")
        listener.held = event
        self._holders.add(listener)

    def _release(self, listener: Listener) -> None:
        listener.held = None
        self._holders.discard(listener)

    def _lose(self, listener: Listener, cause: str) -> None:
        listener.lost += cause == "congested"
        self._count_drops(cause)
