"""What every network that MIAR is held against has: its inputs, and two heads on one vector."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from miar_rt.input_spec import Shapes


class PeerOutputs(NamedTuple):
    """What a peer gives for B windows under P availability patterns.

    Attributes
    ----------
    logits
        ``[B, P, classes]``.
    sentiment
        ``[B, P]`` on -3..3.
    extra
        What the core adds to the training loss, already weighted; a scalar.
    """

    logits: Tensor
    sentiment: Tensor
    extra: Tensor


class Inputs(NamedTuple):
    """The windows, their masks and their conditions by modality."""

    windows: tuple[Tensor, Tensor, Tensor]
    masks: tuple[Tensor, Tensor, Tensor]
    groups: Tensor
    baseline: Tensor


class Peer(nn.Module):
    """A core that makes one vector ``[B, P, width]`` of the inputs, and the two heads on it."""

    def __init__(self, width: int, shapes: Shapes) -> None:
        super().__init__()
        self.emotion = nn.Linear(width, len(shapes.classes))
        self.sentiment = nn.Linear(width, 1)

    def forward(  # noqa: PLR0913, PLR0917 - the inputs are MIAR's, by name
        self,
        text: Tensor,
        text_mask: Tensor,
        audio: Tensor,
        audio_mask: Tensor,
        vision: Tensor,
        vision_mask: Tensor,
        groups: Tensor,
        baseline: Tensor,
        presence: Tensor,
    ) -> PeerOutputs:
        """Score windows under ``presence [B, P, 3]``; every shape is that of ``Miar.forward``."""
        inputs = Inputs((text, audio, vision), (text_mask, audio_mask, vision_mask), groups, baseline)
        return self.answer(inputs, presence)

    def answer(self, inputs: Inputs, presence: Tensor) -> PeerOutputs:
        """The heads on the joint vector."""
        joint, extra = self.fuse(inputs, presence)
        return PeerOutputs(self.emotion(joint), self.sentiment(joint).squeeze(-1), extra)

    def fuse(self, inputs: Inputs, presence: Tensor) -> tuple[Tensor, Tensor]:
        """The joint vector ``[B, P, width]`` and the core's own loss."""
        raise NotImplementedError
