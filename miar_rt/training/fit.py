"""Training from cached features to a checkpoint folder: seeded, resumable, on one thread."""

from __future__ import annotations

import csv
import hashlib
import math
import re
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from rich.progress import track as bar
from torch import Tensor

from calibration.temperature import Temperatures
from miar_rt.alignment import AlignmentLoss
from miar_rt.checkpoint import Checkpoint, save_checkpoint
from miar_rt.engines import Scores
from miar_rt.engines.export import trace_network
from miar_rt.features.text_onnx import OnnxTextEncoder
from miar_rt.input_spec import SPEC
from miar_rt.network import Miar, MiarConfig
from miar_rt.signals import MODALITIES, Array, Modality
from miar_rt.training.batches import Windows, network_inputs, trim
from miar_rt.training.cache import FeatureCache
from miar_rt.training.calibrate import fit_temperatures, interval_factor, worse_with_baseline
from miar_rt.training.exams import Answers, Score, ask, grade
from miar_rt.training.losses import StepLoss
from miar_rt.training.material import Material, load_material, training_statistics
from miar_rt.training.pairing import Draw, Mixture, draw_batch, draw_patterns
from miar_rt.training.recipe import Recipe, read_recipe, to_toml
from miar_rt.window import ChannelStatistics, Statistics

FACE_STEPS = (2, 4, 8, 16, 60)
FACE_STEPS_SHARES = (0.3, 0.3, 0.25, 0.1, 0.05)
HEADLINES = {"ravdess": "uar", "fer2013": "accuracy", "meld": "weighted_f1", "mosi": "mae", "mosei": "mae"}
STATE, LOG, RECIPE = "state.pt", "log.csv", "recipe.toml"


