"""What is said of a machine that cannot keep up."""

from stream.pace import Losses, Pace


def pace_after(pictures: int, sound_lag: float = 0.0) -> Pace:
    pace = Pace()
    pace.pictures, pace.sound_lag = pictures, sound_lag
    return pace


def test_nothing_is_said_while_everything_is_used() -> None:
    assert pace_after(60).judge(2.0, {"frames": 0, "samples": 0, "speech": 0}) == ""


def test_a_camera_faster_than_needed_is_no_complaint() -> None:
    assert pace_after(60).judge(2.0, {"frames": 180}) == ""


def test_a_slow_camera_is_no_complaint() -> None:
    assert pace_after(4).judge(2.0, {"frames": 0}) == ""


def test_pictures_that_are_mostly_lost_are_told() -> None:
    assert pace_after(3).judge(2.0, {"frames": 57}) == "3 of 60 pictures were looked at"


def test_lost_sound_and_speech_are_told_once() -> None:
    pace = pace_after(60)
    lost = {"frames": 0, "samples": 8000, "speech": 16_000}
    assert pace.judge(2.0, lost) == "0.5 s of sound were lost, 1.0 s of sound were not searched for words"
    pace.pictures += 60
    assert pace.judge(4.0, lost) == ""


def test_sound_that_is_heard_late_is_told() -> None:
    assert pace_after(60, sound_lag=1.25).judge(2.0, {}) == "sound is 1.2 s late"


def test_words_that_are_late_are_told() -> None:
    pace = pace_after(60)
    pace.words_lag = 1.5
    assert pace.judge(2.0, {}) == ""
    pace.pictures, pace.words_lag = 120, 3.0
    assert pace.judge(4.0, {}) == "words are 3.0 s late"


def test_losses_add_up_over_sources_that_follow_one_another() -> None:
    losses, first, second = Losses(("frames", "samples")), object(), object()
    for source, lost in ((first, 0), (first, 3), (first, 5), (second, 0), (second, 2)):
        losses.count("frames", source, lost)
    losses.count("samples", first, 9)
    assert losses == {"frames": 7, "samples": 9}
