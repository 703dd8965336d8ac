"""The figures in README.md are those of the checkpoint that ships, and of its model card."""

from __future__ import annotations

from pathlib import Path

import pytest

from miar_rt.checkpoint import DEFAULT, load_checkpoint

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
CARD = (DEFAULT.parent / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ("RAVDESS, four unseen actors | UAR {:.3f}", [("ravdess", "uar")]),
        ("FER2013 | accuracy {:.3f}", [("fer2013", "accuracy")]),
        ("MELD, seven emotions | weighted F1 {:.3f}", [("meld", "weighted_f1")]),
        ("mean absolute error {:.3f}, {:.3f}", [("mosi", "mae"), ("mosei", "mae")]),
    ],
)
def test_scores_are_the_checkpoints(row: str, wanted: list[tuple[str, str]]) -> None:
    scores = load_checkpoint().scores
    assert row.format(*(scores[corpus][name] for corpus, name in wanted)) in README


def test_real_pairs_are_the_cards() -> None:
    pairs = next(line for line in CARD.splitlines() if line.startswith("| audio and vision |"))
    stranger, known = pairs.strip("| ").split(" | ")[1:]
    assert f"UAR {stranger}; {known} with the person's neutral known" in README
