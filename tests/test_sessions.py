"""onnxruntime: on the GPU where it can be, on the CPU when that gives out, on no more threads than it was given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from random_checkpoint import random_checkpoint

from miar_rt.engines import EngineFailed
from miar_rt.engines.choose import choose_engine
from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.engines.parity import everywhere, random_batch
from miar_rt.engines.sessions import ON_CPU, Graph, Providers, fastest_providers, frugal_options, start_session
from miar_rt.engines.weightless import WeightlessGraph, open_session
from miar_rt.features.appearance import GRAPH, Appearance

CROPS = np.random.default_rng(0).random((2, 48, 48)).astype(np.float32)


class OnGpu:
    """Stands for a session on a card that gives out when it is run."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider"]

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:  # noqa: ARG002 - the contract's
        raise RuntimeError("CUDA failure 2: out of memory")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def opened(providers: Providers) -> Any:
    session = onnxruntime.InferenceSession(str(GRAPH), frugal_options(), providers=ON_CPU)
    return session if providers == ON_CPU else OnGpu(session)


def test_what_makes_features_goes_on_on_the_cpu_when_the_gpu_gives_out(caplog: pytest.LogCaptureFixture) -> None:
    graph = Graph(opened, ("CUDAExecutionProvider", *ON_CPU))
    assert graph.on_gpu
    (found,) = graph.run(["embedding"], {"crops": CROPS})
    np.testing.assert_array_equal(found, Appearance().embed_crops(CROPS))
    assert not graph.on_gpu
    assert "goes on on the CPU, since the GPU gave out: CUDA failure 2: out of memory" in caplog.text


def test_a_gpu_that_cannot_be_opened_is_left(caplog: pytest.LogCaptureFixture) -> None:
    def open_on(providers: Providers) -> Any:
        if providers != ON_CPU:
            raise RuntimeError("CUDA failure 999: unknown error")
        return start_session(str(GRAPH), frugal_options(), providers)

    graph = Graph(open_on, ("CUDAExecutionProvider", *ON_CPU))
    assert not graph.on_gpu
    assert graph.run(["embedding"], {"crops": CROPS})[0].shape == (2, 64)
    assert "goes on on the CPU, since the GPU gave out: CUDA failure 999" in caplog.text


def test_a_session_says_nothing_where_results_belong(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="fit"):
        open_session(WeightlessGraph(b"no graph", ()), {})
    assert capfd.readouterr().out == ""


def test_a_wrong_question_is_no_fault_of_the_gpu() -> None:
    graph = Graph(opened, ON_CPU)
    with pytest.raises(Exception, match="wrong"):
        graph.run(["embedding"], {"wrong": CROPS})


def test_the_engine_tells_the_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OnnxEngine(random_checkpoint())
    assert engine._graph is not None
    monkeypatch.setattr(engine._graph, "session", OnGpu(engine._graph.session))
    with pytest.raises(EngineFailed, match="out of memory"):
        engine.score(random_batch(1), everywhere(1))


def test_the_package_for_the_gpu_alone_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", *ON_CPU])
    monkeypatch.setattr("miar_rt.engines.sessions.find_gpu", lambda: None)
    assert fastest_providers() == ON_CPU


COUNT = """
import os, sys
from pathlib import Path
import numpy as np
from miar_rt.checkpoint import load_checkpoint
from miar_rt.engines.choose import choose_engine
from miar_rt.engines.parity import everywhere, random_batch
from miar_rt.engines.weightless import WeightlessGraph, open_session
from miar_rt.features.appearance import Appearance
from miar_rt.features.text import TextEncoder, TextEncoderUnavailable
from miar_rt.features.voice_activity import VoiceActivity

def threads():
    return len(os.listdir("/proc/self/task"))

def use(name, work):
    before = threads()
    for _ in range(3):
        work()
    print(name, threads() - before)

engine, _ = choose_engine(sys.argv[1], load_checkpoint(Path(sys.argv[2])))
use("score", lambda: engine.score(random_batch(2), everywhere(2)))
appearance, voice = Appearance(), VoiceActivity()
use("appearance", lambda: appearance.embed_crops(np.zeros((3, 48, 48), np.float32)))
use("voice", lambda: voice.push(np.zeros(1600, np.int16)))
try:
    encoder = TextEncoder()
    texts = iter(range(9))
    use("text", lambda: encoder.encode(["hello", str(next(texts))]))
except TextEncoderUnavailable:
    pass
print("all", threads())
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_nothing_on_the_cpu_starts_threads_of_its_own(name: str, random_checkpoint_folder: Path) -> None:
    """However many cores there are: OpenBLAS is numpy's, has nothing to do here, and is told so."""
    if "one CPU thread" not in choose_engine(name, random_checkpoint())[1]:
        pytest.skip("this engine runs on a GPU here")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    call = [sys.executable, "-c", COUNT, name, str(random_checkpoint_folder)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=True)
    counts = dict(line.split() for line in done.stdout.splitlines())
    started = {what: count for what, count in counts.items() if what != "all" and int(count)}
    assert started == {}
    assert int(counts["all"]) <= 2, done.stdout
