"""Recordings as files: told of and removed."""

from __future__ import annotations

from pathlib import Path

from stream.recording_format import EVENTS, MANIFEST, MEDIA, RecordingError, read_manifest
from stream.replay import Recording


def list_recordings(folder: Path) -> str:
    """A line for every recording below ``folder``.

    Raises
    ------
    RecordingError
        When there is no such folder.
    """
    if not folder.is_dir():
        raise RecordingError(f"{folder} is no folder: give one with recordings")
    found = sorted(path.parent for path in folder.rglob(MANIFEST))
    return "\n".join(_line(one, folder) for one in found) or f"no recordings below {folder}"


def _line(folder: Path, root: Path) -> str:
    name = str(folder.relative_to(root)) if folder != root else folder.resolve().name
    try:
        recording = Recording(folder)
    except RecordingError as error:
        return f"{name}  {error}"
    manifest, size = recording.manifest, sum(path.stat().st_size for path in folder.iterdir())
    end = manifest.end or recording.read_through()
    remark = "  with picture and sound" if (folder / MEDIA).exists() else ""
    remark += "" if manifest.end else "  (cut short, or still running)"
    return (
        f"{name}  {manifest.created}  {end.seconds:.1f} s  {end.results} results  {size / 1e6:.1f} MB  "
        f"{manifest.purpose or '-'}{remark}"
    )


def delete_recording(folder: Path) -> None:
    """Remove a recording; the folder stays when something else is in it too.

    Raises
    ------
    RecordingError
        When it is no recording or cannot be removed.
    """
    read_manifest(folder)
    try:
        # what makes it a recording goes last: an interrupted removal can be taken up again
        for name in (MEDIA, EVENTS, f".{MANIFEST}", MANIFEST):
            (folder / name).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise RecordingError(f"cannot delete {folder}: {error.strerror}") from error
