"""The scripts that judge probabilities and baselines, on made-up corpora."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for path in SCRIPTS.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_probabilities_are_judged_and_drawn(
    scripts: None,  # noqa: ARG001
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reliability = importlib.import_module("reliability")
    data = tiny_checkpoint.parent / "data"
    monkeypatch.setattr(
        sys,
        "argv",
        ["reliability", "--data", str(data), "--checkpoint", str(tiny_checkpoint), "--out", str(tmp_path)],
    )
    reliability.main()
    page = (tmp_path / "reliability.md").read_text()
    assert page in capsys.readouterr().out
    for pattern in ("text", "audio", "vision", "text+audio", "text+vision", "audio+vision", "text+audio+vision"):
        assert f"| {pattern} |" in page
    for name in ("reliability.png", "risk_coverage.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_risk_is_the_share_of_errors_among_the_surest(scripts: None) -> None:  # noqa: ARG001
    reliability = importlib.import_module("reliability")
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.45, 0.55]])
    coverage, errors = reliability.risk(probabilities, np.array([1, 1, 0, 1]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert errors.tolist() == [0.0, 0.0, 1 / 3, 0.25]


def test_baselines_are_measured_in_all_the_ways(
    scripts: None,  # noqa: ARG001
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = importlib.import_module("bench_baseline")
    monkeypatch.setattr(importlib.import_module("unit_regression"), "LONG", 20)
    data = tiny_checkpoint.parent / "data"
    call = ["bench_baseline", "--data", data, "--checkpoint", tiny_checkpoint, "--orders", 2]
    monkeypatch.setattr(sys, "argv", [str(word) for word in call])
    bench.main()
    page = capsys.readouterr().out
    for channel in ("clean", "telephone band", "room, 0.5 s", "20 dB softer", "noise at 10 dB"):
        assert f"| network, voice | {channel} |" in page
    for row in ("network, face", "network, both", "logistic regression, face", "anger", "70 % neutral"):
        assert f"| {row} |" in page
    assert "nan" not in page


def test_what_was_heard_before_decides_the_column(scripts: None) -> None:  # noqa: ARG001
    regression = importlib.import_module("unit_regression")
    steps = np.arange(60)
    answer = np.stack([np.where(steps < 8, 1, 0), np.where(steps < 30, 1, 0)])
    one = regression.Learned(np.zeros((2, 60), int), answer, np.ones((2, 60), bool), np.array([0, 1]))
    cells = regression.by_heard([one])
    assert cells[0] == "0.000 ± 0.000"
    assert cells[3] == "0.500 ± 0.500"
    assert cells[5] == "1.000 ± 0.000"
