"""The pages in a real Chromium, fed by the real server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browsing import Tab
from serving_samples import nothing, result

from stream.events import Result
from stream.serving.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.device
ROOT = Path(__file__).resolve().parents[2]


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


def test_both_pages_come_back_after_a_restart(browser: Browser) -> None:
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


def test_the_example_of_the_docs_runs_in_a_page(server: Server, tab: Tab) -> None:
    text = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    code = text.partition("```js\n")[2].partition("```")[0].replace("8765", str(server.port))
    code = code.replace('import { MiarClient } from "./', 'const { MiarClient } = await import("/').replace(
        '.js";', '.js");'
    )
    server.publish(result(1))
    tab.page.goto(f"{server.url}healthz")
    with tab.page.expect_console_message(lambda line: line.text == "happiness 0.62"):
        tab.page.evaluate(f"async () => {{ {code} }}")


@pytest.mark.parametrize("address", ["", "overlay"])
def test_nothing_moves_by_itself(server: Server, tab: Tab, address: str) -> None:
    tab.open(server.url + address)
    server.publish(result(1))
    tab.wait_for_label("happiness")
    style = "Array.from(document.querySelectorAll('*'), (one) => getComputedStyle(one))"
    moving = f"{style}.filter((one) => one.animationName !== 'none' || one.transitionDuration !== '0s').length"
    assert tab.page.evaluate(moving) == 0


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
