"""What many tests need: the folder of shared data if it is there, and a network with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_checkpoint import random_checkpoint

from miar_rt.checkpoint import save_checkpoint
from miar_rt.engines.onnx_engine import OnnxEngine
from stream.scoring import Scorer

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    clips = SHARED / "clips"
    if not clips.is_dir():
        pytest.skip("no folder shared/clips beside the checkout")
    return clips


@pytest.fixture(scope="session")
def random_checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "random"
    save_checkpoint(folder, random_checkpoint())
    return folder


@pytest.fixture
def random_scorer() -> Scorer:
    return Scorer(random_checkpoint(), OnnxEngine(random_checkpoint()))
