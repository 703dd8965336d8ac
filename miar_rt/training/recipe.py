"""Everything about a training run that is a choice, in one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from miar_rt.installing import install_command


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Choices of a training run; a checkpoint keeps those that made it in its ``recipe.toml``.

    Attributes
    ----------
    name
        Short name of the checkpoint.
    epochs, steps, batch
        Epochs at most, optimiser steps an epoch, samples a step.
    patience
        Epochs without a better validation score after which training stops.
    learning_rate, weight_decay, warmup
        AdamW; the rate rises over ``warmup`` steps and falls to zero as a cosine over all epochs.
    average
        Decay of the running mean of the weights, which is what is validated and kept.
    alignment, unimodal, sentiment
        Weights of those losses beside the emotions' cross-entropy.
    smoothing, noise
        Label smoothing; Gaussian noise on every normalised input channel.
    sentiment_share, conflict_share
        Shares of a batch matched by sentiment, and deliberately in conflict.
    takes_share
        Share of voices that go with the face of the same take, where the data folder has its action units.
    astray
        Shares of texts, voices and faces that have nothing to do with the rest of their sample.
    mosi_share
        How often a rated text is from CMU-MOSI, which is small, and not from CMU-MOSEI.
    baseline_share
        Shares of voices and of faces that go with their person's baseline, from other clips in which they are
        plainly neutral. A network that was trained with baselines of voices tells those of strangers worse.
    clean_share, renderings
        Share of voices taken as recorded, and how many live renderings there are of each.
    text_variants
        1: transcripts as written; 2: also as a recogniser hears them; 3: also after the utterance before them.
    adapter_rank, adapter_epochs, adapter_rate, adapter_times
        Low-rank adapters that MiniLM gets first (rank 0: none), trained for so many epochs at that rate; how often
        an epoch has every text of MELD, CMU-MOSI and CMU-MOSEI.
    appearance
        Whether faces are also looked at by the appearance network.
    validation_actors
        RAVDESS actors that are validated on.
    network
        Fields of ``network.MiarConfig`` that differ from its defaults.
    """

    name: str = "default-3"
    epochs: int = 9
    steps: int = 300
    batch: int = 64
    patience: int = 5
    learning_rate: float = 8e-4
    weight_decay: float = 0.05
    warmup: int = 150
    average: float = 0.995
    alignment: float = 0.1
    unimodal: float = 0.05
    sentiment: float = 0.7
    smoothing: float = 0.05
    noise: float = 0.1
    sentiment_share: float = 0.4
    conflict_share: float = 0.08
    takes_share: float = 0.2
    astray: tuple[float, float, float] = (0.15, 0.3, 0.1)
    mosi_share: float = 0.35
    baseline_share: tuple[float, float] = (0.0, 0.5)
    clean_share: float = 0.3
    renderings: int = 8
    text_variants: int = 3
    adapter_rank: int = 16
    adapter_epochs: float = 1.5
    adapter_rate: float = 1e-3
    adapter_times: tuple[int, int, int] = (3, 5, 1)
    appearance: bool = True
    validation_actors: tuple[int, ...] = (17, 18, 19, 20)
    network: dict[str, Any] = {}


def read_recipe(path: Path | None) -> Recipe:
    """The recipe in a TOML file, the default one without a file.

    Raises
    ------
    ValueError
        When the file cannot be read, is no TOML or names something unknown.
    """
    if path is None:
        return Recipe()
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except ImportError as error:
        raise ValueError(f"{path}: reading TOML on Python 3.10 needs tomli: {install_command('train')}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML; every value in it is a number, a name or a flat list, which JSON writes alike."""
    values = msgspec.to_builtins(recipe)
    network = values.pop("network")
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items()]
    table = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in network.items()]
    return "\n".join([*lines, "", "[network]", *table]) + "\n"
