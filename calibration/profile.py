"""Profiles: what was measured of one person, one small file each, that only their owner can read.

A profile holds statistics and nothing else: no sound, no picture, no words.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import shlex
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import platformdirs

from calibration.baseline import Floats, Neutral

FORMAT, VERSION = "miar-profile", 1
SUFFIX, PARTIAL = ".json", ".profile-"
LONGEST_NAME = 64
LONGEST_FILE_NAME = 240
"""In bytes: file systems take 255, and something must be left for the suffix."""
OLD_DAYS = 90.0
LARGEST_FILE = 1 << 22
DAY = 86_400.0
NAME_RULE = "1 to 64 letters, digits, spaces, dots, dashes and underscores, not starting with a dot"


class ProfileError(ValueError):
    """A profile that cannot be used; one line names what is wrong and what would be right."""


class NoProfile(ProfileError):  # noqa: N818 - an absence, which those who want one know how to mend
    """There is none of that name; one line says which there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One person's neutral.

    Attributes
    ----------
    name
        Of the profile, and of its file.
    created
        Unix seconds.
    inputs
        Names the table of input channels that it was measured with.
    neutral
        What was measured, by modality.
    """

    name: str
    created: float
    inputs: str
    neutral: Mapping[str, Neutral]

    @property
    def day(self) -> str:
        """The day it was made, as 2025-03-31, in UTC."""
        return time.strftime("%Y-%m-%d", time.gmtime(self.created))

    def age_days(self, now: float | None = None) -> float:
        """Days since it was made."""
        return max((time.time() if now is None else now) - self.created, 0.0) / DAY

    def warning(self, now: float | None = None) -> str | None:
        """One line when it is too old to be trusted."""
        age = self.age_days(now)
        if age <= OLD_DAYS:
            return None
        return (
            f"profile {self.name!r} is {age:.0f} days old, and people, rooms and microphones change: make it anew "
            f"with {remedy(self.name)}"
        )


class _Channels(msgspec.Struct):
    """One modality: lists as long as the modality has channels, null where nothing was measured."""

    location: list[float | None]
    spread: list[float | None]
    seconds: list[float]


class _Document(msgspec.Struct, kw_only=True):
    """The file."""

    format: str
    version: int
    created: float
    inputs: str
    neutral: dict[str, _Channels]


class Profiles:
    """The profiles in a folder; the user's own configuration folder by default."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or platformdirs.user_config_path("miar-live", appauthor=False) / "profiles"

    def names(self) -> list[str]:
        """Names of all profiles, whether they can be read or not."""
        try:
            found = [path.stem for path in self.folder.iterdir() if path.suffix == SUFFIX and path.is_file()]
        except OSError:
            return []
        return sorted(name for name in found if _complaint(name) is None)

    def path(self, name: str) -> Path:
        """Where a profile is or would be; ``ProfileError`` when it cannot have that name."""
        return self.folder / f"{checked_name(name)}{SUFFIX}"

    def load(self, name: str, widths: Mapping[str, int], inputs: str) -> Profile:
        """Read a profile.

        Parameters
        ----------
        name
            Of the profile.
        widths
            Channels of each modality.
        inputs
            Name of the table of input channels in use.

        Raises
        ------
        ProfileError
            When there is none (``NoProfile``), it is damaged, or of another version or input table.
        """
        content = self._read(name)
        again = f"make it anew with {remedy(name)}"
        try:
            document = msgspec.json.decode(content, type=_Document)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ProfileError(f"profile {name!r} is damaged ({error}): {again}") from error
        if (document.format, document.version) != (FORMAT, VERSION):
            raise ProfileError(
                f"profile {name!r} is of format {document.format} {document.version}, "
                f"this program reads {FORMAT} {VERSION}: {again}"
            )
        if document.inputs != inputs:
            raise ProfileError(f"profile {name!r} was made with other input channels: {again}")
        try:
            neutral = {modality: _neutral(c, widths.get(modality)) for modality, c in document.neutral.items()}
            _require_sense(document)
        except ValueError as error:
            raise ProfileError(f"profile {name!r} is damaged ({error}): {again}") from error
        return Profile(checked_name(name), document.created, inputs, neutral)

    def stamp(self, name: str) -> int:
        """Tells one version of a profile from another; 0 where there is none."""
        try:
            return self.path(name).stat().st_mtime_ns
        except OSError:
            return 0

    def save(self, profile: Profile, since: int | None = None) -> Path:
        """Write a profile: the old one or the new one is there at any time, never a part of one.

        Parameters
        ----------
        since
            The ``stamp`` of what may be replaced; nothing that another program has made since is.

        Raises
        ------
        ProfileError
            When the name is none, the folder cannot be written, or another program was quicker.
        """
        path = self.path(profile.name)
        document = _Document(
            format=FORMAT,
            version=VERSION,
            created=profile.created,
            inputs=profile.inputs,
            neutral={modality: _channels(one) for modality, one in profile.neutral.items()},
        )
        self.make_folder()
        try:
            with self._alone():
                if since is not None and self.stamp(profile.name) not in {0, since}:
                    raise ProfileError(
                        f"not stored: another program has made profile {profile.name!r} meanwhile, which is kept"
                    )
                write_private(path, msgspec.json.encode(document) + b"\n")
        except OSError as error:
            raise ProfileError(f"cannot write {path}: {error.strerror}") from error
        return path

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other program writes here meanwhile; what one left half written when it was killed is removed."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            # some network drives have no locks
            with contextlib.suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
                for partial in self.folder.glob(f"{PARTIAL}*"):
                    partial.unlink(missing_ok=True)
            yield
        finally:
            os.close(folder)

    def make_folder(self) -> None:
        """Make sure that profiles can be written; ``ProfileError`` says why not."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise ProfileError(f"cannot write profiles into {self.folder}: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Remove a profile; ``ProfileError`` when there is none."""
        try:
            self.path(name).unlink()
        except FileNotFoundError:
            raise self._missing(name) from None
        except OSError as error:
            raise ProfileError(f"cannot delete {self.path(name)}: {error.strerror}") from error

    def export(self, name: str, target: Path) -> None:
        """Copy a profile to a file that is not there yet; ``ProfileError`` when that cannot be."""
        content = self._read(name)
        if target.exists():
            raise ProfileError(f"{target} is there already: name another file")
        try:
            write_private(target, content)
        except OSError as error:
            raise ProfileError(f"cannot write {target}: {error.strerror}") from error

    def _read(self, name: str) -> bytes:
        path = self.path(name)
        if not path.is_file():
            raise self._missing(name)
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise ProfileError(f"profile {name!r} is damaged (too large): delete {path}")
            return path.read_bytes()
        except OSError as error:
            raise ProfileError(f"cannot read {path}: {error.strerror}") from error

    def _missing(self, name: str) -> NoProfile:
        there = self.names()
        known = f"{', '.join(there[:5])}{', ...' if len(there) > 5 else ''}" if there else "none yet"
        return NoProfile(f"no profile {name!r}; there is {known}")


