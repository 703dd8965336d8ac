"""Attacks a real server, with a good client beside: nobody gets in, nothing breaks, nobody misses a result.

Example
-------
    python scripts/fuzz_server.py --count 100000

Exits with 1 when the server died or let anybody in, when an answer was not one of those that are right, when the
good client missed a result (or the server was late for more of them than ``--late``), or when memory grew by more
than ``--growth`` MB after the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field

import fuzz_attacks as attacks
import msgspec
from bench_report import publish, section, table
from raw_client import BINARY, CLOSE, TEXT, Raw, close_code, frame, request, upgrade
from serve_results import Served, served

from stream.serving.server import SPARE_CONNECTIONS

TOKEN = "open sesame 1001"  # noqa: S105 - of this script alone
EVENTS = ("hello", "result", "status", "transcript")
AT_ONCE = 6
BATCH = 30
CLIENTS = 200
IDENTIFY_SECONDS = 2.0
ANSWER_SECONDS = 30.0


@dataclass
class Tally:
    """What was sent, what came back, and what should not have."""

    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def take(self, case: attacks.Case, answer: str, where: str) -> None:
        """Note the answer to a case."""
        self.sent[case.name] += 1
        self.answered[answer] += 1
        if answer not in case.right:
            self.wrong.append(f"{where}: {case.name} {case.data[:80]!r}: {answer}, not {' or '.join(case.right)}")


class GoodClient(threading.Thread):
    """Somebody who just wants the results, every one of them."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._enough = threading.Event()
        self.seqs: list[int] = []
        self.problem = ""

    def run(self) -> None:
        """Read until told to stop."""
        from stream.serving.client import SyncMiarClient

        client = SyncMiarClient(f"ws://127.0.0.1:{self._port}/", token=TOKEN, reconnect=False)
        try:
            for result in client:
                self.seqs.append(result.seq)
                if self._enough.is_set():
                    return
        except Exception as error:
            self.problem = repr(error)

    def finish(self) -> None:
        """Wait for one more result."""
        self._enough.set()
        self.join(ANSWER_SECONDS)

    @property
    def missed(self) -> int:
        """Results between the first and the last that did not come."""
        return self.seqs[-1] - self.seqs[0] + 1 - len(self.seqs) if self.seqs else -1


async def answer_to(raw: Raw, packed: bool) -> str:
    """The next answer that is no event: a code, ``reply``, ``ready`` or ``close N``."""
    while (came := await raw.frame()) is not None:
        opcode, payload = came
        if opcode == CLOSE:
            return f"close {close_code(payload)}"
        if opcode in {TEXT, BINARY}:
            answer = msgspec.msgpack.decode(payload) if packed else json.loads(payload)
            if answer["type"] not in EVENTS:
                return str(answer.get("code", answer["type"]))
    return "hung up"


async def talk(port: int, rng: random.Random, tally: Tally, where: str, size: int) -> None:
    """A client that is let in and then sends nothing but malformed messages, in the end a fatal one."""
    packed = rng.random() < 0.3
    raw = await Raw.open(port)
    with contextlib.closing(raw):
        names = {"Sec-WebSocket-Protocol": "miar.v1.msgpack"} if packed else {}
        await raw.send(upgrade(headers=names))
        await raw.status()
        hello = {"type": "identify", "token": TOKEN, "events": ["result"]}
        await raw.send(
            frame(msgspec.msgpack.encode(hello), BINARY) if packed else frame(json.dumps(hello).encode())
        )
        if (ready := await answer_to(raw, packed)) != "ready":
            tally.wrong.append(f"{where}: the right token was answered with {ready}")
        makers = attacks.PACKED if packed else attacks.MESSAGES
        cases = [rng.choice(makers)(rng) for _ in range(size - 1)]
        await raw.send(b"".join(case.data for case in cases))
        for case in cases:
            tally.take(case, await answer_to(raw, packed), where)
        ending = rng.choice(attacks.ENDINGS)(rng)
        await raw.send(ending.data)
        while (answer := await answer_to(raw, packed)) in attacks.BEFORE_THE_END:
            pass
        tally.take(ending, answer, where)


async def knock(port: int, rng: random.Random, tally: Tally, where: str) -> None:
    """One HTTP request that must not be served."""
    case = rng.choice(attacks.REQUESTS)(rng)
    raw = await Raw.open(port)
    with contextlib.closing(raw):
        await raw.send(case.data)
        status, _ = await raw.status()
        rest = await raw.rest()
        tally.take(case, f"HTTP {status}" if status else "hung up", where)
        if rest.count(b"HTTP/1.1 ") or b"root:" in rest or (b"<html" in rest and status != 200):
            tally.wrong.append(f"{where}: {case.name} {case.data[:80]!r} got {rest[:80]!r}")


async def intrude(port: int, rng: random.Random, tally: Tally, where: str) -> None:
    """A client without the right token, or one that asks before it is known."""
    raw = await Raw.open(port)
    with contextlib.closing(raw):
        await raw.send(upgrade())
        await raw.status()
        if rng.random() < 0.5:
            case = attacks.bad_token(rng, TOKEN)
        else:
            data = frame(b'{"type": "pause", "id": 1}')
            case = attacks.Case("request before identify", data, frozenset({"not_identified"}))
        await raw.send(case.data)
        tally.take(case, await answer_to(raw, packed=False), where)
        await raw.send(frame(b"", CLOSE))
        if (more := await answer_to(raw, packed=False)) in {"ready", "reply"}:
            tally.wrong.append(f"{where}: let in: {case.data[:80]!r}: {more}")


