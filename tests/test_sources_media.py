from __future__ import annotations

import itertools
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_makers import (
    assert_tone,
    assert_unbroken,
    corner_colours,
    pictures_of,
    quadrants,
    sound_of,
    tone,
    write_video,
    write_wav,
)

from stream.events import SAMPLE_RATE, AudioChunk, SignalGap, VideoFrame
from stream.sources import CHUNK_SAMPLES
from stream.sources.media_file import MediaFile, due


def test_picture_and_sound_interleave_in_the_order_of_devices(tmp_path: Path) -> None:
    path = write_video(tmp_path / "both.mkv", [quadrants()] * 25, sound=tone(1.0, 16_000))
    media = MediaFile(path)
    items = list(media.packets())
    assert (media.has_video, media.has_audio, media.rotation) == (True, True, 0)
    assert media.duration == pytest.approx(1.0, abs=0.05)
    assert [due(i) for i in items] == sorted(due(i) for i in items)
    assert [f.t for f in pictures_of(items)] == pytest.approx([i / 25 for i in range(25)], abs=0.001)
    assert [i.t for i in items if isinstance(i, AudioChunk)] == [i * 320 / 16_000 for i in range(50)]
    assert {len(i.samples) for i in items if isinstance(i, AudioChunk)} == {CHUNK_SAMPLES}
    assert np.array_equal(sound_of(items), np.rint(tone(1.0, 16_000)[0] * 32767).astype(np.int16))
    assert media.damage is None


def test_twice_the_same(tmp_path: Path) -> None:
    path = write_video(tmp_path / "both.mkv", [quadrants()] * 10, sound=tone(0.4, 44_100), sound_rate=44_100)
    first, second = list(MediaFile(path).packets()), list(MediaFile(path).packets())
    assert [due(i) for i in first] == [due(i) for i in second]
    assert np.array_equal(sound_of(first), sound_of(second))
    for a, b in zip(pictures_of(first), pictures_of(second), strict=True):
        assert np.array_equal(a.image, b.image)


def test_picture_only(tmp_path: Path) -> None:
    media = MediaFile(write_video(tmp_path / "silent.mp4", [quadrants()] * 5))
    items = list(media.packets())
    assert (media.has_video, media.has_audio) == (True, False)
    assert len(items) == len(pictures_of(items)) == 5
    assert items[0].image.shape == (240, 320, 3)
    assert corner_colours(items[0].image) == ["red", "green", "blue", "white"]


def test_sound_only(tmp_path: Path) -> None:
    pcm = np.rint(tone(1.0, 16_000).T * 32767).astype(np.int16)
    media = MediaFile(write_wav(tmp_path / "sound.wav", pcm, 16_000))
    items = list(media.packets())
    assert (media.has_video, media.has_audio) == (False, True)
    assert np.array_equal(sound_of(items), pcm[:, 0])
    assert_unbroken(items)


def test_what_is_not_wanted_is_not_given_and_times_stay(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [quadrants()] * 10, sound=tone(0.4, 16_000), sound_start=0.2)
    everything = list(MediaFile(path).packets())
    sound = list(MediaFile(path, video=False).packets())
    picture = list(MediaFile(path, audio=False).packets())
    assert [due(i) for i in sound] == [due(i) for i in everything if isinstance(i, AudioChunk)]
    assert [due(i) for i in picture] == [due(i) for i in everything if isinstance(i, VideoFrame)]


def test_eight_bit_sound(tmp_path: Path) -> None:
    pcm = np.rint(tone(1.0, 8000).T * 127 + 128).astype(np.uint8)
    items = list(MediaFile(write_wav(tmp_path / "old.wav", pcm, 8000)).packets())
    assert len(sound_of(items)) == SAMPLE_RATE
    assert_tone(sound_of(items), tolerance=500.0)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_other_rates_and_stereo_keep_count_phase_and_amplitude(tmp_path: Path, rate: int) -> None:
    pcm = np.rint(tone(1.0, rate, channels=2).T * 32767).astype(np.int16)
    items = list(MediaFile(write_wav(tmp_path / "stereo.wav", pcm, rate)).packets())
    assert len(sound_of(items)) == SAMPLE_RATE
    assert_tone(sound_of(items))
    assert_unbroken(items)


