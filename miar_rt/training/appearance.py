"""The small network that looks at the aligned face: trained on stills, then kept as an extractor."""

from __future__ import annotations

import copy
import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it
from torch.nn.utils.fusion import fuse_conv_bn_eval

from miar_rt.checkpoint import write_whole
from miar_rt.engines.weightless import export_graph, self_contained
from miar_rt.features.face_crop import SIDE
from miar_rt.input_spec import APPEARANCE_SLOTS
from miar_rt.signals import EMOTIONS, Array

WIDTHS = (24, 40, 72, 112)
TURN, ZOOM, SHIFT = math.radians(12.0), 0.12, 2.5
"""How far a crop is disturbed at most: radians, fraction, pixels. Landmarks of live faces jitter and misfit."""

ERASED = 18
"""Greatest side of the patch that is hidden from a crop."""

SMOOTHING = 0.1
BATCH, PEAK_RATE, AVERAGE = 128, 2e-3, 0.998


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; the first halves the picture where ``stride`` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs, h, w]`` to ``[B, outputs, h / stride, w / stride]``."""
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + self.shortcut(x))


class AppearanceNet(nn.Module):
    """A residual network (He et al., CVPR 2016) of 0.4 M parameters over the 48x48 face of ``face_crop``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            _Block(WIDTHS[0], WIDTHS[0], 1),
            _Block(WIDTHS[0], WIDTHS[1], 1),
            _Block(WIDTHS[1], WIDTHS[2], 2),
            _Block(WIDTHS[2], WIDTHS[3], 2),
        )
        self.embed = nn.Linear(WIDTHS[3], APPEARANCE_SLOTS)
        self.classify = nn.Linear(APPEARANCE_SLOTS, len(EMOTIONS))

    def embedding(self, crops: Tensor) -> Tensor:
        """Crops ``[B, 48, 48]`` to embeddings ``[B, 64]``."""
        features = self.blocks(self.stem(crops[:, None]))
        return torch.tanh(self.embed(F.dropout(features.mean(dim=(2, 3)), 0.2, self.training)))

    def forward(self, crops: Tensor) -> Tensor:
        """Logits ``[B, 7]`` of crops ``[B, 48, 48]``."""
        logits: Tensor = self.classify(self.embedding(crops))
        return logits


