from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

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
