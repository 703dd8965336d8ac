"""What ``miar-live`` can be told, and what of it cannot be meant."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream.session import SessionConfig

CONFLICTS = (
    ("--input", "--camera"),
    ("--input", "--mic"),
    ("--camera", "--no-camera"),
    ("--mic", "--no-mic"),
    ("--text-only", "--camera"),
    ("--text-only", "--no-mic"),
    ("--text-only", "--record-media"),
)


@dataclass(frozen=True)
class AnalyzeOptions:
    """How something is scored: everything ``miar analyze`` can be told besides the file and the folder."""

    asr: str = "auto"
    language: str | None = "en"
    text_only: bool = False
    engine: str = "auto"
    checkpoint: Path | None = None
    text_encoder: Path | None = None
    rate: float = 10.0
    profile: str | None = None
    adapt: bool = False
    faces: int = 1


@dataclass(frozen=True)
class LiveOptions(AnalyzeOptions):
    """Everything ``miar-live`` can be told; see its ``--help``."""

    camera: str | None = None
    no_camera: bool = False
    mic: str | None = None
    no_mic: bool = False
    input: Path | None = None
    loop: bool = False
    seconds: float | None = None
    record: Path | None = None
    record_media: bool = False
    purpose: str | None = None
    csv: Path | None = None
    lsl: bool = False
    osc: str | None = None
    json: bool = False
    accept_notice: bool = False
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    no_server: bool = False


@dataclass(frozen=True)
class CalibrateOptions:
    """Everything ``miar calibrate`` can be told besides the profile; see its ``--help``."""

    seconds: float = 20.0
    input: Path | None = None
    camera: str | None = None
    no_camera: bool = False
    mic: str | None = None
    no_mic: bool = False
    engine: str = "auto"
    checkpoint: Path | None = None
    accept_notice: bool = False


@dataclass(frozen=True)
class ReplayOptions:
    """Everything ``miar replay`` can be told besides the recording; see its ``--help``.

    ``port`` is ``None`` where nothing is served, and ``speed`` where it was not said.
    """

    out: Path | None = None
    engine: str | None = None
    checkpoint: Path | None = None
    text_encoder: Path | None = None
    port: int | None = None
    speed: float | None = None

    @property
    def pace(self) -> float | None:
        """Times as fast as it was recorded; ``None`` for as fast as it goes. ``ValueError`` where it is none."""
        if self.speed is not None and not 0.0 < self.speed < math.inf:
            raise ValueError(f"--speed must be more than 0 and finite, not {self.speed:g}")
        return 1.0 if self.speed is None and self.port is not None else self.speed


def check_options(options: LiveOptions) -> None:
    """Look for what can be told to be wrong from the options alone; ``ValueError`` says what would be right."""
    SessionConfig(options.rate, faces=options.faces)
    for first, second in _conflicts(options):
        raise ValueError(f"{first} and {second} exclude each other: leave one out")
    if options.seconds is not None and not 0 < options.seconds < math.inf:
        raise ValueError(f"--seconds must be more than 0 and finite, not {options.seconds:g}")
    if options.loop and not options.input:
        raise ValueError("--loop needs --input FILE")
    if options.purpose is not None and options.record is None:
        raise ValueError("--purpose needs --record DIR")
    if options.record_media and options.record is None:
        raise ValueError("--record-media needs --record DIR")
    if (options.tls_cert is None) != (options.tls_key is None):
        raise ValueError("--tls-cert and --tls-key go together")
    if options.no_camera and options.no_mic:
        raise ValueError("nothing to look at or listen to with both --no-camera and --no-mic: leave one out")
    if options.token is not None and not (options.token and options.token.isprintable()):
        raise ValueError("--token must be printable characters, at least one")


def _conflicts(options: LiveOptions) -> Iterator[tuple[str, str]]:
    """Options given that cannot both be obeyed."""
    given = {
        "--input": options.input is not None,
        "--camera": options.camera is not None,
        "--mic": options.mic is not None,
        "--no-camera": options.no_camera,
        "--no-mic": options.no_mic,
        "--text-only": options.text_only,
        "--record-media": options.record_media,
    }
    for first, second in CONFLICTS:
        if given[first] and given[second]:
            yield first, second
