"""Stand-ins for devices that are the real thing from the device's driver on: a sound server and a camera server."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browsing import CHROMIUM, FLAGS, Tab, missing_browser
from numpy.typing import NDArray

from stream.serving.protocol import HelloInfo
from stream.serving.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ALSA_DEFAULTS = Path("/usr/share/alsa/alsa.conf")


@dataclass
class PulseMicrophone:
    """A PulseAudio server whose default source hears what is played into a null sink."""

    folder: Path
    environment: dict[str, str]
    pid: int
    players: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def play(self, wav: Path) -> None:
        """Start playing a file into the microphone."""
        self.players.append(subprocess.Popen(["paplay", "--device=virtmic", str(wav)], env=self.environment))

    def stop(self) -> None:
        """End the server, which is what unplugging looks like."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


def _missing_for_pulse() -> str | None:
    for program in ("pulseaudio", "pactl", "paplay"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt install pulseaudio pulseaudio-utils)"
    if importlib.util.find_spec("pyaudio") is None:
        return "PyAudio is not installed (the extra mic)"
    if not ALSA_DEFAULTS.exists() or not list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        return "ALSA has no PulseAudio plug-in (apt install libasound2-plugins)"
    return None


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
    if (missing := _missing_for_pulse()) is not None:
        pytest.skip(missing)
    rate, channels = getattr(request, "param", (16_000, 1))
    socket = pulse_folder / "native"
    alsa = pulse_folder / "asound.conf"
    alsa.write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    for name, value in {
        "XDG_RUNTIME_DIR": pulse_folder,
        "HOME": pulse_folder,
        "PULSE_SERVER": f"unix:{socket}",
        "ALSA_CONFIG_PATH": f"{ALSA_DEFAULTS}:{alsa}",
    }.items():
        monkeypatch.setenv(name, str(value))
    environment = dict(os.environ)
    server = subprocess.Popen(
        ["pulseaudio", "-n", "--daemonize=no", "--system=false", "--exit-idle-time=-1", "--disallow-exit=false",
         "-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1",
         "-L", f"module-null-sink sink_name=virtmic rate={rate} channels={channels}"],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    microphone = PulseMicrophone(pulse_folder, environment, server.pid)
    try:
        _wait_for_pulse(environment)
        yield microphone
    finally:
        for process in (*microphone.players, server):
            process.terminate()
            process.wait(20)


def _wait_for_pulse(environment: dict[str, str]) -> None:
    command = ["pactl", "set-default-source", "virtmic.monitor"]
    for _ in range(100):
        if subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return
        time.sleep(0.1)
    pytest.fail("PulseAudio did not start")


@dataclass
class MjpegCamera:
    """A network camera: JPEGs over HTTP as multipart/x-mixed-replace, ``fps`` a second while ``running``."""

    pictures: list[bytes]
    fps: float = 25.0
    sent: int = 0
    running: threading.Event = field(default_factory=threading.Event)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}/stream.mjpg"

    def start(self) -> None:
        """Begin to serve."""
        self.running.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Close all connections, as a camera does that loses power."""
        self.running.clear()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


def _handler(camera: MjpegCamera) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while camera.running.is_set():
                    jpeg = camera.pictures[camera.sent % len(camera.pictures)]
                    camera.sent += 1
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    time.sleep(1.0 / camera.fps)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def numbered_faces(count: int) -> list[NDArray[np.uint8]]:
    """The astronaut, RGB, with a bar at the bottom whose brightness tells the number of the picture."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed (the extra dev)")
    face = data.astronaut()
    pictures = []
    for number in range(count):
        picture = face.copy()
        picture[-32:] = round(255 * number / (count - 1))
        pictures.append(picture)
    return pictures


@pytest.fixture
def mjpeg_camera() -> Iterator[MjpegCamera]:
    """A running camera whose pictures are ``numbered_faces(16)``, over and over."""
    import cv2

    encoded = [
        cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        for picture in numbered_faces(16)
    ]
    camera = MjpegCamera(encoded)
    camera.start()
    try:
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
