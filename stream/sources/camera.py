"""Cameras by number or name, and by URL (MJPEG over HTTP, RTSP), through OpenCV."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.clock import CaptureClock
from stream.events import VideoFrame
from stream.sources import (
    CLOSE_SECONDS,
    LONGER_SIDE,
    OPEN_SECONDS,
    SILENT_DEVICE_SECONDS,
    Device,
    SourceError,
)
from stream.sources.devices import choose_device
from stream.sources.mailboxes import LatestFrame

_DRIVER_STAMPS = "driver's stamp of each picture (V4L2)"
_GRAB_STAMPS = "moment at which each picture was grabbed"


def discover_cameras(root: Path = Path("/")) -> list[Device]:
    """Video capture devices of Linux, without opening any; the lowest one is the default.

    Parameters
    ----------
    root
        Where ``dev`` and ``sys`` are.
    """
    links = {link.resolve().name: link for link in sorted((root / "dev/v4l/by-id").glob("*-index0"))}
    nodes = sorted((root / "dev").glob("video*"), key=lambda node: int(node.name[5:] or -1))
    cameras = [_describe(node, root / "sys/class/video4linux" / node.name, links) for node in nodes]
    found = [camera for camera in cameras if camera is not None]
    return [
        Device("camera", camera.index, camera.name, camera.identifier, default=number == 0)
        for number, camera in enumerate(found)
    ]


def _describe(node: Path, system: Path, links: dict[str, Path]) -> Device | None:
    """One device node, or ``None`` for the node of a camera's metadata, which has a number of its own."""
    function = system / "index"
    if function.exists() and function.read_text().strip() != "0":
        return None
    label = system / "name"
    name = label.read_text().strip() if label.exists() else node.name
    return Device("camera", int(node.name[5:]), name, str(links.get(node.name, node)))


class Camera:
    """A camera, drained by a thread so that the newest picture is always the one that is read.

    Keeps the contract of ``stream.sources.VideoSource``.

    Parameters
    ----------
    which
        Number, identifier, name or a part of one (see ``discover_cameras``), device path, or URL; ``None`` for
        the first camera there is.
    clock
        What its pictures are stamped on: with the driver's stamp where there is a believable one, else with the
        moment of grabbing.

    Raises
    ------
    NoDefaultDevice, SourceError
        On entering: there is no camera; it is not there, may not be opened, is in use, or gave no picture within
        ``OPEN_SECONDS``.
    """

    ended = False

    def __init__(self, which: int | str | None, clock: CaptureClock) -> None:
        self._which = which
        self._clock = clock
        self._frames = LatestFrame(clock.now)
        self._stop = threading.Event()
        self._answered = threading.Event()
        self._failure: str | None = None
        self._lost = False
        self._last_frame = 0.0
        self._thread: threading.Thread | None = None
        self.name = self.identifier = _without_credentials(str(which))
        self.time_base = _GRAB_STAMPS

    @property
    def lost(self) -> bool:
        """Whether pictures stopped coming."""
        if self._answered.is_set() and self._clock.now() - self._last_frame > SILENT_DEVICE_SECONDS:
            self._lost = True
        return self._lost

    @property
    def dropped_frames(self) -> int:
        """Pictures that were captured and not read in time."""
        return self._frames.dropped

    def __enter__(self) -> Camera:
        self._thread = threading.Thread(target=self._drain, args=self._target(), name="camera", daemon=True)
        self._thread.start()
        late = f"{self.name} gave no picture within {OPEN_SECONDS:.0f} s; see that it is running"
        failure = self._failure if self._answered.wait(OPEN_SECONDS) else late
        if failure is not None:
            self.__exit__(None, None, None)
            raise SourceError(failure)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        self._frames.close()

    def read_latest(self, max_age: float, timeout: float) -> VideoFrame | None:
        """The newest picture not read yet; see ``VideoSource``."""
        return self._frames.take(max_age, timeout)

    def _target(self) -> tuple[int | str, int]:
        """What OpenCV is to open, with which of its back ends; names the camera."""
        which = self._which
        if isinstance(which, str) and "://" in which:
            if which.startswith("file:"):
                raise SourceError(f"{which} is a file; play files with --input")
            return which, int(cv2.CAP_FFMPEG)
        device = _chosen(which)
        self.name, self.identifier = device.name, device.identifier
        return device.index, int(cv2.CAP_V4L2)

    def _drain(self, target: int | str, backend: int) -> None:
        """Open, then grab picture after picture until told to stop or none comes any more."""
        capture = _open_capture(target, backend)
        try:
            while not self._stop.is_set() and capture.grab():
                t = self._stamp(capture, backend)
                taken, image = capture.retrieve()
                if taken:
                    self._frames.put(VideoFrame(t, to_picture(image)))
                    self._last_frame = self._clock.now()
                    self._answered.set()
            if not self._answered.is_set():
                self._failure = _refusal(self.name, target)
        finally:
            self._lost = not self._stop.is_set()
            self._answered.set()
            self._frames.close()
            capture.release()

    def _stamp(self, capture: Any, backend: int) -> float:
        now = time.monotonic()
        stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0 if backend == cv2.CAP_V4L2 else 0.0
        believable = believable_stamp(stamp, now)
        self.time_base = _DRIVER_STAMPS if believable else _GRAB_STAMPS
        return self._clock.from_monotonic(stamp if believable else now)


def believable_stamp(stamp: float, now: float) -> bool:
    """Whether a driver's stamp is on ``CLOCK_MONOTONIC`` and of this moment, both in seconds."""
    return 0.0 <= now - stamp < 1.0


def to_picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """OpenCV's BGR or grey image as RGB with the longer side at most ``LONGER_SIDE``."""
    scale = LONGER_SIDE / max(image.shape[:2])
    if scale < 1.0:
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, code), dtype=np.uint8)


def _chosen(which: int | str | None) -> Device:
    """The local camera that is meant, seen to be accessible."""
    if isinstance(which, str) and which.startswith("/dev/"):
        number = re.fullmatch(r"video(\d+)", Path(which).resolve().name)
        which = int(number[1]) if number else which
    elif isinstance(which, str) and Path(which).is_file():
        raise SourceError(f"{which} is a file; play files with --input")
    device = choose_device(discover_cameras(), which, "camera")
    if not os.access(f"/dev/video{device.index}", os.R_OK | os.W_OK):
        raise SourceError(
            f"no right to open /dev/video{device.index}; join its group: sudo usermod -aG video $USER"
        )
    return device


def _open_capture(target: int | str, backend: int) -> Any:
    # both libraries inside OpenCV write to the terminal of whoever runs us unless told before their first use
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.setLogLevel(0)
    limits: list[int] = []
    if backend == cv2.CAP_FFMPEG:
        limits = [
            int(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC), int(OPEN_SECONDS * 1000),
            int(cv2.CAP_PROP_READ_TIMEOUT_MSEC), int(SILENT_DEVICE_SECONDS * 1000),
        ]  # fmt: skip
    capture = cv2.VideoCapture(target, backend, limits)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _refusal(name: str, target: int | str) -> str:
    if isinstance(target, str):
        return f"{name} gives no video; give the URL of an MJPEG or RTSP stream that is running"
    return f"camera {target} ({name}) gives no picture; close the program that uses it, or choose another"


def _without_credentials(url: str) -> str:
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
