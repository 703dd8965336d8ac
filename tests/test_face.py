from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miar_rt.features.face import LONGEST_SIDE, FaceExtractor, face_values
from miar_rt.features.face_geometry import LANDMARKS, align, head_angles, neutral_face
from miar_rt.features.face_tracker import quiet
from miar_rt.features.face_units import action_units
from miar_rt.input_spec import ACTION_UNITS, SPEC

cv2 = pytest.importorskip("cv2")
SHARED = Path(__file__).parents[1] / "../shared"
GROUPS = SPEC.vision_groups
PORTRAIT = (slice(0, 300), slice(100, 360))


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut())


@pytest.fixture(scope="module")
def stills() -> FaceExtractor:
    with FaceExtractor(static=True) as extractor:
        yield extractor


def warp(
    image: np.ndarray, degrees: float = 0, scale: float = 1, shift: tuple[float, float] = (0, 0)
) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((224, 128), degrees, scale)
    matrix[:, 2] += shift
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def turn(pitch: float, yaw: float, roll: float) -> np.ndarray:
    (cp, sp), (cy, sy), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (pitch, yaw, roll))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ about_y @ about_x


def test_a_face_fills_mesh_pose_and_units(astronaut: np.ndarray, stills: FaceExtractor) -> None:
    frame = stills.extract(3.5, astronaut)
    assert (frame.kind, frame.t, frame.valid) == ("face", 3.5, True)
    assert frame.values.dtype == np.float32
    assert frame.values.shape == (SPEC.widths["vision"],)
    assert np.isfinite(frame.values[: GROUPS["appearance"].start]).all()
    assert np.isnan(frame.values[GROUPS["appearance"]]).all()
    units = dict(zip(ACTION_UNITS, frame.values[GROUPS["units"]], strict=True))
    # she smiles with her mouth open
    assert units["AU12"] > 0.15
    assert units["AU25"] > 0.05


def test_pose_says_where_the_face_is(astronaut: np.ndarray, stills: FaceExtractor) -> None:
    pose = dict(zip(SPEC.head_pose, stills.extract(0, astronaut).values[GROUPS["pose"]], strict=True))
    eyes = stills.landmarks[[33, 133, 362, 263], :2].mean(axis=0)
    assert pose["x"] == pytest.approx((eyes[0] - 256) / 512, abs=0.01)
    assert pose["y"] == pytest.approx((eyes[1] - 256) / 512, abs=0.01)
    assert 0.06 < pose["scale"] < 0.11
    assert abs(pose["roll"]) < 0.15
    tilted = dict(zip(SPEC.head_pose, stills.extract(0, warp(astronaut, -20)).values[GROUPS["pose"]], strict=True))
    assert tilted["roll"] - pose["roll"] == pytest.approx(np.radians(20), abs=0.05)


@pytest.mark.parametrize(
    "change",
    [{"shift": (60, 40)}, {"scale": 0.6}, {"scale": 1.6}, {"degrees": 15}, {"degrees": -25}],
    ids=["shift", "smaller", "larger", "tilt left", "tilt right"],
)
def test_mesh_and_units_do_not_follow_the_picture(
    astronaut: np.ndarray, stills: FaceExtractor, change: dict[str, float]
) -> None:
    still = stills.extract(0, astronaut).values
    moved = stills.extract(0, warp(astronaut, **change)).values
    difference = np.abs(moved - still)
    assert difference[GROUPS["mesh"]].mean() < 0.03
    assert difference[GROUPS["units"]].max() < 0.12


