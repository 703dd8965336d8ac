"""A real server in a process of its own that publishes made-up results steadily, for benchmarks and attacks."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from miar_rt.signals import EMOTIONS
from stream.events import Latency, ModalityState, ModelInfo, Result, Sentiment, TranscriptState
from stream.serving.server import Options, Server

SHARES = (0.11, 0.62, 0.02, 0.03, 0.2, 0.018, 0.002)


def made_up(seq: int) -> Result:
    """A result of the usual size; ``media_time`` is this machine's monotonic clock, which all processes share."""
    emotions = dict(zip(EMOTIONS, SHARES, strict=True))
    return Result(
        seq=seq,
        time=time.time(),
        media_time=time.monotonic(),
        emotions=emotions,
        raw_emotions=emotions,
        label="happiness",
        confidence=0.62,
        sentiment=Sentiment(1.2, 0.3, 2.1),
        modalities={
            "text": ModalityState(True, None, 340.0, 0.6),
            "audio": ModalityState(True, None, 72.0, 0.4),
            "vision": ModalityState(False, "no_face", None, 0.0),
        },
        gate={"text": 0.3, "audio": 0.2, "vision": 0.0, "fused": 0.5},
        transcript=TranscriptState("what a wonderful day this is for all of us", "out here", "sphinx"),
        latency_ms=Latency(410.0, 78.0, None, 1.9, 79.9),
        model=ModelInfo("default-1", "onnx"),
        profile=None,
    )


class Served:
    """The server's process, seen from outside."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port, self.process = port, process

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        try:
            return b'"clients"' in self.get("/healthz")
        except OSError:
            return False

    def rss_mb(self) -> float:
        """Memory it holds, without shared pages of other processes."""
        return float(self.process.memory_info().rss) / 2**20

    def cpu_seconds(self) -> float:
        """Processor time it took so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def get(self, target: str, token: str = "") -> bytes:
        """What it answers to a GET."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{target}", headers=headers)
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - only ever http to ourselves
            return bytes(answer.read())

    def counters(self, name: str, token: str = "") -> dict[str, int]:
        """One of its counters, by label."""
        lines = self.get("/metrics", token).decode().splitlines()
        found = [line.split(" ") for line in lines if line.startswith(f"{name}_total{{")]
        return {label.split('"')[1]: int(float(value)) for label, value in found}


@contextmanager
def served(rate: float, *, token: str = "", clients: int = 1024, identify: float = 5.0) -> Iterator[Served]:
    """Start the server, and end it."""
    command = [sys.executable, __file__, str(rate), token, str(clients), str(identify)]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        try:
            if process.stdout is None or not (line := process.stdout.readline()):
                raise SystemExit("the server did not start")
            yield Served(int(line), psutil.Process(process.pid))
        finally:
            process.kill()


def allow_files(number: int) -> None:
    """Let this process open so many files, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(number, hard)), hard))


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("rate", type=float)
    parser.add_argument("token")
    parser.add_argument("clients", type=int)
    parser.add_argument("identify", type=float)
    given = parser.parse_args()
    allow_files(given.clients + 256)
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    options = Options(max_clients=given.clients, identify_seconds=given.identify)
    with Server(port=0, token=given.token or None, on_request=msgspec.to_builtins, options=options) as server:
        print(server.port, flush=True)
        began = time.monotonic()
        seq = 0
        while not over.wait(max(began + seq / given.rate - time.monotonic(), 0.0)):
            server.publish(made_up(seq))
            seq += 1


if __name__ == "__main__":
    main()
