"""MIAR with one of its parts taken out, for measuring what each is worth, and with parts it might gain from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from miar_rt.input_spec import Shapes
from miar_rt.network import MASKED, TOKENS, Miar, MiarConfig, Outputs

TOKEN_NAMES = ("text", "audio", "vision", "fused")


class AblatedMiar(Miar):
    """MIAR without one of the four tokens, or without the last norm of all.

    Parameters
    ----------
    without
        Which token the answer does not count, by number.
    token_norm
        Whether tokens are normalised before the heads.
    """

    def __init__(
        self, config: MiarConfig, shapes: Shapes, *, without: int | None = None, token_norm: bool = True
    ) -> None:
        super().__init__(config, shapes)
        self._without = without
        if not token_norm:
            self.norm = nn.Identity()  # type: ignore[assignment]

    def _open(self, presence: Tensor) -> Tensor:
        gates = super()._open(presence)
        if self._without is None:
            return gates
        return gates * (1.0 - torch.eye(TOKENS)[self._without])


class HubMiar(Miar):
    """The rival reading of "four tokens": text reads audio, audio text, text vision and vision text."""

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        super().__init__(config, shapes)
        reader, read = torch.tensor([0, 1, 0, 2]), torch.tensor([1, 0, 2, 0])
        self.own.copy_(torch.eye(3)[reader])
        self.others.copy_(torch.eye(3)[read])

    def _open(self, presence: Tensor) -> Tensor:
        return presence @ self.own.T

    def _among(self, presence: Tensor) -> Tensor:
        apart = (1.0 - torch.eye(TOKENS)) * MASKED
        return apart.expand(presence.shape[0] * presence.shape[1], -1, -1)

    def _unimodal(self, keys: Tensor, kind_of_key: Tensor, key_mask: Tensor) -> Tensor:
        allowed = kind_of_key.unsqueeze(0) * key_mask.unsqueeze(1)
        bias = (1.0 - nn.functional.pad(allowed, (1, 0), value=1.0)) * MASKED
        tokens = self.tokens[[0, 1, 3]].unsqueeze(0).expand(keys.shape[0], -1, -1)
        return self.first.read_own(tokens, keys, bias)


class EvidenceMiar(Miar):
    """MIAR to whose answer the modalities' own ones are added: a product of experts (Hinton 2002).

    Parameters
    ----------
    fused
        Whether the four tokens answer as well.
    detached
        Whether the own answers learn from their own loss alone, so that no modality keeps another from learning
        (Wang et al., CVPR 2020).
    """

    def __init__(self, config: MiarConfig, shapes: Shapes, *, fused: bool = True, detached: bool = False) -> None:
        super().__init__(config, shapes)
        self._fused, self._detached = fused, detached
        self.reliability = nn.Linear(config.width, 1)
        nn.init.zeros_(self.reliability.weight)
        nn.init.zeros_(self.reliability.bias)

    def _answer(self, tokens: Tensor, unimodal: Tensor, presence: Tensor) -> Outputs:
        answered = super()._answer(tokens, unimodal, presence)
        own = answered.unimodal_logits.detach() if self._detached else answered.unimodal_logits
        reliable = nn.functional.softplus(self.reliability(self.norm(tokens[:, :, : TOKENS - 1])))
        logits = (presence.unsqueeze(-1) * reliable * own.unsqueeze(1)).sum(dim=2)
        return answered._replace(logits=logits + answered.logits if self._fused else logits)


@dataclass(frozen=True)
class Ablation:
    """What is changed: fields of ``MiarConfig``, of ``fusion.Plan``, and arguments of another network."""

    config: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    network: Callable[..., Miar] = AblatedMiar
    standardised: bool = True

    def make(self, config: MiarConfig, shapes: Shapes) -> Miar:
        """The network."""
        return self.network(replace(config, **self.config), shapes, **self.parts)


ABLATIONS: Mapping[str, Ablation] = {
    "without interaction": Ablation(config={"interaction": False}),
    **{f"without the {name} token": Ablation(parts={"without": i}) for i, name in enumerate(TOKEN_NAMES)},
    "four text-hub pairs": Ablation(network=HubMiar),
    "without contrastive alignment": Ablation(plan={"alignment": 0.0}),
    "without z-scores": Ablation(standardised=False),
    "without instance norm": Ablation(config={"instance_norm": False}),
    "without token norm": Ablation(parts={"token_norm": False}),
    "without norm before InfoNCE": Ablation(plan={"normalise_alignment": False}),
    "without gate": Ablation(config={"gate": False}),
}

_OWN = {"unimodal": 1.0}
REMEDIES: Mapping[str, Ablation] = {
    "with own answers": Ablation(plan=_OWN, network=EvidenceMiar),
    "with own answers apart": Ablation(plan=_OWN, network=EvidenceMiar, parts={"detached": True}),
    "of own answers alone": Ablation(plan=_OWN, network=EvidenceMiar, parts={"fused": False}),
}
"""What was tried because late fusion was better: it lets every modality learn alone, and multiplies."""

CHANGES = {**ABLATIONS, **REMEDIES}
