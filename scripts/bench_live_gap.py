"""What recognition loses on its way from a corpus to the live path: samples by `evaluate` and by `analyze`.

RAVDESS is played as sound, FER2013's pictures are shown for a second each at a live size, sentences of MELD and
CMU-MOSI are spoken by flite and recognised by pocketsphinx. Validation parts only.

Example
-------
    python scripts/bench_live_gap.py --data DIR --samples 120 --publish
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import wave
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench_report import publish, section, table  # noqa: E402
from flite_speech import RATE, speak  # noqa: E402

from miar_rt.checkpoint import DEFAULT  # noqa: E402
from miar_rt.features.appearance import Appearance  # noqa: E402
from miar_rt.features.text_onnx import open_encoder  # noqa: E402
from miar_rt.metrics import emotion_scores, sentiment_scores  # noqa: E402
from miar_rt.signals import EMOTIONS, Modality  # noqa: E402
from miar_rt.training.corpora import read_fer2013, read_meld, read_mosi, read_ravdess  # noqa: E402
from miar_rt.training.evaluate import evaluate  # noqa: E402
from miar_rt.training.recipe import read_recipe  # noqa: E402
from stream.analyze import Analyzer  # noqa: E402
from stream.asr.choose import choose_recogniser  # noqa: E402
from stream.events import Result  # noqa: E402
from stream.scoring import Scorer, load_scorer  # noqa: E402
from stream.session import Session, SessionConfig  # noqa: E402
from stream.sources.media_file import MediaFile  # noqa: E402

WIDTH, HEIGHT, FACE, FPS = 640, 480, 240, 15
HEADLINES = {"ravdess": "uar", "fer2013": "accuracy", "meld": "weighted_f1", "mosi": "mae"}
Scores = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is scored, how much of it, and by whom."""

    data: Path
    samples: int
    scorer: Scorer
    actors: Sequence[int]


def main() -> None:
    """Score both ways, print, and publish if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--samples", type=int, default=120, help="of each corpus, drawn with a fixed seed")
    parser.add_argument("--publish", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as held:
        scorer, _ = load_scorer(options.checkpoint, "onnx")
        held.callback(scorer.engine.close)
        actors = read_recipe((options.checkpoint or DEFAULT) / "recipe.toml").validation_actors
        asked = Asked(options.data, options.samples, scorer, actors)
        for corpus, both in CORPORA.items():
            folder = Path(scratch) / corpus
            folder.mkdir()
            subset, live = both(asked, folder)
            offline = evaluate(corpus, subset, checkpoint=options.checkpoint)
            name = HEADLINES[corpus]
            rows.append((corpus, name, options.samples, float(offline[name]), float(live[name]), live["unheard"]))
            print(*rows[-1])
    body = table(("corpus", "score", "samples", "offline", "through the live path", "without an answer"), rows)
    print(body)
    if options.publish:
        command = f"scripts/bench_live_gap.py --data DIR --samples {options.samples}"
        publish("From corpus to live path", section("From corpus to live path", command, body))


def answers(file: Path, modality: Modality, scorer: Scorer) -> list[Result]:
    """What the live path says of a file from one modality, whenever that is present."""
    with ExitStack() as held:
        encoder = recogniser = None
        if modality == "text":
            checkpoint = scorer.checkpoint
            encoder = open_encoder(None, checkpoint.extractors, checkpoint.text_adapter)
            recogniser, _ = choose_recogniser("sphinx", "en")
            held.callback(recogniser.close) if recogniser else None
        # a scorer holds the windows of its session
        fresh = Scorer(scorer.checkpoint, scorer.engine)
        session = Session(fresh, encoder, SessionConfig(listening_to=frozenset({modality})))
        appearance = Appearance.wanted_by(scorer.checkpoint.extractors)
        analyzer = held.enter_context(Analyzer(session, recogniser, appearance))
        events = list(analyzer.run(MediaFile(file)))
    return [event for event in events if isinstance(event, Result) and event.raw_emotions is not None]


def emotions(truth: Sequence[int], said: Sequence[Sequence[Result]], last: bool) -> Scores:
    """Scores of the last answers to each file, or of the mean of all; no answer is a wrong one."""
    given = np.full((len(truth), len(EMOTIONS)), np.nan)
    for row, results in zip(given, said, strict=True):
        rows = [list((result.raw_emotions or {}).values()) for result in (results[-1:] if last else results)]
        if rows:
            row[:] = np.mean(rows, axis=0)
    unheard = {"unheard": sum(not results for results in said)}
    if not any(said):
        return dict.fromkeys(HEADLINES.values(), 0.0) | unheard
    return emotion_scores(np.array(truth), given) | unheard


def ravdess(asked: Asked, folder: Path) -> tuple[Path, Scores]:
    """Validation actors' clips as sound files."""
    every = [clip for clip in read_ravdess(asked.data / "ravdess") if clip.actor in asked.actors]
    clips = chosen(every, asked.samples)
    for clip in clips:
        (folder / clip.path.name).symlink_to(clip.path.resolve())
    said = [answers(folder / clip.path.name, "audio", asked.scorer) for clip in clips]
    return folder, emotions([clip.label for clip in clips], said, last=False)


