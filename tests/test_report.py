from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import image

from miar_rt.signals import EMOTIONS, MODALITIES
from stream import report as report_module
from stream.events import (
    ModalityState,
    ModelInfo,
    Outgoing,
    Reason,
    Result,
    Sentiment,
    Status,
    TimedWord,
    Transcript,
    TranscriptState,
)
from stream.report import FILES, Report, ReportError, SourceInfo, check_writable
from stream.report_plot import EMOTION_COLORS
from stream.report_series import COLUMNS, PRESENT, REASONS, UNSCORED, Series
from stream.report_sheet import LEFT, RIGHT, TITLE, WIDTH, Sheet, clock, style
from stream.report_words import Label, place

SOURCE = SourceInfo("talk.mp4", 6.0, has_video=True, has_audio=True)
ABSENT: dict[str, Reason] = {"text": "no_words_yet", "audio": "silence", "vision": "no_face"}


def result(seq: int, t: float, label: str | None = "happiness", present: tuple[str, ...] = ("audio",)) -> Result:
    emotions = None if label is None else {name: 0.64 if name == label else 0.06 for name in EMOTIONS}
    return Result(
        seq=seq,
        time=None,
        media_time=t,
        emotions=emotions,
        raw_emotions=emotions,
        label=label,
        confidence=None if label is None else 0.64,
        sentiment=None if label is None else Sentiment(1.0, 0.25, 1.75),
        modalities={
            name: ModalityState(True, None, 72.5, 1.0 / len(present))
            if label is not None and name in present
            else ModalityState(False, ABSENT[name], None, 0.0)
            for name in MODALITIES
        },
        gate={"text": 0.0, "audio": 0.25, "vision": 0.0, "fused": 0.75},
        transcript=TranscriptState("so far", "and", "sphinx"),
        latency_ms=None,
        model=ModelInfo("default-1", "onnx"),
        profile=None,
    )


def words(*texts: str, start: float = 0.5, final: bool = True) -> Transcript:
    timed = [TimedWord(text, start + i * 0.5, start + i * 0.5 + 0.4, final, 0.9) for i, text in enumerate(texts)]
    return Transcript(media_time=start, asr="sphinx", words=timed, speech_final=False)


def conversation() -> list[Outgoing]:
    """Six seconds: two happy ones, two with nothing present, two angry ones."""
    events: list[Outgoing] = [words("what", "a"), words("wonderfull", start=1.5, final=False)]
    for i in range(60):
        t = round(i * 0.1 + 0.04, 6)
        label = "happiness" if t < 2 else None if t < 4 else "anger"
        events.append(result(i, t, label, ("audio", "vision") if t >= 4 else ("audio",)))
    return [*events, words("wonderful", "day", start=4.2)]


def write(out: Path, events: list[Outgoing], source: SourceInfo = SOURCE) -> None:
    with Report(out, source) as report:
        for event in events:
            report.add(event)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "new" / "talk"
    write(out, conversation())
    return out


