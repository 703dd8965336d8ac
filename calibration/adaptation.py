"""A running neutral of whoever is there, without asking them to be neutral.

The idea is iterative feature normalisation (Busso, Mariooryad, Metallinou and Narayanan, "Iterative Feature
Normalization Scheme for Automatic Emotion Detection from Speech", IEEE TAC 4(4), 2013): what a recogniser takes for
calm tells what the person is like, which makes the recogniser better at telling calm. Taken literally it confirms
its own mistakes (docs/calibration.md). So nothing is chosen: from every stretch is taken away how far the mood that
the recogniser saw moves an average person, and what is left is averaged. Anger told as anger thereby counts as calm
as any other stretch, and what is not told is bounded three times: by how long is remembered, by how far the average
is trusted, and by how far people are apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.baseline import Baseline, Floats

ENOUGH_SECONDS = 5.0
"""Before so much was heard or seen of a channel, nothing is changed."""

HALF_SECONDS = 30.0
"""After so long the running average counts half."""

MEMORY_SECONDS = 120.0
"""What is longer ago fades; the average never counts more than ``MEMORY / (MEMORY + HALF)``."""

FARTHEST = 2.0
"""A person is taken to be so many standard deviations of people's neutrals from the middle at most."""

CALM_ODDS = 2.0
"""People are calm more often than in corpora of emotions: by so much a recogniser gives calm too small odds."""


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """How people differ, and what their moods do to them.

    Attributes
    ----------
    location, between
        float64 ``[channels]``: the middle person's neutral, and the standard deviation of people's neutrals
        around it. NaN where a channel is no trait of a person: it is left as it is.
    moods
        float64 ``[classes, channels]``: how far from neutral each class moves an average person.
    calm
        Number of the class that is calm.
    """

    location: Floats
    between: Floats
    moods: Floats
    calm: int = 0


class RunningNeutral:
    """The running average of one person's channels, less what their moods did to them.

    Attributes
    ----------
    away, seconds
        float64 ``[channels]``: how far the person is from the middle one, and how much was measured.
    """

    def __init__(self, people: People) -> None:
        self._people = people
        self.away = np.zeros_like(people.location)
        self.seconds = np.zeros_like(people.location)

    def add(self, values: Floats, probabilities: Floats, seconds: float) -> None:
        """Take a stretch.

        Parameters
        ----------
        values
            float64 ``[channels]``: what was usual in it, NaN where nothing was measured.
        probabilities
            float64 ``[classes]``: what the person was taken for meanwhile.
        seconds
            How much of it was measured.
        """
        odds = probabilities * np.where(np.arange(len(probabilities)) == self._people.calm, CALM_ODDS, 1.0)
        away = values - odds @ self._people.moods / odds.sum() - self._people.location
        known = np.isfinite(away)
        self.seconds[known] = np.minimum(self.seconds[known] + seconds, MEMORY_SECONDS)
        self.away[known] += seconds / self.seconds[known] * (away[known] - self.away[known])

    @property
    def trust(self) -> Floats:
        """What share of the average each channel is moved by, from 0 and never 1."""
        heard = self.seconds / (self.seconds + HALF_SECONDS)
        return np.where(self.seconds >= ENOUGH_SECONDS, heard, 0.0)

    def baseline(self) -> Baseline | None:
        """What takes this person to the middle one; ``None`` before enough was heard of any channel."""
        trust = self.trust
        if not trust.any():
            return None
        bound = FARTHEST * np.nan_to_num(self._people.between)
        return Baseline(np.ones_like(trust), -np.clip(trust * self.away, -bound, bound))
