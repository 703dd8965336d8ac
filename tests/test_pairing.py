"""Which voice, face and text make one training sample, and what it is answered with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from miar_rt.signals import EMOTIONS
from miar_rt.training import pairing


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def corpora(random: np.random.Generator) -> pairing.Corpora:
    text, audio, vision = (pairing.ByLabel(random.permutation(np.arange(140) % 7)) for _ in range(3))
    sentiment = np.concatenate([np.zeros(140), np.linspace(-3, 3, 60)]).astype(np.float32)
    return pairing.Corpora(text, audio, vision, sentiment, [np.arange(140, 160), np.arange(160, 200)], (0.5, 0.5))


def test_matched_samples_share_their_label(corpora: pairing.Corpora, random: np.random.Generator) -> None:
    draw = pairing.draw_batch(corpora, 200, pairing.Mixture(sentiment=0.0, conflict=0.0), random)
    labels = draw.emotion.argmax(axis=2)
    assert (labels == labels[:, :1]).all()
    assert (corpora.text.labels[draw.text] == labels[:, 0]).all()
    assert (corpora.vision.labels[draw.vision] == labels[:, 2]).all()
    assert draw.agreeing.all()


def test_rated_texts_get_voices_and_faces_that_fit(corpora: pairing.Corpora, random: np.random.Generator) -> None:
    draw = pairing.draw_batch(corpora, 300, pairing.Mixture(sentiment=1.0, conflict=0.0), random)
    assert (draw.text >= 140).all()
    assert not draw.emotion[:, 0].any()
    assert np.array_equal(draw.sentiment[:, 0], corpora.text_sentiment[draw.text])
    label = draw.emotion[:, 1].argmax(axis=1)
    assert (draw.emotion[:, 2].argmax(axis=1) == label).all()
    assert set(label[draw.sentiment[:, 0] > 0.5]) == {EMOTIONS.index("happiness")}
    assert set(label[draw.sentiment[:, 0] < -0.5]) <= {2, 3, 5, 6}


def drawn(emotion: np.ndarray, astray: tuple[bool, bool, bool] = (False, False, False)) -> pairing.Draw:
    """One sample with these labels, of which some modalities went astray."""
    nothing, flags = np.zeros(1, np.int64), np.array([astray])
    trust = np.array([[1.0, 0.5, 0.5]], np.float32)
    sentiment = np.array([[2.0, -1.0, -1.0]], np.float32)
    return pairing.Draw(
        nothing, nothing, nothing, emotion, sentiment, trust, ~flags, flags, flags[:, 0], np.zeros(1)
    )


def test_a_conflict_is_answered_with_both() -> None:
    emotion = np.eye(7, dtype=np.float32)[[[1, 3, 3]]]
    patterns = np.array([(1, 0, 0), (1, 1, 0), (0, 1, 1), (1, 1, 1)], np.float32)
    targets, known = pairing.emotion_targets(drawn(emotion), patterns)
    assert pytest.approx(np.array([[1, 0], [0.5, 0.5], [0, 1], [1 / 3, 2 / 3]])) == targets[0, :, [1, 3]].T
    assert known.tolist() == [[1.0] * 4]


def test_what_went_astray_is_answered_only_where_it_is_alone() -> None:
    emotion = np.eye(7, dtype=np.float32)[[[1, 3, 3]]]
    patterns = np.array([(1, 0, 0), (1, 1, 0), (0, 1, 1), (1, 1, 1)], np.float32)
    one = drawn(emotion, (True, False, False))
    targets, _ = pairing.emotion_targets(one, patterns)
    assert pytest.approx(np.array([[1, 0], [0, 1], [0, 1], [0, 1]]), abs=2e-3) == targets[0, :, [1, 3]].T
    sentiment, trust = pairing.sentiment_targets(one, patterns)
    assert sentiment[0] == pytest.approx([2.0, -1.0, -1.0, -1.0], abs=0.01)
    assert trust[0].tolist() == [1.0, 1.0, 0.5, 1.0]


def test_words_go_astray_more_often_as_they_get_older(
    corpora: pairing.Corpora, random: np.random.Generator
) -> None:
    mixture = pairing.Mixture(sentiment=0.0, conflict=0.0, astray=(0.1, 0.2, 0.0))
    draw = pairing.draw_batch(corpora, 4000, mixture, random)
    fresh, old = (draw.astray[some, 0].mean() for some in (draw.delay < 2.0, draw.delay > 8.0))
    assert fresh == pytest.approx(0.1, abs=0.03)
    assert old > 0.4
    assert draw.astray[:, 1].mean() == pytest.approx(0.2, abs=0.03)
    assert not draw.astray[:, 2].any()
    labels = draw.emotion.argmax(axis=2)
    assert (labels[~draw.astray[:, 0], 0] == labels[~draw.astray[:, 0], 2]).all()
    assert draw.delay.max() <= pairing.OLDEST_WORDS


def test_a_take_has_its_own_face(corpora: pairing.Corpora, random: np.random.Generator) -> None:
    some = np.arange(140) % 2 == 0
    draw = pairing.draw_batch(
        replace(corpora, taken=some), 400, pairing.Mixture(takes=0.5, astray=(0.0, 0.5, 0.0)), random
    )
    assert 40 < draw.taken.sum() < 160
    assert some[draw.audio[draw.taken]].all()
    assert np.array_equal(draw.emotion[draw.taken, 1], draw.emotion[draw.taken, 2])
    assert np.array_equal(draw.astray[draw.taken, 1], draw.astray[draw.taken, 2])


def test_an_unlabelled_text_alone_teaches_no_emotion() -> None:
    emotion = np.zeros((1, 3, 7), np.float32)
    emotion[0, 1:, 4] = 1.0
    targets, known = pairing.emotion_targets(drawn(emotion), np.array([(1, 0, 0), (1, 1, 0)], np.float32))
    assert known.tolist() == [[0.0, 1.0]]
    assert targets[0, 1, 4] == 1.0


def test_class_weights_give_a_corpus_its_shares_back(random: np.random.Generator) -> None:
    text = pairing.ByLabel(np.array([0] * 8 + [1, 2, 3, 4, 5, 6]))
    other = pairing.ByLabel(np.arange(14) % 7)
    corpora = pairing.Corpora(text, other, other, np.zeros(14, np.float32), [np.arange(14)], (1.0,))
    weights = pairing.class_weights(corpora, pairing.draw_patterns(random))
    assert weights[0] * corpora.mixed_prior == pytest.approx(text.prior)
    assert weights[3:].tolist() == np.ones((2, 7)).tolist()