def remedy(name: str) -> str:
    """The command that makes a profile."""
    return f"miar calibrate --profile {shlex.quote(name)}"


def checked_name(name: str, what: str = "profile") -> str:
    """The name of a profile, or ``what``, in one spelling of its letters; ``ProfileError`` when it can be none."""
    complaint = _complaint(name)
    if complaint:
        raise ProfileError(f"{name[:80]!r} cannot be a {what}'s name ({complaint}): use {NAME_RULE}")
    return unicodedata.normalize("NFC", name)


def _complaint(name: str) -> str | None:
    if not name.strip():
        return "it is empty"
    if len(name) > LONGEST_NAME:
        return f"it has {len(name)} characters"
    if name.startswith("."):
        return "it starts with a dot"
    strange = [c for c in name if c not in " ._-" and unicodedata.category(c)[0] not in "LM" and not c.isdigit()]
    if strange:
        return f"it holds {strange[0]!r}"
    if len(unicodedata.normalize("NFC", name).encode()) > LONGEST_FILE_NAME:
        return "it is too long for a file"
    return None


def _channels(neutral: Neutral) -> _Channels:
    return _Channels(
        _listed(neutral.location), _listed(neutral.spread), [round(float(s), 3) for s in neutral.seconds]
    )


def _listed(values: Floats) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _neutral(channels: _Channels, width: int | None) -> Neutral:
    lengths = {len(channels.location), len(channels.spread), len(channels.seconds)}
    if lengths != {width}:
        raise ValueError("its lists are not as long as there are channels")
    location, spread = (np.array(part, np.float64) for part in (channels.location, channels.spread))
    seconds = np.array(channels.seconds, np.float64)
    if (spread < 0.0).any() or (seconds < 0.0).any() or not (np.isfinite(location) == np.isfinite(spread)).all():
        raise ValueError("its values are no statistics")
    return Neutral(location, spread, seconds)


def _require_sense(document: _Document) -> None:
    if not document.neutral:
        raise ValueError("there is no modality in it")
    if not 0.0 <= document.created < 1e11:
        raise ValueError("its date is none")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    finally:
        with contextlib.suppress(OSError):
            Path(partial).unlink(missing_ok=True)
