from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.clock import CaptureClock
from stream.events import SAMPLE_RATE, AudioChunk, SignalGap, VideoFrame
from stream.sources import Device, NoDefaultDevice, SourceError
from stream.sources.camera import Camera, believable_stamp, discover_cameras, to_picture
from stream.sources.devices import choose_device, within
from stream.sources.mailboxes import LatestFrame, SoundQueue
from stream.sources.microphone import Microphone, adc_age, discover_microphones
from stream.sources.resample import MonoResampler


def frame(t: float) -> VideoFrame:
    return VideoFrame(t, np.zeros((1, 1, 3), np.uint8))


def chunk(number: int, samples: int = 320) -> AudioChunk:
    return AudioChunk(number * samples / SAMPLE_RATE, np.full(samples, number, np.int16))


# --- mailboxes ----------------------------------------------------------------------------------------------------


def test_the_newest_picture_wins_and_the_rest_is_counted() -> None:
    box = LatestFrame(lambda: 0.5)
    for t in (0.1, 0.2, 0.3):
        box.put(frame(t))
    newest = box.take(1.0, 0.0)
    assert newest is not None
    assert newest.t == 0.3
    assert box.dropped == 2
    assert box.take(1.0, 0.0) is None
    assert box.empty


def test_a_picture_grown_too_old_is_dropped() -> None:
    box = LatestFrame(lambda: 10.0)
    box.put(frame(9.0))
    assert box.take(max_age=0.5, timeout=0.0) is None
    assert box.dropped == 1


def test_a_reader_waits_for_the_next_picture_and_wakes_when_closed() -> None:
    clock = CaptureClock()
    box = LatestFrame(clock.now)
    threading.Timer(0.05, lambda: box.put(frame(clock.now()))).start()
    assert box.take(max_age=5.0, timeout=20.0) is not None
    threading.Timer(0.05, box.close).start()
    assert box.take(max_age=5.0, timeout=20.0) is None
    assert clock.now() < 15.0


def test_sound_is_lossless_up_to_two_seconds() -> None:
    queue = SoundQueue()
    for number in range(100):
        queue.put(chunk(number))
    items = queue.take(0.0)
    assert [i.samples[0] for i in items if isinstance(i, AudioChunk)] == list(range(100))
    assert queue.dropped == 0
    assert queue.take(0.0) == []


def test_sound_beyond_two_seconds_loses_the_oldest_and_says_so() -> None:
    queue = SoundQueue()
    for number in range(150):
        queue.put(chunk(number))
    gap, *rest = queue.take(0.0)
    assert gap == SignalGap("audio", 0.0, 1.0, "sound was not read in time")
    assert [i.samples[0] for i in rest if isinstance(i, AudioChunk)] == list(range(50, 150))
    assert queue.dropped == 50 * 320


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 12_000), st.just("gap"), st.just("read")), max_size=60))
def test_chunks_and_gaps_always_cover_all_time(actions: list[int | str]) -> None:
    """Whatever is read when, what comes out adjoins, gaps included, and samples are either read or counted."""
    queue, position, given_samples, out = SoundQueue(), 0, 0, list[AudioChunk | SignalGap]()
    for action in actions:
        if action == "read":
            out += queue.take(0.0)
        elif action == "gap":
            queue.put(SignalGap("audio", position / SAMPLE_RATE, (position + 800) / SAMPLE_RATE, "device"))
            position += 800
        elif isinstance(action, int):
            queue.put(AudioChunk(position / SAMPLE_RATE, np.zeros(action, np.int16)))
            position, given_samples = position + action, given_samples + action
    out += queue.take(0.0)
    at = 0.0
    for item in out:
        begin, end = (item.t, item.t_end) if isinstance(item, AudioChunk) else (item.t0, item.t1)
        assert begin == pytest.approx(at, abs=1e-9)
        at = end
    assert at == pytest.approx(position / SAMPLE_RATE)
    read = sum(len(i.samples) for i in out if isinstance(i, AudioChunk))
    assert read + queue.dropped == given_samples


