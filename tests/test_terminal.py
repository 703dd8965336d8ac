"""The terminal view, drawn into a console of 80 columns and 24 lines."""

import io

import msgspec
from rich.console import Console
from serving_samples import face, nothing, result

from stream.events import Result, Status, TimedWord, Transcript, TranscriptState
from stream.terminal import BAR_CELLS, TerminalView, render


def drawn(event: Result | None, transcript: Transcript | None = None, status: Status | None = None) -> list[str]:
    console = Console(width=80, height=24, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(render(event, transcript, status))
    return capture.get().splitlines()


def test_it_fits_into_80_by_24() -> None:
    words = "word " * 400
    long = msgspec.structs.replace(result(), transcript=TranscriptState(words, "partial", "whisper"))
    lines = drawn(long)
    assert len(lines) < 24
    assert max(map(len, lines)) == 80
    assert any("partial" in line for line in lines)


def test_bars_are_as_long_as_the_shares() -> None:
    lines = {line.split()[1]: line for line in drawn(result()) if "░" in line}
    assert list(lines) == ["neutral", "happiness", "sadness", "anger", "surprise", "disgust", "fear"]
    assert lines["happiness"].count("█") == round(0.62 * BAR_CELLS)
    assert " 62%" in lines["happiness"]
    assert lines["neutral"].count("█") == round(0.11 * BAR_CELLS)


def test_it_says_what_is_absent_and_why() -> None:
    text = "\n".join(drawn(result()))
    assert "happiness  62%" in text
    assert "+1.2 (+0.3 to +2.1)" in text
    assert "○ face   no face in the picture" in text
    assert "● words  contributes 60%" in text
    assert "what a wonderful day" in text
    assert "default-1 on onnx · latency 80 ms" in text


def test_everybody_in_the_picture_is_told_of() -> None:
    text = "\n".join(drawn(msgspec.structs.replace(result(), faces=[face(1), face(3, speaking=True)])))
    assert "face 1 happiness 62% · face 3 happiness 62% speaking" in text


def test_nothing_present_is_no_score() -> None:
    text = "\n".join(drawn(nothing()))
    assert "no score" in text
    assert "nobody is speaking" in text
    assert "no words yet" in text
    assert "█" not in text
    assert "%" not in text


def test_newer_words_and_the_notice_are_shown() -> None:
    words = [TimedWord("morning", 9.0, 9.4, False, 0.8)]
    newer = Transcript(media_time=9.5, asr="sphinx", words=words, speech_final=False)
    dropped = {"frames": 3, "samples": 0}
    notice = Status(media_time=9.5, modality="vision", state="device_lost", detail="", dropped=dropped)
    text = "\n".join(drawn(result(), newer, notice))
    assert "what a wonderful morning" in text
    assert "face device_lost · 3 pictures passed" in text


def test_before_the_first_result() -> None:
    assert "waiting for the first result" in "\n".join(drawn(None))


def test_the_key_that_pauses_is_named() -> None:
    assert "p pauses" in drawn(result())[0]
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(render(nothing(), None, None, paused=True))
    assert isinstance(console.file, io.StringIO)
    assert "paused: p goes on" in console.file.getvalue()


def test_the_live_view_shows_the_newest() -> None:
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True)
    with TerminalView(console) as view:
        view.update(nothing())
        view.update(result(2))
        view.update(Status(media_time=0.2, modality=None, state="ready", detail="", dropped={}))
    assert isinstance(console.file, io.StringIO)
    assert "happiness" in console.file.getvalue()
