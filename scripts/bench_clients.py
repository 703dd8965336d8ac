"""What many clients cost, and what clients that stop reading do to the server and to the others.

Examples
--------
    python scripts/bench_clients.py --seconds 30 --publish                   1 to 1000 clients
    python scripts/bench_clients.py --stalled 50 --seconds 600 --pairs 0     memory while 50 clients do not read
    python scripts/bench_clients.py --stalled 50 --seconds 30 --pairs 5      and what it does to the others
    python scripts/bench_clients.py --live talk.mp4 --seconds 60             what 100 clients add to recognition
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench_report import percentiles, publish, section, table
from live_probe import measure_live
from raw_client import PING, PONG, TEXT, frame, message, take_frame, upgrade
from serve_results import Served, allow_files, served

from stream.serving.fanout import CONGESTED_BYTES, GIVE_UP_SECONDS
from stream.serving.sockets import KERNEL_BUFFER_BYTES

LOADS = ((1, 10.0), (10, 10.0), (100, 10.0), (1000, 10.0), (100, 30.0))
CONNECTING_AT_ONCE = 20
CONNECT_SECONDS = 30.0
SETTLE_SECONDS = 2.0
READERS = 20
AUDIENCE = 100
SAMPLE_SECONDS = 1.0
SHOWN_SAMPLES = 12
BOUND_KIB = 96
SEQ, STAMP = b'"seq":', b'"media_time":'
IDENTIFY = message(type="identify", events=["result"])


@dataclass
class Ear:
    """What all readers heard while ``open``: milliseconds from send to receive, and results left out."""

    open: bool = False
    waits: list[float] = field(default_factory=list)
    missed: int = 0
    cut: int = 0


class Reader(asyncio.Protocol):
    """A client that reads results as fast as a program can."""

    def __init__(self, ear: Ear, ready: asyncio.Future[None]) -> None:
        self._ear, self._ready = ear, ready
        self._data = bytearray()
        self._seq: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a websocket and, at once, for results."""
        if isinstance(transport, asyncio.Transport):
            self._write = transport.write
            self._write(upgrade() + IDENTIFY)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Note it where it was not our doing."""
        self._ear.cut += self._ear.open

    def data_received(self, data: bytes) -> None:
        """Time every result."""
        now = time.monotonic()
        self._data += data
        if not self._ready.done() and (end := self._data.find(b"\r\n\r\n")) >= 0:
            del self._data[: end + 4]
            self._ready.set_result(None)
        while self._ready.done() and (found := take_frame(self._data)):
            opcode, payload, end = found
            del self._data[:end]
            if opcode == PING:
                self._write(frame(payload, PONG))
            if self._ear.open and opcode == TEXT and STAMP in payload:
                self._take(payload, now)

    def _take(self, payload: bytes, now: float) -> None:
        self._ear.waits.append((now - float(value(payload, STAMP))) * 1e3)
        seq, before = int(value(payload, SEQ)), self._seq
        self._ear.missed += 0 if before is None else seq - before - 1
        self._seq = seq


def value(payload: bytes, name: bytes) -> bytes:
    """A number of a JSON message, without decoding all of it a thousand times."""
    start = payload.index(name) + len(name)
    return payload[start : payload.index(b",", start)]


async def gather_readers(port: int, number: int, ear: Ear) -> list[asyncio.BaseTransport]:
    """So many readers, connected."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def connect() -> asyncio.BaseTransport:
        async with gate:
            ready: asyncio.Future[None] = loop.create_future()
            transport, _ = await loop.create_connection(lambda: Reader(ear, ready), "127.0.0.1", port)
            await asyncio.wait_for(ready, CONNECT_SECONDS)
            return transport

    return await asyncio.gather(*(connect() for _ in range(number)))


@dataclass
class Heard:
    """One stretch of listening."""

    clients: int
    rate: float
    core: float
    wait: dict[str, float]
    missed: int

    def row(self) -> list[object]:
        """As the table shows it."""
        return [self.clients, f"{self.rate:g}", f"{self.core * 100:.1f} %", *self.wait.values(), self.missed]


HEADER = ("clients", "rate", "server, of one core", "p50 ms", "p95 ms", "p99 ms", "max ms", "missed")