# --- resampling ---------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 16_000, 44_100, 48_000]),
    cuts=st.lists(st.integers(1, 5000), max_size=30),
    channels=st.integers(1, 3),
)
def test_resampling_does_not_depend_on_blocks(rate: int, cuts: list[int], channels: int) -> None:
    sound = np.random.default_rng(3).integers(-20_000, 20_000, (rate // 2, channels)).astype(np.int16)
    whole = MonoResampler(rate)
    expected = np.concatenate([whole.push(sound), whole.flush()])
    cut = MonoResampler(rate)
    parts = [cut.push(part) for part in np.split(sound, np.minimum(np.cumsum([0, *cuts]), len(sound)))]
    assert np.array_equal(np.concatenate([*parts, cut.flush()]), expected)
    assert len(expected) == SAMPLE_RATE // 2


def test_pending_tells_where_the_next_sample_lies() -> None:
    """A click 0.3 s in must come out 0.3 s after the first sample, by ``pending`` alone."""
    resampler = MonoResampler(48_000)
    sound = np.zeros(48_000, np.int16)
    sound[14_400] = 30_000
    for begin in range(0, 48_000, 960):
        t = begin / 48_000 - resampler.pending
        out = resampler.push(sound[begin : begin + 960])
        assert 0.0 <= resampler.pending < 0.045
        if len(out) and np.abs(out).max() > 5000:
            assert t + int(np.abs(out).argmax()) / SAMPLE_RATE == pytest.approx(0.3, abs=1e-6)
            return
    pytest.fail("the click never came out")


def test_full_scale_does_not_wrap_around() -> None:
    square = np.where(np.arange(48_000) // 100 % 2, 32_767, -32_768).astype(np.int16)
    resampler = MonoResampler(48_000)
    out = resampler.push(square)
    assert np.corrcoef(out, square[::3][: len(out)])[0, 1] > 0.95


# --- choosing -----------------------------------------------------------------------------------------------------

DEVICES = [
    Device("microphone", 0, "HDA Intel: ALC257 Analog (hw:0,0)", "ALSA:HDA Intel: ALC257 Analog"),
    Device("microphone", 3, "USB Headset", "ALSA:USB Headset"),
    Device("microphone", 4, "USB Microphone", "ALSA:USB Microphone", default=True),
]


@pytest.mark.parametrize(
    ("which", "index"),
    [(None, 4), (3, 3), ("3", 3), ("usb headset", 3), ("ALSA:USB Headset", 3), ("alc257", 0), ("microphone", 4)],
)
def test_devices_are_found_by_number_identifier_name_and_part(which: int | str | None, index: int) -> None:
    assert choose_device(DEVICES, which, "microphone").index == index


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (7, "there is no microphone 7; there is: 0 (HDA Intel: ALC257 Analog (hw:0,0)), 3 (USB Headset), 4"),
        ("nope", "there is no microphone 'nope'; there is: 0"),
        ("usb", "microphone 'usb' could be any of: 3 (USB Headset), 4 (USB Microphone)"),
    ],
)
def test_what_is_not_found_says_what_there_is(which: int | str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        choose_device(DEVICES, which, "microphone")
    assert str(caught.value).startswith(message)
    assert not isinstance(caught.value, NoDefaultDevice)


def test_no_default_is_told_apart() -> None:
    with pytest.raises(NoDefaultDevice, match=r"^there is no camera here$"):
        choose_device([], None, "camera")


def test_within_hands_over_results_and_errors_and_does_not_wait_for_ever() -> None:
    def fail() -> None:
        raise SourceError("no")

    assert within(5.0, lambda: 3) == 3
    with pytest.raises(SourceError, match="no"):
        within(5.0, fail)
    release = threading.Event()
    assert within(0.05, lambda: release.wait(60.0)) is None
    release.set()


# --- cameras ------------------------------------------------------------------------------------------------------


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A machine with two cameras, of which the first also has a node for metadata."""
    nodes = {"video0": ("0", "Integrated Camera"), "video1": ("1", "Integrated Camera"), "video10": ("0", "BRIO")}
    (tmp_path / "dev/v4l/by-id").mkdir(parents=True)
    for node, (function, name) in nodes.items():
        (tmp_path / "dev" / node).touch()
        folder = tmp_path / "sys/class/video4linux" / node
        folder.mkdir(parents=True)
        (folder / "index").write_text(function + "\n")
        (folder / "name").write_text(name + "\n")
    (tmp_path / "dev/v4l/by-id/usb-046d_BRIO_1234-video-index0").symlink_to("../../video10")
    return tmp_path


def test_cameras_are_listed_without_their_metadata_nodes(system: Path) -> None:
    assert discover_cameras(system) == [
        Device("camera", 0, "Integrated Camera", str(system / "dev/video0"), default=True),
        Device("camera", 10, "BRIO", str(system / "dev/v4l/by-id/usb-046d_BRIO_1234-video-index0")),
    ]


def test_a_machine_without_cameras(tmp_path: Path) -> None:
    assert discover_cameras(tmp_path) == []


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="there is no camera 93; there is: "), Camera(93, CaptureClock()):
        pass


def test_no_camera_at_all_is_told_apart() -> None:
    if discover_cameras():
        pytest.skip("this machine has a camera")
    with pytest.raises(NoDefaultDevice), Camera(None, CaptureClock()):
        pass


@pytest.mark.parametrize(
    "make", [lambda folder: str(folder / "clip.mp4"), lambda folder: f"file://{folder}/clip.mp4"]
)
def test_a_file_is_no_camera(tmp_path: Path, make: Callable[[Path], str]) -> None:
    (tmp_path / "clip.mp4").touch()
    with (
        pytest.raises(SourceError, match="is a file; play files with --input"),
        Camera(make(tmp_path), CaptureClock()),
    ):
        pass


def test_only_monotonic_stamps_of_this_moment_are_believed() -> None:
    assert believable_stamp(99.98, 100.0)
    assert not believable_stamp(0.0, 100.0)
    assert not believable_stamp(100.5, 100.0)
    assert not believable_stamp(time.time(), 100.0)


def test_camera_images_become_small_rgb() -> None:
    blue_in_bgr = np.zeros((2160, 3840, 3), np.uint8)
    blue_in_bgr[..., 0] = 255
    picture = to_picture(blue_in_bgr)
    assert picture.shape == (540, 960, 3)
    assert picture[0, 0].tolist() == [0, 0, 255]
    assert to_picture(np.full((480, 640), 7, np.uint8))[3, 3].tolist() == [7, 7, 7]
    assert to_picture(np.zeros((1920, 1080, 3), np.uint8)).shape == (960, 540, 3)


# --- microphones --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("captured", "current", "age"),
    [(100.0, 100.03, 0.03), (0.0, 100.0, None), (100.0, 100.0, None), (101.0, 100.0, None), (99.5, 100.0, None)],
)
def test_adc_time_is_believed_only_where_it_can_be(captured: float, current: float, age: float | None) -> None:
    times = {"input_buffer_adc_time": captured, "current_time": current}
    assert adc_age(times, 0.02, 0.04) == pytest.approx(age) if age else adc_age(times, 0.02, 0.04) is None


@pytest.fixture
def pyaudio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A module that the process of PortAudio imports, to be written."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "pyaudio.py"


def test_portaudio_that_hangs_is_not_waited_for(pyaudio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyaudio.write_text("import time; time.sleep(3600)")
    monkeypatch.setattr("stream.sources.microphone.OPEN_SECONDS", 0.5)
    with pytest.raises(SourceError, match="did not answer within"):
        discover_microphones()
    with pytest.raises(SourceError, match="did not answer within"), Microphone(None, CaptureClock()):
        pass


def test_portaudio_that_dies_says_why(pyaudio: Path) -> None:
    pyaudio.write_text("import os; os.write(2, b'one thing\\nAssertion failed\\n'); os._exit(3)")
    with pytest.raises(SourceError, match=r"PortAudio ended: Assertion failed$"):
        discover_microphones()


def test_without_pyaudio_the_extra_is_named(pyaudio: Path) -> None:
    pyaudio.write_text("raise ImportError('libportaudio.so.2: cannot open it')")
    with (
        pytest.raises(SourceError, match=r"pip install -e .*\[mic\]'") as named,
        Microphone("a", CaptureClock()),
    ):
        pass
    assert not isinstance(named.value, NoDefaultDevice)
    with pytest.raises(NoDefaultDevice, match=r"pip install -e .*\[mic\]"), Microphone(None, CaptureClock()):
        pass
    with pytest.raises(SourceError, match=r"\[mic\]'.*libportaudio"):
        discover_microphones()
