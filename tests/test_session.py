"""The pure session: presence and its reasons, the rate, honest results, and the same again for the same input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_checkpoint import random_checkpoint

from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.input_spec import ACOUSTICS, SPEC
from miar_rt.signals import MODALITIES, EncodedText, FeatureFrame, Word, WordsUpdate
from stream.events import DeviceStatus, Outgoing, Result, Transcript
from stream.scoring import Scorer
from stream.session import Session, SessionConfig

RATE = 10.0


class HashedWords:
    """A text encoder without weights: a fixed random vector for each word."""

    def encode(self, words: list[str]) -> EncodedText:
        rows = [np.random.default_rng(sum(map(ord, word))).normal(size=SPEC.token_width) for word in words]
        return EncodedText(
            np.array(rows, np.float32).reshape(len(words), SPEC.token_width), np.arange(len(words), dtype=np.int64)
        )


@lru_cache(1)
def engine() -> OnnxEngine:
    return OnnxEngine(random_checkpoint())


def make_session(**config: object) -> Session:
    scorer = Scorer(random_checkpoint(), engine())
    return Session(scorer, HashedWords(), SessionConfig(**config))  # type: ignore[arg-type]


def voice(t: float, probability: float) -> FeatureFrame:
    return FeatureFrame("voice", t, np.array([probability], np.float32))


def acoustic(t: float) -> FeatureFrame:
    values = np.random.default_rng(int(t * 100)).normal(size=len(ACOUSTICS))
    return FeatureFrame("acoustic", t, values.astype(np.float32))


def face(t: float, valid: bool = True) -> FeatureFrame:
    values = np.random.default_rng(int(t * 30)).normal(size=SPEC.widths["vision"]).astype(np.float32)
    return FeatureFrame("face", t, values, valid)


def said(t: float, text: str, final: bool = True) -> WordsUpdate:
    words = tuple(Word(t - 0.3, t, word, final, 0.9) for word in text.split())
    return WordsUpdate(t, "sphinx", words if final else (), () if final else words)


def results(events: list[Outgoing]) -> list[Result]:
    return [event for event in events if isinstance(event, Result)]


def speak(session: Session, start: float, end: float, probability: float = 0.95) -> list[Result]:
    """Sound from ``start`` to ``end`` with a voice in it, or not."""
    found = []
    for step in range(round(start * 100), round(end * 100)):
        t = step / 100
        session.push_features(acoustic(t))
        if step % 3 == 0:
            session.push_features(voice(t, probability))
        found += results(session.advance(t + 0.03))
    return found


def test_with_nothing_present_there_is_no_score() -> None:
    (result,) = results(make_session().advance(1.6))
    assert (result.emotions, result.raw_emotions, result.label, result.confidence, result.sentiment) == (None,) * 5
    assert {name: state.reason for name, state in result.modalities.items()} == {
        "text": "no_words_yet",
        "audio": "stale",
        "vision": "stale",
    }


def test_sound_without_a_voice_is_silence() -> None:
    last = speak(make_session(), 0.0, 3.0, probability=0.02)[-1]
    assert last.modalities["audio"].reason == "silence"
    assert last.emotions is None


def test_a_voice_is_present_while_and_shortly_after_it_speaks() -> None:
    session = make_session()
    assert speak(session, 0.0, 1.0)[-1].modalities["audio"].present
    after = speak(session, 1.0, 5.0, probability=0.01)
    present = [result.media_time for result in after if result.modalities["audio"].present]
    assert 2.0 < max(present) < 4.0
    assert after[-1].modalities["audio"].reason == "silence"


def test_a_face_that_leaves_is_gone_within_a_second() -> None:
    session = make_session()
    found = []
    for step in range(90):
        t = step / 30
        session.push_features(face(t, valid=t < 1.0))
        found += results(session.advance(t))
    gone = [r.media_time for r in found if r.modalities["vision"].reason == "no_face"]
    assert 1.0 < min(gone) < 2.0
    assert found[-1].modalities["vision"].reason == "no_face"
    assert session.advance(5.0)[-1].modalities["vision"].reason == "stale"


def test_a_face_in_pictures_that_come_late_is_present() -> None:
    """On a busy machine a picture may be 0.6 s old before it has been looked at."""
    session = make_session()
    found = []
    for step in range(60):
        session.push_features(face(step / 30))
        found += results(session.advance(step / 30 + 0.6))
    assert {result.modalities["vision"].reason for result in found} == {None}
    assert found[-1].modalities["vision"].age_ms == 600.0


def spoken_in(language: str, t: float, text: str) -> WordsUpdate:
    return replace(said(t, text), language=language)


def test_words_of_a_language_nobody_trained_on_are_shown_and_not_scored() -> None:
    session = make_session()
    session.push_words(spoken_in("de", 1.0, "was für ein Tag"))
    (transcript, result) = session.advance(1.2)
    assert isinstance(transcript, Transcript)
    assert transcript.language == "de"
    assert isinstance(result, Result)
    assert result.modalities["text"].reason == "unsupported_language"
    assert result.emotions is None
    assert result.transcript.committed == "was für ein Tag"


def test_a_speaker_who_changes_the_language() -> None:
    """English words count again at once, and the others between them never do."""
    session, english = make_session(), make_session()
    session.push_words(spoken_in("de", 1.0, "ja"))
    for each in (session, english):
        each.push_words(spoken_in("en", 2.0, "yes of course"))
    (mixed,), (pure,) = results(session.advance(2.1)), results(english.advance(2.1))
    assert mixed.modalities["text"].present
    assert mixed.transcript.committed == "ja yes of course"
    assert mixed.raw_emotions == pure.raw_emotions


def test_a_gap_of_the_recogniser_is_told() -> None:
    session = make_session()
    session.push_words(WordsUpdate(9.0, "sphinx", gap=(1.0, 9.0)))
    (transcript,) = [event for event in session.advance(9.0) if isinstance(event, Transcript)]
    assert transcript.gap == (1.0, 9.0)


def test_words_are_present_until_they_have_faded() -> None:
    session = make_session()
    session.push_words(said(1.0, "what a day"))
    (result,) = results(session.advance(1.2))
    assert result.modalities["text"].age_ms == 200.0
    assert result.transcript.committed == "what a day"
    assert results(session.advance(15.9))[0].modalities["text"].present
    assert results(session.advance(16.5))[0].modalities["text"].reason == "stale"


def test_partial_words_are_replaced_and_committed_ones_stay() -> None:
    session = make_session()
    session.push_words(said(1.0, "what a"))
    session.push_words(said(1.2, "dame", final=False))
    assert results(session.advance(1.6))[0].transcript.partial == "dame"
    session.push_words(said(1.5, "day"))
    events = session.advance(2.2)
    assert [type(event) for event in events] == [Transcript, Result]
    state = results(events)[0].transcript
    assert (state.committed, state.partial) == ("what a day", "")


def test_a_lost_device_is_said_and_the_others_go_on() -> None:
    session = make_session()
    session.push_features(face(0.0))
    session.set_status(DeviceStatus("audio", 0.0, "device_lost"))
    (result,) = results(session.advance(0.1))
    assert result.modalities["audio"].reason == "device_lost"
    assert result.modalities["vision"].present
    session.set_status(DeviceStatus("audio", 0.2, None))
    assert results(session.advance(0.3))[0].modalities["audio"].reason == "silence"
    assert results(session.advance(1.3))[0].modalities["audio"].reason == "stale"


def test_what_nobody_listens_to_is_off() -> None:
    session = make_session(listening_to=frozenset({"vision"}))
    session.push_features(face(0.0))
    (result,) = results(session.advance(0.0))
    assert [result.modalities[name].reason for name in MODALITIES] == ["off", "off", None]
    assert result.modalities["vision"].contribution == 1.0


@pytest.mark.parametrize("fps", [15, 25, 30, 60])
def test_the_rate_is_kept_on_average_and_never_exceeded(fps: int) -> None:
    session = make_session(rate=RATE)
    times = []
    for step in range(10 * fps):
        session.push_features(face(step / fps))
        times += [r.media_time for r in results(session.advance(step / fps))]
    assert len(times) == pytest.approx(10 * RATE, abs=2)
    assert min(np.diff(times)) >= 0.5 / RATE


def test_scores_say_what_they_must() -> None:
    session = make_session()
    speak(session, 0.0, 1.0)
    session.push_features(face(1.0))
    session.push_words(said(1.0, "so happy"))
    (result,) = results(session.advance(1.2))
    assert result.emotions is not None
    assert result.sentiment is not None
    assert set(result.emotions) == set(SPEC.classes)
    assert sum(result.emotions.values()) == pytest.approx(1.0, abs=1e-5)
    assert -3.0 <= result.sentiment.low <= result.sentiment.value <= result.sentiment.high <= 3.0
    assert sum(state.contribution for state in result.modalities.values()) == pytest.approx(1.0, abs=1e-5)
    assert sum(result.gate.values()) == pytest.approx(1.0, abs=1e-5)
    assert result.model.checkpoint == "random-1"
    assert (result.time, result.latency_ms) == (None, None)


def test_masking_a_modality_that_carries_nothing_is_no_contribution() -> None:
    session = make_session()
    session.push_features(face(0.0))
    session.push_words(said(0.0, "well"))
    (result,) = results(session.advance(0.0))
    assert result.modalities["audio"].contribution == 0.0
    assert result.modalities["text"].contribution > 0.0


def test_time_that_runs_backwards_is_refused() -> None:
    session = make_session()
    session.advance(2.0)
    with pytest.raises(ValueError, match="backwards"):
        session.advance(1.0)


@pytest.mark.parametrize("rate", [0.5, 61.0, float("nan")])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="1 to 60"):
        SessionConfig(rate=rate)


def test_raw_signal_needs_a_session_that_extracts() -> None:
    with pytest.raises(RuntimeError, match=r"Session\.open"):
        make_session().push_audio(0.0, np.zeros(10, np.int16))


def events_at(t: float) -> Iterator[st.SearchStrategy[object]]:
    yield st.just(face(t))
    yield st.just(face(t, valid=False))
    yield st.just(acoustic(t))
    yield st.floats(0.0, 1.0).map(lambda p: voice(t, p))
    yield st.sampled_from(["yes", "oh no", "hello there friend"]).flatmap(
        lambda text: st.booleans().map(lambda final: said(t, text, final))
    )
    yield st.sampled_from(MODALITIES).map(lambda m: DeviceStatus(m, t, "device_lost"))
    yield st.sampled_from(MODALITIES).map(lambda m: DeviceStatus(m, t, None))


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[float, object]]:
    t, story = 0.0, []
    for _ in range(draw(st.integers(1, 25))):
        t += draw(st.sampled_from([0.0, 0.01, 0.05, 0.4, 3.0]))
        story.append((t, draw(st.one_of(*events_at(t)))))
    return story


def tell(story: list[tuple[float, object]]) -> list[Outgoing]:
    session, heard = make_session(), []
    for t, event in story:
        if isinstance(event, FeatureFrame):
            session.push_features(event)
        elif isinstance(event, WordsUpdate):
            session.push_words(event)
        elif isinstance(event, DeviceStatus):
            session.set_status(event)
        heard += session.advance(t)
    return heard


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=stories())
def test_whatever_happens_results_are_honest_and_repeatable(story: list[tuple[float, object]]) -> None:
    heard = tell(story)
    assert msgspec.json.encode(heard) == msgspec.json.encode(tell(story))
    for result in results(heard):
        present = [state for state in result.modalities.values() if state.present]
        assert all((state.reason is None) == state.present for state in result.modalities.values())
        assert (result.emotions is None) == (not present)
        if result.emotions is not None:
            assert sum(result.emotions.values()) == pytest.approx(1.0, abs=1e-5)
            assert sum(state.contribution for state in present) == pytest.approx(1.0, abs=1e-5)
    assert [result.seq for result in results(heard)] == list(range(len(results(heard))))


@pytest.mark.parametrize("t", [float("nan"), float("inf"), -float("inf")])
def test_times_that_are_no_numbers_are_refused(t: float) -> None:
    session = make_session()
    with pytest.raises(ValueError, match="times are seconds"):
        session.push_features(face(0.0).__class__("face", t, face(0.0).values))
    with pytest.raises(ValueError, match="times are seconds"):
        session.advance(t)


def test_what_has_not_happened_yet_is_not_present() -> None:
    session = make_session()
    session.push_features(face(1e6))
    session.push_features(face(0.5, valid=False))
    (result,) = results(session.advance(0.6))
    assert result.modalities["vision"].reason == "no_face"
    assert result.emotions is None


def test_words_that_say_nothing_are_no_words() -> None:
    session = make_session()
    session.push_words(WordsUpdate(1.0, "written", (Word(0.5, 1.0, "  "), Word(0.5, float("nan"), "late"))))
    (result,) = results(session.advance(1.2))
    assert result.modalities["text"].reason == "no_words_yet"


# ---- embedded, with its own extractors
