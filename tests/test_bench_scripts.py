"""The parts of the benchmark scripts that can be checked in a moment."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from flite_speech import flite_missing
from media_makers import tone, write_video
from random_checkpoint import random_checkpoint

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for path in SCRIPTS.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def report(scripts: None) -> ModuleType:  # noqa: ARG001
    return importlib.import_module("bench_report")


def test_a_section_replaces_itself_and_leaves_the_others(report: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    report.publish("One", "## One\n\nfirst\n", page)
    report.publish("Two", "## Two\n\nsecond\n", page)
    report.publish("One", "## One\n\nthird\n", page)
    text = page.read_text()
    assert "first" not in text
    assert text.index("third") < text.index("second")
    assert text.count("## ") == 2


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("A long run", "benchmarks.md"),
        ("Words by sphinx in noise", "benchmarks-words.md"),
        ("Clients that stop reading: 50", "benchmarks-serving.md"),
    ],
)
def test_a_section_knows_its_page(report: ModuleType, name: str, page: str) -> None:
    assert report.page_of(name) == report.DOCS / page


def test_every_section_is_on_its_page_and_the_first_page_names_the_others(report: ModuleType) -> None:
    pages = set(report.DOCS.glob("benchmarks*.md"))
    for page in pages:
        for name in re.findall(r"(?m)^## (.+)$", page.read_text()):
            assert report.page_of(name) == page
    first = report.page_of("anything else")
    assert all(f"({page.name})" in first.read_text() for page in pages - {first})


def test_a_section_says_when_and_on_what(report: ModuleType) -> None:
    text = report.section("Speed", "python scripts/x.py", "body")
    assert text.startswith("## Speed\n\n`python scripts/x.py`, 20")
    assert "cores" in text


def test_tables_show_floats_with_three_digits(report: ModuleType) -> None:
    assert report.table(["a", "b"], [["x", 0.123456], ["y", 12345.6]]) == (
        "| a | b |\n| --- | --- |\n| x | 0.123 |\n| y | 12346 |"
    )


def test_waiting_for_the_rate_counts_in_frame_to_result(scripts: None) -> None:  # noqa: ARG001
    probe = importlib.import_module("live_probe")
    results = [
        {
            "media_time": 1.0 + 0.1 * i + 0.01,
            "modalities": {"vision": {"age_ms": 10.0}},
            "latency_ms": {"vision": 15.0, "audio": 60.0, "text": None, "score": 3.0, "total": 15.0},
        }
        for i in range(20)
    ]
    waits = probe.frames_to_results(results)
    assert len(waits) == 19 * 3
    assert sorted(waits[:3]) == pytest.approx([15.0, 15.0 + 1000 / 30, 15.0 + 2000 / 30])
    assert probe.stages(results)["total, face newest"]["p95"] == 15.0


def test_a_slope_is_a_change_an_hour(scripts: None) -> None:  # noqa: ARG001
    soak = importlib.import_module("soak")
    median, change, error = soak.slope([0.0, 900.0, 1800.0, 2700.0, 3600.0], [10.0, 11.0, 12.0, 13.0, 14.0])
    assert (median, change) == (12.0, pytest.approx(4.0))
    assert error == pytest.approx(0.0, abs=1e-9)
    times, walks = np.arange(2000.0), np.random.default_rng(3).normal(size=(40, 2000)).cumsum(axis=1)
    fades = 0.98 ** np.arange(200)
    wander = [np.convolve(walk, fades)[:2000] for walk in np.diff(walks, axis=1, prepend=0.0)]
    beyond = [abs(change) > 2.0 * error for _, change, error in (soak.slope(times, one) for one in wander)]
    # of what only wanders about, hardly anything seems to grow
    assert np.mean(beyond) < 0.2


@pytest.mark.skipif(flite_missing(), reason="flite is not installed")
def test_nothing_is_committed_in_sound_without_speech(scripts: None) -> None:  # noqa: ARG001
    """Twenty seconds of each; the script takes ten minutes."""
    bench, sounds = importlib.import_module("bench_asr"), importlib.import_module("bench_sounds")
    said = {kind: bench.false_words("sphinx", sound) for kind, sound in sounds.without_speech(20.0)}
    assert {kind: committed for kind, (committed, _, _) in said.items()} == dict.fromkeys(said, 0)


@pytest.mark.skipif(flite_missing(), reason="flite is not installed")
def test_words_are_measured_in_babble(scripts: None) -> None:  # noqa: ARG001
    bench = importlib.import_module("bench_asr")
    sentences = ["i am so happy to see you today", "please close the door"]
    row = dict(zip(bench.HEADER, bench.speech("sphinx", "slt", "babble 40", sentences), strict=True))
    assert row["WER %"] < 50.0
    assert 0.0 < row["partial p50 s"] <= row["commit p50 s"] < 10.0
    assert row["CPU s per s"] > 0.0


@pytest.mark.skipif(flite_missing(), reason="flite is not installed")
def test_every_corpus_goes_through_the_live_path(
    scripts: None,  # noqa: ARG001
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gap = importlib.import_module("bench_live_gap")
    call = ["--data", tiny_checkpoint.parent / "data", "--checkpoint", tiny_checkpoint, "--samples", 2]
    monkeypatch.setattr(sys, "argv", ["bench_live_gap.py", *map(str, call)])
    gap.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert [row[0].strip("| ") for row in rows] == ["ravdess", "fer2013", "meld", "mosi"]
    assert all(row[-1].strip("| ") == "0" for row in rows[1:])


def test_engines_are_measured_against_plain_torch(
    scripts: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    random_checkpoint_folder: Path,
) -> None:
    bench = importlib.import_module("latency_bench")
    given = ["--engines", "onnx,torch", "--batch", "1,2", "--iterations", "3", "--warmup", "1"]
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    monkeypatch.setattr(sys, "argv", ["bench", *given, *files, "--checkpoint", str(random_checkpoint_folder)])
    bench.main()
    document = json.loads((tmp_path / "a.json").read_text())
    rows = document["figures"]["engines"]
    assert [(row["engine"], row["batch"], row["beside"]) for row in rows[:3]] == [
        ("onnx", 1, ""), ("onnx", 1, "busy cores"), ("onnx", 2, ""),
    ]  # fmt: skip
    assert all(0.0 < row["p50"] <= row["p95"] <= row["p99"] <= row["max"] for row in rows)
    assert {row["times_torch"] for row in rows if row["engine"] == "torch"} == {1.0}
    assert {"MIAR", "MulT-shaped", "MISA-shaped", "TFN-shaped", "LMF-shaped"} < {
        row["network"] for row in document["figures"]["peers"]
    }
    assert "torch" in document["software"]
    assert "| onnx | float32 | 1 |" in (tmp_path / "a.md").read_text()


def test_the_path_is_measured_by_stage(scripts: None, tmp_path: Path) -> None:  # noqa: ARG001
    data = pytest.importorskip("skimage.data")
    probe = importlib.import_module("stage_probe")
    clip = write_video(tmp_path / "a.mp4", [data.astronaut()] * 30, sound=tone(1.2, 16_000))
    found = probe.measure_stages(clip, 1.0, 10.0, random_checkpoint(), "onnx")
    assert tuple(found) == probe.STAGES
    assert all(0.0 < stage["p50"] <= stage["max"] for stage in found.values())
