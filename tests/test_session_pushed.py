"""A session that extracts by itself: what programs push is taken, or refused before anything changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_session import results

from stream.session import Session


@pytest.fixture
def embedded(random_checkpoint_folder: Path) -> Iterator[Session]:
    with Session.open(checkpoint=random_checkpoint_folder) as session:
        yield session


def test_a_session_is_closed_at_the_end_of_its_block(random_checkpoint_folder: Path) -> None:
    with Session.open(checkpoint=str(random_checkpoint_folder)) as session:
        session.push_audio(0.0, SOUND)
    with pytest.raises(RuntimeError, match="closed"):
        session.push_audio(1.0, SOUND)


SOUND = np.zeros(1600, np.int16)
PICTURE = np.zeros((48, 64, 3), np.uint8)


@pytest.mark.parametrize("t", [math.nan, math.inf, -math.inf, 1e18, -1e300])
def test_times_that_are_none_are_refused_and_spoil_nothing(embedded: Session, t: float) -> None:
    with pytest.raises(ValueError, match="times are seconds"):
        embedded.push_audio(t, SOUND)
    with pytest.raises(ValueError, match="times are seconds"):
        embedded.push_frame(t, PICTURE)
    with pytest.raises(ValueError, match="times are seconds"):
        embedded.advance(t)
    embedded.push_audio(0.0, SOUND)
    embedded.push_frame(0.0, PICTURE)
    assert results(embedded.advance(0.1))[0].modalities["vision"].reason == "no_face"


def test_time_does_not_run_backwards(embedded: Session) -> None:
    embedded.push_audio(5.0, SOUND)
    embedded.push_frame(5.0, PICTURE)
    with pytest.raises(ValueError, match="time runs backwards"):
        embedded.push_audio(1.0, SOUND)
    with pytest.raises(ValueError, match="time runs backwards"):
        embedded.push_frame(1.0, PICTURE)
    embedded.push_audio(5.08, SOUND)


def test_what_cannot_be_meant_is_refused_and_spoils_nothing(embedded: Session) -> None:
    for t in ("0", None, [1.0]):
        with pytest.raises(TypeError, match="times are numbers of seconds, not "):
            embedded.push_audio(t, SOUND)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="times are numbers of seconds, not "):
            embedded.push_frame(t, PICTURE)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="times are numbers of seconds, not "):
            embedded.advance(t)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"one dimension, \[n\], not the shape \[\]"):
        embedded.push_audio(99.0, np.array(7, np.int16))
    with pytest.raises(TypeError, match="int16, not float32"):
        embedded.push_audio(99.0, SOUND.astype(np.float32))
    with pytest.raises(ValueError, match=r"600.0 s of sound at once: push 60 s at most"):
        embedded.push_audio(99.0, np.zeros(600 * 16_000, np.int16))
    with pytest.raises(ValueError, match="16384 pixels at most"):
        embedded.push_frame(99.0, np.zeros((1, 60_000, 3), np.uint8))
    embedded.push_audio(np.float64(0.0), SOUND)
    embedded.push_frame(0, PICTURE)
    assert results(embedded.advance(0.1))[0].modalities["vision"].reason == "no_face"


def test_sound_may_come_long_before_it_is_asked_about(embedded: Session) -> None:
    """More of it than the acoustic graph keeps."""
    for minute in range(4):
        embedded.push_audio(60.0 * minute, np.zeros(60 * 16_000, np.int16))
    assert results(embedded.advance(240.0))[0].modalities["audio"].reason == "silence"


@pytest.mark.parametrize("used", [False, True])
def test_a_closed_session_says_so(random_checkpoint_folder: Path, used: bool) -> None:
    session = Session.open(checkpoint=random_checkpoint_folder)
    if used:
        session.push_audio(0.0, SOUND)
        session.push_frame(0.0, PICTURE)
    session.close()
    session.close()
    for call in (
        lambda: session.push_audio(1.0, SOUND),
        lambda: session.push_frame(1.0, PICTURE),
        lambda: session.advance(1.0),
    ):
        with pytest.raises(RuntimeError, match="this session is closed"):
            call()
