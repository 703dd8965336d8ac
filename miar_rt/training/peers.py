"""Published ways to fuse three modalities, with MIAR's inputs, to hold MIAR against.

Each core is written from the equations of its paper. All but MulT, which is a sequence model itself, stand on the
encoders that MIAR has, so that what differs is the fusion. Modalities that are absent are zeros to all of them,
as their authors pad; all are trained with absences, as MIAR is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from miar_rt.input_spec import SPEC, Shapes
from miar_rt.network import Adapter, MiarConfig
from miar_rt.signals import MODALITIES
from miar_rt.training.mult import MulT
from miar_rt.training.peer import Inputs, Peer, PeerOutputs

RANK = 8
TENSOR_WIDTHS = (32, 16, 16)
MOMENTS = 5
SIMILARITY, DIFFERENCE, RECONSTRUCTION = 1.0, 0.3, 1.0


class Encoders(nn.Module):
    """MIAR's adapters and a mean over the steps that hold anything."""

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        super().__init__()
        layers = (config.text_layers, config.audio_layers, config.vision_layers)
        strides = (1, config.audio_stride, 1)
        self.adapters = nn.ModuleList(
            Adapter(shapes.widths[name], shapes.steps[name], depth, stride, config)
            for name, depth, stride in zip(MODALITIES, layers, strides, strict=True)
        )

    def forward(self, inputs: Inputs, presence: Tensor) -> Tensor:
        """One vector a modality, zeros where it is absent: ``[B, P, 3, d]``."""
        vectors = []
        for i, adapter in enumerate(self.adapters):
            groups = inputs.groups if MODALITIES[i] == "vision" else torch.zeros_like(inputs.groups)
            condition = torch.cat([groups, inputs.baseline[:, i : i + 1]], dim=1)
            sequence, mask = adapter(inputs.windows[i], inputs.masks[i], condition)
            vectors.append((sequence * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0))
        return torch.stack(vectors, dim=1).unsqueeze(1) * presence.unsqueeze(-1)


class VectorPeer(Peer):
    """A core over one vector ``[B, P, 3, d]`` a modality."""

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        super().__init__(config.width, shapes)
        self.encoders = Encoders(config, shapes)

    def fuse(self, inputs: Inputs, presence: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Peer.fuse``."""
        return self.mix(self.encoders(inputs, presence), presence)

    def mix(self, vectors: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """The joint vector of ``vectors [B, P, 3, d]`` and the core's own loss."""
        raise NotImplementedError


def _mlp(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, outputs), nn.GELU()
    )


