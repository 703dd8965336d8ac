"""Train a recipe five times, each time without four RAVDESS actors, and score those; goes on where it stopped.

python scripts/ravdess_folds.py --data DIR --out DIR [--config TOML] [--epochs N] [--seed N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from miar_rt.checkpoint import load_checkpoint
from miar_rt.training.fit import train
from miar_rt.training.recipe import Recipe, read_recipe, to_toml

ACTORS = range(1, 21)
FOLD = 4
COLUMNS = (("ravdess", "uar"), ("fer2013", "accuracy"), ("meld", "weighted_f1"), ("mosi", "mae"), ("mosei", "mae"))


def main() -> None:
    """Train what is not trained yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recipe = read_recipe(options.config)
    if options.epochs:
        recipe = msgspec.structs.replace(recipe, epochs=options.epochs)
    scores = {
        fold: trained(options.data, options.out / f"fold_{fold[0]:02}", recipe, fold, options.seed)
        for fold in (tuple(ACTORS[i : i + FOLD]) for i in range(0, len(ACTORS), FOLD))
    }
    print(table(scores))


def trained(data: Path, out: Path, recipe: Recipe, fold: tuple[int, ...], seed: int) -> Mapping[str, Any]:
    """Scores of a network that has not heard the actors of ``fold``; trained now if there is none."""
    if not (out / "model.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        config = out / "fold.toml"
        config.write_text(to_toml(msgspec.structs.replace(recipe, validation_actors=fold)))
        train(data, out, seed=seed, config=config, progress=sys.stderr.isatty())
    return load_checkpoint(out).scores


def table(scores: Mapping[tuple[int, ...], Mapping[str, Any]]) -> str:
    """One line a fold, then mean and standard deviation."""
    values = np.array([[one[corpus][score] for corpus, score in COLUMNS] for one in scores.values()])
    names = [f"actors {fold[0]:02}-{fold[-1]:02}" for fold in scores]
    rows = [*zip(names, values, strict=True), ("mean", values.mean(axis=0)), ("deviation", values.std(axis=0))]
    head = " ".join(f"{f'{corpus} {score}':>20}" for corpus, score in COLUMNS)
    return "\n".join(
        [f"{'':14}{head}", *(f"{name:14}" + " ".join(f"{v:20.3f}" for v in row) for name, row in rows)]
    )


if __name__ == "__main__":
    main()