def test_sound_above_what_16_khz_can_hold_does_not_fold_back(tmp_path: Path) -> None:
    pcm = np.rint(tone(1.0, 48_000, hertz=11_000.0).T * 32767).astype(np.int16)
    samples = sound_of(list(MediaFile(write_wav(tmp_path / "high.wav", pcm, 48_000)).packets()))
    assert np.abs(samples[800:-800]).max() <= 1


def test_surround_is_mixed_down(tmp_path: Path) -> None:
    path = tmp_path / "surround.mka"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=48_000, layout="5.1")
        samples = np.zeros((6, 48_000), np.float32)
        samples[2] = tone(1.0, 48_000)[0]  # the centre, where speech is
        interleaved = np.rint(samples.T * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout="5.1")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    mono = sound_of(list(MediaFile(path).packets())).astype(float)
    expected = np.sin(2 * np.pi * 440.0 * np.arange(len(mono)) / SAMPLE_RATE)
    assert len(mono) == SAMPLE_RATE
    assert np.corrcoef(mono[800:-800], expected[800:-800])[0, 1] > 0.9999
    assert 2000.0 < np.abs(mono).max() < 20_000.0


def test_4k_is_scaled_down_and_keeps_its_colours(tmp_path: Path) -> None:
    items = list(MediaFile(write_video(tmp_path / "4k.mp4", [quadrants(3840, 2160)] * 2)).packets())
    assert [f.image.shape for f in pictures_of(items)] == [(540, 960, 3)] * 2
    assert corner_colours(pictures_of(items)[0].image) == ["red", "green", "blue", "white"]


def test_upright_picture_of_a_tall_frame(tmp_path: Path) -> None:
    items = list(MediaFile(write_video(tmp_path / "tall.mp4", [quadrants(1080, 1920)] * 2)).packets())
    assert pictures_of(items)[0].image.shape == (960, 540, 3)


ROTATION_MATRIX = {
    90: (0, -1, 1, 0),
    180: (-1, 0, 0, -1),
    270: (0, 1, -1, 0),
}


def rotate_in_place(path: Path, degrees: int) -> None:
    """Write a display matrix into the track header of an mp4, as phones do."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 4 * 2
    a, b, c, d = ROTATION_MATRIX[degrees]
    for slot, value in zip((0, 1, 3, 4), (a, b, c, d), strict=True):
        data[matrix + 4 * slot : matrix + 4 * slot + 4] = (value * 65_536).to_bytes(4, "big", signed=True)
    path.write_bytes(data)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_of_phones_is_undone(tmp_path: Path, degrees: int) -> None:
    """``degrees`` counter-clockwise, by FFmpeg's reading of the display matrix."""
    path = write_video(tmp_path / "phone.mp4", [quadrants()] * 2)
    rotate_in_place(path, degrees)
    media = MediaFile(path)
    image = pictures_of(list(media.packets()))[0].image
    turned = np.rot90(quadrants(), degrees // 90)
    assert media.rotation == degrees
    assert image.shape == turned.shape
    assert corner_colours(image) == corner_colours(np.ascontiguousarray(turned))


def test_grey(tmp_path: Path) -> None:
    image = np.repeat(np.tile(np.arange(0, 240, 2, dtype=np.uint8), (96, 1))[:, :, None], 3, axis=2)
    path = write_video(tmp_path / "grey.mkv", [image] * 3, codec="ffv1", pix_fmt="gray")
    shown = pictures_of(list(MediaFile(path).packets()))[0].image
    assert shown.shape == (96, 120, 3)
    assert np.array_equal(shown[..., 0], shown[..., 1])
    assert np.corrcoef(shown[..., 0].ravel(), image[..., 0].ravel())[0, 1] > 0.999


def test_120_pictures_a_second(tmp_path: Path) -> None:
    frames = pictures_of(list(MediaFile(write_video(tmp_path / "f.mp4", [quadrants()] * 60, fps=120)).packets()))
    assert [f.t for f in frames] == pytest.approx([i / 120 for i in range(60)], abs=1e-4)


def test_variable_frame_rate(tmp_path: Path) -> None:
    times = [Fraction(n, 1000) for n in (0, 33, 66, 300, 310, 900, 1500)]
    frames = pictures_of(list(MediaFile(write_video(tmp_path / "v.mkv", [quadrants()] * 7, times=times)).packets()))
    assert [f.t for f in frames] == pytest.approx([float(t) for t in times], abs=0.001)


def test_path_with_spaces_emoji_colon_and_percent(tmp_path: Path) -> None:
    folder = tmp_path / "my clips 🎬"
    folder.mkdir()
    path = write_video(folder / "plain.mkv", [quadrants()] * 3)
    odd = path.rename(folder / "http:%03d a clip 😀.mkv")
    media = MediaFile(odd)
    assert len(list(media.packets())) == 3
    assert media.name == "http:%03d a clip 😀.mkv"
    assert media.identifier == str(odd)


def test_a_name_without_suffix_and_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "clip.mkv", [quadrants()] * 3).rename(tmp_path / "clip")
    monkeypatch.chdir(tmp_path)
    assert len(list(MediaFile("clip").packets())) == 3


