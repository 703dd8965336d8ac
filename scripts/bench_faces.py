"""Several faces: how often the speaker is found, whether ids outlast crossing, and what each face costs.

Two-face clips are composed in memory from clips of one face each: the first talks with its own sound, the second
is shown larger, so that it is primary, and either moves to its own words, which are not heard, or is frozen.

Example
-------
    python scripts/bench_faces.py talk_a.mp4 talk_b.mp4 talk_c.mp4 talk_d.mp4 --publish
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_report import percentiles, publish, section, table
from numpy.typing import NDArray

from miar_rt.features.face import FaceExtractor
from miar_rt.features.speaker import Speaker
from miar_rt.features.voice_activity import SpeechGate
from miar_rt.signals import FeatureFrame, Modality
from miar_rt.training.extract import sound_frames
from stream.events import SAMPLE_RATE, AudioChunk, VideoFrame
from stream.scoring import load_scorer
from stream.sources.media_file import MediaFile

Picture = NDArray[np.uint8]

FPS, HEIGHT = 25, 480
JUDGED_FROM = 3.0
"""Seconds: what is looked back on has to be there."""

HEAD = (0.45, 0.6, 0.35)
"""Of a cut-out head: what is left beside, above and below the face, in its widths."""


@dataclass(frozen=True)
class Clip:
    """One person who talks: pictures at ``FPS`` and the sound with them, int16 mono."""

    name: str
    pictures: list[Picture]
    sound: NDArray[np.int16]

    @classmethod
    def load(cls, path: Path) -> Clip:
        """Read a file, at ``HEIGHT`` and ``FPS``."""
        import cv2

        items = list(MediaFile(path).packets())
        shown = [item for item in items if isinstance(item, VideoFrame)]
        heard = [item.samples for item in items if isinstance(item, AudioChunk)]
        times = np.array([frame.t for frame in shown])
        nearest = [shown[int(np.abs(times - i / FPS).argmin())].image for i in range(int(times[-1] * FPS))]
        width = round(shown[0].image.shape[1] * HEIGHT / shown[0].image.shape[0])
        pictures = [np.asarray(cv2.resize(image, (width, HEIGHT)), np.uint8) for image in nearest]
        sound = np.concatenate(heard)[: len(pictures) * SAMPLE_RATE // FPS]
        return cls(path.stem, pictures, sound)


def head(clip: Clip, width: int) -> list[Picture]:
    """The head cut out of every picture, its face ``width`` pixels wide."""
    import cv2

    with FaceExtractor() as face:
        found = [face.landmarks for i, image in enumerate(clip.pictures) if face.extract(i / FPS, image).valid]
    boxes = [(*one[:, :2].min(axis=0), *one[:, :2].max(axis=0)) for one in found if one is not None]
    left, top, right, bottom = np.median(boxes, axis=0)
    wide = right - left
    beside, above, below = (part * wide for part in HEAD)
    rows = slice(max(int(top - above), 0), int(bottom + below))
    columns = slice(max(int(left - beside), 0), int(right + beside))
    scale = width / wide
    return [np.asarray(cv2.resize(p[rows, columns], None, fx=scale, fy=scale), np.uint8) for p in clip.pictures]


def paste(canvas: Picture, picture: Picture, x: float, y: float) -> None:
    """Lay an oval of the picture, with soft edges, around ``x``, ``y``."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    away = np.square((columns - width / 2) / (width / 2)) + np.square((rows - height / 2) / (height / 2))
    top, left = int(y - height / 2), int(x - width / 2)
    inside = slice(max(-top, 0), canvas.shape[0] - top), slice(max(-left, 0), canvas.shape[1] - left)
    share = np.clip((1.0 - away) * 6.0, 0.0, 1.0)[inside][..., None]
    part = picture[inside]
    under = canvas[max(top, 0) : max(top, 0) + part.shape[0], max(left, 0) : max(left, 0) + part.shape[1]]
    under[:] = under * (1.0 - share) + part * share


def side_by_side(talker: list[Picture], other: list[Picture], frames: int) -> Iterator[Picture]:
    """The talker to the left of the other, both again from the start when they are over."""
    for i in range(frames):
        canvas = np.full((HEIGHT, 800, 3), 120, np.uint8)
        paste(canvas, talker[i % len(talker)], 200, HEIGHT / 2)
        paste(canvas, other[i % len(other)], 590, HEIGHT / 2)
        yield canvas


def crossing(front: list[Picture], back: list[Picture], frames: int) -> Iterator[Picture]:
    """Two heads that change sides, one passing before the other."""
    for i in range(frames):
        canvas, way = np.full((HEIGHT, 800, 3), 120, np.uint8), 500.0 * i / (frames - 1)
        paste(canvas, back[i % len(back)], 650.0 - way, HEIGHT / 2 - 5)
        paste(canvas, front[i % len(front)], 150.0 + way, HEIGHT / 2 + 5)
        yield canvas


