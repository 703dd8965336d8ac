from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_runs import Outcome, assert_one_line, run
from random_whisper import build_random_whisper

from stream.asr import RecogniserUnavailable
from stream.asr.choose import MODEL_VARIABLE, choose_recogniser


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A machine without a cache of weights and without a connection, whatever this one has."""
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_off():
    assert choose_recogniser("off", None) == (None, "words are off, as asked")


def test_auto_without_weights_uses_pocketsphinx_and_says_so_in_one_line():
    recogniser, line = choose_recogniser("auto", "en")
    assert recogniser is not None
    assert recogniser.kind == "sphinx"
    recogniser.close()
    assert re.fullmatch(
        r"words by pocketsphinx, English only: whisper (\S+) is not here and there is no network; "
        r"`miar fetch whisper:\1` gets it once",
        line,
    )


def test_auto_takes_the_folder_the_variable_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folder = build_random_whisper(tmp_path / "my-whisper", sure=True)
    monkeypatch.setenv(MODEL_VARIABLE, str(folder))
    recogniser, line = choose_recogniser("auto", "en")
    assert recogniser is not None
    assert recogniser.kind == "whisper"
    assert line == f"words by whisper my-whisper int8, as {MODEL_VARIABLE} says"
    recogniser.close()


def test_auto_with_a_bad_folder_falls_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path))
    recogniser, line = choose_recogniser("auto", "en")
    assert recogniser is not None
    recogniser.close()
    assert "is no CTranslate2 Whisper model" in line


def test_auto_in_a_language_nobody_here_knows():
    recogniser, line = choose_recogniser("auto", "de")
    assert recogniser is None
    assert "pocketsphinx knows English only" in line
    assert "\n" not in line


def test_sphinx():
    recogniser, line = choose_recogniser("sphinx", "en")
    assert recogniser is not None
    assert recogniser.name == "sphinx en-us"
    recogniser.close()
    assert line == "words by pocketsphinx, as asked"


@pytest.mark.parametrize("spec", ["whisper", "whisper:tiny.en", "whisper:someone/something"])
def test_whisper_that_cannot_be_had_says_what_to_do(spec: str):
    with pytest.raises(
        RecogniserUnavailable, match="is not here and there is no network; `miar fetch whisper:"
    ) as caught:
        choose_recogniser(spec, "en")
    assert "\n" not in str(caught.value)


def test_fetching_without_a_connection(capfd: pytest.CaptureFixture[str]):
    why = "is not here and there is no network"
    said = run(capfd, "miar", "fetch", "whisper:tiny.en")
    assert said == Outcome(1, "", f"miar: whisper tiny.en, as asked, {why}\n")
    said = run(capfd, "miar", "fetch")
    assert (said.code, said.out) == (1, "")
    assert re.fullmatch(rf"miar: whisper \S+, chosen for .*, {why}\n", said.err)


@pytest.mark.parametrize("what", ["whisper:enormous", "whisper:", "minilm"])
def test_there_is_no_such_thing_to_fetch(capfd: pytest.CaptureFixture[str], what: str):
    assert_one_line(run(capfd, "miar", "fetch", what), "miar", what.removeprefix("whisper:"))


def test_what_is_here_is_told_of_and_not_fetched(capfd: pytest.CaptureFixture[str], tmp_path: Path):
    said = run(capfd, "miar", "fetch", f"whisper:{tmp_path}")
    assert said == Outcome(0, f"whisper {tmp_path}, as asked, is in {tmp_path}\n", "")


def test_sphinx_in_another_language():
    with pytest.raises(RecogniserUnavailable, match="English only, not 'fr'"):
        choose_recogniser("sphinx", "fr")


@pytest.mark.parametrize("spec", ["", "siri", "whisper:", "sphinx:x", "whispers", "whisper:enormous", "off:"])
def test_a_bad_spec_is_named_with_what_would_be_right(spec: str):
    with pytest.raises(ValueError, match=r"use auto, whisper|give a folder") as caught:
        choose_recogniser(spec, "en")
    assert "\n" not in str(caught.value)
