"""A few faults in a real live run, and a judge that is not blind; ``scripts/fault_injection.py`` does 200."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fault_injection import HALVES, Fault, Run, World, inject, schedule
from serving_samples import result
from stand_ins import missing_for_pulse

from stream.events import ModalityState

pytestmark = pytest.mark.device

GONE = Fault("camera", print, affects=("vision",), claimed=1.0, reason="device_lost")


def judged(fault: Fault, media_time: float, state: ModalityState) -> list[str]:
    """What the judge says of one result after a fault that began at 10 s and was over at 20 s."""
    sample = result(1)
    there = {**sample.modalities, "vision": state}
    sample = msgspec.structs.replace(sample, media_time=media_time, modalities=there)
    run = Run(World(Path()), np.random.default_rng(0))
    return [line for line in run._wrong(fault, [sample], 10.0, 20.0) if "vision" in line]


@pytest.mark.parametrize(
    ("media_time", "state", "wrong"),
    [
        (10.9, ModalityState(True, None, 500.0, 1.0), False),
        (11.5, ModalityState(True, None, 500.0, 1.0), True),
        (11.5, ModalityState(False, "device_lost", None, 0.0), False),
        (11.5, ModalityState(False, "stale", None, 0.0), True),
        (20.5, ModalityState(True, None, 100.0, 1.0), False),
        (20.5, ModalityState(True, None, 1900.0, 1.0), True),
    ],
)
def test_the_judge_knows_a_wrong_presence(media_time: float, state: ModalityState, wrong: bool) -> None:
    assert bool(judged(GONE, media_time, state)) == wrong


def test_the_judge_leaves_out_what_mends_itself() -> None:
    healing = dataclasses.replace(GONE, heals=True)
    assert judged(healing, 11.5, ModalityState(True, None, 100.0, 1.0)) == []


def test_every_fault_takes_its_turn_and_a_seed_repeats_the_order() -> None:
    count = sum(len(half) for half in HALVES)
    names = [fault.name for fault in schedule(2 * count, np.random.default_rng(3))]
    assert len(names) == 2 * count
    assert sorted(names[:count]) == sorted(names[count:]) == sorted({*names})
    assert names == [fault.name for fault in schedule(2 * count, np.random.default_rng(3))]


def test_a_few_faults_in_a_live_run(
    pulse_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if (missing := missing_for_pulse()) is not None:
        pytest.skip(missing)
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    pytest.importorskip("skimage.data", reason="scikit-image is not installed (the extra dev)")
    for name in ("XDG_RUNTIME_DIR", "HOME", "PULSE_SERVER", "ALSA_CONFIG_PATH"):
        monkeypatch.setenv(name, "")
    report = inject(5, 3, pulse_folder)
    assert report.failure is None, caplog.text
    assert report.uncaught == []
    assert all(outcome.recovered is not None for outcome in report.outcomes)
    assert [line for line in report.wrong if "claimed" in line or " old " in line] == []
    assert max(report.lost) <= 1.0