async def listen(
    server: Served, clients: int, rate: float, seconds: float, stalled: Stalled | None = None
) -> Heard:
    """Listen with so many clients for a while, ``stalled`` ones beside them."""
    ear = Ear()
    transports = await gather_readers(server.port, clients, ear)
    await asyncio.sleep(SETTLE_SECONDS)
    if stalled is not None:
        stalled.stop_reading()
    used, began, ear.open = server.cpu_seconds(), time.monotonic(), True
    while (left := seconds - (time.monotonic() - began)) > 0:
        await asyncio.sleep(min(left, SAMPLE_SECONDS))
        if stalled is not None:
            await asyncio.to_thread(stalled.sample, time.monotonic() - began)
    ear.open = False
    took = time.monotonic() - began
    core = (server.cpu_seconds() - used) / took
    for transport in transports:
        transport.close()
    if ear.cut:
        raise SystemExit(f"{ear.cut} readers were cut off")
    return Heard(clients, rate, core, percentiles(ear.waits), ear.missed)


class Stalled:
    """Clients that identify and never read; one that is cut off comes back, so that there are always as many."""

    def __init__(self, server: Served, number: int) -> None:
        self._server, self._number = server, number
        self._sockets: list[tuple[socket.socket, float]] = []
        self.memory: list[tuple[float, float]] = []
        self.before = server.rss_mb()
        self.first_loss: float | None = None
        self.lasted: list[float] = []

    def stop_reading(self) -> None:
        """Connect all of them."""
        self.before = self._server.rss_mb()
        self._sockets = [(self._open(), time.monotonic()) for _ in range(self._number)]

    def sample(self, at: float) -> None:
        """Note the memory and the losses, and bring back who was cut off."""
        self.memory.append((at, self._server.rss_mb() - self.before))
        lost = self._server.counters("miar_dropped_messages").get("congested", 0)
        self.first_loss = at if self.first_loss is None and lost else self.first_loss
        for i, (one, since) in enumerate(self._sockets):
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.lasted.append(time.monotonic() - since)
                one.close()
                self._sockets[i] = (self._open(), time.monotonic())

    def close(self) -> None:
        """Hang up."""
        for one, _ in self._sockets:
            one.close()

    def _open(self) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self._server.port), timeout=CONNECT_SECONDS)
        one.sendall(upgrade() + IDENTIFY)
        one.recv(1, socket.MSG_PEEK)  # the server has let it in
        return one

    def told(self, alone: Stalled) -> str:
        """What became of them, and the server's memory over time with and without them."""
        step = max(len(self.memory) // SHOWN_SAMPLES, 1)
        both = list(zip(self.memory, alone.memory, strict=False))[::step]
        rows = [[f"{at:.0f}", mb, without] for (at, mb), (_, without) in both]
        first = (
            "no message was lost"
            if self.first_loss is None
            else f"first message lost after {self.first_loss:.0f} s"
        )
        cut = f"{len(self.lasted)} cut off" + (f", the first after {min(self.lasted):.0f} s" if self.lasted else "")
        most, usual = (max(mb for _, mb in one.memory) for one in (self, alone))
        return (
            f"{self._number} of them: {first}; {cut} ({GIVE_UP_SECONDS:g} s after losses begin) and came back. The "
            f"server grew by at most {most:.1f} MB, without them by {usual:.1f} MB; the bound is "
            f"{self._number * BOUND_KIB / 1024:.1f} MB more: {BOUND_KIB} KiB a client, of which "
            f"{CONGESTED_BYTES // 1024} are unsent, the rest one message and the connection. The kernel keeps at "
            f"most {2 * KERNEL_BUFFER_BYTES // 1024} KiB a client.\n\n"
            f"{table(['second', 'grown by, MB', 'without them'], rows)}"
        )


@contextlib.contextmanager
def not_reading(server: Served, number: int) -> Iterator[Stalled]:
    """Clients that will not read."""
    stalled = Stalled(server, number)
    try:
        yield stalled
    finally:
        stalled.close()


def bench_loads(loads: list[tuple[int, float]], seconds: float) -> str:
    """Every load on a fresh server."""
    rows = []
    for clients, rate in loads:
        with served(rate, clients=clients + 8) as server:
            rows.append(asyncio.run(listen(server, clients, rate, seconds)).row())
    return table(HEADER, rows)


def bench_stalled(number: int, rate: float, seconds: float, pairs: int) -> str:
    """Readers alone and beside clients that do not read, in pairs on fresh servers; memory alone without pairs."""
    if not pairs:
        return asyncio.run(memory(number, rate, seconds))
    rows, ratios, told = [], [], ""
    for _ in range(pairs):
        with served(rate) as server, not_reading(server, 0) as nobody:
            alone = asyncio.run(listen(server, READERS, rate, seconds, nobody))
        with served(rate) as server, not_reading(server, number) as stalled:
            beside = asyncio.run(listen(server, READERS, rate, seconds, stalled))
        ratios.append(beside.wait["p99"] / alone.wait["p99"])
        rows += [["alone", *alone.row()], [f"beside {number}", *beside.row()]]
        told = stalled.told(nobody)
    ratio = f"p99 beside them over p99 alone: median {statistics.median(ratios):.2f} of {pairs} pairs."
    return f"{table(['readers', *HEADER], rows)}\n\n{ratio}\n\n{told}"


async def memory(number: int, rate: float, seconds: float) -> str:
    """What a server grows by with clients that do not read, and one without them at the same time."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(served(rate)) for _ in range(2)]
        stalled = [stack.enter_context(not_reading(*one)) for one in zip(servers, (0, number), strict=True)]
        both = zip(servers, stalled, strict=True)
        await asyncio.gather(*(listen(server, READERS, rate, seconds, one) for server, one in both))
    return stalled[1].told(stalled[0])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def attend(port: int, number: int, ear: Ear, over: threading.Event) -> None:
    """Read with so many clients as soon as there is a server, until it is ``over``."""
    while not over.is_set():
        with contextlib.suppress(OSError):
            await gather_readers(port, number, ear)
            ear.open = True
            await asyncio.to_thread(over.wait)
        await asyncio.sleep(0.2)


def live_stages(file: Path, seconds: float, rate: float, clients: int) -> dict[str, dict[str, float]]:
    """Latency by stage of ``miar-live`` with a file while so many clients listen."""
    port, over, ear = free_port(), threading.Event(), Ear()
    audience = threading.Thread(target=lambda: asyncio.run(attend(port, clients, ear, over)))
    audience.start()
    try:
        measured = measure_live(file, seconds, rate, None, ("--port", str(port)))
    finally:
        over.set()
        audience.join()
    if len(ear.waits) < clients * measured["results"] / 2:
        raise SystemExit(f"{clients} clients got {len(ear.waits)} messages of {measured['results']} results")
    return dict(measured["stages"])


def bench_live(file: Path, rate: float, seconds: float, pairs: int) -> str:
    """What an audience adds to every stage of recognition: medians of paired runs."""
    runs = [[live_stages(file, seconds, rate, clients) for clients in (0, AUDIENCE)] for _ in range(pairs)]
    rows = []
    for stage in [name for name in runs[0][0] if all(name in one for pair in runs for one in pair)]:
        for measure in ("p50", "p95"):
            alone, beside = (statistics.median(pair[i][stage][measure] for pair in runs) for i in (0, 1))
            added = statistics.median(pair[1][stage][measure] - pair[0][stage][measure] for pair in runs)
            rows.append([stage, measure, alone, beside, added])
    return table(["stage", "what", "no client, ms", f"{AUDIENCE} clients, ms", "added, ms"], rows)


def load(text: str) -> tuple[int, float]:
    """``CLIENTSxRATE``."""
    clients, _, rate = text.partition("x")
    return int(clients), float(rate)


def main() -> None:
    """Measure, print, and publish if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="measured seconds a run")
    parser.add_argument("--loads", type=load, nargs="+", default=list(LOADS), metavar="CLIENTSxRATE")
    parser.add_argument("--stalled", type=int, default=0, help="clients that stop reading")
    parser.add_argument("--live", type=Path, help="measure miar-live with this file without and with clients")
    parser.add_argument("--rate", type=float, default=10.0, help="results a second, with --stalled and --live")
    parser.add_argument(
        "--pairs", type=int, default=1, help="paired runs, with --stalled and --live; 0 for memory alone"
    )
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    given = parser.parse_args()
    allow_files(2048)
    command = f"python scripts/bench_clients.py --seconds {given.seconds:g}"
    if given.stalled:
        name = f"Clients that stop reading: {given.stalled} for {given.seconds:g} s"
        command += f" --stalled {given.stalled} --rate {given.rate:g} --pairs {given.pairs}"
        body = bench_stalled(given.stalled, given.rate, given.seconds, given.pairs)
    elif given.live:
        name, body = "What clients add", bench_live(given.live, given.rate, given.seconds, given.pairs)
        command += f" --live FILE --rate {given.rate:g} --pairs {given.pairs}"
    else:
        name, body = "Many clients", bench_loads(given.loads, given.seconds)
        body = f"Milliseconds from send to receive on loopback, with the clients on the same cores.\n\n{body}"
    text = section(name, command, body)
    print(text)
    if given.publish:
        publish(name, text)


if __name__ == "__main__":
    main()
