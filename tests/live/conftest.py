"""Fixtures around the stand-ins for devices in ``scripts/stand_ins.py``."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import CHROMIUM, FLAGS, Tab, missing_browser

from stream.serving.protocol import HelloInfo
from stream.serving.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from stand_ins import MjpegCamera, PulseMicrophone, jpegs, missing_for_pulse, numbered_faces

SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def pulse_folder() -> Iterator[Path]:
    """A short path: the sockets in it have names of at most 107 bytes, which tmp_path can exceed."""
    with tempfile.TemporaryDirectory(prefix="pulse") as folder:
        yield Path(folder)


@pytest.fixture
def pulse_microphone(
    pulse_folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PulseMicrophone]:
    """A server of its own; parametrise with ``(rate, channels)`` of the sink, 16 kHz mono if not given."""
    if (missing := missing_for_pulse()) is not None:
        pytest.skip(missing)
    microphone = PulseMicrophone(pulse_folder, *getattr(request, "param", (16_000, 1)))
    for name, value in microphone.variables.items():
        monkeypatch.setenv(name, value)
    try:
        microphone.start()
        yield microphone
    finally:
        microphone.stop()


@pytest.fixture
def mjpeg_camera() -> Iterator[MjpegCamera]:
    """A running camera whose pictures are ``numbered_faces(16)``, over and over."""
    pytest.importorskip("skimage.data", reason="scikit-image is not installed (the extra dev)")
    camera = MjpegCamera(jpegs(numbered_faces(16)))
    camera.start()
    try:
        yield camera
    finally:
        camera.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RtspCamera:
    """GStreamer's RTSP server with a test picture, in a process of the system's Python."""

    port: int = field(default_factory=_free_port)
    server: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it is, also while it is stopped."""
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Begin to serve, where it did before; skips the test where that cannot be."""
        command = [SYSTEM_PYTHON, str(Path(__file__).with_name("rtsp_server.py")), str(self.port)]
        try:
            self.server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        except OSError:
            pytest.skip(f"no {SYSTEM_PYTHON}")
        if self.server.stdout is None or self.server.stdout.readline().strip() != "ready":
            pytest.skip("no GStreamer RTSP server: apt install gir1.2-gst-rtsp-server-1.0 python3-gi")

    def stop(self) -> None:
        """Lose power."""
        if self.server is not None:
            self.server.kill()
            self.server.communicate()
            self.server = None


@pytest.fixture
def rtsp_camera() -> Iterator[RtspCamera]:
    """A running one."""
    camera = RtspCamera()
    try:
        camera.start()
        yield camera
    finally:
        camera.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if (missing := missing_browser()) is not None:
        pytest.skip(missing)
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield one
        one.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    yield Tab(page)
    page.close()


@pytest.fixture
def server() -> Iterator[Server]:
    sources = {"vision": "camera 0", "audio": "USB microphone"}
    with Server(port=0, describe=HelloInfo(checkpoint="default-1", engine="onnx", sources=sources)) as one:
        yield one
