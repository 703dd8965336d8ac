"""Action units that another tool has read, as the face channels that ours would have filled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpora import write_action_units

from miar_rt.input_spec import ACTION_UNITS, SPEC
from miar_rt.neutral import population
from miar_rt.training.action_units import COLUMNS, face_baselines, read_action_units, unit_rows
from miar_rt.training.corpora import Clip

UNITS = SPEC.vision_groups["units"]


def clip(actor: int, emotion: int, repetition: int = 1) -> Clip:
    name = f"03-01-{emotion:02}-01-01-{repetition:02}-{actor:02}.flac"
    return Clip(Path(name), 0, emotion, 1, 1, repetition, actor)


def arrays(**changed: Any) -> dict[str, Any]:
    whole = {
        "audio_name": np.array(["a", "b"]),
        "au_cols": np.array(COLUMNS),
        "au_static_mean": np.ones((2, 17), np.float32),
    }
    return {name: value for name, value in (whole | changed).items() if value is not None}


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    write_action_units(tmp_path / "au.npz", ["a", "b"])
    stored = np.load(tmp_path / "au.npz")
    found = read_action_units(tmp_path / "au.npz")
    assert list(found) == ["a", "b"]
    assert found["b"].tolist() == stored["au_static_mean"][1, :0:-1].tolist()
    assert len(found["b"]) == len(ACTION_UNITS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"au_cols": None}, "lacks the arrays au_cols"),
        ({"audio_name": None, "au_static_mean": None}, "lacks the arrays audio_name, au_static_mean"),
        ({"au_cols": np.array([*COLUMNS[1:], "AU28_c"])}, "lacks the action units AU01_r"),
        ({"au_static_mean": np.ones((3, 17), np.float32)}, "must hold a number for each"),
        ({"au_static_mean": np.full((2, 17), "x")}, "must hold a number for each"),
        ({"au_static_mean": np.full((2, 17), np.nan)}, "holds what is no number"),
    ],
)
def test_a_file_of_another_layout_is_refused_in_one_line(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "au.npz", **arrays(**changed))
    with pytest.raises(ValueError, match=message) as caught:
        read_action_units(tmp_path / "au.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"no archive"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "au.npz").write_bytes(content)
    with pytest.raises(ValueError, match="not a readable npz"):
        read_action_units(tmp_path / "au.npz")


def test_rows_are_those_of_the_face_and_hold_nothing_else() -> None:
    units = {clip(1, 5).path.stem: np.linspace(0.0, 4.0, 17, dtype=np.float32)}
    rows = unit_rows([clip(1, 5), clip(2, 5)], units)
    assert rows.shape == (2, SPEC.widths["vision"])
    assert np.isfinite(rows[0, UNITS]).all()
    assert np.isfinite(rows).sum() == 17
    stronger = unit_rows([clip(1, 5)], {clip(1, 5).path.stem: units[clip(1, 5).path.stem] + 1.0})
    assert (stronger[0, UNITS] > rows[0, UNITS]).all()


def test_a_person_is_taken_to_the_average_neutral_face() -> None:
    """An actor who always frowns is like everybody else once their neutral clips are known."""
    clips = [clip(1, 1), clip(1, 1, 2), clip(1, 5), clip(2, 5)]
    frown = np.zeros(17, np.float32)
    frown[ACTION_UNITS.index("AU04")] = 2.0
    rows = unit_rows(clips, {c.path.stem: frown for c in clips})
    found = face_baselines(clips, rows)
    assert set(found) == {1}
    people = population()["vision"].location[UNITS]
    before, after = (np.abs(r[UNITS] - people).max() for r in (rows[2], found[1].apply(rows[2])))
    assert after < 0.2 * before


def test_nobody_has_a_baseline_whose_face_was_not_seen() -> None:
    clips = [clip(1, 1), clip(1, 5)]
    assert face_baselines(clips, unit_rows(clips, {})) == {}
