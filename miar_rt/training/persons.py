"""Baselines of speakers, from the clips in which they are plainly neutral."""

from __future__ import annotations

from collections.abc import Sequence

from calibration.baseline import Baseline
from miar_rt.neutral import estimator, personal, telling
from miar_rt.training.corpora import Clip
from miar_rt.training.extract import Ragged

PLAIN_NEUTRAL = 1
"""RAVDESS's emotion code of the clips that serve as a person's baseline; calm, which is 2, is not plain."""


def voice_baselines(clips: Sequence[Clip], grids: Ragged, most: int = 4) -> dict[int, Baseline]:
    """The voice baseline of every actor of ``clips``, whose grids are ``grids``, from their first neutral clips.

    An actor who is never plainly neutral has none. ``most`` bounds the clips taken of each.
    """
    chosen: dict[int, list[int]] = {}
    for i, clip in enumerate(clips):
        if clip.emotion == PLAIN_NEUTRAL:
            chosen.setdefault(clip.actor, []).append(i)
    found = {}
    for actor, numbers in chosen.items():
        one = estimator("audio")
        for i in numbers[:most]:
            one.add(telling("audio", grids[i]))
        found[actor] = personal({"audio": one.neutral()})["audio"]
    return found
