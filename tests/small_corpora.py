"""Corpora of a few made-up samples in the published layouts, and a tiny network trained on them."""

from __future__ import annotations

import csv
from pathlib import Path

import av
import numpy as np
import skimage.data
from skimage.transform import resize

from miar_rt.input_spec import ACTION_UNITS
from miar_rt.signals import EMOTIONS
from miar_rt.training.corpora import MELD_NAMES
from miar_rt.training.fit import train

RECIPE = """
name = "tiny"
epochs = 2
steps = 2
batch = 8
warmup = 1
renderings = 1
validation_actors = [2]
adapter_rank = 2

[network]
width = 16
heads = 2
feedforward = 16
audio_layers = 1
interaction_layers = 1
"""

LINES = {
    "neutral": "The meeting starts at nine in the morning.",
    "happiness": "I am so happy for you!",
    "sadness": "I miss him so much.",
    "anger": "Get out of my house, now!",
    "surprise": "Wow, really?",
    "disgust": "That is so gross.",
    "fear": "Please don't leave me alone in here.",
}


def voice(seed: int, seconds: float = 1.2) -> np.ndarray:
    """Something like a vowel with a wavering pitch, int16 mono at 16 kHz."""
    random = np.random.default_rng(seed)
    t = np.arange(int(seconds * 16_000)) / 16_000
    phase = 2 * np.pi * np.cumsum(110 + 15 * seed + 10 * np.sin(5 * t)) / 16_000
    tone = sum(np.sin(k * phase) / k for k in range(1, 25))
    envelope = np.clip(np.minimum(t, seconds - t) / 0.2, 0, 1)
    return (3000 * tone * envelope + 30 * random.standard_normal(len(t))).astype(np.int16)


def write_flac(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def write_ravdess(folder: Path) -> None:
    for actor in (1, 2):
        for code in range(1, 9):
            write_flac(
                folder / f"actor_{actor:02}/03-01-{code:02}-01-01-01-{actor:02}.flac", voice(8 * actor + code)
            )


def write_action_units(path: Path, names: list[str]) -> None:
    """Means of OpenFace's columns for the faces of ``names``, in another order than ours."""
    columns = ["AU28_c", *(f"{name}_r" for name in reversed(ACTION_UNITS))]
    means = np.random.default_rng(3).gamma(1.0, 0.5, (len(names), len(columns))).astype(np.float32)
    np.savez(path, audio_name=np.array(names), au_cols=np.array(columns), au_static_mean=means)


def astronaut(shift: int = 0) -> np.ndarray:
    """A public-domain face as FER2013 has them, uint8 ``[48, 48]``."""
    face = skimage.data.astronaut()[40 + shift : 190 + shift, 150:300].mean(axis=2) / 255.0
    return np.asarray(255 * resize(face, (48, 48), anti_aliasing=True), np.uint8)


def write_fer2013(path: Path, each: int) -> None:
    """``each`` faces of every class, and a blank picture at the end."""
    labels = np.repeat(np.arange(7), each)
    images = [astronaut(i % 5) for i in range(len(labels))]
    np.savez(
        path,
        images=np.stack([*images, np.zeros((48, 48), np.uint8)]),
        labels=np.append(labels, 0).astype(np.int8),
        names=np.array(EMOTIONS),
    )


def write_csv(path: Path, header: str, rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)


def write_transcripts(data: Path) -> None:
    meld = [
        (LINES[emotion], name, "neutral" if emotion == "neutral" else "negative", i // 3)
        for i, (name, emotion) in enumerate(MELD_NAMES.items())
    ]
    ratings = [-2.4, 0.0, 1.8, 0.6, -1.0]
    mosi = [(f"vid_{i}", line, r) for i, (line, r) in enumerate(zip(LINES.values(), ratings, strict=False))]
    mosei = [("vid", f"{i}_0", line, r) for i, (line, r) in enumerate(zip(LINES.values(), ratings, strict=False))]
    for part in ("train", "dev"):
        write_csv(data / f"meld/{part}.csv", "Utterance,Emotion,Sentiment,Dialogue_ID", meld)
        write_csv(data / f"mosi/{part}.csv", "id,text,label", mosi)
    for part in ("train", "valid"):
        write_csv(data / f"mosei/{part}.csv", "video_id,clip_id,text,label", mosei)


def write_data(data: Path) -> Path:
    """All corpora, laid out as ``miar train --data`` takes them."""
    write_ravdess(data / "ravdess")
    names = [f"03-01-{code:02}-01-01-01-{actor:02}" for actor in (1, 2) for code in range(1, 9)]
    write_action_units(data / "ravdess_au.npz", names)
    write_fer2013(data / "fer2013_train.npz", 2)
    write_fer2013(data / "fer2013_valid.npz", 1)
    write_transcripts(data)
    return data


def train_tiny(data: Path, out: Path, seed: int = 0) -> Path:
    """Train the tiny network on ``data``; gives its checkpoint folder."""
    config = data / "tiny.toml"
    config.write_text(RECIPE)
    train(data, out, seed=seed, config=config)
    return out
