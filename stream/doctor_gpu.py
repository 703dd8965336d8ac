"""Checks of what makes a GPU, and the threads of the CPU, less useful than they could be."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec

from miar_rt.engines.gpu import Gpu, find_gpu, torch_has_cuda
from stream.doctor import Check

_ARM = "aarch64"


def examine_gpu() -> Iterator[Check]:
    """The GPU, and whether torch and whisper can compute on it."""
    gpu = find_gpu()
    build = f"torch {metadata.version('torch')}, {'a CUDA' if torch_has_cuda() else 'a CPU'} build"
    if gpu is None:
        yield Check("GPU", None, f"no NVIDIA GPU; {build}")
        return
    yield judge_torch(gpu, build, torch_has_cuda(), platform.machine())
    if find_spec("ctranslate2"):
        yield from judge_whisper(platform.machine(), _cuda_devices)


def judge_torch(gpu: Gpu, build: str, has_cuda: bool, machine: str) -> Check:
    """Whether torch is a build for the GPU that is there."""
    detail = f"{gpu.name}, driver {gpu.driver}; {build}"
    if has_cuda:
        return Check("GPU", True, detail)
    mend = "pip install --force-reinstall torch"
    if machine == _ARM:
        mend = "pip install --force-reinstall torch --index-url NVIDIA'S INDEX FOR YOUR JETPACK  (docs/jetson.md)"
    return Check("GPU", None, f"{detail}, which leaves the GPU idle", mend)


def judge_whisper(machine: str, cuda_devices: Callable[[], int]) -> Iterator[Check]:
    """On ARM the wheel of whisper's runtime has no CUDA; elsewhere it has."""
    if machine == _ARM and not cuda_devices():
        detail = "ctranslate2's wheel for aarch64 computes on the CPU only: whisper alone is slow"
        mend = "miar-live --asr sphinx  (or build ctranslate2 with -DWITH_CUDA=ON, docs/jetson.md)"
        yield Check("words: whisper on the GPU", None, detail, mend)


def _cuda_devices() -> int:
    import ctranslate2

    return int(ctranslate2.get_cuda_device_count())


def examine_threads() -> Iterator[Check]:
    """What the environment says about OpenMP."""
    yield judge_threads(os.environ, len(os.sched_getaffinity(0)))


def judge_threads(environment: Mapping[str, str], cores: int) -> Check:
    """Threads that wait busily, or more of them than cores, have turned 10 ms into half a second."""
    if environment.get("OMP_WAIT_POLICY", "").lower() == "active":
        detail = "OMP_WAIT_POLICY=active: threads that wait keep the cores busy that others need"
        return Check("threads", False, detail, "export OMP_WAIT_POLICY=passive")
    asked = environment.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > cores:
        detail = f"OMP_NUM_THREADS={asked} on {cores} cores: threads wait for each other"
        return Check("threads", False, detail, "export OMP_NUM_THREADS=1")
    return Check("threads", True, f"{cores} cores; each network takes one thread")
