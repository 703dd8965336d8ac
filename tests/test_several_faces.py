"""Several real faces before the extractor: who is who, and who speaks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from test_face import two_faces

from miar_rt.features.face import FaceExtractor
from miar_rt.signals import FeatureFrame

skimage_data = pytest.importorskip("skimage.data")
SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.asarray(skimage_data.astronaut())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import bench_faces

    yield bench_faces
    sys.modules.pop("bench_faces")


def sides(frame: FeatureFrame) -> list[tuple[int, bool]]:
    """Ids from left to right, and which is primary."""
    return [(face.id, face.primary) for face in sorted(frame.faces, key=lambda face: face.box)]


def test_two_faces_have_a_frame_that_is_the_primary_ones(astronaut: np.ndarray) -> None:
    with FaceExtractor(faces=2) as several, FaceExtractor() as one:
        for step in range(6):
            picture = two_faces(astronaut, 1.4, 1.8)
            frame, alone = several.extract(step / 15, picture), one.extract(step / 15, picture)
    small, large = sorted(frame.faces, key=lambda face: face.box)
    assert (small.primary, large.primary, frame.valid, frame.company) == (False, True, True, True)
    assert frame.values is large.values
    # both follow the right face, each with regions of its own in the picture
    assert np.nanmedian(np.abs(frame.values - alone.values)) < 0.02
    left, top, right, bottom = small.box
    assert 0.15 < left < 220 / 900 < right < 0.35
    assert 0.3 < top < bottom < 0.7


def test_a_face_that_is_gone_for_a_moment_keeps_its_id(astronaut: np.ndarray) -> None:
    both, blank = two_faces(astronaut, 1.4, 1.8), two_faces(astronaut, 1.4, 1.8)
    blank[:, 450:] = 120
    with FaceExtractor(faces=3) as several:
        first = [sides(several.extract(step / 15, both)) for step in range(5)][-1]
        during = [several.extract(step / 15, blank) for step in range(5, 17)]
        after = [sides(several.extract(step / 15, both)) for step in range(17, 23)][-1]
    assert {name for name, _ in first} == {name for name, _ in after} == {1, 2}
    assert [name for name, _ in first] == [name for name, _ in after]
    assert [during[0].valid, during[-1].valid] == [False, True]
    assert sides(during[-1]) == [(first[0][0], True)]


def test_without_a_face_there_is_none(astronaut: np.ndarray) -> None:
    with FaceExtractor(faces=2) as several:
        frame = several.extract(0.0, np.zeros_like(astronaut))
    assert (frame.valid, frame.faces) == (False, ())
    assert np.isnan(frame.values).all()


def test_real_faces_keep_their_ids_when_one_passes_before_the_other(bench: ModuleType, shared_clips: Path) -> None:
    heads = [bench.head(bench.Clip.load(shared_clips / f"talk_{name}.mp4"), 130) for name in "bd"]
    with FaceExtractor(faces=2) as several:
        found = [
            sides(several.extract(i / bench.FPS, picture)) for i, picture in enumerate(bench.crossing(*heads, 75))
        ]
    whole = [[name for name, _ in one] for one in found if len(one) == 2]
    assert whole[0] == whole[-1][::-1]
    assert {name for one in found for name, _ in one} == {1, 2}
    assert any(len(one) == 1 for one in found[5:-5])


def test_of_two_who_talk_the_one_who_is_heard_is_found(bench: ModuleType, shared_clips: Path) -> None:
    talker, other = (bench.Clip.load(shared_clips / f"talk_{name}.mp4") for name in "db")
    pictures = bench.side_by_side(bench.head(talker, 120), bench.head(other, 150), 125)
    told = bench.who_spoke(pictures, talker.sound[: 5 * bench.SAMPLE_RATE])
    assert told[-1] == 0
    assert 1 not in told