async def drip(port: int, rng: random.Random, tally: Tally, where: str) -> None:
    """A handshake that takes its time (slow loris)."""
    raw = await Raw.open(port)
    with contextlib.closing(raw):
        line = f"X-{rng.randrange(999)}: a\r\n".encode()
        sending = asyncio.ensure_future(raw.send(request()[:-2], *[line] * 100, pause=IDENTIFY_SECONDS / 8))
        status, _ = await raw.status()
        sending.cancel()
        right = frozenset({"HTTP 408"})
        tally.take(attacks.Case("slow handshake", line, right), f"HTTP {status}" if status else "hung up", where)


async def crowd(port: int, number: int, tally: Tally, where: str) -> None:
    """So many connections at once; those that are too many for the server are told so or cut off."""
    opened = await asyncio.gather(*(Raw.open(port) for _ in range(number)))
    case = attacks.Case("connection in a crowd", b"", frozenset({"HTTP 200", "HTTP 503", "hung up"}))
    for raw in opened:
        await raw.send(request("/healthz"))
    for raw in opened:
        status, _ = await raw.status()
        tally.take(case, f"HTTP {status}" if status else "hung up", where)
        raw.close()


def chosen(port: int, rng: random.Random, tally: Tally, where: str, left: int) -> Coroutine[None, None, None]:
    """One of the kinds of attack, the cheap ones more often."""
    kind = rng.random()
    if kind < 0.22:
        return talk(port, rng, tally, where, min(BATCH, left))
    if kind < 0.75:
        return knock(port, rng, tally, where)
    if kind < 0.985:
        return intrude(port, rng, tally, where)
    if kind < 0.99:
        return crowd(port, rng.randrange(20, CLIENTS // 2), tally, where)
    return drip(port, rng, tally, where)


async def attack(port: int, seed: int, index: int, left: int, tally: Tally) -> None:
    """Attack number ``index``, the same for the same seed."""
    rng = random.Random(f"{seed}-{index}")  # noqa: S311 - to be repeated
    where = f"--seed {seed}, attack {index}"
    try:
        await asyncio.wait_for(chosen(port, rng, tally, where, left), ANSWER_SECONDS)
    except (OSError, asyncio.TimeoutError) as error:
        tally.wrong.append(f"{where}: {error!r}")


async def campaign(server: Served, seed: int, count: int, tally: Tally) -> float:
    """Attack until ``count`` were sent; MB that the server grew by after the first tenth."""
    indices: Iterator[int] = iter(range(count))
    settled: list[float] = []

    async def go_on() -> None:
        while (left := count - tally.sent.total()) > 0:
            await attack(server.port, seed, next(indices), left, tally)
            if not settled and tally.sent.total() >= count / 10:
                settled.append(server.rss_mb())

    await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))
    await crowd(server.port, CLIENTS + 2 * SPARE_CONNECTIONS, tally, "too many connections")
    if not {"HTTP 503", "hung up"} & tally.answered.keys():
        tally.wrong.append("more connections than are allowed were all served")
    return server.rss_mb() - (settled or [server.rss_mb()])[0]


@dataclass
class Outcome:
    """All that a campaign found."""

    tally: Tally
    good: GoodClient
    alive: bool
    memory: float
    grown: float
    late: int
    seconds: float

    def well(self, late: float, growth: float) -> bool:
        """Whether nothing is wrong."""
        served_well = self.alive and not self.good.problem and self.good.missed <= self.late
        return (
            served_well
            and not self.tally.wrong
            and self.late <= late * len(self.good.seqs)
            and self.grown <= growth
        )

    def body(self) -> str:
        """For people."""
        tally, good = self.tally, self.good
        lines = [
            f"{tally.sent.total()} attacks in {self.seconds:.0f} s, {len(tally.wrong)} with another answer than "
            f"those that are right. The server {'is up' if self.alive else 'DIED'} with {self.memory:.0f} MB, "
            f"{self.grown:+.1f} MB since the first tenth. The good client beside got {len(good.seqs)} results and "
            f"missed {good.missed}, {self.late} of them because the server was late for them. {good.problem}",
            table(["sent", "times"], tally.sent.most_common()),
            table(["answered with", "times"], tally.answered.most_common()),
            *(f"WRONG: {line}" for line in tally.wrong[:20]),
        ]
        return "\n\n".join(lines)


def carry_out(seed: int, count: int, rate: float) -> Outcome:
    """The whole campaign against a server of its own."""
    tally, began = Tally(), time.monotonic()
    with served(rate, token=TOKEN, clients=CLIENTS, identify=IDENTIFY_SECONDS) as server:
        good = GoodClient(server.port)
        good.start()
        grown = asyncio.run(campaign(server, seed, count, tally))
        good.finish()
        alive, memory = server.alive, server.rss_mb()
        late = server.counters("miar_dropped_messages", TOKEN).get("superseded", 0) if alive else 0
    return Outcome(tally, good, alive, memory, grown, late, time.monotonic() - began)


def main() -> None:
    """Attack, print what came of it, and say by the exit code whether all was well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="malformed messages, requests and connections")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=10.0, help="results a second for the good client")
    parser.add_argument("--late", type=float, default=0.05, help="share of results that the server may be late for")
    parser.add_argument("--growth", type=float, default=20.0, help="MB that the server may grow by")
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    given = parser.parse_args()
    outcome = carry_out(given.seed, given.count, given.rate)
    text = section("Attacks", f"python scripts/fuzz_server.py --count {given.count}", outcome.body())
    print(text)
    if not outcome.well(given.late, given.growth):
        raise SystemExit(1)
    if given.publish:
        publish("Attacks", text)


if __name__ == "__main__":
    main()
