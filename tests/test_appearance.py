"""The aligned crop, and the network over it: training, resuming, exporting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from miar_rt.features.appearance import Appearance, AppearanceUnavailable
from miar_rt.features.face import FaceExtractor
from miar_rt.features.face_crop import EYE_DISTANCE, EYE_HEIGHT, SIDE, crop_transform, face_crop
from miar_rt.features.face_geometry import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS, neutral_face
from miar_rt.input_spec import SPEC
from miar_rt.training import batches
from miar_rt.training.appearance import AppearanceNet, AppearanceRun, Faces, disturbed, write_graph


def face_at(centre: tuple[float, float], size: float, angle: float = 0.0) -> np.ndarray:
    """Landmarks of the neutral face, ``size`` pixels between the eyes, turned in the picture by ``angle``."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = neutral_face().astype(np.float64) * size
    points[:, :2] = points[:, :2] @ turn.T + centre
    return points.astype(np.float32)


def eyes(landmarks: np.ndarray) -> np.ndarray:
    return np.stack([landmarks[list(c), :2].mean(axis=0) for c in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS)])


def picture(side: int = 480) -> np.ndarray:
    """Smooth, and different everywhere."""
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    grey = 128 + 60 * np.sin(x / 31.0) + 60 * np.cos(y / 23.0)
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


@pytest.mark.parametrize("angle", [-0.6, 0.0, 0.4])
@pytest.mark.parametrize("size", [15.0, 60.0, 150.0])
def test_the_eyes_come_to_their_place(size: float, angle: float) -> None:
    landmarks = face_at((240.0, 200.0), size, angle)
    transform = crop_transform(landmarks)
    placed = eyes(landmarks) @ transform[:, :2].T + transform[:, 2]
    half = EYE_DISTANCE / 2
    assert placed == pytest.approx(np.array([[24 - half, EYE_HEIGHT], [24 + half, EYE_HEIGHT]]), abs=1e-3)


def test_a_crop_has_no_level_and_no_contrast() -> None:
    landmarks = face_at((240.0, 200.0), 60.0)
    bright = face_crop(picture(), landmarks)
    dark = face_crop((picture() * 0.5 + 10).astype(np.uint8), landmarks)
    assert bright.shape == (SIDE, SIDE)
    assert (float(bright.mean()), float(bright.std())) == pytest.approx((0.0, 1.0), abs=1e-4)
    assert np.abs(bright - dark).max() < 0.1


def test_the_size_of_the_picture_makes_no_difference() -> None:
    """A face twice as large in a picture twice as large gives the same crop, without aliasing."""
    import cv2

    large = face_crop(picture(960), face_at((480.0, 400.0), 120.0))
    half = cv2.resize(picture(960), (480, 480), interpolation=cv2.INTER_AREA)
    small = face_crop(half, face_at((239.75, 199.75), 60.0))
    assert np.abs(large - small).max() < 0.15


@pytest.mark.parametrize("centre", [(-50.0, 10.0), (470.0, 470.0), (2000.0, -900.0)])
def test_a_face_at_or_beyond_the_edge_still_gives_a_crop(centre: tuple[float, float]) -> None:
    crop = face_crop(picture(), face_at(centre, 90.0))
    assert np.isfinite(crop).all()


def test_landmarks_in_one_point_give_a_crop() -> None:
    assert np.isfinite(face_crop(picture(), np.zeros((478, 3), np.float32))).all()


def test_disturbing_keeps_the_face_in_its_place() -> None:
    crops = torch.from_numpy(np.repeat(face_crop(picture(), face_at((240.0, 200.0), 60.0))[None], 64, axis=0))
    moved = disturbed(crops, torch.Generator().manual_seed(0))
    assert moved.shape == crops.shape
    assert not torch.equal(moved[0], moved[1])
    middle = (moved[:, 20:28, 20:28] - crops[:, 20:28, 20:28]).abs().mean()
    assert middle < 0.7


