"""Build the clip that the demo plays from what may be shown to anybody.

The picture is scikit-image's portrait of Eileen Collins (NASA, public domain), moved by smooth warps that are
anchored on the landmarks FaceMesh finds on it; the voice is flite's. Same versions in, same clip out.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from face_warp import HEIGHT, WIDTH, Expression, FaceWarp, Floats, Picture, portrait

RATE, FPS = 16_000, 30
DISSOLVE_SECONDS = 0.4
H264 = {"crf": "20", "preset": "veryfast", "threads": "1"}
SEED = 7


NEUTRAL = Expression(rest=1.35, frown=0.7, brows_down=0.25)
HAPPY = Expression(rest=-0.2, brows_up=0.3)
SAD = Expression(rest=1.2, frown=1.7, inner_brows_up=1.6, lids=0.4)
ANGRY = Expression(rest=1.3, frown=1.4, brows_down=1.8, lids=0.2)
SURPRISED = Expression(rest=1.1, frown=0.3, brows_up=1.4, jaw=0.9)


@dataclass(frozen=True)
class Scene:
    """A stretch of the clip; it lasts ``seconds`` or as long as its sentence, whichever is longer."""

    name: str
    seconds: float
    text: str = ""
    expression: Expression = NEUTRAL
    face: bool = True
    voice: str = "slt"
    pitch: float = 170.0
    pitch_spread: float = 12.0
    stretch: float = 1.0
    loudness: float = 0.1


PORTRAIT = "(The portrait is of a smile; warps make the other faces of it, as well as they can.)"

SCENES: tuple[Scene, ...] = (
    Scene("at rest, silent", 2.0),
    Scene(
        "happy", 5.0, "What a wonderful day. I am so happy to see you, I love it here.",
        HAPPY, pitch=230, pitch_spread=45, stretch=0.95, loudness=0.14,
    ),
    Scene("at rest, silent", 2.5),
    Scene(
        "sad", 5.0, "I feel so sad and alone. I want to cry.",
        SAD, pitch=140, pitch_spread=6, stretch=1.3, loudness=0.05,
    ),
    Scene("at rest, silent", 2.5),
    Scene(
        "angry", 4.0, "Stop it right now. I hate this, it makes me so angry.",
        ANGRY, voice="rms", pitch=150, pitch_spread=35, stretch=0.85, loudness=0.22,
    ),
    Scene("at rest, a long silence", 4.5),
    Scene("nobody there, voice only", 5.0, "You can not see me now, but you can still hear me.", face=False),
    Scene(
        "surprised", 3.0, "Oh wow. I did not expect that at all.",
        SURPRISED, pitch=250, pitch_spread=60, stretch=0.95, loudness=0.14,
    ),
    Scene("smiling, silent", 2.5, expression=HAPPY),
)  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """A scene with its place in the clip: seconds from its start."""

    scene: Scene
    t0: float
    t1: float
    speech: Floats = field(repr=False)


# ---- sound


def require_flite() -> str:
    """Path of the flite program; ends the script with the command that installs it where there is none."""
    program = shutil.which("flite")
    if program is None:
        sys.exit("make_demo_clip: the speech of the clip needs flite: sudo apt-get install flite")
    return program


def speak(scene: Scene) -> Floats:
    """The scene's sentence as float samples at 16 kHz with the scene's loudness (RMS); empty without a sentence."""
    if not scene.text:
        return np.zeros(0, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        manner = {
            "int_f0_target_mean": scene.pitch,
            "int_f0_target_stddev": scene.pitch_spread,
            "duration_stretch": scene.stretch,
        }
        options = [part for name, value in manner.items() for part in ("--setf", f"{name}={value}")]
        subprocess.run(
            [require_flite(), "-voice", scene.voice, *options, "-t", scene.text, "-o", str(path)], check=True
        )
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32)
    loud = np.sqrt(np.mean(np.square(samples)))
    return np.asarray(np.clip(samples * (scene.loudness / loud), -0.98, 0.98), np.float32)


def place(scenes: tuple[Scene, ...]) -> list[Placed]:
    """The scenes one after another, each on a whole number of frames and 0.3 s longer than its sentence."""
    placed, frame = [], 0
    for scene in scenes:
        speech = speak(scene)
        length = math.ceil(max(scene.seconds, len(speech) / RATE + 0.5 if len(speech) else 0.0) * FPS)
        placed.append(Placed(scene, frame / FPS, (frame + length) / FPS, speech))
        frame += length
    return placed


def sound_of(placed: list[Placed]) -> Floats:
    """The whole sound track, with a faint hiss so that silence is that of a room."""
    noise = np.random.default_rng(SEED)
    track = noise.normal(0, 2e-4, round(placed[-1].t1 * RATE)).astype(np.float32)
    for part in placed:
        start = round((part.t0 + 0.2) * RATE)
        track[start : start + len(part.speech)] += part.speech
    return track


def sample_at(frame: int) -> int:
    """The sample that is heard when a frame begins to be seen."""
    return round(frame * RATE / FPS)


def jaw_track(track: Floats, frames: int) -> Floats:
    """How far the speaking mouth is open in each frame, 0..1, from the loudness around it."""
    starts = [sample_at(number) for number in range(frames)]
    loud = np.sqrt(np.add.reduceat(np.square(track), starts) / (RATE / FPS))
    level = np.clip((20 * np.log10(loud + 1e-6) + 42) / 28, 0, 1)
    return np.asarray(np.convolve(level, [0.25, 0.5, 0.25], mode="same"), np.float32)


# ---- picture


def empty_room(picture: Picture) -> Picture:
    """The portrait's backdrop without the person: what is known of it, spread over the rest."""
    import cv2

    known = np.ones((HEIGHT, WIDTH), np.float32)
    cv2.ellipse(known, (WIDTH // 2, HEIGHT // 2 - 40), (190, 230), 0, 0, 360, 0.0, -1)
    known[HEIGHT // 2 :] = 0
    weight = cv2.GaussianBlur(known, (0, 0), 80) + 1e-6
    spread = cv2.GaussianBlur(picture.astype(np.float32) * known[..., None], (0, 0), 80) / weight[..., None]
    grain = np.random.default_rng(SEED).normal(0, 1.5, (HEIGHT, WIDTH, 1))
    return np.asarray(np.clip(spread + grain, 0, 255), np.uint8)


def head_motion(picture: Picture, t: float) -> Picture:
    """The picture turned, shifted and scaled a little, as nobody sits quite still."""
    import cv2

    angle = 1.6 * math.sin(1.3 * t) + 0.7 * math.sin(2.9 * t + 1)
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT * 0.75), angle, 1 + 0.015 * math.sin(0.7 * t))
    matrix[:, 2] += 7 * math.sin(0.9 * t), 4 * math.sin(1.7 * t)
    moved = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def ease(x: float) -> float:
    """0 before 0, 1 after 1, smooth between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def blink(t: float) -> float:
    """How far the lids are shut at ``t``: a quarter of a second every 3.7 s."""
    return max(0.0, 1 - abs((t % 3.7) - 2.0) / 0.12)


class Film:
    """Pictures of the clip, by frame number."""

    def __init__(self, placed: list[Placed], jaw: Floats) -> None:
        self.placed, self.jaw = placed, jaw
        self.warp = FaceWarp(portrait())
        self.room = empty_room(self.warp.picture)

    def _around(self, t: float) -> tuple[Placed, Placed]:
        """The scene before the one at ``t`` and the one at ``t``."""
        now = next(i for i, part in enumerate(self.placed) if t < part.t1 - 1e-6)
        return self.placed[max(now - 1, 0)], self.placed[now]

    def __call__(self, number: int) -> Picture:
        """Picture ``number``, uint8 ``[480, 640, 3]`` RGB."""
        t = number / FPS
        before, now = self._around(t)
        presence = float(now.scene.face)
        if before.scene.face != now.scene.face:
            arrived = ease((t - now.t0) / DISSOLVE_SECONDS)
            presence = arrived if now.scene.face else 1 - arrived
        if presence == 0:
            return self.room
        expression = before.scene.expression.towards(now.scene.expression, ease((t - now.t0) / 0.6))
        speaking = 0.4 * float(self.jaw[number]) if now.scene.face else 0.0
        expression = replace(
            expression, lids=max(expression.lids, blink(t)), jaw=min(1.0, expression.jaw + speaking)
        )
        person = head_motion(self.warp(expression), t)
        return (presence * person + (1 - presence) * self.room).astype(np.uint8) if presence < 1 else person


# ---- file


def write_clip(path: Path, scenes: tuple[Scene, ...] = SCENES) -> list[Placed]:
    """Write the scenes as H.264 and AAC to ``path`` and tell where each of them lies."""
    import av

    placed = place(scenes)
    track = sound_of(placed)
    frames = round(placed[-1].t1 * FPS)
    film = Film(placed, jaw_track(track, frames))
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as container:
        video = container.add_stream(
            "libx264", rate=FPS, options={"crf": "20", "preset": "veryfast", "threads": "1"}
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(film(number), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(picture))
            heard = slice(sample_at(number), sample_at(number + 1))
            sound = av.AudioFrame.from_ndarray(track[None, heard], format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = RATE, heard.start, Fraction(1, RATE)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return placed


def describe(placed: list[Placed]) -> str:
    """The script of the clip, a line a scene."""
    lines = []
    for part in placed:
        who = "face" if part.scene.face else "NO FACE"
        said = f'"{part.scene.text}"' if part.scene.text else "-"
        lines.append(f"{part.t0:6.2f} - {part.t1:6.2f} s  {who:8} {part.scene.name:25} {said}")
    return "\n".join(lines)


def main() -> None:
    """Write the clip and print its script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("demo/clip.mp4"))
    out = parser.parse_args().out
    require_flite()
    print(f"making {out} (about half a minute)", flush=True)
    placed = write_clip(out)
    print(describe(placed))
    print(PORTRAIT)
    script = [{"t0": p.t0, "t1": p.t1, "scene": p.scene.name, "said": p.scene.text} for p in placed]
    out.with_suffix(".json").write_text(json.dumps(script, indent=1) + "\n")


if __name__ == "__main__":
    main()
