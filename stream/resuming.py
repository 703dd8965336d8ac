"""Sessions that can be taken up in their middle: by a recording that begins there, and by its replay."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator

import msgspec

from miar_rt.features.text import Encoder
from miar_rt.signals import FeatureFrame
from stream.faces import FacesState, PersonState
from stream.presence import Standing
from stream.scoring import Scorer
from stream.session import Session, SessionConfig, Signal

SPARE_SECONDS = 1.0
"""Kept beyond the window, so that its oldest step is whole."""

MOST_FRAMES = 4096
"""Three times what a microphone and a camera at 120 pictures a second give in five seconds."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a session's answers depend on beyond the signals in its windows, at the media time ``t``.

    ``seq``, ``due`` and ``fresh`` say when which result comes next; ``sole`` what came of the answers so far, and
    ``faces`` the same of each where several are followed.
    """

    t: float
    seq: int
    due: float
    fresh: bool
    standing: Standing
    sole: PersonState
    faces: FacesState | None


class ResumableSession(Session):
    """A session that knows what another needs to go on from here with the same answers."""

    def __init__(self, scorer: Scorer, encoder: Encoder | None, config: SessionConfig | None = None) -> None:
        super().__init__(scorer, encoder, config)
        self._frames: deque[FeatureFrame] = deque(maxlen=MOST_FRAMES)
        spec = scorer.checkpoint.spec
        self._kept_seconds = max(spec.audio_seconds, spec.vision_seconds) + SPARE_SECONDS

    def push_features(self, frame: FeatureFrame) -> None:
        """As ``Session``."""
        super().push_features(frame)
        self._frames.append(frame)
        while self._frames and self._frames[0].t < self._last_score - self._kept_seconds:
            self._frames.popleft()

    def remembered(self) -> Iterator[Signal]:
        """The signals that its windows hold; :meth:`resume` comes after them."""
        yield from self._words.updates
        yield from self._frames

    @property
    def state(self) -> State:
        """Everything else."""
        return State(
            t=self._last_score,
            seq=self._seq,
            due=self._due,
            fresh=self._fresh,
            standing=copy.deepcopy(self._presence.standing),
            sole=self._sole.state,
            faces=None if self._faces is None else self._faces.state,
        )

    def resume(self, state: State) -> None:
        """Go on where another session was; what the signals pushed for it led to is not told again."""
        self._last_score, self._seq, self._due, self._fresh = state.t, state.seq, state.due, state.fresh
        self._presence.standing = copy.deepcopy(state.standing)
        self._sole.resume(state.sole)
        if self._faces is not None and state.faces is not None:
            self._faces.resume(state.faces)
        self._outbox.clear()