def test_offset_between_picture_and_sound_is_kept_and_time_starts_at_zero(tmp_path: Path) -> None:
    times = [Fraction(5) + Fraction(i, 25) for i in range(10)]
    path = write_video(
        tmp_path / "late.mkv", [quadrants()] * 10, times=times, sound=tone(0.4, 16_000), sound_start=5.13
    )
    items = list(MediaFile(path).packets())
    assert pictures_of(items)[0].t == pytest.approx(0.0, abs=1e-6)
    assert next(i.t for i in items if isinstance(i, AudioChunk)) == pytest.approx(0.13, abs=0.001)


def test_cover_picture_of_a_song_is_no_video(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg, which writes the cover picture, is not installed")
    pcm = np.rint(tone(1.0, 16_000).T * 32767).astype(np.int16)
    wav = write_wav(tmp_path / "a.wav", pcm, 16_000)
    cover = write_video(tmp_path / "cover.png", [quadrants()], codec="png", pix_fmt="rgb24", format="image2")
    song = tmp_path / "song.flac"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", wav, "-i", cover, "-map", "0", "-map", "1",
         "-disposition:v", "attached_pic", song],
        check=True,
    )  # fmt: skip
    media = MediaFile(song)
    assert (media.has_video, media.has_audio) == (False, True)


def test_sound_missing_in_the_middle_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for start in (0.0, 0.5):
            pcm = np.full((1, 4000), 1000, np.int16)
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), round(start * 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    items = list(MediaFile(path).packets())
    gaps = [i for i in items if isinstance(i, SignalGap)]
    assert [(g.modality, g.t0, g.t1) for g in gaps] == [("audio", 0.25, 0.5)]
    assert len(sound_of(items)) == 8000
    assert next(i.t for i in items if isinstance(i, AudioChunk) and i.t >= 0.5) == 0.5
    assert [due(i) for i in items] == sorted(due(i) for i in items)


@pytest.mark.parametrize(("pictures", "seconds", "start"), [(25, 0.9, 0.0), (25, 0.8, 0.1), (20, 1.0, 0.0)])
def test_loop_goes_on_with_unbroken_sound(tmp_path: Path, pictures: int, seconds: float, start: float) -> None:
    sound = tone(seconds, 44_100)
    path = write_video(
        tmp_path / "l.mkv", [quadrants()] * pictures, sound=sound, sound_rate=44_100, sound_start=start
    )
    items = list(itertools.takewhile(lambda i: due(i) < 3.5, MediaFile(path, loop=True).packets()))
    once = sound_of(list(MediaFile(path).packets()))
    assert_unbroken(items)
    assert [due(i) for i in items] == sorted(due(i) for i in items)
    frames = [f.t for f in pictures_of(items)]
    period = frames[pictures] - frames[0]
    assert period == pytest.approx(1.0, abs=0.002)
    assert frames == pytest.approx(
        [i // pictures * period + i % pictures / 25 for i in range(len(frames))], abs=0.002
    )
    looped = sound_of(items)
    assert np.array_equal(looped[: len(once)], once)
    assert np.array_equal(looped[round(2 * period * SAMPLE_RATE) :][: len(once)], once)


def test_loop_of_sound_counts_samples_exactly(tmp_path: Path) -> None:
    pcm = np.arange(1, 1001, dtype=np.int16)[:, None]
    media = MediaFile(write_wav(tmp_path / "short.wav", pcm, 16_000), loop=True)
    position = 0
    for chunk in itertools.islice(media.packets(), 1000):
        assert isinstance(chunk, AudioChunk)
        assert chunk.t == position / SAMPLE_RATE
        assert chunk.samples[0] == position % 1000 + 1
        position += len(chunk.samples)