def test_leaves_its_four_files_and_nothing_else(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == sorted(FILES)


def test_results_are_one_json_line_each_in_order(written: Path) -> None:
    lines = (written / "results.jsonl").read_bytes().splitlines()
    results = [event for event in conversation() if isinstance(event, Result)]
    assert [msgspec.json.decode(line, type=Result) for line in lines] == results
    assert json.loads(lines[0])["type"] == "result"


def test_same_events_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write(tmp_path, conversation())
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes(), name


def test_table_is_typed_and_keeps_nulls(written: Path) -> None:
    table = pq.read_table(written / "results.parquet")
    assert table.num_rows == 60
    types = {field.name: str(field.type) for field in table.schema}
    assert types["seq"] == "int64"
    assert types["vision_present"] == "bool"
    assert types["label"] == types["vision_reason"] == "string"
    floats = [
        *(f"{kind}_{name}" for kind in ("emotion", "raw") for name in EMOTIONS),
        *(f"{name}_{what}" for name in MODALITIES for what in ("age_ms", "contribution")),
        *(f"gate_{token}" for token in (*MODALITIES, "fused")),
        "media_time", "confidence", "sentiment", "sentiment_low", "sentiment_high",
    ]  # fmt: skip
    assert {types[name] for name in floats} == {"double"}
    happy, nothing, angry = (table.slice(i, 1).to_pylist()[0] for i in (0, 30, 59))
    assert (happy["label"], happy["emotion_happiness"], happy["sentiment_low"]) == ("happiness", 0.64, 0.25)
    assert (happy["audio_age_ms"], happy["vision_reason"], happy["vision_age_ms"]) == (72.5, "no_face", None)
    assert [nothing[name] for name in ("label", "emotion_fear", "raw_fear", "sentiment")] == [None] * 4
    assert (nothing["audio_present"], nothing["audio_reason"]) == (False, "silence")
    assert (angry["label"], angry["vision_contribution"], angry["transcript_partial"]) == ("anger", 0.5, "and")


def test_summary_adds_up(written: Path) -> None:
    summary = json.loads((written / "summary.json").read_text())
    assert summary["source"]["name"] == "talk.mp4"
    assert (summary["seconds"], summary["results"], summary["scored"]) == (5.94, 60, 40)
    assert summary["label_share"] == {"happiness": 0.5, "anger": 0.5}
    assert summary["mean_emotions"] == {name: 0.35 if name in {"happiness", "anger"} else 0.06 for name in EMOTIONS}
    assert summary["mean_sentiment"] == 1.0
    assert summary["presence_share"] == {"text": 0.0, "audio": 0.666667, "vision": 0.333333}
    assert summary["reason_share"]["vision"] == {"no_face": 0.666667}
    assert summary["transcript"]["text"] == "what a wonderful day"
    assert summary["transcript"]["words"][2] == {"text": "wonderful", "t0": 4.2, "t1": 4.6, "confidence": 0.9}
    assert (summary["first_result"], summary["first_scored"]) == (0.04, 0.04)
    assert (summary["checkpoint"], summary["engine"], summary["time"]) == ("default-1", "onnx", None)
    assert summary["versions"]["numpy"] == np.__version__


def test_every_field_of_the_summary_is_documented(written: Path) -> None:
    told = (Path(__file__).parents[1] / "docs" / "analysis.md").read_text()
    assert [name for name in json.loads((written / "summary.json").read_text()) if f"`{name}`" not in told] == []


def test_summary_tells_of_late_damage_and_notices(tmp_path: Path) -> None:
    with Report(tmp_path, SOURCE) as report:
        report.add(Status(media_time=1.0, modality="audio", state="gap", detail="20 ms lost", dropped={}))
        report.source = SourceInfo("talk.mp4", None, has_video=False, has_audio=True, damage="cut off")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["source"]["damage"] == "cut off"
    assert summary["notices"] == [{"media_time": 1.0, "modality": "audio", "state": "gap", "detail": "20 ms lost"}]


def test_nothing_to_report_is_a_whole_report(tmp_path: Path) -> None:
    write(tmp_path, [])
    assert (tmp_path / "results.jsonl").read_bytes() == b""
    assert pq.read_table(tmp_path / "results.parquet").num_rows == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["results"], summary["mean_emotions"], summary["first_result"]) == (0, None, None)
    assert image.imread(tmp_path / "timeline.png").shape[1] == WIDTH


def test_more_results_than_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "BATCH", 7)
    write(tmp_path, conversation())
    assert pq.ParquetFile(tmp_path / "results.parquet").num_row_groups == math.ceil(60 / 7)
    assert pq.read_table(tmp_path / "results.parquet")["seq"].to_pylist() == list(range(60))


# ---- failing


