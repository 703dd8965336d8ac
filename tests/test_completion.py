"""What the shell offers."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import run

from miar_rt.training.corpora import FEATURES
from miar_rt.training.exams import CORPORA
from stream import completion


@pytest.mark.parametrize(
    ("typed", "offers"),
    [
        ("miar ana", ["analyze"]),
        ("miar analyze --engine o", ["onnx"]),
        ("miar analyze --asr s", ["sphinx"]),
        ("miar evaluate mosi", ["mosi", "mosi-features"]),
        ("miar profiles show a", ["ann"]),
        ("miar-live --profile a", ["ann"]),
    ],
)
def test_values_are_offered(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    typed: str,
    offers: list[str],
) -> None:
    (tmp_path / "miar-live/profiles").mkdir(parents=True)
    for name in ("ann", "bob"):
        (tmp_path / f"miar-live/profiles/{name}.json").touch()
    program = typed.split(maxsplit=1)[0]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv(f"_{program.replace('-', '_').upper()}_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    said = run(capfd, program)
    assert (said.code, said.out.split(), said.err) == (0, offers, "")


def test_all_corpora_are_offered() -> None:
    assert set(completion.CORPORA) == {*CORPORA, FEATURES}
