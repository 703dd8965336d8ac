"""The overlay's options in a real Chromium."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browsing import Tab
from serving_samples import face as one_of_several
from serving_samples import result

from stream.events import FaceBox
from stream.serving.server import Server

pytestmark = pytest.mark.device


def style(tab: Tab, selector: str, name: str) -> str:
    return str(tab.page.eval_on_selector(selector, f"node => getComputedStyle(node)['{name}']"))


def box(tab: Tab, selector: str) -> dict[str, float]:
    found: dict[str, float] = tab.page.eval_on_selector(selector, "node => node.getBoundingClientRect().toJSON()")
    return found


PARTS = {
    "label": "#label",
    "bars": "#bars",
    "sentiment": "#scale",
    "presence": "#modalities",
    "transcript": "#transcript",
}


@pytest.mark.parametrize("chosen", ["label", "bars", "sentiment", "presence", "transcript", "label,transcript"])
def test_the_overlay_shows_the_parts_asked_for(server: Server, tab: Tab, chosen: str) -> None:
    tab.open(f"{server.url}overlay?parts={chosen}")
    server.publish(result(1))
    tab.wait_for_label("happiness")
    shown = {name for name, selector in PARTS.items() if tab.page.is_visible(selector)}
    assert shown == set(chosen.split(","))
    assert tab.complaints == []


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_overlay_marks_everybody_in_the_picture(server: Server, tab: Tab, mirrored: bool) -> None:
    tab.open(f"{server.url}overlay?parts=faces{'&mirror=1' if mirrored else ''}")
    left, right = one_of_several(1), one_of_several(2, speaking=True)
    right = msgspec.structs.replace(right, box=FaceBox(0.6, 0.25, 0.2, 0.5))
    server.publish(msgspec.structs.replace(result(1), faces=[left, right]))
    tab.wait_for_text("[data-face='2'] span", "♪ 2 happiness 62 %")
    page, marked = box(tab, "#faces"), box(tab, "[data-face='2']")
    assert marked["left"] == pytest.approx(page["width"] * (0.2 if mirrored else 0.6), abs=1.0)
    assert marked["width"] == pytest.approx(page["width"] * 0.2, abs=1.0)
    assert marked["top"] == pytest.approx(page["height"] * 0.25, abs=1.0)
    assert style(tab, "[data-face='1']", "outlineStyle") == "none"
    assert style(tab, "[data-face='2']", "outlineStyle") == "solid"
    assert not tab.page.is_visible("#overlay")
    server.publish(msgspec.structs.replace(result(2), faces=[left]))
    tab.page.wait_for_selector("[data-face='2']", state="detached")
    assert tab.page.locator(".face").count() == 1
    assert tab.complaints == []


def test_the_overlay_takes_colours(server: Server, tab: Tab) -> None:
    colours = "happiness:ff0000,anger:%2300f,plate:00ff0080,ink:112233,soft:445566,accent:010203"
    tab.open(f"{server.url}overlay?parts=label,bars,sentiment&colours={colours}")
    server.publish(result(1))
    tab.wait_for_label("happiness")
    assert style(tab, "#label", "color") == "rgb(255, 0, 0)"
    assert style(tab, "[data-emotion=happiness] .fill", "backgroundColor") == "rgb(255, 0, 0)"
    assert style(tab, "[data-emotion=anger] .fill", "backgroundColor") == "rgb(0, 0, 255)"
    assert style(tab, "#overlay", "backgroundColor") == "rgba(0, 255, 0, 0.5)"
    assert style(tab, ".bar.top", "color") == "rgb(17, 34, 51)"
    assert style(tab, "#confidence", "color") == "rgb(68, 85, 102)"
    assert style(tab, "#scale .band", "backgroundColor") == "rgb(1, 2, 3)"
    assert tab.complaints == []
    tab.open(f"{server.url}overlay?colours=joy:ff0000,anger:red,plate")
    server.publish(result(1))
    tab.wait_for_label("happiness")
    assert [line.split(";")[0] for line in tab.complaints] == [
        "no such colour: joy:ff0000",
        "no such colour: anger:red",
        "no such colour: plate",
    ]


@pytest.mark.parametrize(
    ("side", "edge"), [("left", "bottom"), ("right", "bottom"), ("left", "top"), ("right", "top")]
)
def test_the_overlay_keeps_to_its_corner_at_any_scale(server: Server, tab: Tab, side: str, edge: str) -> None:
    widths = []
    for scale in ("0.5", "1", "2"):
        tab.open(f"{server.url}overlay?side={side}&edge={edge}&scale={scale}")
        server.publish(result(1))
        tab.wait_for_label("happiness")
        panel = box(tab, "#overlay")
        widths.append(panel["width"])
        assert (panel["left"] if side == "left" else 1280 - panel["right"]) == pytest.approx(20, abs=1)
        assert (panel["top"] if edge == "top" else 800 - panel["bottom"]) == pytest.approx(20, abs=1)
    assert widths == pytest.approx([168, 336, 672], abs=1)


def test_the_overlay_names_no_label_below_a_confidence(server: Server, tab: Tab) -> None:
    tab.open(f"{server.url}overlay?min=0.61")
    server.publish(result(1))
    tab.wait_for_label("happiness")
    assert tab.text("#confidence") == "62 %"
    tab.open(f"{server.url}overlay?min=0.63")
    server.publish(result(2))
    tab.wait_for_value("[data-emotion=happiness]", "data-value", "0.62")
    assert tab.text("#label") == "\u2013"
    assert tab.text("#confidence") == ""
    assert tab.page.locator(".bar.top").count() == 0
