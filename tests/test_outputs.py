"""Outputs for other programs, each read back by the library that its users have at the other end."""

from __future__ import annotations

import csv
import importlib
import math
import os
import queue
import resource
import stat
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from cli_runs import assert_one_line, run
from media_makers import quadrants, write_video
from serving_samples import nothing, result

from miar_rt.installing import install_command
from stream.clock import CaptureClock
from stream.events import Latency, Result, Status
from stream.outputs import WAITING_RESULTS, Output, OutputError
from stream.outputs.csv_file import LIVE, CsvFile
from stream.outputs.lsl import LslOutlet, channels
from stream.outputs.osc import OscSender, address
from stream.report_table import columns

LONG = 30.0
NOTICE = Status(media_time=0.2, modality=None, state="running", detail="", dropped={})


def stamped(one: Result, clock: CaptureClock, age: float) -> Result:
    return msgspec.structs.replace(one, time=clock.to_unix(clock.now() - age))


# ---- what they have in common


class Kept(Output):
    """Keeps what it is given; ``then`` is called with each batch."""

    name = "a test"

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.got: list[Result] = []
        self.closed = False
        self._then = then

    def open(self) -> str:
        return ""

    def send(self, results: Any) -> None:
        self._then()
        self.got.extend(results)

    def close(self) -> None:
        self.closed = True


def test_everything_taken_before_the_end_is_sent_in_order() -> None:
    with Kept() as output:
        for number in range(50):
            output.take(result(number))
            output.take(NOTICE)
    assert isinstance(output, Kept)
    assert [one.seq for one in output.got] == list(range(50))
    assert output.closed


def test_one_that_stalls_is_not_waited_for_and_its_losses_are_said(caplog: pytest.LogCaptureFixture) -> None:
    stalled, going = threading.Event(), threading.Event()

    def stall() -> None:
        stalled.set()
        going.wait(LONG)

    output = Kept(stall)
    with output:
        output.take(result(0))
        assert stalled.wait(LONG)
        for number in range(1, WAITING_RESULTS + 101):
            output.take(result(number))
        going.set()
    assert len(output.got) == WAITING_RESULTS + 1
    assert output.got[-1].seq == WAITING_RESULTS + 100
    assert "a test was too slow for" in caplog.text


