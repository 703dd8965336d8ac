"""Real pairs: faces of the very takes that the voices are of, known by their action units alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.baseline import Baseline
from miar_rt.input_spec import SPEC
from miar_rt.training.action_units import Units, face_baseline, unit_rows
from miar_rt.training.batches import TRACKING_JITTER, Integers, Random, Windows
from miar_rt.training.corpora import Clip
from miar_rt.training.persons import neutral_clips


class Takes:
    """Faces of training clips; ``there`` bool ``[clips]`` says which clips have one."""

    def __init__(self, clips: Sequence[Clip], units: Units) -> None:
        self._clips = clips
        self._rows = unit_rows(clips, units)
        self.there: NDArray[np.bool_] = np.isfinite(self._rows).any(axis=1)
        self._neutral = neutral_clips(clips)
        self._made: dict[tuple[int, ...], Baseline] = {}

    def put(
        self, faces: Windows, chosen: NDArray[np.bool_], clips: Integers, random: Random, known: float
    ) -> Windows:
        """Put the faces of ``clips [B]`` in the place of those ``chosen [B]``.

        A share of ``known`` comes with a baseline from other clips in which the same person is plainly neutral.
        """
        values, columns = faces.values.copy(), SPEC.vision_groups["units"]
        persons = list(faces.baselines) or [None] * len(values)
        steps = values.shape[1]
        for row in np.flatnonzero(chosen):
            length, face = int(random.integers(1, steps + 1)), self._rows[clips[row]]
            values[row] = np.nan
            shaking = random.standard_normal((length, columns.stop - columns.start)) * random.uniform(
                0, TRACKING_JITTER
            )
            values[row, -length:, columns] = face[columns] + shaking
            persons[row] = self._baseline(int(clips[row]), random) if random.random() < known else None
        return Windows(values, np.isfinite(values).any(axis=2), persons)

    def _baseline(self, clip: int, random: Random) -> Baseline | None:
        """From some of the other clips, at least one; nothing when there is none."""
        others = [i for i in self._neutral.get(self._clips[clip].actor, []) if i != clip and self.there[i]]
        if not others:
            return None
        some = random.choice(others, int(random.integers(1, len(others) + 1)), replace=False)
        chosen = tuple(sorted(int(i) for i in some))
        if chosen not in self._made:
            self._made[chosen] = face_baseline(self._rows[list(chosen)])
        return self._made[chosen]