def test_wide_and_tall_pictures_give_the_same_mesh(astronaut: np.ndarray, stills: FaceExtractor) -> None:
    face = astronaut[PORTRAIT]
    reference = stills.extract(0, face).values[GROUPS["mesh"]]
    for padding in ((0, 0, 400, 300), (500, 200, 0, 0)):
        framed = cv2.copyMakeBorder(face, *padding, cv2.BORDER_CONSTANT)
        assert np.abs(stills.extract(0, framed).values[GROUPS["mesh"]] - reference).mean() < 0.03


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((480, 640, 3), 255, np.uint8),
        np.full((48, 48, 3), 127, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((2, 300, 3), np.uint8),
        np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8),
    ],
    ids=["black", "white", "grey", "one pixel", "sliver", "noise"],
)
@pytest.mark.parametrize("static", [False, True], ids=["stream", "still"])
def test_a_picture_without_a_face_is_not_valid(picture: np.ndarray, static: bool) -> None:
    with FaceExtractor(static=static) as extractor:
        frame = extractor.extract(1.0, picture)
        assert not frame.valid
        assert np.isnan(frame.values).all()
        assert frame.values.shape == (SPEC.widths["vision"],)
        assert extractor.landmarks is None


def test_unusual_pictures_of_a_face_are_read(astronaut: np.ndarray, stills: FaceExtractor) -> None:
    grey = np.repeat(astronaut.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    large = cv2.resize(astronaut[:288], (3840, 2160))
    flipped = astronaut[:, ::-1]
    crop = astronaut[60:210, 150:300]
    tiny = cv2.resize(crop, (48, 48), interpolation=cv2.INTER_AREA)
    frozen = astronaut.copy()
    frozen.flags.writeable = False
    for picture in (grey, large, astronaut[PORTRAIT], flipped, tiny, frozen):
        assert stills.extract_still(picture).valid
    with FaceExtractor() as stream:
        assert stream.extract(0, large).valid


def test_landmarks_of_an_enlarged_still_are_in_its_own_pixels(astronaut: np.ndarray, stills: FaceExtractor) -> None:
    crop = astronaut[40:220, 130:310]
    stills.extract_still(crop)
    whole = stills.landmarks
    stills.extract_still(cv2.resize(crop, (60, 60), interpolation=cv2.INTER_AREA))
    assert np.abs(stills.landmarks * 3 - whole)[:, :2].mean() < 4


def test_pictures_of_the_wrong_kind_are_refused(stills: FaceExtractor) -> None:
    with pytest.raises(TypeError, match="uint8, not float64"):
        stills.extract(0, np.zeros((10, 10, 3)))
    for shape in ((10, 10), (10, 10, 4), (0, 10, 3)):
        with pytest.raises(ValueError, match="height, width, 3"):
            stills.extract(0, np.zeros(shape, np.uint8))
    for shape in ((1, 60_000, 3), (60_000, 1, 3)):
        with pytest.raises(ValueError, match="16384 pixels at most"):
            stills.extract(0, np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (1, LONGEST_SIDE), (LONGEST_SIDE, 1), (LONGEST_SIDE, 40)])
def test_pictures_of_any_shape_that_is_allowed_are_survived(astronaut: np.ndarray, shape: tuple[int, int]) -> None:
    with FaceExtractor() as extractor:
        for picture in (astronaut, cv2.resize(astronaut, shape[::-1])):
            found = extractor.extract(0.0, picture)
    assert not found.valid


def two_faces(astronaut: np.ndarray, left: float, right: float) -> np.ndarray:
    """Two heads beside each other on grey, ``left`` and ``right`` times as large as the crop."""
    canvas = np.full((480, 900, 3), 120, np.uint8)
    for middle, scale in ((220, left), (670, right)):
        face = cv2.resize(astronaut[20:250, 120:330], None, fx=scale, fy=scale)
        top, start = 240 - face.shape[0] // 2, middle - face.shape[1] // 2
        canvas[top : top + face.shape[0], start : start + face.shape[1]] = face
    return canvas


def side(extractor: FaceExtractor) -> str:
    return "left" if extractor.landmarks[:, 0].mean() < 450 else "right"


