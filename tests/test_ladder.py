"""Which engine is taken, what is said about the others, and what happens when it gives out in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from live_parts import Heard, make_live
from random_checkpoint import random_checkpoint
from test_session import acoustic, make_session, results, voice

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import Engine, EngineFailed, EngineUnavailable, Scores, choose
from miar_rt.engines.choose import LADDER, RUNGS, Rung, choose_engine
from miar_rt.engines.gpu import Gpu, no_cuda
from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.engines.parity import everywhere, random_batch
from miar_rt.engines.stepping import Stepping
from miar_rt.engines.torch_engine import TorchEngine
from miar_rt.signals import Array, FeatureFrame
from stream.clock import CaptureClock
from stream.events import Status
from stream.scoring import Scorer
from stream.session import Session

without_gpu = pytest.mark.skipif(no_cuda() is None, reason="there is a GPU here")
CARD = Gpu("NVIDIA Test", (8, 9), "570.1")


@pytest.fixture
def checkpoint() -> Checkpoint:
    return random_checkpoint()


class OnCard:
    """Stands on a card that gives out: answers as onnx does, ``lives`` times."""

    def __init__(self, lives: int, name: str = "cuda-graph", precision: str = "float32") -> None:
        self.name, self.precision = name, precision
        self.closed = 0
        self._lives = lives
        self._answers = OnnxEngine(random_checkpoint())

    def describe(self) -> str:
        return "a card"

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        self._lives -= 1
        if self._lives < 0:
            raise EngineFailed("CUDA out of memory")
        return self._answers.score(batch, presence)

    def close(self) -> None:
        self.closed += 1


class Overflowing(OnCard):
    """Half precision in which one number grows too large."""

    def score(self, batch: Mapping[str, Array], presence: Array) -> Scores:
        scores = super().score(batch, presence)
        scores.spread[0, 0] = np.inf
        return scores


def asked(engine: Engine) -> Scores:
    return engine.score(random_batch(2), everywhere(2))


# ---- the choice


@without_gpu
def test_auto_says_in_one_short_line_what_it_took_and_why(checkpoint: Checkpoint) -> None:
    engine, line = choose_engine("auto", checkpoint)
    assert engine.name == "onnx"
    assert line == f"engine onnx: onnxruntime {onnxruntime.__version__} on one CPU thread (no NVIDIA GPU)"
    engine.close()


def test_a_named_engine_is_taken(checkpoint: Checkpoint) -> None:
    engine, line = choose_engine("onnx", checkpoint)
    assert engine.name == "onnx"
    assert line.startswith(f"engine onnx: onnxruntime {onnxruntime.__version__} on ")
    engine.close()


def test_an_unknown_engine_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match=f"unknown engine 'gpu': choose one of auto, {', '.join(LADDER)}"):
        choose_engine("gpu", checkpoint)


@without_gpu
def test_an_engine_not_available_says_why_and_what_is(checkpoint: Checkpoint) -> None:
    with pytest.raises(
        EngineUnavailable, match=r"not available here: tensorrt \(no NVIDIA GPU\); available: .*onnx"
    ):
        choose_engine("tensorrt", checkpoint)


@without_gpu
def test_a_card_without_the_packages_names_them(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miar_rt.engines.gpu.find_gpu", lambda: CARD)
    monkeypatch.setattr("miar_rt.engines.gpu.torch_has_cuda", lambda: True)
    monkeypatch.setattr(choose, "find_spec", lambda package: None if "tensorrt" in package else "there")
    for name, extra in (("tensorrt", "trt"), ("tensorrt-rtx", "rtx")):
        with pytest.raises(EngineUnavailable, match=rf"{name} \(needs .*pip install -e '.*\[{extra}\]'\)"):
            choose_engine(name, checkpoint)


@without_gpu
def test_a_torch_without_cuda_is_said(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miar_rt.engines.gpu.find_gpu", lambda: CARD)
    engine, line = choose_engine("auto", checkpoint)
    assert engine.name == "onnx"
    assert line.endswith("on one CPU thread (torch is a build without CUDA)")


@without_gpu
def test_a_card_that_torch_cannot_use_is_passed_over(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real engine, opened where its device is not: what torch raises is a reason and no crash."""
    monkeypatch.setattr(choose, "RUNGS", tuple(rung for rung in RUNGS if rung.name in {"cuda-graph", "onnx"}))
    monkeypatch.setattr("miar_rt.engines.gpu.find_gpu", lambda: CARD)
    monkeypatch.setattr("miar_rt.engines.gpu.torch_has_cuda", lambda: True)
    engine, line = choose_engine("auto", checkpoint)
    assert engine.name == "onnx"
    assert "CUDA" in line
    assert "\n" not in line


