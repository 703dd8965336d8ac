"""Installed packages judged: releases in range, and pairs known not to work together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from ctypes.util import find_library
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from miar_rt.installing import install_command
from stream.doctor import Check

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "miar-live"
OUR_PACKAGES = ("stream", "miar_rt", "calibration")

_MODULES = {"opencv-contrib-python": "cv2", "opencv-python": "cv2", "protobuf": "google.protobuf"}
"""Modules that are called otherwise than their distribution."""


OPENCVS = ("opencv-contrib-python", "opencv-python", "opencv-python-headless", "opencv-contrib-python-headless")
"""All of them install a module cv2; mediapipe brings the first."""


def installed_versions() -> dict[str, str]:
    """Release of every installed distribution, by its normalised name."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        # the first one on the path is the one that is imported
        found.setdefault(normalised(distribution.name), distribution.version)
    return found


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[Requirement] | None:
    """What this package needs on this machine without extras; ``None`` when it is not installed as a package."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    found = [Requirement(line) for line in lines]
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


def judge(needed: Iterable[Requirement], versions: Mapping[str, str]) -> Iterator[Check]:
    """A failed check for each requirement that is not met."""
    for requirement in needed:
        version = versions.get(normalised(requirement.name))
        if version is None:
            yield _broken(requirement, "is not installed")
        elif not requirement.specifier.contains(version, prereleases=True):
            yield _broken(requirement, f"is {version}, needed is {requirement.specifier}")
        elif not _importable(requirement.name):
            yield _broken(requirement, f"{version} is listed as installed but its module is not there")


def _broken(requirement: Requirement, problem: str) -> Check:
    mend = f"pip install --force-reinstall --no-deps '{requirement.name}{requirement.specifier}'"
    return Check(f"package {requirement.name}", False, f"{requirement.name} {problem}", mend, essential=True)


def _importable(name: str) -> bool:
    plain = normalised(name)
    module = _MODULES.get(plain, plain.replace("-", "_"))
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def conflicts(versions: Mapping[str, str]) -> Iterator[Check]:
    """Pairs of releases that install together and then fail, as far as this project has met them."""

    def major(name: str) -> int:
        return int(re.match(r"\d*", versions.get(name, "0")).group() or 0)  # type: ignore[union-attr]

    if "mediapipe" in versions and major("numpy") >= 2:
        yield _conflict("numpy", f"mediapipe fails with numpy {versions['numpy']}", "pip install 'numpy>=1.26,<2'")
    if "mediapipe" in versions and major("protobuf") >= 5:
        problem = f"mediapipe fails with protobuf {versions['protobuf']}"
        yield _conflict("protobuf", problem, "pip install 'protobuf>=4.25.3,<5'")
    if major("pyarrow") >= 26 and major("numpy") == 1:
        problem = f"pyarrow {versions['pyarrow']} fails with numpy {versions['numpy']}"
        yield _conflict("pyarrow", problem, "pip install 'pyarrow<26'")
    yield from _rivals(versions)
    if "torch-tensorrt" in versions and "torch-tensorrt-rtx" in versions:
        problem = "torch-tensorrt and torch-tensorrt-rtx install the same module"
        yield _conflict("tensorrt", problem, "pip uninstall torch-tensorrt-rtx")


def _rivals(versions: Mapping[str, str]) -> Iterator[Check]:
    """Packages that fill the folder cv2 with other files than the one mediapipe brings."""
    here = {name: versions[name] for name in OPENCVS if name in versions}
    ours = here.get("opencv-contrib-python")
    if ours is None or set(here.values()) == {ours}:
        return
    told = " and ".join(f"{name} {version}" for name, version in here.items())
    gone = " ".join(name for name in here if "headless" in name)
    mend = f"pip uninstall -y {gone} && " if gone else ""
    kept = " ".join(f"{name}=={ours}" for name in here if "headless" not in name)
    mend += f"pip install --force-reinstall --no-deps {kept}"
    yield _conflict("opencv", f"{told} overwrite each other's files", mend)


def twins(versions: Mapping[str, str]) -> Iterator[Check]:
    """Packages that fill one folder with the same files, which is well as long as all stay."""
    here = [name for name in OPENCVS if name in versions]
    contrib = versions.get("opencv-contrib-python")
    if len(here) > 1 and {versions[name] for name in here} == {contrib}:
        detail = f"{' and '.join(here)} {contrib} share the folder cv2: remove none"
        mend = f"pip install --force-reinstall --no-deps opencv-contrib-python=={contrib}  (should one be gone)"
        yield Check("opencv", None, detail, mend)


def extras() -> Iterator[Check]:
    """Packages of outputs that not everybody wants."""
    for name, extra, module in (("Lab Streaming Layer", "lsl", "pylsl"), ("OSC", "osc", "pythonosc")):
        there = find_spec(module) is not None
        detail = f"miar-live --{extra} can send" if there else f"miar-live --{extra} needs a package more"
        mend = None if there else install_command(extra)
        if module == "pylsl" and there and not _has_liblsl():
            there, detail = False, "pylsl came without its library for this system"
            mend = "install liblsl (https://github.com/sccn/liblsl) and export PYLSL_LIB=ITS FILE"
        yield Check(name, there or None, detail, mend)


def _has_liblsl() -> bool:
    spec = find_spec("pylsl")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return any(
        (os.environ.get("PYLSL_LIB"), find_library("lsl"), *(one for f in folders for one in f.glob("lib/liblsl*")))
    )


def _conflict(name: str, problem: str, mend: str) -> Check:
    return Check(f"conflict: {name}", False, problem, mend, essential=True)


def shadows(owners: Mapping[str, Iterable[str]]) -> Iterator[Check]:
    """Other distributions that install a package of one of our names.

    Parameters
    ----------
    owners
        Distributions by top-level package, as ``importlib.metadata.packages_distributions`` gives them.
    """
    for package in OUR_PACKAGES:
        for other in sorted({name for name in owners.get(package, ()) if normalised(name) != DISTRIBUTION}):
            yield Check(
                f"shadowed: {package}",
                False,
                f"{other} installs a package called {package} too, over or in front of ours",
                f"pip uninstall {other} && {install_command('', '--force-reinstall', '--no-deps')}",
                essential=True,
            )
