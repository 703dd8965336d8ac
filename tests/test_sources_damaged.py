from __future__ import annotations

import os
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_makers import pictures_of, quadrants, sound_of, tone, write_video, write_wav

from stream.events import SAMPLE_RATE
from stream.sources import SourceError
from stream.sources.media_file import MediaFile, due


def empty_file(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text_file(folder: Path) -> Path:
    (folder / "notes.mp4").write_text("this is no film\n" * 50)
    return folder / "notes.mp4"


def beheaded(folder: Path) -> Path:
    """An mp4 keeps its index at the end: without it nothing can be found."""
    path = write_video(folder / "cut.mp4", [quadrants()] * 25)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def subtitles(folder: Path) -> Path:
    (folder / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n\n")
    return folder / "words.srt"


def header_only(folder: Path) -> Path:
    return write_wav(folder / "nothing.wav", np.zeros((0, 1), np.int16), 16_000)


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "nowhere.mp4", "no such file"),
        (lambda folder: folder, "is a directory"),
        (empty_file, "is empty"),
        (text_file, "invalid data"),
        (beheaded, "invalid data"),
        (subtitles, "no picture nor sound"),
        (header_only, "no picture nor sound"),
        (pipe, "no regular file"),
    ],
)
def test_useless_files_end_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    with pytest.raises(SourceError) as caught:
        MediaFile(path)
    message = str(caught.value)
    assert says in message
    assert str(path) in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_a_file_cut_in_the_middle_plays_up_to_the_cut(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_video(tmp_path / "cut.mkv", [quadrants()] * 100, sound=tone(4.0, 16_000))
    whole = list(MediaFile(path).packets())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    items = list(MediaFile(path).packets())
    assert 20 < len(pictures_of(items)) <= 100
    assert len(items) < len(whole)
    assert np.array_equal(pictures_of(items)[10].image, pictures_of(whole)[10].image)
    assert capfd.readouterr() == ("", "")


def sound_file(path: Path, codec: str, rate: int, seconds: float = 6.0, **options: Any) -> Path:
    noise = np.random.default_rng(0).normal(0.0, 0.1, (1, round(seconds * rate))).astype(np.float32)
    with av.open(str(path), "w", **options) as container:
        try:
            stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        except ValueError:
            pytest.skip(f"this FFmpeg has no {codec}")
        for begin in range(0, noise.shape[1], 960):
            frame = av.AudioFrame.from_ndarray(noise[:, begin : begin + 960].copy(), format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def matroska(folder: Path) -> Path:
    return write_video(folder / "film.mkv", [quadrants()] * 150, sound=tone(6.0, 16_000))


LASTING = {
    "matroska": matroska,
    "mp3": lambda folder: sound_file(folder / "sound.mp3", "libmp3lame", 44_100),
    "opus in matroska": lambda folder: sound_file(folder / "sound.mka", "libopus", 48_000),
    "mp4 with its index first": lambda folder: write_video(
        folder / "film.mp4", [quadrants()] * 150, options={"movflags": "faststart"}
    ),
}


@pytest.mark.parametrize("name", LASTING)
def test_a_file_that_ends_before_it_should_says_so(tmp_path: Path, name: str) -> None:
    path = LASTING[name](tmp_path)
    whole, size = MediaFile(path), path.stat().st_size
    list(whole.packets())
    assert whole.damage is None
    path.write_bytes(path.read_bytes()[: size * 6 // 10])
    cut = MediaFile(path)
    list(cut.packets())
    assert cut.damage is not None
    assert re.fullmatch(r"it breaks off at [23]\.\d s and says that it lasts 6\.\d s", cut.damage)


def wav(folder: Path) -> Path:
    return write_wav(folder / "sound.wav", (tone(6.0, 16_000).T * 32767).astype(np.int16), 16_000)


UNSTATED = {
    "wav": wav,
    "ogg": lambda folder: sound_file(folder / "sound.ogg", "libopus", 48_000),
    "mp3": lambda folder: sound_file(folder / "sound.mp3", "libmp3lame", 44_100, options={"write_xing": "0"}),
    "mp3, MPEG 2": lambda folder: sound_file(
        folder / "sound.mp3", "libmp3lame", 16_000, options={"write_xing": "0"}
    ),
}


@pytest.mark.parametrize("name", UNSTATED)
def test_sound_that_lacks_its_end_says_so(tmp_path: Path, name: str) -> None:
    """Where FFmpeg takes for the length what is there."""
    path = UNSTATED[name](tmp_path)
    whole = MediaFile(path)
    list(whole.packets())
    assert whole.damage is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 603 // 1000])
    cut = MediaFile(path)
    list(cut.packets())
    assert cut.damage is not None
    assert re.fullmatch(r"it breaks off at [23]\.\d s", cut.damage)


def test_a_wav_of_a_length_that_was_not_known_yet_is_whole(tmp_path: Path) -> None:
    content = bytearray(wav(tmp_path).read_bytes())
    for size in (b"\xff\xff\xff\xff", b"\xdb\xff\xff\x7f"):
        content[40:44] = size
        (tmp_path / "piped.wav").write_bytes(content)
        piped = MediaFile(tmp_path / "piped.wav")
        list(piped.packets())
        assert piped.damage is None


def test_what_was_not_asked_for_may_be_longer(tmp_path: Path) -> None:
    film = MediaFile(write_video(tmp_path / "film.mkv", [quadrants()] * 150, sound=tone(2.0, 16_000)), video=False)
    assert len(sound_of(list(film.packets()))) == 2 * SAMPLE_RATE
    assert film.damage is None


def test_bytes_damaged_in_the_middle_are_survived(tmp_path: Path) -> None:
    path = write_video(tmp_path / "hurt.mkv", [quadrants()] * 50, sound=tone(2.0, 16_000))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    path.write_bytes(data)
    items = list(MediaFile(path).packets())
    assert len(pictures_of(items)) > 20
    assert len(sound_of(items)) > SAMPLE_RATE // 2
    assert [due(i) for i in items] == sorted(due(i) for i in items)


def test_wanting_only_what_is_not_there(tmp_path: Path) -> None:
    path = write_video(tmp_path / "silent.mkv", [quadrants()] * 3)
    with pytest.raises(SourceError, match="there is no sound in it"):
        MediaFile(path, video=False)
