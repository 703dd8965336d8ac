"""From a message to its picture: what dashboard and overlay need in Chromium, without a graphics card.

Example
-------
    python scripts/bench_pages.py --seconds 30 --publish
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files

import msgspec
import numpy as np
import psutil
from bench_report import percentiles, publish, section, table
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright
from serve_results import made_up
from take_screenshots import CHROMIUM, FLAGS

from miar_rt.signals import EMOTIONS
from stream.events import Landmarks
from stream.onlookers import LANDMARKS_RATE
from stream.serving.server import Server

EMPTY = "almost empty"
PAGES = (
    (EMPTY, 5.0), (EMPTY, 10.0), ("", 10.0), ("?rate=60", 10.0), ("?rate=60", 30.0),
    ("overlay?rate=60", 10.0), ("overlay?rate=60", 30.0),
)  # fmt: skip
"""Pages and results a second; the almost empty one shows nothing but the confidence."""
SETTLE_SECONDS = 5.0
LOWEST, STEPS = 15, 80
"""Each result shows another percentage, so that its picture can be told from the 79 before."""

ALMOST_EMPTY = """async () => {
  const { MiarClient } = await import("/miar-client.js");
  document.body.innerHTML = "<p id=confidence></p>";
  new MiarClient(`ws://${location.host}/`, { events: ["result"] }).addEventListener("result", ({ detail }) => {
    document.querySelector("#confidence").textContent = `${Math.round(detail.confidence * 100)} %`;
  });
}"""

# the frame after the one in which the text was drawn has begun: by then that one is on its way to the screen
WATCH = """() => {
  window.shown = [];
  const node = document.querySelector("#confidence");
  const note = (text) => () => shown.push([text, performance.timeOrigin + performance.now()]);
  new MutationObserver(() => requestAnimationFrame(note(node.textContent))).observe(
    node, { childList: true, characterData: true, subtree: true });
}"""


class Feed:
    """Publishes results whose every number moves, and a face that moves; knows when each was published."""

    def __init__(self, server: Server, rate: float) -> None:
        self.sent: list[tuple[str, float]] = []
        self._server, self._rate = server, rate
        self._random = np.random.default_rng(0)
        self._points = a_face()
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Publish meanwhile."""
        threads = [
            threading.Thread(target=self._steadily, args=(rate, tell), daemon=True)
            for rate, tell in ((self._rate, self._result), (LANDMARKS_RATE, self._face))
        ]
        for thread in threads:
            thread.start()
        yield
        self._over.set()
        for thread in threads:
            thread.join()

    def _steadily(self, rate: float, tell: Callable[[int], None]) -> None:
        began, seq = time.monotonic(), 0
        while not self._over.wait(max(began + seq / rate - time.monotonic(), 0.0)):
            tell(seq)
            seq += 1

    def _result(self, seq: int) -> None:
        percent = LOWEST + seq % STEPS
        shares = self._random.dirichlet(np.ones(6)) * (1.0 - percent / 100)
        emotions = dict(zip(EMOTIONS, np.insert(shares, 1, percent / 100).tolist(), strict=True))
        result = msgspec.structs.replace(made_up(seq), emotions=emotions, confidence=percent / 100)
        self.sent.append((f"{percent} %", time.time() * 1e3))
        self._server.publish(result)

    def _face(self, seq: int) -> None:
        if self._server.wanted("landmarks"):
            points = (self._points + self._random.normal(0.0, 0.002, (478, 3))).round(4).tolist()
            self._server.publish(Landmarks(media_time=seq / LANDMARKS_RATE, aspect=1.3333, points=points))


def a_face() -> NDArray[np.float64]:
    """Points ``[478, 3]`` of an ordinary face in the middle of a picture 4 to 3, as fractions of its size."""
    with (files("miar_rt.features") / "neutral_face.npz").open("rb") as stream, np.load(stream) as stored:
        points = stored["landmarks"].astype(np.float64)
    points -= points.mean(axis=0)
    return points / np.ptp(points[:, 1]) * (0.45, 0.6, 0.45) + 0.5


def delays(sent: list[tuple[str, float]], shown: list[tuple[str, float]]) -> list[float]:
    """Milliseconds to each picture from the newest publication of what it shows."""
    published = [[at for one, at in sent if one == text and at <= shown_at] for text, shown_at in shown]
    return [at - times[-1] for times, (_, at) in zip(published, shown, strict=True) if times]


def cpu_seconds() -> dict[str, float]:
    """Processor time of the browser's processes so far: the page's own, and the one that puts pictures together."""
    used = {"page": 0.0, "pictures": 0.0}
    for child in psutil.Process().children(recursive=True):
        kind = {"--type=renderer": "page", "--type=gpu-process": "pictures"}
        for argument in child.cmdline():
            if argument in kind:
                times = child.cpu_times()
                used[kind[argument]] += times.user + times.system
    return used


def measure(page: Page, address: str, rate: float, seconds: float) -> list[object]:
    """One row of the table."""
    with Server(port=0) as server:
        feed = Feed(server, rate)
        page.goto(server.url + ("healthz" if address == EMPTY else address))
        if address == EMPTY:
            page.evaluate(ALMOST_EMPTY)
        with feed.running():
            time.sleep(SETTLE_SECONDS)
            page.evaluate(WATCH)
            before, first = cpu_seconds(), len(feed.sent)
            time.sleep(seconds)
            used, last = cpu_seconds(), len(feed.sent)
            shown = page.evaluate("shown")
        found = delays(feed.sent, shown)
    wait = percentiles(found)
    cores = [f"{(used[name] - before[name]) / seconds * 100:.1f} %" for name in used]
    missed = max(last - first - len(found), 0)
    name = f"dashboard{address}" if address in ("", "?rate=60") else address
    return [name, f"{rate:g}", wait["p50"], wait["p95"], wait["max"], missed, *cores]


HEADER = ("page", "rate", "p50 ms", "p95 ms", "max ms", "not shown", "page, of a core", "compositor, of a core")


def main() -> None:
    """Measure both pages at both rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    given = parser.parse_args()
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for address, rate in PAGES:
            page = browser.new_page(viewport={"width": 1280, "height": 820})
            rows.append(measure(page, address, rate, given.seconds))
            page.close()
        browser.close()
    body = (
        "From handing a result to the server to the frame after the one it was drawn in; every number changes with "
        "every result, and the dashboard draws a face mesh besides; by itself it asks for five results a second. "
        "The almost empty page shows one number and nothing else: what any page costs that changes so often. "
        "Chromium draws without a graphics card."
        f"\n\n{table(HEADER, rows)}"
    )
    print(body)
    if given.publish:
        publish("Pages", section("Pages", "python scripts/bench_pages.py", body))


if __name__ == "__main__":
    main()
