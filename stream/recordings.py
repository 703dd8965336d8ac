"""Recordings as files: told of and removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import platformdirs

from stream.recording_format import EVENTS, MANIFEST, MEDIA, RecordingError, being_written, read_manifest
from stream.replay import Recording


def own_recordings() -> Path:
    """Where the recordings are that clients have asked for: in the user's own data folder."""
    return platformdirs.user_data_path("miar-live", appauthor=False) / "recordings"


def find_recording(folder: Path) -> Path:
    """``folder``, or the recording of this name among those that clients have asked for."""
    named = own_recordings() / folder
    return named if len(folder.parts) == 1 and not folder.exists() and named.is_dir() else folder


def list_recordings(folder: Path | None = None, as_json: bool = False) -> str:
    """A line for every recording below ``folder``, or below this one and in the user's own; or a JSON array.

    Raises
    ------
    RecordingError
        When there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise RecordingError(f"{folder} is no folder: give one with recordings")
    roots = [Path(), own_recordings()] if folder is None else [folder]
    found = {path.parent.resolve(): (path.parent, root) for root in roots for path in root.rglob(MANIFEST)}
    entries = [_entry(*one) for one in sorted(found.values())]
    if as_json:
        return json.dumps(entries)
    return "\n".join(map(_line, entries)) or f"no recordings below {' or '.join(map(str, roots))}"


def _entry(folder: Path, root: Path) -> dict[str, Any]:
    name = str(folder.relative_to(root)) if folder != root else folder.resolve().name
    entry = {"name": name, "path": str(folder.resolve())}
    try:
        recording = Recording(folder)
    except RecordingError as error:
        return entry | {"error": str(error)}
    manifest = recording.manifest
    end = manifest.end or recording.read_through()
    return entry | {
        "created": manifest.created,
        "seconds": end.seconds,
        "results": end.results,
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "purpose": manifest.purpose,
        "media": (folder / MEDIA).exists(),
        "finished": manifest.end is not None,
        "running": being_written(folder),
    }


def _line(entry: dict[str, Any]) -> str:
    if "error" in entry:
        return f"{entry['name']}  {entry['error']}"
    remark = "  with picture and sound" if entry["media"] else ""
    remark += "" if entry["finished"] else f"  ({'still running' if entry['running'] else 'cut short'})"
    return (
        f"{entry['name']}  {entry['created']}  {entry['seconds']:.1f} s  {entry['results']} results  "
        f"{entry['bytes'] / 1e6:.1f} MB  {entry['purpose'] or '-'}{remark}"
    )


def delete_recording(folder: Path) -> None:
    """Remove a recording; the folder stays when something else is in it too.

    Raises
    ------
    RecordingError
        When it is no recording, is still being made, or cannot be removed.
    """
    read_manifest(folder)
    if being_written(folder):
        raise RecordingError(f"{folder} is being recorded now: end that session first")
    try:
        # what makes it a recording goes last: an interrupted removal can be taken up again
        for name in (MEDIA, EVENTS, f".{MANIFEST}", MANIFEST):
            (folder / name).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise RecordingError(f"cannot delete {folder}: {error.strerror}") from error
