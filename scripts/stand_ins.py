"""Stand-ins for devices that are the real thing from the device's driver on: a sound server and a camera server."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ALSA_DEFAULTS = Path("/usr/share/alsa/alsa.conf")
START_SECONDS = 30.0


def missing_for_pulse() -> str | None:
    """What a microphone cannot be stood in for without, and the package that brings it."""
    for program in ("pulseaudio", "pactl", "paplay"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt install pulseaudio pulseaudio-utils)"
    if importlib.util.find_spec("pyaudio") is None:
        return "PyAudio is not installed (the extra mic)"
    if not ALSA_DEFAULTS.exists() or not list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        return "ALSA has no PulseAudio plug-in (apt install libasound2-plugins)"
    return None


class PulseMicrophone:
    """A PulseAudio server of its own, whose default source hears what is played into a null sink.

    Parameters
    ----------
    folder
        Where it keeps everything. A short path: names of sockets have at most 107 bytes.
    rate, channels
        Of the sink.
    """

    def __init__(self, folder: Path, rate: int = 16_000, channels: int = 1) -> None:
        self.folder = folder
        self._sink = f"module-null-sink sink_name=virtmic rate={rate} channels={channels}"
        self._socket = folder / "native"
        alsa = folder / "asound.conf"
        alsa.write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        self.variables = {
            "XDG_RUNTIME_DIR": str(folder),
            "HOME": str(folder),
            "PULSE_SERVER": f"unix:{self._socket}",
            "ALSA_CONFIG_PATH": f"{ALSA_DEFAULTS}:{alsa}",
        }
        self._players: list[subprocess.Popen[bytes]] = []
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to serve: plugged in; ``TimeoutError`` when the server does not start."""
        protocol = f"module-native-protocol-unix socket={self._socket} auth-anonymous=1"
        options = ["--daemonize=no", "--system=false", "--exit-idle-time=-1", "--disallow-exit=false"]
        command = ["pulseaudio", "-n", *options, "-L", protocol, "-L", self._sink]
        self._server = subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)
        choose = ["pactl", "set-default-source", "virtmic.monitor"]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(choose, env=self._environment, stderr=subprocess.DEVNULL, check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError("PulseAudio did not start")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server, which is what unplugging looks like; what was played ends with it."""
        self.mute()
        if self._server is not None:
            self._server.terminate()
            self._server.wait(START_SECONDS)

    def hang(self) -> None:
        """Let the server stand still, until ``go_on``."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def play(self, wav: Path) -> None:
        """Start playing a file into the microphone."""
        # what is played sets how much a null sink hears at a time: without, its first sound takes two seconds
        command = ["paplay", "--device=virtmic", "--latency-msec=20", str(wav)]
        self._players.append(subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL))

    def mute(self) -> None:
        """Stop what is played: the microphone gives zeros."""
        for player in self._players:
            player.terminate()
            player.wait(START_SECONDS)
        self._players.clear()

    def _signal(self, number: int) -> None:
        if self._server is not None:
            self._server.send_signal(number)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}


@dataclass
class MjpegCamera:
    """A network camera: JPEGs over HTTP as multipart/x-mixed-replace, ``fps`` a second while ``running``.

    ``frozen`` gives the same picture again and again; ``hung`` keeps the connection and gives nothing.
    """

    pictures: list[bytes]
    fps: float = 25.0
    sent: int = 0
    port: int = 0
    running: threading.Event = field(default_factory=threading.Event)
    frozen: threading.Event = field(default_factory=threading.Event)
    hung: threading.Event = field(default_factory=threading.Event)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is, also while it is stopped once it ran."""
        return f"http://127.0.0.1:{self.port}/stream.mjpg"

    def start(self) -> None:
        """Begin to serve, where it did before."""
        self.running.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.port = self.server.server_address[1]
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Close all connections, as a camera does that loses power."""
        self.running.clear()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def next_part(self) -> bytes | None:
        """The next picture with its header, or nothing while it hangs."""
        if self.hung.is_set():
            return None
        self.sent += not self.frozen.is_set()
        jpeg = self.pictures[(self.sent - 1) % len(self.pictures)]
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        return head.encode() + jpeg + b"\r\n"


def _handler(camera: MjpegCamera) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while camera.running.is_set():
                    if part := camera.next_part():
                        self.wfile.write(part)
                    time.sleep(1.0 / camera.fps)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def numbered_faces(count: int) -> list[NDArray[np.uint8]]:
    """A face that may be shown, RGB, with a bar at the bottom whose brightness tells the number of the picture."""
    from skimage import data

    face = data.astronaut()
    pictures = []
    for number in range(count):
        picture = face.copy()
        picture[-32:] = round(255 * number / (count - 1))
        pictures.append(picture)
    return pictures


def jpegs(pictures: list[NDArray[np.uint8]]) -> list[bytes]:
    """RGB pictures as a camera sends them."""
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return [cv2.imencode(".jpg", cv2.cvtColor(one, cv2.COLOR_RGB2BGR), quality)[1].tobytes() for one in pictures]
