"""The driver is asked through its own interface; a small library stands for one that has a card."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from miar_rt.engines.gpu import find_gpu, no_cuda, torch_has_cuda

DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return flags == 0 ? FAILS : 1; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 40 + ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, device == 40 ? "NVIDIA Test" : "another", length); return 0;
}
int cuDeviceGetAttribute(int *value, int which, int device) {
    *value = device != 40 ? -1 : which == 75 ? 8 : which == 76 ? 9 : -1; return 0;
}
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
"""


def asked(folder: Path, count: int, fails: int) -> str:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (folder / "cuda.c").write_text(DRIVER.replace("COUNT", str(count)).replace("FAILS", str(fails)))
    library = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "cuda.c"], check=True)
    code = "from miar_rt.engines.gpu import find_gpu; print(find_gpu())"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(Path(__file__).parents[1])}
    call = [sys.executable, "-c", code]
    return subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_card_is_described(tmp_path: Path) -> None:
    found = asked(tmp_path, count=1, fails=0)
    assert found.startswith("Gpu(name='NVIDIA Test', capability=(8, 9), driver='")
    if not Path("/proc/driver/nvidia/version").exists():
        assert "driver='CUDA 12.6'" in found


@pytest.mark.parametrize(("count", "fails"), [(0, 0), (1, 100)])
def test_a_driver_without_a_card_is_no_card(tmp_path: Path, count: int, fails: int) -> None:
    assert asked(tmp_path, count, fails) == "None"


def test_why_there_is_no_cuda_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_cuda() in {None, "no NVIDIA GPU", "torch is a build without CUDA"}
    monkeypatch.setattr("miar_rt.engines.gpu.find_gpu", lambda: None)
    assert no_cuda() == "no NVIDIA GPU"
    assert find_gpu() == find_gpu()
    assert isinstance(torch_has_cuda(), bool)
