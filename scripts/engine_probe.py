"""Times engines, and the networks that make features, by themselves."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import psutil
from bench_report import percentiles

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import Engine
from miar_rt.engines.choose import choose_engine
from miar_rt.engines.cuda_graph import GraphPlan
from miar_rt.features.appearance import Appearance
from miar_rt.features.text import TextEncoder
from miar_rt.signals import MODALITIES
from miar_rt.window import CLIP

LIVE_PATTERNS = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]], np.float32)

PEERS = ("MulT", "MISA", "TFN", "LMF")

TOKENS = 33
WORDS = ("good", "day", "house", "tree", "water", "happy", "light", "door", "music", "street", "paper")
"""One token each."""


def full_batch(checkpoint: Checkpoint, windows: int) -> dict[str, Any]:
    """Windows in which every step holds something: the dearest there are."""
    spec, generator = checkpoint.spec, np.random.default_rng(0)
    batch: dict[str, Any] = {}
    for name in MODALITIES:
        shape = (windows, spec.steps[name], spec.widths[name])
        batch[name] = np.clip(generator.normal(size=shape), -CLIP, CLIP).astype(np.float32)
        batch[f"{name}_mask"] = np.ones(shape[:2], np.float32)
    batch["groups"] = np.ones((windows, len(spec.vision_groups)), np.float32)
    batch["baseline"] = np.zeros((windows, 3), np.float32)
    return batch


def time_engine(
    name: str, checkpoint: Checkpoint, batches: list[int], iterations: int, warmup: int
) -> list[dict[str, Any]]:
    """A row for each batch, with the four availability patterns that live asks of every window.

    ``rss_mb`` is what opening the engine and its first batch added to the process.
    """
    before = psutil.Process().memory_info().rss
    engine, line = choose_engine(name, checkpoint)
    name = engine.name
    print(line, file=sys.stderr)
    rows: list[dict[str, Any]] = []
    with contextlib.closing(engine):
        for windows in batches:
            batch, patterns = full_batch(checkpoint, windows), np.repeat(LIVE_PATTERNS[None], windows, axis=0)

            def score(batch: dict[str, Any] = batch, patterns: Any = patterns) -> None:
                engine.score(batch, patterns)

            same = {"engine": name, "precision": engine.precision, "batch": windows}
            for beside in ("", "busy cores") if windows == 1 else ("",):
                with busy_neighbours() if beside else contextlib.nullcontext():
                    found = percentiles(timed(score, iterations, warmup))
                found["windows_per_s"] = windows * 1e3 / found["p50"]
                rows.append(same | {"beside": beside} | found)
            rows[-1]["rss_mb"] = (psutil.Process().memory_info().rss - before) / 2**20
            rows[-1] |= on_device(engine, checkpoint, score, windows)
            if engine.name != name:
                raise SystemExit(f"{name} did not last: {engine.describe()}")
    return rows


def on_device(engine: Engine, checkpoint: Checkpoint, score: Callable[[], None], windows: int) -> dict[str, Any]:
    """For an engine on a GPU: memory, kernels, floor; where it is a graph also its time there and the host's."""
    from miar_rt.engines.gpu import no_cuda

    if engine.name == "onnx" or no_cuda() is not None:
        return {}
    import torch
    from gpu_floor import count_kernels, device_ms, floor_ms

    free, total = torch.cuda.mem_get_info()
    found: dict[str, Any] = {"gpu_mb": (total - free) / 2**20}
    plans = getattr(getattr(engine, "running", None), "plans", {})
    plan = plans.get(min((size for size in plans if size >= windows), default=None))
    if isinstance(plan, GraphPlan):
        found["device_ms"] = device_ms(plan.launch, plan.stream)
        found["copy_in_ms"] = device_ms(plan.inputs.send, plan.stream)
        found["copy_out_ms"] = device_ms(plan.outputs.fetch, plan.stream)
        found["host_us"] = host_us(score, plan)
    # without the right to count them a profiler sees none, and there is no floor to tell
    kernels = count_kernels(score)
    return found | ({"kernels": kernels} | floor_ms(checkpoint, kernels) if kernels else {})


def host_us(score: Callable[[], None], plan: GraphPlan) -> float:
    """Microseconds the processor works for a score: all of it but the waiting for the GPU."""
    waited = 0.0

    def wait(patiently: Callable[[], None] = plan.wait) -> None:
        nonlocal waited
        began = time.perf_counter()
        patiently()
        waited = (time.perf_counter() - began) * 1e6

    plan.wait = wait  # type: ignore[method-assign]
    try:
        return float(np.median([timed(score, 1, 0)[0] * 1e3 - waited for _ in range(200)]))
    finally:
        del plan.wait


def timed(work: Callable[[], object], iterations: int, warmup: int) -> list[float]:
    """Milliseconds of each call after the warm-up, by the clock on the wall: what waits is part of it."""
    times = []
    for _ in range(warmup + iterations):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e3)
    return times[warmup:]


@contextlib.contextmanager
def busy_neighbours() -> Iterator[None]:
    """Keep all cores but one busy."""
    cores = len(os.sched_getaffinity(0))
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores - 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def time_extractors(iterations: int, warmup: int) -> list[dict[str, Any]]:
    """Rows for the text encoder, with another text each time, and for the appearance network."""
    encoder, appearance = TextEncoder(), Appearance()
    number = count()
    generator = np.random.default_rng(0)
    crops = generator.random((1, 48, 48)).astype(np.float32)

    def encode() -> None:
        i = next(number)
        words = [WORDS[(i // len(WORDS) ** (k % 3) + k) % len(WORDS)] for k in range(TOKENS)]
        if len(encoder.encode(words).tokens) != TOKENS:
            raise SystemExit("a word is not one token")

    def look() -> None:
        appearance.embed_crops(crops)

    rows = []
    for name, work in ((f"MiniLM, {TOKENS} tokens", encode), ("appearance, one face", look)):
        rows.append({"network": name, "beside": "", **percentiles(timed(work, iterations, warmup))})
        with busy_neighbours():
            rows.append({"network": name, "beside": "busy cores", **percentiles(timed(work, iterations, warmup))})
    return rows


def time_peers(checkpoint: Checkpoint, iterations: int, warmup: int) -> list[dict[str, Any]]:
    """Rows for MIAR and for published ways to fuse, all in plain torch, one window of full length, one answer.

    The peers but MulT stand on MIAR's encoders; all but MIAR have random weights, which cost the same.
    """
    import torch

    from miar_rt.engines.torch_engine import load_network
    from miar_rt.training.peers import make_peer

    inputs = {name: torch.from_numpy(array) for name, array in full_batch(checkpoint, 1).items()}
    miar = load_network(checkpoint)
    networks = {"MIAR": (miar, 1), "MIAR, four answers": (miar, len(LIVE_PATTERNS))}
    networks |= {f"{name}-shaped": (make_peer(name.lower(), miar.config).eval(), 1) for name in PEERS}
    rows = []
    for name, (network, answers) in networks.items():
        presence = torch.from_numpy(LIVE_PATTERNS[None, :answers])

        def forward(network: torch.nn.Module = network, presence: torch.Tensor = presence) -> None:
            with torch.inference_mode():
                network(**inputs, presence=presence)

        found = percentiles(timed(forward, iterations, warmup))
        millions = sum(value.numel() for value in network.parameters()) / 1e6
        rows.append({"network": name, "parameters, millions": millions, **found})
    return rows