@pytest.mark.parametrize(("left", "right", "larger"), [(1.0, 1.8, "right"), (1.8, 1.0, "left")])
def test_the_larger_of_two_faces_is_taken(
    astronaut: np.ndarray, stills: FaceExtractor, left: float, right: float, larger: str
) -> None:
    picture = two_faces(astronaut, left, right)
    assert stills.extract(0, picture).valid
    assert side(stills) == larger
    with FaceExtractor() as stream:
        for step in range(4):
            assert stream.extract(step / 15, picture).valid
        assert side(stream) == larger


def test_a_stream_keeps_its_face_until_another_is_clearly_larger(astronaut: np.ndarray) -> None:
    with FaceExtractor() as stream:
        for step in range(30):
            stream.extract(step / 15, two_faces(astronaut, 1.4, 1.0))
        assert side(stream) == "left"
        for step in range(30, 60):
            stream.extract(step / 15, two_faces(astronaut, 1.4, 1.55))
        assert side(stream) == "left"
        for step in range(60, 90):
            stream.extract(step / 15, two_faces(astronaut, 1.0, 1.9))
        assert side(stream) == "right"


def test_a_stream_loses_and_finds_a_face_at_once(astronaut: np.ndarray) -> None:
    blank = np.zeros_like(astronaut)
    with FaceExtractor() as stream:
        pictures = [astronaut] * 3 + [blank] * 3 + [astronaut] * 3
        valid = [stream.extract(i / 15, picture).valid for i, picture in enumerate(pictures)]
    assert valid == [True] * 3 + [False] * 3 + [True] * 3


def test_the_same_pictures_give_the_same_features(astronaut: np.ndarray) -> None:
    runs = []
    for _ in range(2):
        with FaceExtractor() as stream:
            pictures = [warp(astronaut, degrees=3 * i, shift=(2 * i, 0)) for i in range(10)]
            runs.append([stream.extract(i / 15, picture).values for i, picture in enumerate(pictures)])
    np.testing.assert_array_equal(runs[0], runs[1])


def test_close_may_be_called_twice() -> None:
    extractor = FaceExtractor()
    extractor.close()
    extractor.close()


def test_nothing_of_mediapipe_reaches_the_terminal() -> None:
    code = (
        "import os, numpy as np, skimage.data as d; from miar_rt.features.face import LONGEST_SIDE, FaceExtractor;"
        "a = np.ascontiguousarray(d.astronaut());"
        "s = FaceExtractor(); print([s.extract(i / 15, a[:400]).valid for i in range(3)]); s.close();"
        "t = FaceExtractor(static=True); print(t.extract_still(a).valid); t.close();"
        "os.write(2, b'mine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[True, True, True]\nTrue\n", "mine")


def test_lines_that_are_not_chatter_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(2, b"W0000 inference_feedback_manager.cc:114] noise\nsomething broke\n")
    assert capfd.readouterr().err == "something broke\n"


def test_the_neutral_face_is_symmetrical_and_neutral() -> None:
    face = neutral_face()
    assert face.shape == (LANDMARKS, 3)
    np.testing.assert_allclose(face[33] * [-1, 1, 1], face[263], atol=1e-3)
    assert np.linalg.norm(face[[33, 133]].mean(axis=0) - face[[362, 263]].mean(axis=0)) == pytest.approx(
        1, abs=1e-3
    )
    np.testing.assert_allclose(action_units(face), 0, atol=1e-5)


angle = st.floats(-1.2, 1.2)