def fer2013(asked: Asked, folder: Path) -> tuple[Path, Scores]:
    """Pictures as short films."""
    stills = read_fer2013(asked.data / "fer2013_valid.npz")
    numbers = chosen(range(len(stills.labels)), asked.samples)
    subset, film = folder / "subset.npz", folder / "film.mp4"
    np.savez(subset, images=stills.images[numbers], labels=stills.labels[numbers])
    said = []
    for number in numbers:
        show(stills.images[number], film)
        said.append(answers(film, "vision", asked.scorer))
    return subset, emotions(stills.labels[numbers].tolist(), said, last=True)


def show(picture: NDArray[np.uint8], path: Path, seconds: float = 1.0) -> None:
    """A film of one grey picture in the middle of a grey room."""
    scene = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    top, left = (HEIGHT - FACE) // 2, (WIDTH - FACE) // 2
    face = cv2.resize(picture, (FACE, FACE), interpolation=cv2.INTER_CUBIC)
    scene[top : top + FACE, left : left + FACE] = face[:, :, None]
    with av.open(str(path), "w") as container:
        video = container.add_stream(
            "libx264", rate=FPS, options={"crf": "18", "preset": "ultrafast", "threads": "1"}
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(scene, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def meld(asked: Asked, folder: Path) -> tuple[Path, Scores]:
    """Sentences as speech, answered by emotion."""
    subset, numbers = rows_of(asked.data / "meld/dev.csv", folder, asked.samples)
    utterances = read_meld(asked.data / "meld/dev.csv")
    said = [spoken(utterances[i].text, folder, asked.scorer) for i in numbers]
    return subset, emotions([utterances[i].label or 0 for i in numbers], said, last=True)


def mosi(asked: Asked, folder: Path) -> tuple[Path, Scores]:
    """Sentences as speech, answered by sentiment; silence is answered with the middle of the scale."""
    subset, numbers = rows_of(asked.data / "mosi/dev.csv", folder, asked.samples)
    utterances = read_mosi(asked.data / "mosi/dev.csv")
    said = [spoken(utterances[i].text, folder, asked.scorer) for i in numbers]
    given = np.array(
        [results[-1].sentiment.value if results and results[-1].sentiment else 0.0 for results in said]
    )
    truth = np.array([utterances[i].sentiment for i in numbers], np.float64)
    return subset, sentiment_scores(truth, given) | {"unheard": sum(not results for results in said)}


def spoken(text: str, folder: Path, scorer: Scorer) -> list[Result]:
    """What the live path says of a sentence that flite speaks."""
    path = folder / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(speak(text, "slt", after=1.2).tobytes())
    return answers(path, "text", scorer)


def rows_of(table_file: Path, folder: Path, samples: int) -> tuple[Path, list[int]]:
    """A csv with some rows of another, and their numbers."""
    with table_file.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    numbers = chosen(range(len(rows)), samples)
    subset = folder / "subset.csv"
    with subset.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *(rows[i] for i in numbers)])
    return subset, numbers


def chosen(everything: Sequence[Any], samples: int) -> list[Any]:
    """Some of a sequence, the same ones every time."""
    order = np.random.default_rng(0).permutation(len(everything))[:samples]
    return [everything[i] for i in sorted(order)]


CORPORA: dict[str, Callable[[Asked, Path], tuple[Path, Scores]]] = {
    "ravdess": ravdess, "fer2013": fer2013, "meld": meld, "mosi": mosi,
}  # fmt: skip


if __name__ == "__main__":
    main()