class ConcatMlp(VectorPeer):
    """Early fusion: the three vectors side by side, and two layers."""

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        super().__init__(config, shapes)
        self.layers = _mlp(3 * config.width, 4 * config.width, config.width, config.dropout)

    def mix(self, vectors: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - others need it
        """See ``VectorPeer.mix``."""
        return self.layers(vectors.flatten(2)), vectors.new_zeros(())


class LateFusion(Peer):
    """Posteriors of three networks that never meet, calibrated and multiplied (naive Bayes).

    ``log p(y | x) = sum_m log p(y | x_m) - (M - 1) log p(y)`` over the M modalities present; sentiments are
    weighted by the inverse of their variance. Train it on one modality at a time, then call ``calibrate``.
    """

    temperatures: Tensor
    precisions: Tensor
    log_prior: Tensor

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        super().__init__(config.width, shapes)
        classes = len(shapes.classes)
        self.encoders = Encoders(config, shapes)
        self.emotions = nn.ModuleList(nn.Linear(config.width, classes) for _ in MODALITIES)
        self.sentiments = nn.ModuleList(nn.Linear(config.width, 1) for _ in MODALITIES)
        del self.emotion, self.sentiment
        self.register_buffer("temperatures", torch.ones(3))
        self.register_buffer("precisions", torch.ones(3))
        self.register_buffer("log_prior", torch.full((classes,), -math.log(classes)))

    def answer(self, inputs: Inputs, presence: Tensor) -> PeerOutputs:
        """See ``Peer.answer``."""
        vectors = self.encoders(inputs, presence)
        posteriors = torch.stack(
            [head(vectors[:, :, i]) / self.temperatures[i] for i, head in enumerate(self.emotions)], dim=2
        ).log_softmax(-1)
        count = presence.sum(-1, keepdim=True).clamp(min=1.0)
        logits = (posteriors * presence.unsqueeze(-1)).sum(2) - (count - 1.0) * self.log_prior
        weights = presence * self.precisions
        ratings = torch.cat([head(vectors[:, :, i]) for i, head in enumerate(self.sentiments)], dim=-1)
        sentiment = (ratings * weights).sum(-1) / weights.sum(-1).clamp(min=1e-6)
        return PeerOutputs(logits, sentiment, logits.new_zeros(()))

    def calibrate(self, inputs: Mapping[str, Tensor], labels: Tensor | None, ratings: Tensor | None) -> None:
        """Set temperatures, prior and precisions from held-out inputs (all but ``presence``) and their truth.

        Parameters
        ----------
        inputs
            As ``forward`` takes them.
        labels
            Classes ``[n]`` or nothing.
        ratings
            Sentiments ``[n]`` or nothing.
        """
        from calibration.temperature import fit_temperature

        with torch.no_grad():
            answers = self(**inputs, presence=torch.eye(3).expand(len(inputs["text"]), -1, -1))
        if labels is not None:
            classes = len(self.log_prior)
            self.log_prior.copy_(
                ((torch.bincount(labels, minlength=classes) + 1.0) / (len(labels) + classes)).log()
            )
            for i in range(3):
                fitted = fit_temperature(answers.logits[:, i].numpy(), labels.numpy())
                self.temperatures[i] *= fitted
        if ratings is not None:
            self.precisions.copy_(1.0 / (answers.sentiment - ratings.unsqueeze(1)).pow(2).mean(0).clamp(min=1e-3))


class TensorFusion(VectorPeer):
    """TFN (Zadeh et al., EMNLP 2017, eq. 3): the outer product of the three vectors, each with a 1 after it.

    The vectors are narrowed first, since the product of full ones alone would exceed all other networks.
    """

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        super().__init__(config, shapes)
        self.narrow = nn.ModuleList(nn.Linear(config.width, width) for width in TENSOR_WIDTHS)
        product = math.prod(width + 1 for width in TENSOR_WIDTHS)
        self.layers = _mlp(product, config.width // 2, config.width, config.dropout)

    def mix(self, vectors: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """See ``VectorPeer.mix``."""
        text, audio, vision = (
            nn.functional.pad(torch.relu(layer(vectors[:, :, i])) * presence[:, :, i : i + 1], (0, 1), value=1.0)
            for i, layer in enumerate(self.narrow)
        )
        product = torch.einsum("bpi,bpj,bpk->bpijk", text, audio, vision)
        return self.layers(product.flatten(2)), vectors.new_zeros(())


class LowRankFusion(VectorPeer):
    """LMF (Liu et al., ACL 2018, eq. 9): the same tensor, its weights a sum of ``RANK`` outer products.

    ``h = sum_r w_r (W_text^r [z_text; 1]) * (W_audio^r [z_audio; 1]) * (W_vision^r [z_vision; 1]) + b``.
    """

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        super().__init__(config, shapes)
        width = config.width
        self.factors = nn.ParameterList(
            nn.init.xavier_normal_(torch.empty(RANK, width + 1, width)) for _ in MODALITIES
        )
        self.weights = nn.Parameter(torch.full((RANK,), 1.0 / RANK))
        self.bias = nn.Parameter(torch.zeros(width))

    def mix(self, vectors: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - others need it
        """See ``VectorPeer.mix``."""
        ended = nn.functional.pad(vectors, (0, 1), value=1.0)
        projected = [torch.einsum("bpi,rij->bprj", ended[:, :, m], factor) for m, factor in enumerate(self.factors)]
        product = projected[0] * projected[1] * projected[2]
        return torch.einsum("bprj,r->bpj", product, self.weights) + self.bias, vectors.new_zeros(())


class Misa(VectorPeer):
    """MISA (Hazarika et al., ACM MM 2020): what modalities share and what each has for itself.

    A shared and a private vector a modality (eq. 3), six vectors through one transformer layer (eq. 5), and three
    losses: central moment discrepancy of the shared ones (eq. 8), orthogonality (eq. 11), reconstruction (eq. 12),
    weighted as in the authors' code.
    """

    def __init__(self, config: MiarConfig, shapes: Shapes) -> None:
        super().__init__(config, shapes)
        width = config.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in MODALITIES)
        self.private = nn.ModuleList(nn.Linear(width, width) for _ in MODALITIES)
        self.shared = nn.Linear(width, width)
        self.decoders = nn.ModuleList(nn.Linear(width, width) for _ in MODALITIES)
        self.transformer = nn.TransformerEncoderLayer(
            width, 2, config.feedforward, config.dropout, batch_first=True
        )
        self.layers = _mlp(6 * width, 2 * width, width, config.dropout)

    def mix(self, vectors: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """See ``VectorPeer.mix``."""
        here = presence.unsqueeze(-1)
        normed = torch.stack([norm(vectors[:, :, i]) for i, norm in enumerate(self.norms)], dim=2) * here
        private = torch.stack([torch.sigmoid(one(normed[:, :, i])) for i, one in enumerate(self.private)], 2) * here
        shared = torch.sigmoid(self.shared(normed)) * here
        six = torch.cat([private, shared], dim=2)
        mixed = self.transformer(six.flatten(0, 1)).reshape(six.shape)
        decoded = torch.stack([one((private + shared)[:, :, i]) for i, one in enumerate(self.decoders)], 2) * here
        extra = (
            SIMILARITY * _pairwise(shared, presence, _moment_discrepancy)
            + DIFFERENCE * self._difference(private, shared, presence)
            + RECONSTRUCTION * (decoded - normed).pow(2).sum() / here.sum().clamp(min=1.0) / normed.shape[-1]
        )
        return self.layers(mixed.flatten(2)), extra

    @staticmethod
    def _difference(private: Tensor, shared: Tensor, presence: Tensor) -> Tensor:
        own = [_correlation(*_rows(private[:, :, i], shared[:, :, i], presence[:, :, i])) for i in range(3)]
        return torch.stack(own).sum() + 3.0 * _pairwise(private, presence, _correlation)


def _rows(a: Tensor, b: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    return a[keep > 0], b[keep > 0]


def _pairwise(vectors: Tensor, presence: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Mean distance over the three pairs of modalities, on the rows that have both."""
    pairs = [
        distance(*_rows(vectors[:, :, i], vectors[:, :, j], presence[:, :, i] * presence[:, :, j]))
        for i, j in combinations(range(3), 2)
    ]
    return torch.stack(pairs).mean()


def _moment_discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """CMD (Zellinger et al., ICLR 2017) of ``[n, d]``, up to the fifth moment; 0 for fewer than two rows."""
    if len(a) < 2:
        return a.new_zeros(())
    means = a.mean(0), b.mean(0)
    centred = a - means[0], b - means[1]
    gaps = [means[0] - means[1]]
    gaps += [centred[0].pow(k).mean(0) - centred[1].pow(k).mean(0) for k in range(2, MOMENTS + 1)]
    return torch.stack([(gap.pow(2).sum() + 1e-12).sqrt() for gap in gaps]).sum()


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Squared Frobenius norm of the product of two centred matrices of unit rows, by its size."""
    if len(a) < 2:
        return a.new_zeros(())
    unit = [nn.functional.normalize(x - x.mean(0), dim=1) for x in (a, b)]
    return (unit[0].T @ unit[1]).pow(2).mean()


PEERS: Mapping[str, Callable[[MiarConfig, Shapes], Peer]] = {
    "concat-mlp": ConcatMlp,
    "late": LateFusion,
    "tfn": TensorFusion,
    "lmf": LowRankFusion,
    "mult": MulT,
    "misa": Misa,
}


def make_peer(name: str, config: MiarConfig | None = None, shapes: Shapes = SPEC) -> Peer:
    """A peer by its name in ``PEERS``, with random weights.

    Raises
    ------
    ValueError
        When there is none of that name.
    """
    if name not in PEERS:
        raise ValueError(f"unknown network {name!r}: choose one of {', '.join(PEERS)}")
    return PEERS[name](config or MiarConfig(), shapes)
