"""Engines that took minutes to build, kept for the next start.

A file is named after everything that its content depends on, and says at its beginning what that is and the digest
of the rest: what is stale is never found, what is damaged is built again. A build holds a lock of its own, so that
a second process waits for the first one's result.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from platformdirs import user_cache_path

from miar_rt.checkpoint import Checkpoint, write_whole
from miar_rt.engines.progress import working

T = TypeVar("T")
Key = Mapping[str, str]

MAGIC = b"miar engine 1\n"
FORGET_DAYS = 60.0

log = logging.getLogger("miar.engines")


class UnusablePlan(RuntimeError):  # noqa: N818 - what is the matter, in one word
    """What a file holds is whole, but does not run here."""


def cache_folder() -> Path:
    """Where engines are kept."""
    return user_cache_path("miar-live") / "engines"


def digest_of(checkpoint: Checkpoint) -> str:
    """Digest of all that makes a checkpoint's network: its configuration, graph and weights."""
    digest = hashlib.sha256(json.dumps(checkpoint.config, sort_keys=True).encode() + checkpoint.graph.model)
    for name, array in sorted(checkpoint.state.items()):
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def keep(key: Key, build: Callable[[], bytes], start: Callable[[bytes], T]) -> T:
    """Start an engine from the cache, or build it first and leave it there.

    Parameters
    ----------
    key
        All that the engine depends on, by name; with ``engine``, which begins the file's name.
    build
        Gives the engine; its errors go through.
    start
        Makes something of it that runs.

    Raises
    ------
    UnusablePlan
        When ``start`` refuses even what was just built.
    """
    path = _path(key)
    with _locked(path) as writable:
        content = _read(path, key)
        if content is not None:
            try:
                return start(content)
            except UnusablePlan as error:
                log.warning("the engine in %s is built again: %s", path, error)
        content = build()
        if writable:
            _write(path, key, content)
        return start(content)


@contextmanager
def notes(key: Key) -> Iterator[Path]:
    """A file for what speeds up the next build; it begins as the last build with this key left it.

    It is the builder's alone: theirs are written in place, so that two at once or one that dies would spoil it.
    """
    kept = _path(key)
    with tempfile.TemporaryDirectory(prefix="miar-live-") as folder:
        file = Path(folder, "notes")
        content = _read(kept, key)
        if content is not None:
            file.write_bytes(content)
        yield file
        if file.is_file() and os.access(kept.parent, os.W_OK):
            _write(kept, key, file.read_bytes())


def _path(key: Key) -> Path:
    name = hashlib.sha256(_head(key)).hexdigest()[:16]
    return cache_folder() / f"{key['engine']}-{name}.plan"


def _head(key: Key) -> bytes:
    return json.dumps(key, sort_keys=True).encode() + b"\n"


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Alone with a file, and whether it can be written; a lock of a process that died is free."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("wb")
    except OSError as error:
        log.warning("%s cannot be written (%s): the engine is built anew", path.parent, error.strerror)
        yield False
        return
    with lock:
        _wait_for(lock)
        yield True


def _wait_for(lock: BinaryIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with working("waiting for the engine that another process builds"):
            fcntl.flock(lock, fcntl.LOCK_EX)


def _read(path: Path, key: Key) -> bytes | None:
    """The engine in a file; ``None`` where there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head = MAGIC + _head(key)
    digest, body = content[len(head) : len(head) + 32], content[len(head) + 32 :]
    if content.startswith(head) and hashlib.sha256(body).digest() == digest:
        return body
    log.warning("the engine in %s is damaged and built again", path)
    return None


def _write(path: Path, key: Key, body: bytes) -> None:
    try:
        write_whole(path, MAGIC + _head(key) + hashlib.sha256(body).digest() + body)
        _forget_old(path)
    except OSError as error:
        log.warning("the engine cannot be kept in %s (%s): it is built anew at each start", path, error.strerror)


def _forget_old(path: Path) -> None:
    """Remove engines of other drivers, releases and checkpoints that were built long ago."""
    for other in path.parent.glob("*.plan"):
        if other != path and time.time() - other.stat().st_mtime > FORGET_DAYS * 86400.0:
            other.unlink(missing_ok=True)