def write_until(out: Path, error: BaseException) -> None:
    with Report(out, SOURCE) as report:
        report.add(result(0, 0.1))
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_run_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        write_until(tmp_path / "a" / "b", error())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_goes_and_what_still_runs_stays(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-dead").mkdir()
    (tmp_path / ".unfinished-dead" / "results.jsonl").write_text("{}")
    with Report(tmp_path, SOURCE):
        running = {path.name for path in tmp_path.iterdir()}
        check_writable(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == running
    assert ".unfinished-dead" not in running
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_a_failed_run_keeps_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, conversation())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RuntimeError, match="on the way"):
        write_until(tmp_path, RuntimeError("on the way"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_second_run_replaces_the_first_and_spares_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, conversation())
    write(tmp_path, [result(0, 0.1, "fear")])
    assert len((tmp_path / "results.jsonl").read_bytes().splitlines()) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    out = tmp_path / "caf\udce9"
    write(out, conversation())
    assert {path.name for path in out.iterdir()} == set(FILES)


def unwritable(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "file"
    file.write_text("in the way")
    yield file
    yield file / "below"
    # refuses even the superuser
    yield Path("/proc/miar-report")
    occupied = tmp_path / "occupied"
    (occupied / "summary.json").mkdir(parents=True)
    yield occupied


def test_what_cannot_be_written_is_found_beforehand(tmp_path: Path) -> None:
    for out in unwritable(tmp_path):
        with pytest.raises(ReportError) as caught:
            check_writable(out)
        message = str(caught.value)
        assert message.startswith(f"cannot write a report into {out}: ")
        assert "\n" not in message
        with pytest.raises(ReportError), Report(out, SOURCE):
            pytest.fail("entered")


def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "c 🎉")
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


# ---- the picture


def color_at(picture: np.ndarray, t: float, y: int, seconds: float) -> str:
    x = round(LEFT + (RIGHT - LEFT) * t / seconds)
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in picture[y, x, :3])


def test_picture_shows_labels_and_leaves_gaps_empty(written: Path) -> None:
    picture = image.imread(written / "timeline.png")
    assert picture.shape[1] == WIDTH
    happy, nothing, angry = (color_at(picture, t, TITLE + 4, 6.04) for t in (1.3, 3.3, 5.3))
    assert happy == EMOTION_COLORS[EMOTIONS.index("happiness")]
    assert angry == EMOTION_COLORS[EMOTIONS.index("anger")]
    assert nothing == "#ffffff"
    # below the strip and above the presence bars nothing is drawn in the gap but rules
    gap = picture[TITLE + 40 : TITLE + 540, round(LEFT + (RIGHT - LEFT) * 3.3 / 6.04), :3]
    rules = (gap < 0.99).any(axis=1)
    assert rules.sum() < 40
    assert gap[rules].min() > 0.8


@pytest.mark.parametrize("name", ["a $b$ c_{d}.mp4", "feest 🎉 日本.mp4", "new\nline.mp4", "x" * 400])
def test_any_file_name_can_be_the_title(tmp_path: Path, name: str) -> None:
    write(tmp_path, [result(0, 0.04), words("$x$", "🎉", "")], SourceInfo(name, 0.1, True, True))
    assert image.imread(tmp_path / "timeline.png").shape[1] == WIDTH


