"""Devices and scores as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stream.sources import Device, SourceError


def found_devices() -> tuple[list[Device], list[str]]:
    """Cameras and microphones, and a line for each kind that cannot be asked."""
    from stream.sources.camera import discover_cameras
    from stream.sources.microphone import discover_microphones

    found: list[Device] = []
    remarks: list[str] = []
    for discover in (discover_cameras, discover_microphones):
        try:
            found.extend(discover())
        except SourceError as error:
            remarks.append(str(error))
    return found, remarks


def list_devices(as_json: bool) -> str:
    """Cameras and microphones for ``miar devices``."""
    found, remarks = found_devices()
    if as_json:
        return json.dumps([asdict(device) for device in found])
    lines = [f"{d.kind} {d.index}: {d.name}  [{d.identifier}]{'  (default)' if d.default else ''}" for d in found]
    return "\n".join([*lines, *remarks] or ["no camera and no microphone found"])


def show_scores(scores: Mapping[str, Any], as_json: bool) -> str:
    """Scores of ``miar evaluate``; over several seeds each with its deviation."""
    if as_json:
        return json.dumps(scores)
    deviation = scores.get("deviation", {})
    lines = {name: _shown(value) for name, value in scores.items() if name != "deviation"}
    return "\n".join(
        f"{name:16} {value}{f' +- {_shown(deviation[name])}' if name in deviation else ''}"
        for name, value in lines.items()
    )


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
