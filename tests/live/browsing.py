"""A page in a real Chromium, and what its console says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright import sync_api as playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT_MS = 20_000


def missing_browser() -> str | None:
    if shutil.which("chromium") is None or not CHROMIUM.exists():
        return "no /usr/bin/chromium"
    with CHROMIUM.open("rb") as file:
        start = file.read(4096)
    return "chromium is only a snap stub here" if b"snap" in start and start.startswith(b"#!") else None


def _expect(where: playwright.Locator) -> playwright.LocatorAssertions:
    from playwright.sync_api import expect

    return expect(where)


class Tab:
    """A page that keeps what its console says."""

    def __init__(self, page: playwright.Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: line.type in {"error", "warning"} and self.complaints.append(line.text))
        page.on("request", lambda request: self.asked.append(request.url))
        self.asked: list[str] = []

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.wait_for_state("ready")

    def wait_for_state(self, state: str) -> None:
        self.wait_for_value("#connection", "data-state", state)

    def wait_for_label(self, text: str) -> None:
        self.wait_for_text("#label", text)

    def wait_for_text(self, selector: str, text: str) -> None:
        # no wait_for_function here: it evaluates strings, which the pages' policy forbids
        _expect(self.page.locator(selector)).to_have_text(text, timeout=WAIT_MS)

    def wait_for_value(self, selector: str, attribute: str, value: str) -> None:
        _expect(self.page.locator(selector)).to_have_attribute(attribute, value, timeout=WAIT_MS)

    def value(self, selector: str, attribute: str) -> str | None:
        found = self.page.get_attribute(selector, attribute)
        return None if found is None else str(found)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector)).strip()