def train(  # noqa: PLR0913 - each is an option of the command
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    config: Path | None = None,
    text_encoder: Path | None = None,
    languages: str | None = None,
    progress: bool = False,
) -> None:
    """Train a network on a data folder and write its checkpoint.

    Parameters
    ----------
    data
        Folder in the layout of ``material.LAYOUT``.
    out
        Checkpoint folder. Its ``training`` folder keeps the state, from which an interrupted run goes on, and a
        log of every epoch.
    seed
        Of everything random.
    epochs
        Instead of the recipe's.
    config
        TOML file with a ``Recipe``.
    text_encoder
        Folder of an ``OnnxTextEncoder``; the published MiniLM otherwise.
    languages
        ISO 639 codes of the languages that the corpora's words are in, as ``en,de``; English otherwise.
    progress
        Whether to show progress bars.

    Raises
    ------
    ValueError
        When data, recipe or languages are wrong, or ``out`` holds a run of another recipe, seed or encoder.
    TextEncoderUnavailable
        When the text encoder cannot be had.
    OSError
        When ``out`` cannot be written.
    """
    torch.set_num_threads(1)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is no folder: give one for the checkpoint")
    recipe = read_recipe(config)
    if epochs is not None:
        recipe = msgspec.structs.replace(recipe, epochs=epochs)
    spoken = read_languages(languages, text_encoder)
    encoder = None if text_encoder is None else OnnxTextEncoder(text_encoder)
    folder = out / "training"
    material = load_material(data, recipe, FeatureCache(), encoder=encoder, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(material, recipe, seed, folder)
    run.go(progress)
    ship(out, run, seed, spoken)


def read_languages(given: str | None, text_encoder: Path | None) -> tuple[str, ...]:
    """Codes of a list such as ``en,de``, each once and in order; none when nothing is given.

    Raises
    ------
    ValueError
        When there is something else in it, or a language that the published text encoder does not read.
    """
    if given is None:
        return ()
    codes = sorted({code.strip() for code in given.split(",")})
    if not all(re.fullmatch("[a-z]{2,3}", code) for code in codes):
        raise ValueError(f"--languages must be ISO 639 codes of two or three lower-case letters, not {given!r}")
    if text_encoder is None and codes != ["en"]:
        raise ValueError(f"MiniLM reads English only, not {given!r}: name another by --text-encoder FOLDER")
    return tuple(codes)


def ship(out: Path, run: Run, seed: int, languages: Sequence[str] = ()) -> None:
    """Calibrate a finished run, score it and write its checkpoint into ``out``."""
    network = run.best_network()
    score = as_score(network)
    exams, recipe = run.material.exams, run.recipe
    answers = {name: ask(exam, score, run.statistics) for name, exam in exams.items()}
    temperatures = fit_temperatures(exams, answers, score, run.statistics)
    config = asdict(network.config)
    checkpoint = Checkpoint(
        name=recipe.name,
        spec=SPEC,
        config=config,
        state={name: tensor.numpy() for name, tensor in network.state_dict().items()},
        statistics=run.statistics,
        temperatures=temperatures,
        interval_factor=interval_factor(exams, answers),
        graph=trace_network(config, SPEC),
        extractors=run.material.extractors | _said(languages, run, score),
        corpora={"samples": run.material.sizes, "seed": seed, **run.record()},
        scores={name: grade(exam, answers[name], temperatures) for name, exam in exams.items()},
        text_adapter=run.material.text_adapter,
    )
    save_checkpoint(out, checkpoint)
    (out / RECIPE).write_text(to_toml(recipe))


def _said(languages: Sequence[str], run: Run, score: Score) -> dict[str, str]:
    """What else a checkpoint says about its inputs: see ``Checkpoint.languages`` and those after it."""
    told = ["audio", "vision"] if run.material.takes else ["audio"]
    said = {
        "languages": ",".join(languages),
        "baselines": ",".join(told) if any(run.recipe.baseline_share) else "",
        "ignored_baselines": ",".join(worse_with_baseline(run.material.trials, score, run.statistics)),
    }
    return {name: value for name, value in said.items() if value}


def as_score(network: Miar) -> Score:
    """A network as what ``exams.ask`` asks, on the rows that hold anything."""

    def score(batch: Mapping[str, Array], presence: Array) -> Scores:
        with torch.inference_mode():
            inputs = {name: torch.from_numpy(array) for name, array in trim(batch).items()}
            outputs = network(**inputs, presence=torch.from_numpy(presence))
        return Scores(*(t.numpy() for t in (outputs.logits, outputs.sentiment, outputs.spread, outputs.gate)))

    return score


@dataclass
class Progress:
    """Where a run stands."""

    epoch: int = 0
    best_epoch: int = -1
    best_score: float = -math.inf
    seconds: float = 0.0


class Run:
    """One training run over material that is at hand.

    Parameters
    ----------
    material
        What to train and validate on.
    recipe, seed
        What to do with it.
    folder
        Keeps the state and the log.
    """

    def __init__(self, material: Material, recipe: Recipe, seed: int, folder: Path) -> None:
        torch.manual_seed(seed)
        self.random = np.random.default_rng(seed)
        self.material, self.recipe, self._folder = material, recipe, folder
        identity = f"{to_toml(recipe)}{seed}{material.sizes}{material.extractors['text']}"
        self._identity = hashlib.sha256(identity.encode()).hexdigest()
        self.statistics: Statistics = training_statistics(material, self.random)
        self._network = Miar(MiarConfig(**recipe.network))
        self._average = deepcopy(self._network).eval()
        self._best: dict[str, Tensor] = {}
        self._alignment = AlignmentLoss(self._network.config.width)
        self._loss = StepLoss(recipe, material.corpora, self._alignment)
        self._optimizer = _optimizer((self._network, self._alignment), recipe)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(self._optimizer, _course(recipe))
        self._progress = Progress()
        self._resume()

    def go(self, progress: bool) -> None:
        """Train until the epochs are over or nothing has got better for a while."""
        while not self._over():
            started = time.monotonic()
            losses = self._epoch(progress)
            answers = self._validate()
            self._progress.seconds += time.monotonic() - started
            self._progress.epoch += 1
            self._note(losses, answers)
            self._save()

    def _over(self) -> bool:
        at = self._progress
        stalled = at.epoch - 1 - at.best_epoch >= self.recipe.patience
        return at.epoch >= self.recipe.epochs or (at.best_epoch >= 0 and stalled)

    def best_network(self) -> Miar:
        """The averaged network of the best epoch."""
        network = deepcopy(self._average)
        network.load_state_dict(self._best)
        return network.eval()

    def record(self) -> dict[str, Any]:
        """What is worth knowing about the run."""
        at = self._progress
        return {"best_epoch": at.best_epoch + 1, "epochs": at.epoch, "minutes": round(at.seconds / 60.0, 1)}

    def _epoch(self, progress: bool) -> dict[str, float]:
        self._network.train()
        steps = range(self.recipe.steps)
        what = f"epoch {self._progress.epoch + 1}"
        totals: dict[str, float] = {}
        for _ in bar(steps, description=what, disable=not progress):
            for name, value in self._step().items():
                totals[name] = totals.get(name, 0.0) + value / len(steps)
        return totals

    def _step(self) -> dict[str, float]:
        recipe = self.recipe
        mixture = Mixture(recipe.sentiment_share, recipe.conflict_share, recipe.takes_share, recipe.astray)
        draw = draw_batch(self.material.corpora, recipe.batch, mixture, self.random)
        patterns = draw_patterns(self.random)
        inputs = {name: torch.from_numpy(array) for name, array in self._inputs(draw).items()}
        for name in MODALITIES:
            noise = self.recipe.noise * torch.randn_like(inputs[name])
            inputs[name] = inputs[name] + noise * inputs[f"{name}_mask"].unsqueeze(-1)
        presence = torch.from_numpy(np.repeat(patterns[None], self.recipe.batch, axis=0))
        losses = self._loss(self._network(**inputs, presence=presence), draw, patterns)
        self._optimizer.zero_grad()
        losses["total"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self._scheduler.step()
        self._follow()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _inputs(self, draw: Draw) -> dict[str, Array]:
        steps = int(self.random.choice(FACE_STEPS, p=FACE_STEPS_SHARES))
        takes, (heard, seen) = self.material.takes, self.recipe.baseline_share
        faces = self.material.faces.draw(draw.vision, steps, self.random, seen)
        windows: dict[Modality, Windows] = {
            "text": self.material.texts.draw(draw.text, draw.delay, self.random),
            "audio": self.material.voices.draw(draw.audio, self.random, self.recipe.clean_share, heard),
            "vision": takes.put(faces, draw.taken, draw.audio, self.random, seen) if takes else faces,
        }
        return trim(network_inputs(windows, self.statistics))

    def _follow(self) -> None:
        decay = min(self.recipe.average, (1.0 + self._scheduler.last_epoch) / (10.0 + self._scheduler.last_epoch))
        with torch.no_grad():
            for mean, value in zip(self._average.parameters(), self._network.parameters(), strict=True):
                mean.lerp_(value, 1.0 - decay)

    def _validate(self) -> dict[str, Answers]:
        score = as_score(self._average)
        return {name: ask(exam, score, self.statistics) for name, exam in self.material.exams.items()}

    def _note(self, losses: dict[str, float], answers: Mapping[str, Answers]) -> None:
        exams = self.material.exams
        headlines = {name: grade(exams[name], answers[name], Temperatures({}))[HEADLINES[name]] for name in exams}
        score = sum(-value if HEADLINES[name] == "mae" else value for name, value in headlines.items())
        if score > self._progress.best_score:
            self._progress.best_score, self._progress.best_epoch = score, self._progress.epoch - 1
            self._best = {name: value.clone() for name, value in self._average.state_dict().items()}
        row = {"epoch": self._progress.epoch, "score": score, **headlines, **losses}
        _append(self._folder / LOG, {**row, "seconds": round(self._progress.seconds, 1)})

    def _save(self) -> None:
        channels = self.statistics.items()
        state = {
            "identity": self._identity,
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "best": self._best,
            "alignment": self._alignment.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "progress": vars(self._progress),
            "random": self.random.bit_generator.state,
            "torch": torch.get_rng_state(),
            "statistics": {n: [torch.from_numpy(s.location), torch.from_numpy(s.scale)] for n, s in channels},
        }
        unfinished = self._folder / f"{STATE}.part"
        torch.save(state, unfinished)
        unfinished.replace(self._folder / STATE)

    def _resume(self) -> None:
        path = self._folder / STATE
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["identity"] != self._identity:
            raise ValueError(
                f"{self._folder} holds a run of another recipe, seed, data or text encoder: name another --out"
            )
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._alignment.load_state_dict(state["alignment"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._best, self._progress = state["best"], Progress(**state["progress"])
        self.random.bit_generator.state = state["random"]
        torch.set_rng_state(state["torch"])
        self.statistics = {
            name: ChannelStatistics(location.numpy(), scale.numpy())
            for name, (location, scale) in state["statistics"].items()
        }


def _optimizer(modules: tuple[torch.nn.Module, ...], recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that leaves biases, norms and single tokens undecayed."""
    parameters = [p for module in modules for p in module.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _course(recipe: Recipe) -> Any:
    total = recipe.epochs * recipe.steps

    def factor(step: int) -> float:
        rising = (step + 1) / max(recipe.warmup, 1)
        return min(rising, 0.5 * (1.0 + math.cos(math.pi * min(step / total, 1.0))))

    return factor


def _append(path: Path, row: Mapping[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()})