def disturbed(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Crops turned, zoomed, shifted and mirrored at random, with a patch hidden in half of them."""
    n = len(crops)
    draw = torch.rand(7, n, generator=generator) * 2.0 - 1.0
    angle, zoom = draw[0] * TURN, 1.0 + draw[1] * ZOOM
    mirror = torch.where(draw[2] > 0.0, 1.0, -1.0)
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    shift = draw[3:5] * (2.0 * SHIFT / SIDE)
    rows = [torch.stack([cosine * mirror, -sine, shift[0]], 1), torch.stack([sine * mirror, cosine, shift[1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [n, 1, SIDE, SIDE], align_corners=False)
    moved = F.grid_sample(crops[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    return _erased(moved, draw[5], draw[6], generator)


def _erased(crops: Tensor, hidden: Tensor, size: Tensor, generator: torch.Generator) -> Tensor:
    side = ((size + 1.0) / 2.0 * ERASED).clamp(min=4.0) * (hidden > 0.0)
    corner = torch.rand(2, len(crops), generator=generator) * (SIDE - side)
    steps = torch.arange(SIDE)
    within = [(steps >= c[:, None]) & (steps < (c + side)[:, None]) for c in corner]
    return crops.masked_fill(within[0][:, :, None] & within[1][:, None, :], 0.0)


@dataclass
class Faces:
    """Crops ``[n, 48, 48]`` and their classes ``[n]``."""

    crops: Array
    labels: NDArray[np.int64]


class AppearanceRun:
    """A training run that can be interrupted: its state and its log lie in ``folder``.

    Parameters
    ----------
    faces, held_out
        What is trained and validated on.
    epochs
        All told, those of an interrupted run included.
    """

    def __init__(self, faces: Faces, held_out: Faces, folder: Path, epochs: int, seed: int = 0) -> None:
        self._faces, self._held_out, self._folder = faces, held_out, folder
        self._epochs, self._seed = epochs, seed
        torch.manual_seed(seed)
        self._network = AppearanceNet()
        self.mean = copy.deepcopy(self._network)
        self._optimiser = torch.optim.AdamW(self._network.parameters(), lr=PEAK_RATE, weight_decay=0.05)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, PEAK_RATE, epochs * math.ceil(len(faces.labels) / BATCH), pct_start=0.15
        )
        self._begun = self._resume()

    def go(self) -> AppearanceNet:
        """Train the epochs that are left; the network with the running mean of the weights."""
        for epoch in range(self._begun, self._epochs):
            # dropout draws from the global generator: a run that is taken up draws as one that was not interrupted
            torch.manual_seed(self._seed * 1000 + epoch)
            losses = [self._step(*batch) for batch in self._batches(epoch)]
            with (self._folder / "log.csv").open("a", newline="") as file:
                csv.writer(file).writerow([epoch, f"{np.mean(losses):.4f}", f"{self.accuracy():.4f}"])
            torch.save({"epoch": epoch + 1, **{k: p.state_dict() for k, p in self._parts().items()}}, self._state)
        return self.mean.eval()

    def accuracy(self) -> float:
        """Share of held-out faces that are named rightly, each looked at as it is and in a mirror."""
        self.mean.eval()
        crops = torch.from_numpy(self._held_out.crops)
        with torch.inference_mode():
            parts = [crops[i : i + 512] for i in range(0, len(crops), 512)]
            named = [(self.mean(p).softmax(1) + self.mean(p.flip(2)).softmax(1)).argmax(1) for p in parts]
        return float((torch.cat(named).numpy() == self._held_out.labels).mean())

    @property
    def _state(self) -> Path:
        return self._folder / "state.pt"

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self._network, "mean": self.mean, "optimiser": self._optimiser, "schedule": self._schedule
        }  # fmt: skip

    def _resume(self) -> int:
        """Take up what an interrupted run has left; how many epochs are done."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._state.exists():
            return 0
        kept = torch.load(self._state, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(kept[name])
        return int(kept["epoch"])

    def _step(self, crops: Tensor, labels: Tensor) -> float:
        self._network.train()
        loss = F.cross_entropy(self._network(crops), labels, label_smoothing=SMOOTHING)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._schedule.step()
        steps = self._schedule.last_epoch
        keep = min(AVERAGE, (1.0 + steps) / (10.0 + steps))
        with torch.no_grad():
            for kept, new in zip(self.mean.state_dict().values(), self._network.state_dict().values(), strict=True):
                kept.lerp_(new, 1.0 - keep) if kept.is_floating_point() else kept.copy_(new)
        return loss.item()

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self._seed * 1000 + epoch)
        order = torch.randperm(len(self._faces.labels), generator=generator).numpy()
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            crops = torch.from_numpy(self._faces.crops[chosen])
            yield disturbed(crops, generator), torch.from_numpy(self._faces.labels[chosen])


def write_graph(network: AppearanceNet, path: Path) -> None:
    """Write what ``miar_rt.features.appearance`` runs: embeddings of crops, any number at a time.

    Raises
    ------
    ExportUnavailable
        When the packages that write graphs are missing.
    """
    example = {"crops": torch.zeros(2, SIDE, SIDE)}
    module = _Embedding(_folded(network)).eval()
    graph = export_graph(module, example, ["embedding"], {"crops": {0: "n"}})
    write_whole(path, self_contained(graph, {k: v.numpy() for k, v in module.state_dict().items()}, {}))


def _folded(network: AppearanceNet) -> AppearanceNet:
    """The same without its normalisations, which are constants by now and fit into the convolutions."""
    folded = copy.deepcopy(network).eval()
    modules: dict[str, Any] = dict(folded.named_modules())
    stem = modules["stem"]
    folded.stem = nn.Sequential(fuse_conv_bn_eval(stem[0], stem[1]), stem[2])
    for name, block in modules.items():
        if isinstance(block, _Block):
            norms = modules[f"{name}.norms"]
            block.first = fuse_conv_bn_eval(block.first, norms[0])
            block.second = fuse_conv_bn_eval(block.second, norms[1])
            block.norms = nn.ModuleList([nn.Identity(), nn.Identity()])
    return folded


class _Embedding(nn.Module):
    """The network without its classifier."""

    def __init__(self, network: AppearanceNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        """As ``AppearanceNet.embedding``."""
        return self.network.embedding(crops)
