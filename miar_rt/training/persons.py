"""Baselines of speakers, from the clips in which they are plainly neutral."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from calibration.baseline import Baseline
from miar_rt.neutral import estimator, personal, telling
from miar_rt.signals import Array
from miar_rt.training.corpora import Clip
from miar_rt.training.extract import Ragged

PLAIN_NEUTRAL = 1
"""RAVDESS's emotion code of the clips that serve as a person's baseline; calm, which is 2, is not plain."""


def voice_baseline(grids: Iterable[Array]) -> Baseline:
    """The voice baseline of somebody who is neutral in all of ``grids``, float32 ``[steps, channels]`` each."""
    one = estimator("audio")
    for grid in grids:
        one.add(telling("audio", grid))
    return personal({"audio": one.neutral()})["audio"]


def voice_baselines(clips: Sequence[Clip], grids: Ragged, most: int = 4) -> dict[int, Baseline]:
    """The voice baseline of every actor of ``clips``, whose grids are ``grids``, from their first neutral clips.

    An actor who is never plainly neutral has none. ``most`` bounds the clips taken of each.
    """
    return {
        actor: voice_baseline(grids[i] for i in numbers[:most]) for actor, numbers in neutral_clips(clips).items()
    }


def neutral_clips(clips: Sequence[Clip]) -> dict[int, list[int]]:
    """Which of ``clips`` every actor is plainly neutral in; actors who never are have no entry."""
    chosen: dict[int, list[int]] = {}
    for i, clip in enumerate(clips):
        if clip.emotion == PLAIN_NEUTRAL:
            chosen.setdefault(clip.actor, []).append(i)
    return chosen


class Speakers:
    """Baselines to train with: of the same speaker, in the same session, and never from the clip itself.

    Parameters
    ----------
    clips
        Training clips.
    copies
        Their grids: as recorded, where an actor has one session, then renderings, where they have several.
    """

    def __init__(self, clips: Sequence[Clip], copies: Sequence[Ragged]) -> None:
        self._clips, self._copies = clips, copies
        self._neutral = [i for i, clip in enumerate(clips) if clip.emotion == PLAIN_NEUTRAL]
        self._made: dict[tuple[int, tuple[int, ...]], Baseline] = {}

    def candidates(self, copy: int, clip: int) -> list[int]:
        """The clips that tell what the speaker of ``clip`` is like at rest, where ``copy`` was recorded."""
        here = self._clips[clip]
        return [i for i in self._neutral if i != clip and self._together(copy, self._clips[i], here)]

    def draw(self, copy: int, clip: int, random: np.random.Generator) -> Baseline | None:
        """A baseline from some of the candidates, at least one; ``None`` when there is none."""
        there = self.candidates(copy, clip)
        if not there:
            return None
        count = int(random.integers(1, len(there) + 1))
        chosen = tuple(sorted(int(i) for i in random.choice(there, count, replace=False)))
        if (copy, chosen) not in self._made:
            self._made[copy, chosen] = voice_baseline(self._copies[copy][i] for i in chosen)
        return self._made[copy, chosen]

    @staticmethod
    def _together(copy: int, one: Clip, other: Clip) -> bool:
        return one.session == other.session if copy else one.actor == other.actor
