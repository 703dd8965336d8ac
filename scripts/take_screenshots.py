"""The pictures of dashboard and overlay in README and docs: the demo clip in a real browser.

Example
-------
    python scripts/take_screenshots.py --clip demo/clip.mp4
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

DOCS = Path(__file__).resolve().parents[1] / "docs"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def start_live(clip: Path, options: list[str]) -> tuple[subprocess.Popen[str], str]:
    """``miar-live`` playing a clip, and the address of its dashboard."""
    program = [sys.executable, "-c", "from stream.cli import live_main; live_main()"]
    process = subprocess.Popen(
        [*program, "--input", str(clip), "--asr", "sphinx", "--port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
        cwd=DOCS.parent,
    )
    for line in process.stderr or ():
        found = re.match(r"dashboard (\S+)", line)
        if found:
            return process, found.group(1)
    raise SystemExit("miar-live did not start")


def shoot(browser: Browser, url: str, after: float) -> None:
    """Both pages, ``after`` seconds of the clip."""
    dashboard = browser.new_page(viewport={"width": 1280, "height": 872}, color_scheme="dark")
    dashboard.goto(url)
    overlay = browser.new_page(viewport={"width": 420, "height": 300})
    overlay.goto(f"{url}overlay")
    time.sleep(after)
    dashboard.screenshot(path=DOCS / "dashboard.png")
    overlay.screenshot(path=DOCS / "overlay.png")


def main() -> None:
    """Play, wait, take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clip", type=Path, default=Path("demo/clip.mp4"))
    parser.add_argument("--after", type=float, default=30.0, help="seconds of the clip before the picture")
    parser.add_argument("options", nargs="*", help="more options of miar-live, after --")
    arguments = parser.parse_args()
    process, url = start_live(arguments.clip.resolve(), arguments.options)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            shoot(browser, url, arguments.after)
            browser.close()
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