def who_spoke(pictures: Iterator[Picture], sound: NDArray[np.int16]) -> list[int | None]:
    """Who is taken for the speaker while there is a voice: 0 the left face, 1 the right, ``None`` nobody."""
    with FaceExtractor(faces=2) as eyes:
        seen = [eyes.extract(i / FPS, picture) for i, picture in enumerate(pictures)]
    speaker, gate, told, sides = Speaker(), SpeechGate(), [], {}
    for frame in sorted([*seen, *sound_frames(sound, 0.0)], key=lambda frame: frame.t):
        if frame.kind == "acoustic":
            speaker.heard(frame)
        elif frame.kind == "voice":
            gate.push(float(frame.values[0]))
        else:
            speaker.saw(frame.t, frame.faces)
            sides |= {face.id: int(face.box[0] + face.box[2] > 1.0) for face in frame.faces}
            if gate.speaking:
                speaker.judge(frame.t)
                told += [sides.get(speaker.who or 0)] if frame.t >= JUDGED_FROM else []
    return told


def speakers(clips: Sequence[Clip], seconds: float) -> str:
    """How often the talker of each pair is found, while the other face talks too or is frozen."""
    rows, frames = [], round(seconds * FPS)
    talkers, others = ({clip.name: head(clip, width) for clip in clips} for width in (120, 150))
    for talker, other in itertools.permutations(clips, 2):
        sound, shares = np.resize(talker.sound, round(seconds * SAMPLE_RATE)), []
        for shown in (others[other.name], others[other.name][10:11]):
            told = who_spoke(side_by_side(talkers[talker.name], shown, frames), sound)
            shares += [float(np.mean([one == side for one in told])) for side in (0, 1, None)]
        rows.append([talker.name, other.name, *shares])
    mean = np.mean([row[2:] for row in rows], axis=0).tolist()
    header = [
        f"{what}{which}"
        for which in (", other talks", ", other frozen")
        for what in ("right", "wrong", "nobody yet")
    ]
    return table(["talker", "other", *header], [*rows, ["mean", "", *mean]])


def kept_ids(clips: Sequence[Clip]) -> str:
    """In how many crossings both faces end with the id that they began with, by speed."""
    heads = {clip.name: head(clip, 130) for clip in clips}
    rows = []
    for seconds in (2.0, 4.0):
        kept, pairs = 0, list(itertools.permutations(clips, 2))
        for front, back in pairs:
            with FaceExtractor(faces=2) as eyes:
                pictures = crossing(heads[front.name], heads[back.name], round(seconds * FPS))
                orders = [_order(eyes.extract(i / FPS, picture)) for i, picture in enumerate(pictures)]
            whole = [order for order in orders if len(order) == 2]
            kept += whole[-1] == whole[0][::-1]
        rows.append([seconds, f"{kept} of {len(pairs)}"])
    return table(["crossing takes, s", "both ids kept"], rows)


def _order(frame: FeatureFrame) -> list[int]:
    return [face.id for face in sorted(frame.faces, key=lambda face: face.box[0])]


def costs(clips: Sequence[Clip], frames: int = 150) -> str:
    """Milliseconds a picture, by faces that are followed and that are there."""
    heads, rows = [head(clip, 110) for clip in clips], []
    for followed, there in ((1, 1), (2, 1), (2, 2), (3, 3), (4, 1), (4, 4)):
        took = []
        with FaceExtractor(faces=followed) as eyes:
            for i in range(frames):
                canvas = np.full((HEIGHT, 800, 3), 120, np.uint8)
                for j, pictures in enumerate(heads[:there]):
                    paste(canvas, pictures[i % len(pictures)], 100 + 200 * j, HEIGHT / 2)
                began = time.perf_counter()
                eyes.extract(i / FPS, canvas)
                took.append(1e3 * (time.perf_counter() - began))
        found = percentiles(took[frames // 5 :])
        rows.append([followed, there, found["p50"], found["p95"]])
    return table(["--faces", "faces there", "ms a picture, p50", "p95"], rows)


def scoring(times: int = 50) -> str:
    """Milliseconds that the network takes, by faces scored at once."""
    scorer, _ = load_scorer(None, "auto")
    generator = np.random.default_rng(0)
    for i in range(4 * FPS):
        values = generator.normal(size=scorer.checkpoint.spec.widths["vision"]).astype(np.float32)
        scorer.builder.push(FeatureFrame("face", i / FPS, values))
    here: dict[Modality, bool] = {"text": False, "audio": False, "vision": True}
    window, rows = scorer.builder.build(4.0, scorer.checkpoint.statistics, here), []
    for faces in range(1, 5):
        took = []
        for _ in range(times):
            began = time.perf_counter()
            scorer.answers([window] * faces)
            took.append(1e3 * (time.perf_counter() - began))
        found = percentiles(took)
        rows.append([faces, found["p50"], found["p95"]])
    scorer.engine.close()
    return table(["faces", "ms a result, p50", "p95"], rows)


def main() -> None:
    """Measure, print, and publish if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+", help="clips of one person each who talks; four are best")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each two-face clip")
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    arguments = parser.parse_args()
    clips = [Clip.load(path) for path in arguments.files]
    parts = (
        f"Who speaks, as shares of the pictures while there is a voice, from {JUDGED_FROM:g} s on; the windows and "
        "weights were chosen on these clips.",
        speakers(clips, arguments.seconds),
        "Two real heads pass each other, one behind the other:",
        kept_ids(clips),
        "Extraction without the appearance network:",
        costs(clips),
        "The network:",
        scoring(),
    )
    body = "\n\n".join(parts)
    text = section("Several faces", "python scripts/bench_faces.py FILES", body)
    print(text)
    if arguments.publish:
        publish("Several faces", text)


if __name__ == "__main__":
    main()
