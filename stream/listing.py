"""Devices and scores as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from miar_rt.signals import EMOTIONS
from stream.sources import Device, SourceError

SCORES = {
    "n": "samples",
    "n_scored": "scored",
    "accuracy_scored": "accuracy of the scored",
    "uar": "mean recall (UAR)",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "ece": "calibration error (ECE)",
    "nll": "log loss (NLL)",
    "mae": "mean absolute error",
    "corr": "correlation",
    "acc2_has0": "accuracy, 2 classes, with 0",
    "acc2_non0": "accuracy, 2 classes, without 0",
    "f1_non0": "F1, 2 classes, without 0",
    "acc7": "accuracy, 7 classes",
}
"""Names for people."""


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
    lines = {name: _shown(value) for name, value in scores.items() if name not in {"deviation", "confusion"}}
    width = max(len(SCORES.get(name, name)) for name in lines)
    told = [
        f"{SCORES.get(name, name):{width}}  {value}{f' +- {_shown(deviation[name])}' if name in deviation else ''}"
        for name, value in lines.items()
    ]
    return "\n".join([*told, *(_confusion(scores["confusion"]) if "confusion" in scores else ())])


def _confusion(counts: Sequence[Sequence[int]]) -> list[str]:
    """A table that fits into 80 columns: truth by row, answer by column."""
    rows = [("", *EMOTIONS), *((name, *map(str, row)) for name, row in zip(EMOTIONS, counts, strict=True))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return ["", "samples by what they are (rows) and what was answered (columns)", *lines]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
