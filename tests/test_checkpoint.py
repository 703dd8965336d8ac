"""Checkpoints come back as they were saved, without torch, and a wrong one ends in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_checkpoint import random_checkpoint

from calibration.temperature import Temperatures
from miar_rt import checkpoint as module
from miar_rt.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from miar_rt.input_spec import SPEC
from miar_rt.window import ChannelStatistics


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "with space 😀", random_checkpoint())
    return tmp_path / "with space 😀"


def _change(folder: Path, **fields: Any) -> None:
    document = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(document | fields))


def test_what_was_saved_comes_back(folder: Path) -> None:
    saved, loaded = random_checkpoint(), load_checkpoint(folder)
    for name in ("name", "spec", "config", "interval_factor", "graph", "extractors", "corpora", "scores"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.temperatures.by_pattern == saved.temperatures.by_pattern
    assert loaded.state.keys() == saved.state.keys()
    for name, array in saved.state.items():
        np.testing.assert_array_equal(loaded.state[name], array)
    for modality, statistics in saved.statistics.items():
        np.testing.assert_array_equal(loaded.statistics[modality].location, statistics.location)
        np.testing.assert_array_equal(loaded.statistics[modality].scale, statistics.scale)


def test_saving_leaves_three_files_and_their_hash(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, random_checkpoint())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.onnx", "model.json", "model.safetensors"]
    assert load_checkpoint(tmp_path).sha256 == saved.sha256
    assert len(saved.sha256) == 64


def test_saving_again_replaces(folder: Path) -> None:
    save_checkpoint(folder, replace(random_checkpoint(), name="random-2"))
    assert load_checkpoint(folder).name == "random-2"


def test_loading_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from miar_rt.checkpoint import load_checkpoint\n"
        "load_checkpoint(Path(sys.argv[1]))\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "[]\n"


def _refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(folder)
    message = str(refused.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["model.safetensors", "graph.onnx"])
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert f"{name} is damaged" in _refusal(folder)
    (folder / name).unlink()
    assert "is incomplete" in _refusal(folder)


def test_a_folder_or_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"PK")
    for path in (tmp_path, file, tmp_path / "nowhere"):
        assert "is no checkpoint: that is a folder with model.json" in _refusal(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 3}', '{"model_type": "bert"}'])
def test_a_foreign_document_is_refused(folder: Path, content: str) -> None:
    (folder / "model.json").write_text(content)
    assert "model.json is damaged or of another program" in _refusal(folder)


def test_another_format_is_refused(folder: Path) -> None:
    _change(folder, version=2)
    assert "is of format miar-checkpoint 2, this program reads miar-checkpoint 1" in _refusal(folder)


def test_another_input_table_is_refused_by_its_differences(folder: Path) -> None:
    _change(folder, input_spec=SPEC.to_json() | {"audio_rate": 50, "classes": ["calm"]})
    assert "other input channels (audio_rate, classes differ" in _refusal(folder)


def test_a_temperature_out_of_range_is_refused(folder: Path) -> None:
    _change(folder, temperatures={"text": 99.0})
    assert "temperature of 'text' must be within" in _refusal(folder)


def test_weights_of_another_kind_are_refused(folder: Path) -> None:
    import hashlib

    from safetensors.numpy import save

    weights = save({"network.tokens": np.zeros((4, 32), np.float32)})
    (folder / "model.safetensors").write_bytes(weights)
    _change(folder, weights_sha256=hashlib.sha256(weights).hexdigest())
    assert "model.safetensors is not what training writes" in _refusal(folder)


def test_weights_the_graph_asks_for_must_be_there(folder: Path) -> None:
    _change(folder, graph_weights=["tokens", "another.weight"])
    assert "lacks weights (another.weight)" in _refusal(folder)


def test_the_packaged_checkpoint_loads() -> None:
    if not (module.DEFAULT / "model.json").is_file():
        pytest.skip("no default checkpoint in this checkout")
    loaded = load_checkpoint()
    assert loaded.spec == SPEC
    assert loaded.name


def test_values_without_meaning_are_refused(tmp_path: Path) -> None:
    good = random_checkpoint()
    name = next(iter(good.state))
    wrong = {
        "interval factor": {"interval_factor": -5.0},
        "config has an unknown 'depth'": {"config": {**good.config, "depth": 3}},
        "config says that width is 'wide'": {"config": {**good.config, "width": "wide"}},
        "config says that gate is 1": {"config": {**good.config, "gate": 1}},
        "config has 5 heads in a width of 32": {"config": {**good.config, "heads": 5}},
        "unknown pattern": {"temperatures": Temperatures({"smell": 2.0})},
        "printable characters": {"name": "x" * 100_000},
        "what is no number": {"state": {**good.state, name: np.full_like(good.state[name], np.nan)}},
    }
    for complaint, change in wrong.items():
        save_checkpoint(tmp_path / "wrong", replace(good, **change))
        with pytest.raises(CheckpointError, match=complaint):
            load_checkpoint(tmp_path / "wrong")


@pytest.mark.parametrize("scale", [0.0, np.nan, np.inf])
def test_statistics_that_are_none_are_refused(tmp_path: Path, scale: float) -> None:
    good = random_checkpoint()
    audio = good.statistics["audio"]
    wrong = {**good.statistics, "audio": ChannelStatistics(audio.location, np.full_like(audio.scale, scale))}
    save_checkpoint(tmp_path / "wrong", replace(good, statistics=wrong))
    with pytest.raises(CheckpointError, match="no statistics"):
        load_checkpoint(tmp_path / "wrong")


def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "piped", random_checkpoint())
    (tmp_path / "piped" / "model.safetensors").unlink()
    os.mkfifo(tmp_path / "piped" / "model.safetensors")
    with pytest.raises(CheckpointError, match="no regular file"):
        load_checkpoint(tmp_path / "piped")
