"""The pages in a real Chromium, fed by the real server."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from serving_samples import nothing, result

from stream.events import Result
from stream.serving.protocol import HelloInfo
from stream.serving.server import Server

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT_MS = 20_000

pytestmark = pytest.mark.device


def _missing() -> str | None:
    if shutil.which("chromium") is None or not CHROMIUM.exists():
        return "no /usr/bin/chromium"
    with CHROMIUM.open("rb") as file:
        start = file.read(4096)
    return "chromium is only a snap stub here" if b"snap" in start and start.startswith(b"#!") else None


class Tab:
    """A page that keeps what its console says."""

    def __init__(self, page: "playwright.Page") -> None:
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
        playwright.expect(self.page.locator("#connection")).to_have_attribute("data-state", state, timeout=WAIT_MS)

    def wait_for_label(self, text: str) -> None:
        self.wait_for_text("#label", text)

    def wait_for_text(self, selector: str, text: str) -> None:
        # no wait_for_function here: it evaluates strings, which the pages' policy forbids
        playwright.expect(self.page.locator(selector)).to_have_text(text, timeout=WAIT_MS)

    def value(self, selector: str, attribute: str) -> str | None:
        found = self.page.get_attribute(selector, attribute)
        return None if found is None else str(found)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector)).strip()


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    reason = _missing()
    if reason:
        pytest.skip(reason)
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield one
        one.close()


@pytest.fixture
def tab(browser: "playwright.Browser") -> Iterator[Tab]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    yield Tab(page)
    page.close()


@pytest.fixture
def server() -> Iterator[Server]:
    sources = {"vision": "camera 0", "audio": "USB microphone"}
    with Server(port=0, describe=HelloInfo(checkpoint="default-1", engine="onnx", sources=sources)) as one:
        yield one


def angry(seq: int) -> Result:
    emotions = {
        "neutral": 0.1,
        "anger": 0.9,
        "happiness": 0.0,
        "sadness": 0.0,
        "surprise": 0.0,
        "disgust": 0.0,
        "fear": 0.0,
    }
    return msgspec.structs.replace(result(seq), emotions=emotions, label="anger", confidence=0.9)


def test_the_dashboard_shows_the_message(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    server.publish(result(1))
    tab.wait_for_label("happiness")
    for name, share in (result().emotions or {}).items():
        assert float(tab.value(f"[data-emotion={name}]", "data-value") or "nan") == share
        assert tab.text(f"[data-emotion={name}] .num") == f"{round(share * 100)} %"
    assert tab.text("#confidence") == "62 %"
    assert tab.text("#sentiment") == "+1.2"
    assert "+0.3 to +2.1" in tab.text("#interval")
    assert tab.text("#transcript-committed") == "what a wonderful"
    assert tab.text("#transcript-partial") == "day"
    assert tab.text("#capturing") == "Capturing camera 0 and USB microphone"
    assert tab.complaints == []


def test_the_dashboard_says_what_is_absent_and_why(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    server.publish(result(1))
    tab.wait_for_label("happiness")
    assert tab.value("[data-modality=vision]", "data-present") == "false"
    assert tab.text("[data-modality=vision] .why") == "no face in the picture"
    assert tab.value("[data-modality=audio]", "data-present") == "true"
    assert tab.text("[data-modality=audio] .old") == "72 ms old"
    assert tab.text("[data-modality=audio] .share") == "contributes 40 %"
    tab.wait_for_text("[data-stage=total] td:nth-of-type(1)", "80 ms")


def test_the_bars_are_drawn_as_long_as_the_shares(server: Server, tab: Tab) -> None:
    tab.page.emulate_media(reduced_motion="reduce")
    tab.open(server.url)
    server.publish(angry(1))
    tab.wait_for_label("anger")
    ratio = tab.page.evaluate(
        "() => { const row = document.querySelector('[data-emotion=anger]');"
        " const [fill, track] = ['.fill', '.track'].map((part) => row.querySelector(part).getBoundingClientRect());"
        " return fill.width / track.width; }"
    )
    assert ratio == pytest.approx(0.9, abs=0.01)


def test_with_nothing_present_no_score_is_invented(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    server.publish(result(1))
    tab.wait_for_label("happiness")
    server.publish(nothing(2))
    tab.wait_for_label("no score")
    assert tab.value("[data-emotion=happiness]", "data-value") == ""
    assert tab.value("[data-emotion=happiness]", "aria-valuetext") == "no score"
    assert tab.text("#confidence") == ""
    assert tab.text("#sentiment") == "\u2013"
    assert tab.complaints == []


def test_both_pages_come_back_after_a_restart(browser: "playwright.Browser") -> None:
    first = Server(port=0)
    first.start()
    tabs = [Tab(browser.new_page()), Tab(browser.new_page())]
    tabs[0].open(first.url)
    tabs[1].open(f"{first.url}overlay")
    first.stop()
    for one in tabs:
        one.wait_for_state("waiting")
    with Server(port=first.port) as second:
        second.publish(angry(1))
        for one in tabs:
            one.wait_for_label("anger")
            one.page.close()


def test_nothing_is_asked_of_anybody_else(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    assert tab.asked
    assert all(url.startswith((f"http://127.0.0.1:{server.port}/", "data:")) for url in tab.asked)


def test_a_token_is_asked_for_and_taken(tab: Tab) -> None:
    with Server(port=0, token="a b#c") as server:  # noqa: S106 - of this test alone
        tab.page.goto(f"http://127.0.0.1:{server.port}/")
        tab.page.fill("#token", "a b#c")
        tab.page.press("#token", "Enter")
        tab.wait_for_state("ready")
        tab.page.goto("about:blank")
        tab.open(server.url)


def test_the_timeline_is_drawn_and_read_off(server: Server, tab: Tab) -> None:
    tab.open(server.url)
    server.publish(result(1))
    tab.wait_for_label("happiness")
    tab.page.focus("#timeline")
    tab.page.keyboard.press("ArrowRight")
    assert "happiness 62 %, surprise 20 %, neutral 11 %" in tab.text("#timeline-reading")
    tab.page.click("#hold")
    assert tab.value("#hold", "aria-pressed") == "true"


@pytest.mark.parametrize("width", [640, 360])
def test_it_stays_readable_when_enlarged(server: Server, tab: Tab, width: int) -> None:
    """At 200 % a window of 1280 pixels has 640: nothing may need sideways scrolling."""
    tab.page.set_viewport_size({"width": width, "height": 700})
    tab.open(server.url)
    server.publish(result(1))
    tab.wait_for_label("happiness")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_overlay_fits_a_small_source_and_says_why_there_is_no_score(server: Server, tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 800, "height": 450})
    tab.open(f"{server.url}overlay?parts=label,bars,sentiment,presence,transcript&scale=1.5")
    server.publish(nothing(1))
    tab.wait_for_text("#why", "no words yet \u00b7 nobody is speaking \u00b7 no face in the picture")
    box = tab.page.eval_on_selector("#overlay", "panel => panel.getBoundingClientRect().toJSON()")
    assert (box["top"] >= 0, box["left"] >= 0) == (True, True)
    assert (box["bottom"] <= 450, box["right"] <= 800) == (True, True)
    assert tab.complaints == []


def test_the_overlay_forgets_an_answer_that_is_over(server: Server, tab: Tab) -> None:
    tab.open(f"{server.url}overlay")
    server.publish(result(1))
    tab.wait_for_label("happiness")
    tab.wait_for_label("\u2013")
    bars = tab.page.eval_on_selector_all("#bars .bar", "rows => rows.map(row => row.dataset.value)")
    assert bars == [""] * 7
    server.publish(result(2))
    tab.wait_for_label("happiness")


def test_the_overlay_says_which_parts_there_are(server: Server, tab: Tab) -> None:
    tab.open(f"{server.url}overlay?parts=labels,bars,foo")
    assert tab.page.is_visible("#bars")
    assert tab.page.is_hidden("#label")
    (complaint,) = tab.complaints
    assert "no such parts: labels, foo" in complaint
    tab.open(f"{server.url}overlay?parts=labels")
    assert tab.page.is_visible("#label")


def test_the_overlay_is_transparent_around_its_panel(server: Server, tab: Tab) -> None:
    tab.open(f"{server.url}overlay?parts=label,transcript&side=right&scale=1.5&min=0.7")
    server.publish(angry(1))
    tab.wait_for_label("anger")
    body = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert body == "rgba(0, 0, 0, 0)"
    picture = tab.page.screenshot(omit_background=True)
    corner = tab.page.evaluate(
        "async bytes => { const map = await createImageBitmap(new Blob([new Uint8Array(bytes)]));"
        " const context = new OffscreenCanvas(map.width, map.height).getContext('2d');"
        " context.drawImage(map, 0, 0); return [...context.getImageData(3, 3, 1, 1).data]; }",
        list(picture),
    )
    assert corner == [0, 0, 0, 0]
    assert tab.page.is_hidden("#bars")
    assert tab.page.is_visible("#transcript")
    assert tab.page.eval_on_selector("#overlay", "panel => panel.getBoundingClientRect().left") > 640
    server.publish(result(2))
    tab.wait_for_label("\u2013")
    assert tab.complaints == []