def test_auto_passes_over_an_engine_that_cannot_be_imported(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "RUNGS", RUNGS[-2:])
    monkeypatch.setitem(sys.modules, "miar_rt.engines.onnx_engine", None)
    engine, line = choose_engine("auto", checkpoint)
    assert engine.name == "torch"
    assert "(cannot be imported: " in line


@pytest.mark.parametrize(
    "error", [OSError("libnvinfer.so.11: cannot open"), AttributeError("no SM89"), MemoryError()]
)
def test_auto_passes_over_an_engine_that_breaks_at_the_start(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def breaks(_: Checkpoint) -> Engine:
        raise error

    monkeypatch.setattr(choose, "RUNGS", (Rung("tensorrt", lambda: None, breaks), *RUNGS[-2:]))
    engine, line = choose_engine("auto", checkpoint)
    assert engine.name == "onnx"
    assert line.endswith(f"({error})" if str(error) else "(MemoryError)")


# ---- stepping down


def test_who_gives_out_is_followed_by_the_next_one_with_the_same_answers(checkpoint: Checkpoint) -> None:
    card = OnCard(lives=1)
    engine = Stepping(card, iter([OnnxEngine(checkpoint)]))
    before = asked(engine)
    assert engine.name == "cuda-graph"
    after = asked(engine)
    assert engine.name == "onnx"
    np.testing.assert_array_equal(after.logits, before.logits)
    assert engine.describe().endswith("on one CPU thread, since cuda-graph gave out: CUDA out of memory")
    assert card.closed == 1


def test_a_whole_ladder_can_give_out_at_once(checkpoint: Checkpoint) -> None:
    engine = Stepping(OnCard(0, "tensorrt"), iter([OnCard(0), TorchEngine(checkpoint)]))
    assert np.isfinite(asked(engine).logits).all()
    assert engine.name == "torch"


def test_with_nothing_below_the_failure_is_told() -> None:
    with pytest.raises(EngineFailed, match="out of memory"):
        asked(Stepping(OnCard(0), iter(())))


def test_what_half_precision_cannot_hold_never_comes_out(checkpoint: Checkpoint) -> None:
    engine = Stepping(Overflowing(9, "tensorrt", "float16"), iter([OnnxEngine(checkpoint)]))
    assert np.isfinite(asked(engine).spread).all()
    assert engine.precision == "float32"
    assert "float32 instead of float16, since tensorrt gave out: numbers grew beyond float16" in engine.describe()


def test_nobody_waits_for_a_compiler_in_the_middle_of_a_run(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a card that gave out, past what takes minutes to start, to the CPU."""
    opened: list[str] = []

    def open_compile(_: Checkpoint) -> Engine:
        opened.append("compile")
        return OnCard(9, "compile")

    rungs = (
        Rung("cuda-graph", lambda: None, lambda _: OnCard(1)),
        Rung("compile", lambda: None, open_compile, quick=False),
        *RUNGS[-2:],
    )
    monkeypatch.setattr(choose, "RUNGS", rungs)
    engine, _ = choose_engine("auto", checkpoint)
    asked(engine)
    asked(engine)
    assert (engine.name, opened) == ("onnx", [])


def test_when_nothing_on_the_gpu_goes_on_the_cpu_does(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime and torch are on the card too, and one cannot even be opened there."""

    def gone(_: Checkpoint) -> Engine:
        raise RuntimeError("CUDA error: unspecified launch failure")

    rungs = (
        Rung("cuda-graph", lambda: None, lambda _: OnCard(1)),
        Rung("onnx", lambda: None, lambda _: OnCard(0, "onnx")),
        Rung("torch", lambda: None, gone),
    )
    monkeypatch.setattr(choose, "RUNGS", rungs)
    engine, _ = choose_engine("auto", checkpoint)
    before, after = asked(engine), asked(engine)
    np.testing.assert_array_equal(before.logits, after.logits)
    assert engine.describe().startswith(f"onnxruntime {onnxruntime.__version__} on one CPU thread, since onnx gave")


def failing(lives: int) -> Session:
    scorer = Scorer(random_checkpoint(), Stepping(OnCard(lives), iter([OnnxEngine(random_checkpoint())])))
    return Session(scorer, None)


def heard(t: float) -> Iterator[FeatureFrame]:
    yield acoustic(t)
    yield voice(t, 0.95)


def test_a_session_goes_on_and_says_so_once() -> None:
    events, same = [], []
    session, other = failing(lives=3), make_session()
    for step in range(200):
        for signal in heard(step / 100):
            session.push(signal)
            other.push(signal)
        events += session.advance(step / 100 + 0.03)
        same += other.advance(step / 100 + 0.03)
    (status,) = [event for event in events if isinstance(event, Status)]
    assert (status.state, status.modality) == ("engine", None)
    assert "since cuda-graph gave out: CUDA out of memory" in status.detail
    found = results(events)
    assert [result.emotions for result in found] == [result.emotions for result in results(same)]
    assert {result.model.engine for result in found[:3]} == {"cuda-graph"}
    assert {result.model.engine for result in found[5:]} == {"onnx"}


def test_a_live_run_tells_its_listeners() -> None:
    clock, listener, session = CaptureClock(), Heard(), failing(lives=0)
    now = clock.now() + 1.0
    for step in range(100):
        for signal in heard(now - 1.0 + step / 100):
            session.push(signal)
    live = make_live(session, listener, clock=clock)
    live.start()
    try:
        listener.wait_for(lambda: (None, "engine") in listener.notices)
    finally:
        live.stop()
    (status,) = [event for event in listener.events if isinstance(event, Status) and event.state == "engine"]
    assert {"frames", "samples"} <= status.dropped.keys()


# ---- the real thing, where there is a card


GONE = """
import sys, torch
from pathlib import Path
from miar_rt.checkpoint import load_checkpoint
from miar_rt.engines.choose import choose_engine
from miar_rt.engines.parity import everywhere, random_batch

engine, _ = choose_engine("cuda-graph", load_checkpoint(Path(sys.argv[1])))
before = engine.score(random_batch(2), everywhere(2))
torch._assert_async(torch.zeros(1, device="cuda"))  # from here on, whatever asks the card fails
after = engine.score(random_batch(2), everywhere(2))
print(engine.name, abs(before.logits - after.logits).max() < 1e-3)
"""


@pytest.mark.skipif(no_cuda() is not None, reason=f"needs a GPU: {no_cuda()}")
def test_a_card_that_is_lost_ends_neither_the_answers_nor_the_process(random_checkpoint_folder: Path) -> None:
    call = [sys.executable, "-c", GONE, str(random_checkpoint_folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.returncode) == ("onnx True\n", 0), done.stderr


@pytest.mark.skipif(no_cuda() is not None, reason=f"needs a GPU: {no_cuda()}")
def test_memory_that_runs_out_on_a_card_is_a_step_down(checkpoint: Checkpoint) -> None:
    engine, _ = choose_engine("cuda-graph", checkpoint)
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        engine.score(random_batch(64), everywhere(64))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert engine.name == "onnx"