def test_an_hour_is_drawn_from_means() -> None:
    count = 36_000
    labels = ["happiness" if i < count // 4 else None if i < count // 2 else "anger" for i in range(count)]
    series = Series()
    series.extend([result(i, i * 0.1, label) for i, label in enumerate(labels)])
    steps = series.steps()
    assert 0.9 * COLUMNS <= len(steps.start) <= COLUMNS
    quarters = [steps.label[int(len(steps.label) * share)] for share in (0.1, 0.4, 0.9)]
    assert quarters == [EMOTIONS.index("happiness"), UNSCORED, EMOTIONS.index("anger")]
    assert np.isnan(steps.scores[steps.label == UNSCORED]).all()
    assert steps.means is not None
    assert steps.presence is not None
    np.testing.assert_allclose(steps.means[EMOTIONS.index("anger")], (0.64 * 2 + 0.06) / 3, rtol=1e-6)
    np.testing.assert_allclose(steps.presence, [0.0, 0.75, 0.0])
    assert (steps.end[:-1] <= steps.start[1:] + 1e-9).all()


def test_steps_end_before_a_gap() -> None:
    series = Series()
    series.extend([result(0, 0.0), result(1, 0.1), result(2, 5.0, present=("vision",))])
    steps = series.steps()
    assert steps.end.tolist() == [0.1, 1.1, pytest.approx(5.0 + 1.0)]
    assert [(code, run.start, run.stop) for code, run in steps.runs(steps.label)] == [(1, 0, 2), (1, 2, 3)]
    assert steps.absent[:, 2].tolist() == [REASONS.index("no_face")] * 2 + [PRESENT]


def number(text: str) -> int:
    return int(text.rstrip("…")[1:])


@given(
    gaps=st.lists(st.floats(0.0, 3.0), max_size=60),
    rows=st.integers(1, 4),
    scale=st.floats(0.5, 200.0),
)
@settings(max_examples=100, deadline=None)
def test_words_never_overlap(gaps: list[float], rows: int, scale: float) -> None:
    starts = np.cumsum(gaps).tolist()
    said = [TimedWord(f"w{i}", t, t + 0.2, True, 1.0) for i, t in enumerate(starts)]
    width = (starts[-1] + 0.2) * scale if said else 100.0

    def size(text: str) -> float:
        return 7.0 * len(text)

    labels = place(said, rows, width, lambda t: t * scale, size)
    for row in range(rows):
        line = [label for label in labels if label.row == row]
        for one, two in pairwise(line):
            assert one.x + size(one.text) <= two.x
            assert number(one.text) < number(two.text)
        for label in line:
            assert label.x + size(label.text) <= width
            assert label.x >= said[number(label.text)].t0 * scale
    assert [number(label.text) for label in labels] == sorted(number(label.text) for label in labels)


def test_words_with_room_stand_alone_where_they_were_said() -> None:
    said = [TimedWord(text, t, t + 0.3, True, 1.0) for text, t in (("so", 0.0), ("happy", 2.0), ("today", 2.4))]
    labels = place(said, 2, 1000.0, lambda t: t * 100, lambda text: 10.0 * len(text))
    assert labels == [Label(0.0, 0, "so"), Label(200.0, 0, "happy"), Label(255.0, 0, "today")]


def test_dense_words_stay_in_one_line_and_are_cut_at_the_edge() -> None:
    said = [TimedWord("word", t / 10, t / 10 + 0.1, True, 1.0) for t in (*range(5), *range(20, 25))]
    labels = place(said, 1, 300.0, lambda t: t * 100, lambda text: 7.0 * len(text))
    assert [label.text for label in labels] == [*["word"] * 6, "word…"]
    assert [label.x for label in labels[:6]] == [0.0, 33.0, 66.0, 99.0, 132.0, 200.0]


def test_a_phrase_that_would_begin_inside_another_goes_below_it_whole() -> None:
    said = [TimedWord("word", t, t + 0.1, True, 1.0) for t in (0.0, 0.1, 0.2, 0.8, 0.9)]
    labels = place(said, 2, 900.0, lambda t: t * 100, lambda text: 15.0 * len(text))
    assert [label.row for label in labels] == [0, 0, 0, 1, 1]


def test_times_read_alike_along_an_axis() -> None:
    assert [clock(t, 60) for t in (0.5, 12)] == ["0.5 s", "12 s"]
    assert [clock(t, 600) for t in (0, 125)] == ["0:00", "2:05"]
    assert clock(3725, 4000) == "1:02:05"


def test_a_home_that_cannot_be_written_is_drawn_in_without_a_word() -> None:
    code = "from stream.report_sheet import style\nwith style(): pass"
    home = {"HOME": "/proc/nowhere", "PYTHONPATH": os.pathsep.join(sys.path)}
    drawn = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True)
    assert drawn.stderr == ""


@pytest.mark.parametrize(
    ("begin", "end", "ticks"),
    [
        (0.0, 2.0, [0.0, 0.5, 1.0, 1.5, 2.0]),
        (0.0, 20.0, [2.0 * i for i in range(11)]),
        (121.3, 124.2, [122.0, 123.0, 124.0]),
    ],
)
def test_the_axis_begins_where_the_recording_does(begin: float, end: float, ticks: list[float]) -> None:
    with style():
        axes = Sheet(begin, end).panel(50, 0, 1)
    assert axes.get_xlim() == (begin, end)
    assert list(axes.get_xticks())[: len(ticks)] == ticks


def test_long_text_is_cut_in_its_middle() -> None:
    with style():
        sheet = Sheet(0.0, 10.0)
        cut = sheet.fitted("a rather long name of a file.mp4", 120.0, 9.5)
        assert sheet.width(cut, 9.5) <= 120.0
    assert cut.startswith("a ra")
    assert cut.endswith("mp4")
    assert "…" in cut
