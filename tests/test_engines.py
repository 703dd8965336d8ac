"""Every engine gives the answers of the float64 network, and nobody hears what is masked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from random_checkpoint import random_checkpoint

from calibration.temperature import softmax
from miar_rt import checkpoint as checkpoint_module
from miar_rt.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from miar_rt.engines import Scores
from miar_rt.engines.export import OUTPUTS, export_onnx
from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.engines.parity import PATTERNS, compare, difference, everywhere, random_batch
from miar_rt.engines.torch_engine import TorchEngine
from miar_rt.engines.weightless import WeightlessGraph, open_session
from miar_rt.input_spec import ACOUSTICS, SPEC
from miar_rt.signals import MODALITIES, EncodedText, FeatureFrame, Word
from miar_rt.window import ModelInput, WindowBuilder, as_batch

ENGINES = {"onnx": OnnxEngine, "torch": TorchEngine}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint()


@pytest.fixture(scope="module", params=["random", "default"])
def any_checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    if request.param == "random":
        return random_checkpoint()
    if not (checkpoint_module.DEFAULT / "model.json").is_file():
        pytest.skip("no default checkpoint in this checkout")
    return load_checkpoint()


def built_windows(checkpoint: Checkpoint) -> list[ModelInput]:
    """Windows out of ``WindowBuilder``: a voice with pauses, a face that comes and goes, words; one per pattern."""
    generator = np.random.default_rng(3)
    builder = WindowBuilder()
    for i in range(500):
        descriptors = generator.normal(size=len(ACOUSTICS)).astype(np.float32)
        descriptors[10] = 30.0 if i % 90 < 50 else 0.0
        builder.push(FeatureFrame("acoustic", i / 100, descriptors, valid=i % 140 < 110))
    for i in range(150):
        builder.push(FeatureFrame("voice", i * 0.032, generator.random(1).astype(np.float32)))
        face = generator.normal(size=SPEC.widths["vision"]).astype(np.float32)
        face[SPEC.vision_groups["appearance"]] = np.nan
        builder.push(FeatureFrame("face", i / 30, face, valid=i % 40 < 30))
    words = [Word(0.4 * i, 0.4 * i + 0.3, "word", final=i < 9, confidence=0.9) for i in range(12)]
    tokens = generator.normal(size=(20, SPEC.token_width)).astype(np.float32)
    builder.set_words(words, EncodedText(tokens, np.sort(generator.integers(0, 12, 20))), "sphinx")
    return [
        builder.build(5.0, checkpoint.statistics, dict(zip(MODALITIES, pattern.astype(bool), strict=True)))
        for pattern in PATTERNS
    ]


def assert_same(a: Scores, b: Scores) -> None:
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_answers_are_those_of_float64_on_noise(any_checkpoint: Checkpoint, name: str) -> None:
    batch, presence = random_batch(5), everywhere(5)
    truth = TorchEngine(any_checkpoint, dtype=torch.float64).score(batch, presence)
    assert truth.logits.dtype == np.float64
    scores = ENGINES[name](any_checkpoint).score(batch, presence)
    assert scores.logits.shape == (5, 7, 7)
    assert scores.sentiment.shape == scores.spread.shape == (5, 7)
    assert scores.gate.shape == (5, 7, 4)
    assert scores.logits.dtype == np.float32
    assert compare(scores, truth).within("float32")


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_answers_are_those_of_float64_on_built_windows(any_checkpoint: Checkpoint, name: str) -> None:
    windows = built_windows(any_checkpoint)
    batch = as_batch(windows)
    presence = np.stack([w.presence for w in windows]).astype(np.float32)[:, None] * everywhere(len(windows))
    truth = TorchEngine(any_checkpoint, dtype=torch.float64).score(batch, presence)
    scores = ENGINES[name](any_checkpoint).score(batch, presence)
    assert difference(scores, truth) <= 1e-5
    assert np.ptp(softmax(truth.logits), axis=(0, 1)).max() > 1e-3  # patterns do tell in the answer


@pytest.mark.parametrize("name", sorted(ENGINES))
@pytest.mark.parametrize("modality", MODALITIES)
def test_what_is_masked_is_not_heard(checkpoint: Checkpoint, name: str, modality: str) -> None:
    engine = ENGINES[name](checkpoint)
    clean, spoilt = random_batch(3), random_batch(3)
    spoilt[modality] = spoilt[modality] * -50.0 + 7.0
    spoilt[f"{modality}_mask"] = 1.0 - spoilt[f"{modality}_mask"]
    column = MODALITIES.index(modality)
    spoilt["baseline"][:, column] = 1.0 - spoilt["baseline"][:, column]
    if modality == "vision":
        spoilt["groups"] = 1.0 - spoilt["groups"]
    without = everywhere(3, PATTERNS[PATTERNS[:, column] == 0.0])
    assert_same(engine.score(clean, without), engine.score(spoilt, without))
    assert (
        np.abs(engine.score(clean, everywhere(3)).logits - engine.score(spoilt, everywhere(3)).logits).max() > 1e-3
    )


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_rows_outside_the_mask_are_not_heard(checkpoint: Checkpoint, name: str) -> None:
    engine, clean, spoilt = ENGINES[name](checkpoint), random_batch(3), random_batch(3)
    for modality in MODALITIES:
        spoilt[modality][spoilt[f"{modality}_mask"] == 0.0] = 40.0
    assert_same(engine.score(clean, everywhere(3)), engine.score(spoilt, everywhere(3)))


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_masked_equals_absent(checkpoint: Checkpoint, name: str) -> None:
    engine, windows = ENGINES[name](checkpoint), built_windows(checkpoint)
    whole = windows[0]
    for pattern, window in zip(PATTERNS, windows, strict=True):
        presence = everywhere(1, pattern[None])
        assert window.presence.tolist() == pattern.astype(bool).tolist()
        assert_same(engine.score(as_batch([window]), presence), engine.score(as_batch([whole]), presence))


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_patterns_and_windows_do_not_mix(checkpoint: Checkpoint, name: str) -> None:
    engine, batch = ENGINES[name](checkpoint), random_batch(4)
    together = engine.score(batch, everywhere(4))
    for i in range(4):
        alone = engine.score({key: value[i : i + 1] for key, value in batch.items()}, everywhere(1)[:, 2:3])
        picked = Scores(*(getattr(together, output)[i : i + 1, 2:3] for output in OUTPUTS))
        assert difference(alone, picked) <= 1e-5


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_absent_modalities_have_no_gate(checkpoint: Checkpoint, name: str) -> None:
    gate = ENGINES[name](checkpoint).score(random_batch(2), everywhere(2)).gate
    np.testing.assert_allclose(gate.sum(axis=-1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(gate[..., :3][everywhere(2) == 0.0], 0.0)


def test_the_onnx_engine_runs_a_saved_checkpoint_without_torch(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint)
    batch = random_batch(1)
    np.savez(tmp_path / "batch.npz", **batch)
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from miar_rt.checkpoint import load_checkpoint; from miar_rt.engines.choose import choose_engine\n"
        "engine, _ = choose_engine('auto', load_checkpoint(Path(sys.argv[1])))\n"
        "scores = engine.score(dict(np.load(sys.argv[1] + '/batch.npz')), np.ones((1, 1, 3), np.float32))\n"
        "np.save(sys.argv[1] + '/logits.npy', scores.logits)\n"
        "print(sorted({'torch', 'onnx', 'onnxscript'} & set(sys.modules)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(checkpoint_module.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "[]\n"
    expected = OnnxEngine(checkpoint).score(batch, np.ones((1, 1, 3), np.float32))
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), expected.logits)


def test_weights_that_do_not_fit_the_graph_are_one_line(checkpoint: Checkpoint) -> None:
    for weights in ({**checkpoint.state, "tokens": np.zeros((4, 8), np.float32)}, {}):
        with pytest.raises(ValueError, match=r"^the graph (and the weights|asks for weights)[^\n]*$"):
            open_session(checkpoint.graph, weights)
    with pytest.raises(ValueError, match=r"^the graph and the weights do not fit[^\n]*$"):
        open_session(WeightlessGraph(b"no graph", ()), {})


def test_torch_refuses_weights_of_another_network(checkpoint: Checkpoint) -> None:
    for config in (checkpoint.config | {"width": 64}, checkpoint.config | {"depth": 1}):
        with pytest.raises(ValueError, match=r"^checkpoint random-1 is not of this version's network: [^\n]*$"):
            TorchEngine(replace(checkpoint, config=config))


def test_an_exported_file_stands_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "miar 😀.onnx"
    export_onnx(checkpoint, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    assert notes["checkpoint"] == "random-1"
    assert json.loads(notes["input_spec"])["classes"] == list(SPEC.classes)
    assert json.loads(notes["temperatures"]) == checkpoint.temperatures.by_pattern
    assert {entry.name: entry.shape[0] for entry in session.get_inputs()} == dict.fromkeys(
        (*random_batch(1), "presence"), "windows"
    )
    batch, presence = random_batch(2), everywhere(2)
    answers = Scores(*session.run(list(OUTPUTS), {**batch, "presence": presence}))
    assert difference(answers, OnnxEngine(checkpoint).score(batch, presence)) <= 1e-6


def test_graphs_hold_no_weights(checkpoint: Checkpoint) -> None:
    weights = sum(array.nbytes for array in checkpoint.state.values())
    assert len(checkpoint.graph.model) < min(weights, 300_000)
    assert set(checkpoint.graph.weights) <= checkpoint.state.keys()
    minilm = Path(checkpoint_module.__file__).parent / "features" / "minilm.onnx"
    assert minilm.stat().st_size < 300_000
