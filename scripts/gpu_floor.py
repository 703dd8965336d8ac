"""What a GPU could at best do with a network: each weight read once, each kernel launched once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from miar_rt.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch

COPY_BYTES = 1 << 28
LAUNCHES = 1000
REPEATS = 20


def floor_ms(checkpoint: Checkpoint, kernels: int) -> dict[str, float]:
    """The floor in milliseconds and its two parts, measured here and now."""
    weights = sum(array.nbytes for array in checkpoint.state.values())
    reading, launching = weights / copy_bandwidth() * 1e3, kernels * launch_ms()
    return {"reading_ms": reading, "launching_ms": launching, "floor_ms": reading + launching}


def copy_bandwidth() -> float:
    """Bytes a second that a copy within the GPU's memory reads and writes."""
    import torch

    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2.0 * COPY_BYTES / (device_ms(lambda: target.copy_(source)) * 1e-3)


def launch_ms() -> float:
    """Milliseconds that one kernel costs in a CUDA graph of kernels that do next to nothing."""
    import torch

    value, graph = torch.zeros(1, device="cuda"), torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        value.add_(1.0)
    stream.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(LAUNCHES):
            value.add_(1.0)
    return device_ms(graph.replay) / LAUNCHES


def device_ms(work: Callable[[], object], stream: torch.cuda.Stream | None = None) -> float:
    """The least time on the device, by CUDA events on a stream, the current one by default."""
    import torch

    stream = stream or torch.cuda.current_stream()
    times = []
    for _ in range(REPEATS):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.stream(stream):
            began.record()
            work()
            ended.record()
        ended.synchronize()
        times.append(float(began.elapsed_time(ended)))
    return min(times)


def count_kernels(work: Callable[[], object]) -> int:
    """Kernels that ``work`` launches, copies apart."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    work()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    on_device = [event for event in seen.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not event.name.startswith(("Memcpy", "Memset")) for event in on_device)