def test_one_that_fails_ends_alone(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    with Kept(fail) as output:
        output.take(result())
    output.take(result())
    assert isinstance(output, Kept)
    assert output.closed
    assert [record.message for record in caplog.records] == ["a test ended: No space left on device"]


# ---- CSV


def test_a_table_says_what_the_results_say(tmp_path: Path) -> None:
    latency = Latency(text=None, audio=40.0, vision=None, score=2.0, total=40.0)
    first = msgspec.structs.replace(result(), time=1763630000.125, latency_ms=latency)
    output = CsvFile(tmp_path / "new.csv")
    assert "with the words" in output.open()
    with output:
        output.take(first)
        output.take(nothing())
    with (tmp_path / "new.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [column.name for column in (*LIVE, *columns())]
    assert (rows[0]["time"], rows[0]["latency_ms"], rows[0]["label"]) == ("1763630000.125", "40.0", "happiness")
    assert first.emotions is not None
    assert float(rows[0]["emotion_happiness"]) == first.emotions["happiness"]
    assert rows[0]["transcript_committed"] == first.transcript.committed
    assert (rows[1]["label"], rows[1]["confidence"], rows[1]["vision_present"]) == ("", "", "False")
    assert stat.S_IMODE((tmp_path / "new.csv").stat().st_mode) == 0o600


def test_a_table_can_be_read_while_it_grows(tmp_path: Path) -> None:
    output = CsvFile(tmp_path / "new.csv")
    output.open()
    with output:
        output.take(result())
        deadline = time.monotonic() + LONG
        while len((tmp_path / "new.csv").read_text().splitlines()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_file_that_is_there_or_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    for path, why in [
        (tmp_path / "mine.csv", "is there already"),
        (tmp_path, "is there already"),
        (tmp_path / "nowhere" / "new.csv", "No such file or directory"),
    ]:
        with pytest.raises(OutputError, match=why):
            CsvFile(path).open()
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_a_disk_that_is_full_from_the_beginning_is_one_line(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*new.csv: File too large; give --csv another file"):
            CsvFile(tmp_path / "new.csv").open()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


# ---- OSC


@pytest.fixture
def receiver() -> Iterator[tuple[int, queue.Queue[tuple[str, tuple[object, ...]]]]]:
    osc_server = pytest.importorskip("pythonosc.osc_server", reason="python-osc is not installed")
    from pythonosc.dispatcher import Dispatcher

    got: queue.Queue[tuple[str, tuple[object, ...]]] = queue.Queue()
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda name, *values: got.put((name, values)))
    with osc_server.BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1], got
        server.shutdown()
        thread.join()


def test_a_receiver_hears_every_score(receiver: tuple[int, queue.Queue[tuple[str, tuple[object, ...]]]]) -> None:
    port, got = receiver
    output = OscSender(f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in output.open()
    with output:
        output.take(result())
        output.take(nothing())
    heard = [got.get(timeout=LONG) for _ in range(1 + 3 + 1 + 7 + 1 + 1 + 3)]
    first, second = dict(heard[:13]), dict(heard[13:])
    assert first["/miar/scored"] == (1,)
    assert first["/miar/label"] == ("happiness", pytest.approx(result().confidence))
    assert first["/miar/emotion/happiness"] == (pytest.approx(0.62),)
    assert first["/miar/sentiment"] == pytest.approx((1.2, 0.3, 2.1))
    assert (first["/miar/present/text"], first["/miar/present/vision"]) == ((1,), (0,))
    assert second == {"/miar/scored": (0,)} | {
        f"/miar/present/{name}": (0,) for name in ("text", "audio", "vision")
    }


def test_nobody_listening_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("pythonosc", reason="python-osc is not installed")
    output = OscSender("127.0.0.1:9")
    output.open()
    with output:
        for number in range(20):
            output.take(result(number))
    assert caplog.text == ""


def test_addresses() -> None:
    assert address("127.0.0.1:9000") == ("127.0.0.1", 9000)
    assert address("[::1]:9000") == ("::1", 9000)
    assert address("studio.local:1") == ("studio.local", 1)
    for wrong in ("9000", "studio.local", ":9000", "studio.local:", "studio.local:0", "a:65536", "a:٣", "a:-1", ""):
        with pytest.raises(OutputError, match="--osc wants HOST:PORT"):
            address(wrong)


# ---- Lab Streaming Layer


@pytest.fixture(scope="module")
def lsl(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    config = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    config.write_text(
        f"[multicast]\nResolveScope = machine\n[lab]\nSessionID = {uuid.uuid4().hex}\n[log]\nlevel = -2\n"
    )
    # read once, when the library is first used
    os.environ["LSLAPICFG"] = str(config)
    try:
        return importlib.import_module("pylsl")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"pylsl cannot be used here: {type(error).__name__}")


def test_an_inlet_finds_and_reads_the_stream(lsl: ModuleType) -> None:
    clock = CaptureClock()
    output = LslOutlet(clock, {"vision": "camera 0", "audio": f"microphone {uuid.uuid4().hex}"})
    again = LslOutlet(clock, {"audio": output.source_id.split("/")[2], "vision": "camera 0"})
    assert output.source_id == again.source_id
    assert "on this network" in output.open()
    with output:
        (found,) = lsl.resolve_byprop("source_id", output.source_id, timeout=LONG)
        inlet = lsl.StreamInlet(found)
        inlet.open_stream(LONG)
        info = inlet.info()
        assert (info.name(), info.type(), info.nominal_srate()) == ("miar-live", "Emotion", lsl.IRREGULAR_RATE)
        assert info.get_channel_labels() == [column.name for column in channels()]
        assert info.get_channel_units() == [column.unit for column in channels()]

        before = lsl.local_clock()
        output.take(stamped(result(), clock, age=0.25))
        output.take(stamped(nothing(), clock, age=0.0))
        (first, t), (second, later) = (inlet.pull_sample(LONG) for _ in range(2))
        after = lsl.local_clock()
    assert before - 0.25 - 1e-3 <= t <= after - 0.25 + 1e-3
    assert before - 1e-3 <= later <= after + 1e-3
    values = dict(zip((column.name for column in channels()), first, strict=True))
    assert values["emotion_happiness"] == 0.62
    assert (values["sentiment"], values["text_present"], values["vision_present"]) == (1.2, 1.0, 0.0)
    empty = dict(zip((column.name for column in channels()), second, strict=True))
    assert math.isnan(empty["emotion_happiness"])
    assert math.isnan(empty["confidence"])
    assert empty["text_present"] == 0.0


# ---- as users ask for them


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mkv", [quadrants(64, 48)] * 25)


@pytest.fixture
def quiet(clip: Path, random_checkpoint_folder: Path) -> list[str]:
    fast = ["--checkpoint", str(random_checkpoint_folder), "--engine", "onnx", "--asr", "off", "--no-server"]
    return ["--input", str(clip), *fast]


def test_a_run_feeds_what_was_asked_for(
    receiver: tuple[int, queue.Queue[tuple[str, tuple[object, ...]]]],
    tmp_path: Path,
    quiet: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    port, got = receiver
    said = run(capfd, "miar-live", *quiet, "--json", "--csv", tmp_path / "new.csv", "--osc", f"127.0.0.1:{port}")
    assert said.code == 0
    assert f"results go to {tmp_path / 'new.csv'}" in said.err
    assert f"scores go to 127.0.0.1:{port} by OSC" in said.err
    shown = [one for one in map(msgspec.json.decode, said.out.splitlines()) if one["type"] == "result"]
    with (tmp_path / "new.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["seq"]), float(row["time"])) for row in rows] == [(one["seq"], one["time"]) for one in shown]
    assert [name for name, _ in (got.get(timeout=LONG) for _ in shown * 4)].count("/miar/scored") == len(shown)


@pytest.mark.parametrize(("option", "package", "extra"), [("--lsl", "pylsl", "lsl"), ("--osc", "pythonosc", "osc")])
def test_an_extra_that_is_missing_is_one_line(
    quiet: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    package: str,
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    where = ["127.0.0.1:9000"] if option == "--osc" else []
    assert_one_line(run(capfd, "miar-live", *quiet, option, *where), "miar-live", install_command(extra))


def test_wrong_targets_are_one_line(quiet: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("pythonosc", reason="python-osc is not installed")
    assert_one_line(run(capfd, "miar-live", *quiet, "--osc", "9000"), "miar-live", "HOST:PORT", "'9000'")
    assert_one_line(
        run(capfd, "miar-live", *quiet, "--osc", "no.such.host.invalid:9000"), "miar-live", "no such host"
    )
    assert_one_line(run(capfd, "miar-live", *quiet, "--csv", tmp_path), "miar-live", "is there already")
