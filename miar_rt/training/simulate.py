"""What live signals do to clean data: rooms, microphones and telephones to sound, recognisers to words.

Everything here is drawn from a ``numpy.random.Generator``, so that one seed gives one training set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from miar_rt.signals import RecogniserKind, Word

SAMPLE_RATE = 16_000
FULL_SCALE = 32_767.0

Samples = NDArray[np.int16]
Signal = NDArray[np.float64]
Random = np.random.Generator

_PUNCTUATION = re.compile(r"[^\w' ]+")
CONTEXT_WORDS = 15
_SECONDS_PER_LETTER = 0.065
_SECONDS_BETWEEN_WORDS = 0.08


def gain(signal: Signal, decibels: float) -> Signal:
    """The signal louder or softer; what exceeds full scale is clipped when samples are made of it."""
    return np.asarray(signal * 10.0 ** (decibels / 20.0))


def coloured_noise(length: int, exponent: float, random: Random) -> Signal:
    """Noise of unit power whose spectrum falls as ``1 / f ** exponent``: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    frequencies = np.maximum(np.arange(len(spectrum)), 1.0)
    noise = np.fft.irfft(spectrum * frequencies ** (-exponent / 2.0), n=length)
    return np.asarray(noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12))


def add_noise(signal: Signal, decibels: float, exponent: float, random: Random) -> Signal:
    """Noise at a signal-to-noise ratio against the loudest half of the signal, so that pauses do not count."""
    power = np.sort(signal**2)[len(signal) // 2 :].mean()
    return np.asarray(
        signal + coloured_noise(len(signal), exponent, random) * np.sqrt(power) * 10 ** (-decibels / 20)
    )


def band_limit(signal: Signal, low: float, high: float) -> Signal:
    """Only what lies between ``low`` and ``high`` hertz, with soft edges a tenth of an octave wide."""
    spectrum = np.fft.rfft(signal)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(signal), 1.0 / SAMPLE_RATE), 1.0))
    keep = _rise((octaves - np.log2(low)) / 0.1) * _rise((np.log2(high) - octaves) / 0.1)
    return np.asarray(np.fft.irfft(spectrum * keep, n=len(signal)))


def _rise(x: Signal) -> Signal:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(8.0 * x, -60.0, 60.0))))


def telephone(signal: Signal) -> Signal:
    """A telephone channel: 300 to 3400 Hz and 8-bit mu-law steps (ITU-T G.711)."""
    peak = max(float(np.abs(signal).max()), 1.0)
    narrow = band_limit(signal, 300.0, 3400.0) / peak
    steps = np.round(127.0 * np.sign(narrow) * np.log1p(255.0 * np.abs(narrow)) / np.log(256.0)) / 127.0
    return np.asarray(np.sign(steps) * (256.0 ** np.abs(steps) - 1.0) / 255.0 * peak)


def room(signal: Signal, seconds: float, direct: float, random: Random) -> Signal:
    """Reverberation: the signal plus an exponentially decaying tail of noise.

    Parameters
    ----------
    signal
        Sound ``[n]``.
    seconds
        Time in which the tail falls by 60 dB.
    direct
        Direct sound over tail, in decibels.
    """
    length = int(seconds * SAMPLE_RATE)
    tail = random.standard_normal(length) * 10.0 ** (-3.0 * np.arange(length) / length)
    tail *= 10.0 ** (-direct / 20.0) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = 1 << (len(signal) + length - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(tail, size), n=size)
    return np.asarray(wet[: len(signal)])


def change_speed(signal: Signal, factor: float) -> Signal:
    """The recording played ``factor`` times as fast: pitch and formants move as with another speaker."""
    return np.asarray(soxr.resample(signal, SAMPLE_RATE * factor, SAMPLE_RATE), dtype=np.float64)


def surround(signal: Signal, before: float, after: float, random: Random) -> Signal:
    """The room going on ``before`` and ``after`` the recording, in seconds, as quiet as its quietest tenth."""
    floor = np.sqrt(np.quantile(np.convolve(signal**2, np.full(400, 1 / 400), mode="valid")[::400], 0.1))
    sides = [coloured_noise(int(s * SAMPLE_RATE) + 1, 1.0, random) * floor for s in (before, after)]
    return np.concatenate([sides[0], signal, sides[1]])


def to_samples(signal: Signal) -> Samples:
    """Samples of a signal, clipped at full scale."""
    return np.clip(np.rint(signal), -FULL_SCALE - 1, FULL_SCALE).astype(np.int16)


