"""Train the network that looks at the aligned face, and put it beside the extractor that runs it.

Example
-------
    python scripts/train_appearance.py --data corpora --state appearance-run
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from bench_report import publish, section

from miar_rt.features.appearance import GRAPH
from miar_rt.training.appearance import AppearanceRun, Faces, write_graph
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import read_fer2013
from miar_rt.training.extract import crops_of, extract_stills


def faces(path: Path) -> tuple[Faces, int]:
    """The stills in which a face is found, and how many stills there are."""
    stills = read_fer2013(path)
    landmarks = extract_stills(stills.images, FeatureCache(), progress=True)
    found = np.isfinite(landmarks[:, 0, 0])
    return Faces(crops_of(stills.images[found], landmarks[found]), stills.labels[found]), len(found)


def main() -> None:
    """Train, print the accuracy, and write the graph."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with fer2013_train.npz and fer2013_valid.npz"
    )
    parser.add_argument("--state", type=Path, required=True, help="where an interrupted run is kept")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    parser.add_argument("--out", type=Path, default=GRAPH)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    training, _ = faces(asked.data / "fer2013_train.npz")
    held_out, held = faces(asked.data / "fer2013_valid.npz")
    run = AppearanceRun(training, held_out, asked.state, asked.epochs)
    write_graph(run.go(), asked.out)
    scored = run.accuracy()
    overall = scored * len(held_out.labels) / held
    body = (
        f"FER2013's validation part, {held} pictures: accuracy {scored:.3f} where a face is found, "
        f"{overall:.3f} over all, after {asked.epochs} epochs."
    )
    text = section("The appearance network", "python scripts/train_appearance.py --data DIR --state DIR", body)
    print(text)
    if asked.publish:
        publish("The appearance network", text)


if __name__ == "__main__":
    main()