@settings(max_examples=60, deadline=None)
@given(pitch=angle, yaw=angle, roll=angle, scale=st.floats(1, 2000), shift=st.tuples(*[st.floats(-3000, 3000)] * 3))
def test_alignment_undoes_any_rigid_move(
    pitch: float, yaw: float, roll: float, scale: float, shift: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(7)
    face = (neutral_face() + rng.normal(0, 0.01, (LANDMARKS, 3))).astype(np.float32)
    reference, base, size, _ = align(face)
    moved = (face * scale) @ turn(pitch, yaw, roll).T + shift
    mesh, rotation, fitted, centre = align(moved.astype(np.float32))
    np.testing.assert_allclose(mesh, reference, atol=2e-2 if scale < 10 else 1e-3)
    assert fitted == pytest.approx(scale * size, rel=2e-2)
    np.testing.assert_allclose(rotation, turn(pitch, yaw, roll) @ base, atol=2e-2)
    np.testing.assert_allclose(centre, shift, atol=0.05 * scale)
    np.testing.assert_allclose(head_angles(turn(pitch, yaw, roll)), (pitch, yaw, roll), atol=1e-6)


def test_landmarks_in_one_point_stay_finite() -> None:
    values = face_values(np.zeros((LANDMARKS, 3), np.float32), 640, 480)
    assert np.isfinite(values[: GROUPS["appearance"].start]).all()


MOVES = {
    "AU01": ([55, 107, 285, 336], (0, -0.1, 0)),
    "AU02": ([63, 105, 293, 334], (0, -0.1, 0)),
    "AU04": ([52, 55, 105, 107, 282, 285, 334, 336], (0, 0.1, 0)),
    "AU05": ([158, 159, 160, 385, 386, 387], (0, -0.1, 0)),
    "AU06": ([50, 101, 118, 205, 280, 330, 347, 425], (0, -0.1, 0)),
    "AU07": ([144, 145, 153, 373, 374, 380], (0, -0.05, 0)),
    "AU09": ([48, 64, 278, 294], (0, -0.1, 0)),
    "AU10": ([37, 39, 267, 269], (0, -0.1, 0)),
    "AU12": ([61, 291], (0, -0.1, 0)),
    "AU15": ([61, 291], (0, 0.1, 0)),
    "AU17": ([17], (0, -0.1, 0)),
    "AU14": ([17], (0, -0.1, 0)),
    "AU23": ([0], (0, 0.1, 0)),
    "AU25": ([14], (0, 0.1, 0)),
    "AU26": ([152], (0, 0.1, 0)),
    "AU45": ([158, 159, 160, 385, 386, 387], (0, 0.1, 0)),
}


@pytest.mark.parametrize("unit", MOVES)
def test_a_unit_grows_when_its_muscle_moves_the_face(unit: str) -> None:
    points, move = MOVES[unit]
    face = neutral_face().copy()
    face[points] += np.array(move, np.float32)
    assert action_units(face)[ACTION_UNITS.index(unit)] > 0.02


@pytest.mark.shared
def test_units_follow_openface_frame_by_frame() -> None:
    clip = SHARED / "clips/ravdess_01-01-01-01-01-01-01.mp4"
    table = SHARED / "data/ravdess_au_frames.npz"
    if not (clip.is_file() and table.is_file()):
        pytest.skip("../shared is not there")
    import av

    with np.load(table) as data:
        columns, reference = list(data["au_cols"]), data["01-01-01-01-01-01-01"]
    with FaceExtractor() as stream, av.open(str(clip)) as container:
        pictures = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        ours = np.array([stream.extract(i / 29.97, p).values[GROUPS["units"]] for i, p in enumerate(pictures)])
    assert len(ours) == len(reference)
    for unit, least in {"AU25": 0.9, "AU26": 0.94, "AU45": 0.9}.items():
        theirs = reference[:, columns.index(f"{unit}_r")]
        assert np.corrcoef(ours[:, ACTION_UNITS.index(unit)], theirs)[0, 1] > least


def test_looking_leaves_the_microphones_alone() -> None:
    """mediapipe's sound tasks would start PortAudio, which can hang or spin when a sound server dies."""
    program = (
        "import sys; from miar_rt.features.face import LONGEST_SIDE, FaceExtractor; FaceExtractor().close();"
        "raise SystemExit('sounddevice' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
