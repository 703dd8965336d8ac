"""The NVIDIA GPU of this machine, asked of its driver: in a moment, and without torch."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_MAJOR, _MINOR = 75, 76
"""Of the driver's enumeration ``CUdevice_attribute``: the compute capability."""

_KERNEL_MODULE = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU: name, compute capability as ``(major, minor)``, and the driver's release."""

    name: str
    capability: tuple[int, int]
    driver: str


@cache
def find_gpu() -> Gpu | None:
    """The GPU that CUDA would use, or ``None``; asked once a process."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count, device = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    if driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)
    release = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(release))
    capability = (_attribute(driver, _MAJOR, device), _attribute(driver, _MINOR, device))
    return Gpu(name.value.decode(errors="replace"), capability, _release(release.value))


def _attribute(driver: ctypes.CDLL, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value


def _release(cuda: int) -> str:
    """The kernel module's release where it is told, else the CUDA release that the driver serves."""
    try:
        found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", _KERNEL_MODULE.read_text())
    except OSError:
        found = None
    return found.group() if found else f"CUDA {cuda // 1000}.{cuda % 1000 // 10}"


def torch_has_cuda() -> bool:
    """Whether the installed torch is a build with CUDA; torch is not imported for it."""
    spec = find_spec("torch")
    folders = spec.submodule_search_locations or () if spec else ()
    return any(Path(folder, "lib/libtorch_cuda.so").is_file() for folder in folders)


def no_cuda() -> str | None:
    """Why torch cannot compute on a GPU here, in a few words; ``None`` when it can as far as one sees."""
    if find_gpu() is None:
        return "no NVIDIA GPU"
    return None if torch_has_cuda() else "torch is a build without CUDA"
