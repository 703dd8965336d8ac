"""Several faces in one session: an entry for each, its own window and smoothing, and one that is primary."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from test_session import acoustic, make_session, results, said, voice
from test_speaker import mouth, sound, syllables

from miar_rt.input_spec import SPEC
from miar_rt.signals import Face, FeatureFrame
from stream.events import FaceResult, Result
from stream.session import Session, SessionConfig


def values(name: int, t: float) -> np.ndarray:
    """What the face with that id shows at ``t``."""
    seed = 1000 * name + int(t * 30)
    return np.random.default_rng(seed).normal(name, 1.0, SPEC.widths["vision"]).astype(np.float32)


def picture(t: float, *names: int, primary: int = 1) -> FeatureFrame:
    """A picture with the faces of these ids."""
    faces = tuple(
        Face(name, (0.1 * name, 0.2, 0.1 * name + 0.1, 0.4), name == primary, values(name, t)) for name in names
    )
    own = values(primary, t) if primary in names else np.full(SPEC.widths["vision"], np.nan, np.float32)
    return FeatureFrame("face", t, own, primary in names, faces=faces)


def look_at(session: Session, begin: float, end: float, *names: int, primary: int = 1) -> list[Result]:
    """Pictures of these faces, in silence."""
    found = []
    for step in range(round(begin * 30), round(end * 30)):
        session.push_features(picture(step / 30, *names, primary=primary))
        found += results(session.advance(step / 30))
    return found


def entries(result: Result) -> dict[int, FaceResult]:
    assert isinstance(result.faces, list)
    return {face.id: face for face in result.faces}


def test_one_face_is_told_as_ever() -> None:
    (result, *_) = results(make_session().advance(1.0))
    assert b'"faces"' not in msgspec.json.encode(result)


def test_with_several_wanted_every_result_tells_of_all() -> None:
    session = make_session(faces=3)
    assert results(session.advance(0.5))[-1].faces == []
    assert entries(look_at(session, 1.0, 2.0, 1)[-1]).keys() == {1}
    last = look_at(session, 2.0, 4.0, 1, 2, 3)[-1]
    assert [face.primary for face in entries(last).values()] == [True, False, False]
    assert len({face.confidence for face in entries(last).values()}) == 3
    box = entries(last)[2].box
    assert (box.x, box.y, box.width, box.height) == (0.2, 0.2, 0.1, 0.2)


def test_the_result_is_that_of_the_primary_face() -> None:
    session = make_session(faces=2)
    for last in look_at(session, 0.0, 2.0, 1, 2)[2:] + look_at(session, 2.0, 4.0, 1, 2, primary=2)[1:]:
        own = next(face for face in entries(last).values() if face.primary)
        told = ("emotions", "raw_emotions", "label", "confidence", "sentiment", "modalities")
        assert [getattr(last, name) for name in told] == [getattr(own, name) for name in told]
    assert entries(last)[2].primary


def test_each_face_is_scored_as_if_it_were_alone() -> None:
    """Nobody's face comes into the window of another, even where the primary one changes."""
    several, alone = make_session(faces=2), make_session()
    told = look_at(several, 0.0, 3.0, 1, 2) + look_at(several, 3.0, 6.0, 1, 2, primary=2)
    expected = look_at(alone, 0.0, 6.0, 2, primary=2)
    for one, other in zip(told, expected, strict=True):
        assert entries(one)[2].raw_emotions == pytest.approx(other.raw_emotions, abs=1e-5)
        assert entries(one)[2].emotions == pytest.approx(other.emotions, abs=1e-5)


def test_voice_and_words_go_to_the_mouth_that_moves_with_the_sound() -> None:
    """The second face speaks, the first and primary one is still."""
    session, loud, last = make_session(faces=2), syllables(9.0, 4), None
    for step in range(900):
        t = step / 100
        session.push_features(voice(t, 0.95))
        session.push_features(sound(t, float(loud[step])))
        if step % 4 == 0:
            shown = [mouth(0.0), mouth(0.2 * float(loud[step]))]
            faces = tuple(Face(i, (0.1, 0.1, 0.2, 0.2), i == 1, one) for i, one in enumerate(shown, 1))
            session.push_features(FeatureFrame("face", t, shown[0], faces=faces))
        if step in {500, 800}:
            session.push_words(said(t, "it is I"))
        last = next(iter(results(session.advance(t))), None) or last
    assert last is not None
    still, speaks = entries(last).values()
    assert (still.speaking, speaks.speaking) == (False, True)
    assert still.agreement is not None
    assert speaks.agreement is not None
    assert still.agreement < 0.1 < speaks.agreement
    reasons = [{name: state.reason for name, state in face.modalities.items()} for face in (still, speaks)]
    assert reasons == [
        {"text": "no_words_yet", "audio": "silence", "vision": None},
        {"text": None, "audio": None, "vision": None},
    ]
    assert last.modalities == still.modalities
    assert last.transcript.committed == "it is I it is I"


def test_a_face_that_leaves_is_told_of_no_more() -> None:
    session = make_session(faces=2)
    look_at(session, 0.0, 2.0, 1, 2)
    after = look_at(session, 2.0, 4.0, 1)
    gone = min(result.media_time for result in after if 2 not in entries(result))
    assert 2.3 < gone < 2.6
    assert entries(after[-1]).keys() == {1}


def test_without_any_face_voice_and_words_are_scored() -> None:
    session = make_session(faces=2)
    look_at(session, 0.0, 1.0, 1, 2)
    for step in range(100, 500):
        t = step / 100
        session.push_features(acoustic(t))
        session.push_features(voice(t, 0.9))
        if step % 4 == 0:
            session.push_features(picture(t))
        if step == 400:
            session.push_words(said(t, "still here"))
        session.advance(t)
    (last,) = results(session.finish(5.01))
    assert {name: state.reason for name, state in last.modalities.items()} == {
        "text": None, "audio": None, "vision": "no_face",
    }  # fmt: skip
    assert last.faces == []
    assert last.label is not None


@pytest.mark.parametrize("faces", [0, 5, -1])
def test_a_number_of_faces_that_cannot_be_is_refused(faces: int) -> None:
    with pytest.raises(ValueError, match="faces must be 1 to 4, not"):
        SessionConfig(faces=faces)
