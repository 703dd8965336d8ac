"""The clip that the demo plays holds what its script says, in a version of a few seconds."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"

pytestmark = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    try:
        spec = importlib.util.spec_from_file_location("make_demo_clip", SCRIPTS / "make_demo_clip.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPTS))
    return module


@pytest.fixture(scope="module")
def clip(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    scenes = (
        maker.Scene("smiling", 1.0, "hello", maker.HAPPY),
        maker.Scene("nobody", 1.2, face=False),
        maker.Scene("silent", 1.0),
    )
    path = tmp_path_factory.mktemp("demo") / "clip.mp4"
    return path, maker.write_clip(path, scenes)


def test_has_the_promised_format_and_length(clip: tuple[Path, list]) -> None:
    import av

    path, placed = clip
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height, video.average_rate) == (640, 480, 30)
        assert audio.rate == 16_000
        assert sum(1 for _ in container.decode(video=0)) == round(placed[-1].t1 * 30)


def test_a_face_is_found_where_the_script_says_so(clip: tuple[Path, list]) -> None:
    import av
    import mediapipe as mp

    path, placed = clip
    with av.open(str(path)) as container, mp.solutions.face_mesh.FaceMesh(static_image_mode=True) as mesh:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        seen = [
            mesh.process(pictures[round((part.t0 + 0.8) * 30)]).multi_face_landmarks is not None for part in placed
        ]
    assert seen == [True, False, True]


def test_speech_is_heard_where_the_script_says_so(clip: tuple[Path, list]) -> None:
    import av

    path, placed = clip
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])

    def loudness(t0: float, t1: float) -> float:
        return float(np.sqrt(np.mean(np.square(sound[round(t0 * 16_000) : round(t1 * 16_000)]))))

    spoken = placed[0].t0 + 0.2
    assert loudness(spoken, spoken + len(placed[0].speech) / 16_000) == pytest.approx(0.1, rel=0.1)
    assert loudness(placed[2].t0 + 0.1, placed[2].t1) < 1e-3


def test_expressions_move_the_face_as_they_say(maker: ModuleType) -> None:
    """Measured on the warped pictures by FaceMesh, as fractions of the distance between the eyes."""
    warp = maker.FaceWarp(maker.portrait())

    def measured(expression: object) -> dict[str, float]:
        points = sys.modules["face_warp"].find_landmarks(warp(expression))
        unit = float(np.linalg.norm(points[263] - points[33]))
        middle = (points[13] + points[14]) / 2
        return {
            "corners_above_middle": float(middle[1] - points[[61, 291], 1].mean()) / unit,
            "opening": float(np.linalg.norm(points[14] - points[13])) / unit,
            "brows_above_eyes": float(points[[159, 386], 1].mean() - points[[105, 334], 1].mean()) / unit,
        }

    neutral, happy = measured(maker.NEUTRAL), measured(maker.HAPPY)
    sad, angry, surprised = measured(maker.SAD), measured(maker.ANGRY), measured(maker.SURPRISED)
    assert sad["corners_above_middle"] < neutral["corners_above_middle"] < happy["corners_above_middle"]
    assert angry["brows_above_eyes"] < neutral["brows_above_eyes"] < surprised["brows_above_eyes"]
    assert surprised["opening"] > neutral["opening"] + 0.05


def test_scenes_of_the_real_clip_cover_what_the_demo_shows(maker: ModuleType) -> None:
    scenes = maker.SCENES
    assert sum(scene.seconds for scene in scenes if not scene.face) >= 4
    assert any(scene.seconds >= 4 and not scene.text for scene in scenes)
    assert {"happy", "sad", "angry"} <= {scene.name for scene in scenes}


def test_without_flite_it_ends_with_the_command_that_helps(
    maker: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="apt-get install flite"):
        maker.require_flite()
