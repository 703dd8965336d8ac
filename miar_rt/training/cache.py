"""Extracted features on disk, in shards named by everything they depend on.

A shard is written whole or not at all, so an interrupted extraction goes on where it stopped, and a change of
corpus, extractor or input table can never meet features of another.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import platformdirs
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def default_folder() -> Path:
    """Where features are kept when no folder is named: the user's cache folder."""
    return Path(platformdirs.user_cache_dir("miar-live", appauthor=False)) / "features"


def digest(*parts: bytes) -> str:
    """A short name for some bytes."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


class FeatureCache:
    """Shards in a folder; ``made`` counts those that had to be extracted."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        self.made = 0

    def shard(self, name: str, key: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """The arrays kept under ``key``, made and kept first when there are none."""
        stamp = digest(json.dumps(key, sort_keys=True).encode())
        path = self.folder / name / f"{stamp}.npz"
        kept = _load(path)
        if kept is not None:
            return kept
        arrays = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        with unfinished.open("wb") as file:
            np.savez(file, **arrays)
        unfinished.replace(path)
        self.made += 1
        return arrays


def _load(path: Path) -> Arrays | None:
    """What a shard holds; nothing when it is not there or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