def live_sound(samples: Samples, random: Random, session: Random) -> Samples:
    """One plausible live rendering of a clean recording.

    ``session`` draws what stays the same while one person sits at one device (rate of speaking, room, microphone,
    level), and takes as many draws whatever the recording; ``random`` draws what differs between recordings.
    """
    signal = samples.astype(np.float64)
    if session.random() < 0.6:
        signal = change_speed(signal, session.uniform(0.9, 1.1))
    signal = surround(signal, random.uniform(0.0, 1.5), random.uniform(0.0, 0.6), random)
    if session.random() < 0.35:
        signal = room(signal, session.uniform(0.15, 0.7), session.uniform(0.0, 12.0), session)
    if session.random() < 0.5:
        signal = add_noise(signal, session.uniform(8.0, 35.0), session.uniform(0.0, 2.0), random)
    signal = _channel(signal, session)
    return to_samples(gain(signal, session.uniform(-20.0, 20.0)))


def _channel(signal: Signal, random: Random) -> Signal:
    kind = random.random()
    if kind < 0.15:
        return telephone(signal)
    if kind < 0.4:
        return band_limit(signal, random.uniform(20.0, 200.0), random.uniform(3500.0, 7500.0))
    return signal


@dataclass(frozen=True)
class Hypothesis:
    """Words as one recogniser gives them, with its kind; times count from the start of the utterance.

    The first ``earlier`` words are of the utterance before.
    """

    words: tuple[Word, ...]
    kind: RecogniserKind
    earlier: int = 0


def spoken(text: str) -> list[str]:
    """Words as a recogniser without punctuation writes them: lower case, letters, digits and apostrophes."""
    return [word for part in _PUNCTUATION.sub(" ", text.lower()).split() if (word := part.strip("'"))]


def timed(words: Sequence[str], confidences: Sequence[float] | None = None, final: bool = True) -> tuple[Word, ...]:
    """Words with the times a speaker of ordinary pace would need, from 0 on."""
    out, t = [], 0.0
    for word, confidence in zip(words, confidences or [1.0] * len(words), strict=True):
        end = t + 0.08 + _SECONDS_PER_LETTER * len(word)
        out.append(Word(t, end, word, final, confidence))
        t = end + _SECONDS_BETWEEN_WORDS
    return tuple(out)


def written(text: str) -> Hypothesis:
    """The transcript as it stands."""
    return Hypothesis(timed(text.split()), "written")


def recognised(text: str, vocabulary: Sequence[str], random: Random) -> Hypothesis:
    """A recogniser's hypothesis of a transcript.

    Half are pocketsphinx's: no punctuation, up to a third of the words wrong, and sometimes only the first
    part of the utterance, with its last words still partial. Half are whisper's: punctuated, few errors.
    """
    sphinx = random.random() < 0.5
    words = spoken(text) if sphinx else text.split()
    rate = random.choice([0.0, 0.1, 0.3]) if sphinx else random.choice([0.0, 0.05])
    words = _with_errors(words, rate, vocabulary, random)
    if len(words) > 3 and random.random() < 0.4:
        words = words[: random.integers(max(len(words) // 3, 2), len(words) + 1)]
    confidences = [float(c) for c in np.round(random.beta(6.0, 1.0 + 4.0 * rate, len(words)), 3)]
    return Hypothesis(_unsettled(timed(words, confidences), random), "sphinx" if sphinx else "whisper")


def in_context(earlier: str, text: str, vocabulary: Sequence[str], random: Random) -> Hypothesis:
    """A recogniser's hypothesis of an utterance with the one before it still in the window."""
    now = recognised(text, vocabulary, random)
    words = spoken(earlier) if now.kind == "sphinx" else earlier.split()
    before = timed(words[-CONTEXT_WORDS:])
    start = before[-1].t1 + float(random.uniform(0.2, 2.0)) if before else 0.0
    moved = (Word(w.t0 + start, w.t1 + start, w.text, w.final, w.confidence) for w in now.words)
    return Hypothesis((*before, *moved), now.kind, len(before))


def _with_errors(words: list[str], rate: float, vocabulary: Sequence[str], random: Random) -> list[str]:
    """Substitute and drop words at ``rate`` (two to one), and keep at least one."""
    out = []
    for word in words:
        draw = random.random()
        if draw < 2 * rate / 3:
            out.append(vocabulary[random.integers(len(vocabulary))])
        elif draw >= rate:
            out.append(word)
    return out or words[:1]


def _unsettled(words: tuple[Word, ...], random: Random) -> tuple[Word, ...]:
    """The last words are partial in a third of the hypotheses."""
    if random.random() > 1 / 3:
        return words
    settled = len(words) - int(random.integers(1, 4))
    return tuple(Word(w.t0, w.t1, w.text, i < settled, w.confidence) for i, w in enumerate(words))
