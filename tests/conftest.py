"""What many tests need: the folder of shared data if it is there, and a network with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from random_checkpoint import random_checkpoint

from miar_rt.checkpoint import save_checkpoint
from miar_rt.engines.onnx_engine import OnnxEngine
from stream.scoring import Scorer

if TYPE_CHECKING:
    from session_records import Recorded

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


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny network trained on made-up corpora, which lie beside it in ``data``; features are kept apart."""
    from small_corpora import train_tiny, write_data

    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield train_tiny(write_data(folder / "data"), folder / "checkpoint")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Six seconds of a session that was told everything there is."""
    from session_records import Recorded, bits, record

    folder = tmp_path_factory.mktemp("recorded") / "session"
    put = record(folder, Scorer(random_checkpoint(), OnnxEngine(random_checkpoint())))
    return Recorded(folder, [bits(entry) for entry in put])