def two_kinds(count: int) -> Faces:
    """Crops that are brighter above or below the middle."""
    labels = np.arange(count) % 2
    crops = np.random.default_rng(0).normal(0, 0.5, (count, SIDE, SIDE)).astype(np.float32)
    crops[:, : SIDE // 2] += (2.0 * labels - 1.0)[:, None, None]
    return Faces(crops, labels.astype(np.int64))


def test_it_learns_and_an_interrupted_run_ends_as_a_whole_one(tmp_path: Path) -> None:
    faces = two_kinds(64)
    whole = AppearanceRun(faces, faces, tmp_path / "whole", epochs=30)
    expected = whole.go()
    assert whole.accuracy() > 0.9
    halted = AppearanceRun(faces, faces, tmp_path / "halted", epochs=30)
    halted._epochs = 10
    halted.go()
    network = AppearanceRun(faces, faces, tmp_path / "halted", epochs=30).go()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name
    log = (tmp_path / "halted" / "log.csv").read_text()
    assert log == (tmp_path / "whole" / "log.csv").read_text()


def test_the_graph_computes_what_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = AppearanceNet().eval()
    write_graph(network, tmp_path / "appearance.onnx")
    crops = np.random.default_rng(0).normal(size=(3, SIDE, SIDE)).astype(np.float32)
    with torch.inference_mode():
        expected = network.embedding(torch.from_numpy(crops)).numpy()
    appearance = Appearance(tmp_path / "appearance.onnx")
    assert appearance.embed_crops(crops) == pytest.approx(expected, abs=1e-5)
    image, landmarks = picture(), face_at((240.0, 200.0), 60.0)
    alone = appearance.embed(image, landmarks)
    assert alone == pytest.approx(appearance.embed_crops(face_crop(image, landmarks)[None])[0], abs=1e-6)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("graph") / "appearance.onnx"
    write_graph(AppearanceNet().eval(), path)
    return path


def test_a_checkpoint_gets_the_network_it_was_trained_with(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miar_rt.features.appearance.GRAPH", graph)
    assert Appearance.wanted_by({"vision": "FaceMesh"}) is None
    name = Appearance(graph).name
    found = Appearance.wanted_by({"appearance": name})
    assert found is not None
    assert found.name == name
    with pytest.raises(AppearanceUnavailable, match="was trained with appearance 0123"):
        Appearance.wanted_by({"appearance": "appearance 0123"})


def test_the_slots_are_filled_where_the_network_is_given(graph: Path) -> None:
    from skimage import data

    image, appearance = data.astronaut(), Appearance(graph)
    slots = SPEC.vision_groups["appearance"]
    with FaceExtractor(static=True, appearance=appearance) as face:
        frame = face.extract_still(image)
        assert face.landmarks is not None
        assert np.array_equal(frame.values[slots], appearance.embed(image, face.landmarks))
        assert not face.extract_still(np.zeros_like(image)).valid
    with FaceExtractor(static=True) as face:
        plain = face.extract_still(image)
    assert np.isnan(plain.values[slots]).all()
    assert np.array_equal(plain.values[: slots.start], frame.values[: slots.start])


def test_training_sees_an_appearance_of_the_same_face_and_side() -> None:
    stills = np.zeros((3, SPEC.widths["vision"]), np.float32)
    stills[:, 0] = [10.0, 20.0, 30.0]
    slots = SPEC.vision_groups["appearance"]
    looks = np.arange(4 * 2 * 3 * 64, dtype=np.float32).reshape(4, 2, 3, 64)
    faces = batches.Faces(stills, stills + 1.0, np.array([0, 1, 2]), looks)
    side, which = np.array([0, 1, 1]), np.array([2, 0, 1])
    rows = faces._rows(side, which, np.random.default_rng(0))
    for row, s, i in zip(rows, side, which, strict=True):
        assert row[0] == stills[i, 0] + s
        assert any(np.array_equal(row[slots], looks[draw, s, i]) for draw in range(4))
