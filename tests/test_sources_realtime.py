from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media_makers import pictures_of, quadrants, sound_of, tone, write_video, write_wav

from stream.clock import CaptureClock
from stream.events import AudioChunk, SignalGap, VideoFrame
from stream.sources import SourceError
from stream.sources.media_file import MediaFile
from stream.sources.realtime import RealtimeMedia

LONG = 60.0


def play(media: RealtimeMedia) -> tuple[list[VideoFrame], list[AudioChunk | SignalGap]]:
    """Read both sides until the file ends."""
    frames, sound = list[VideoFrame](), list[AudioChunk | SignalGap]()
    while not media.ended:
        sound += media.read(0.01) if media.has_audio else []
        frame = media.read_latest(LONG, 0.01) if media.has_video else None
        frames += [] if frame is None else [frame]
    return frames, sound


def test_played_sound_is_the_file_s_sound_at_media_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [quadrants(64, 48)] * 25, sound=tone(1.0, 44_100), sound_rate=44_100)
    fast = list(MediaFile(path).packets())
    clock = CaptureClock()
    with RealtimeMedia(path, clock, origin=0.0) as media:
        frames, sound = play(media)
        took = clock.now()
    assert np.array_equal(sound_of(sound), sound_of(fast))
    assert [i.t for i in sound if isinstance(i, AudioChunk)] == [i.t for i in fast if isinstance(i, AudioChunk)]
    every = {f.t: f.image for f in pictures_of(fast)}
    assert all(np.array_equal(f.image, every[f.t]) for f in frames)
    assert len(frames) + media.dropped_frames == 25
    assert took >= 1.0
    assert (media.lost, media.ended, media.dropped_samples) == (False, True, 0)


def test_stamps_count_from_the_moment_of_entering(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.ones((3200, 1), np.int16), 16_000)
    clock = CaptureClock()
    time.sleep(0.05)
    with RealtimeMedia(path, clock) as media:
        _, sound = play(media)
    first = sound[0]
    assert isinstance(first, AudioChunk)
    assert first.t == media.origin
    assert first.t >= 0.05
    assert len(sound_of(sound)) == 3200


class HeldUpClock(CaptureClock):
    """Jumps by three seconds once, as when the machine was busy with something else."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def now(self) -> float:
        self.asked += 1
        return super().now() + 3.0 * (self.asked > 20)


def test_playing_that_was_held_up_goes_on_from_the_present(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.arange(1, 16_001, dtype=np.int16)[:, None], 16_000)
    clock = HeldUpClock()
    with RealtimeMedia(path, clock) as media:
        _, sound = play(media)
    chunks = [item for item in sound if isinstance(item, AudioChunk)]
    steps = [after.t - before.t_end for before, after in pairwise(chunks)]
    assert len(sound_of(sound)) == 16_000
    assert sum(step > 1e-3 for step in steps) == 1
    assert 2.0 < max(steps) < 3.5


def test_nothing_is_handed_out_before_it_is_due(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.ones((8000, 1), np.int16), 16_000)
    clock = CaptureClock()
    with RealtimeMedia(path, clock, origin=0.0) as media:
        while not media.ended:
            for item in media.read(1.0):
                assert isinstance(item, AudioChunk)
                assert item.t_end <= clock.now()


def test_an_unread_side_does_not_keep_a_file_from_ending(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [quadrants(64, 48)] * 5, sound=tone(0.2, 16_000))
    with RealtimeMedia(path, CaptureClock(), audio=False) as media:
        frames, sound = play(media)
    assert (media.has_video, media.has_audio) == (True, False)
    assert frames
    assert sound == []


def test_a_reader_that_sleeps_gets_a_gap(tmp_path: Path) -> None:
    """Three seconds are played at once, as the origin lies long past; two of them fit."""
    path = write_wav(tmp_path / "a.wav", np.ones((48_000, 1), np.int16), 16_000)
    with RealtimeMedia(path, CaptureClock(), origin=-LONG) as media:
        media._thread.join(LONG)
        gap, *rest = media.read(0.0)
    assert gap == SignalGap("audio", -LONG, -LONG + 1.0, "sound was not read in time")
    assert len(sound_of(rest)) == 32_000
    assert media.dropped_samples == 16_000


def test_a_loop_never_ends_and_closes_at_once(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.arange(1000, dtype=np.int16)[:, None], 16_000)
    with RealtimeMedia(path, CaptureClock(), loop=True) as media:
        heard = 0
        while heard < 3000:
            heard += len(sound_of(media.read(5.0)))
        assert not media.ended
    assert not media._thread.is_alive()


def test_a_file_that_vanishes_while_it_loops_is_lost(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.arange(1000, dtype=np.int16)[:, None], 16_000)
    with RealtimeMedia(path, CaptureClock(), loop=True) as media:
        path.unlink()
        media._thread.join(LONG)
        assert media.lost
        assert not media.ended


def test_a_useless_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        RealtimeMedia(tmp_path / "nowhere.mp4", CaptureClock())
