"""Everything training needs from a data folder: extracted, split, and ready to be drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from miar_rt.features.appearance import Appearance
from miar_rt.features.text import Encoder, TextEncoder
from miar_rt.signals import Array, Modality
from miar_rt.training.action_units import read_action_units
from miar_rt.training.appearance import disturbed
from miar_rt.training.batches import Faces, Texts, Voices, Windows, channel_statistics, join
from miar_rt.training.cache import FeatureCache
from miar_rt.training.corpora import Clip, Utterance, read_fer2013, read_meld, read_mosei, read_mosi, read_ravdess
from miar_rt.training.evaluate import takes_exam
from miar_rt.training.exams import CORPORA, Exam, clips_exam, make_exam
from miar_rt.training.extract import (
    crops_of,
    extract_clips,
    extract_stills,
    extract_texts,
    extractor_versions,
    face_rows,
    mirrored,
)
from miar_rt.training.pairing import ByLabel, Corpora, draw_delays
from miar_rt.training.persons import Speakers, neutral_clips
from miar_rt.training.recipe import Recipe
from miar_rt.training.simulate import Hypothesis, in_context, recognised, spoken, written
from miar_rt.training.takes import Takes
from miar_rt.training.text_adapter import Reading, text_adapter
from miar_rt.window import Statistics

LAYOUT = (
    "ravdess", "fer2013_train.npz", "fer2013_valid.npz", "meld/train.csv", "meld/dev.csv",
    "mosi/train.csv", "mosi/dev.csv", "mosei/train.csv", "mosei/valid.csv",
)  # fmt: skip
HELD_OUT = {
    "fer2013": "fer2013_valid.npz", "meld": "meld/dev.csv", "mosi": "mosi/dev.csv", "mosei": "mosei/valid.csv",
}  # fmt: skip
TAKES = "ravdess_au.npz"
"""Action units of the faces in RAVDESS's takes, which a data folder may hold."""
STATISTICS_DRAWS = 2000
APPEARANCE_DRAWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What is drawn from (``voices faces texts`` by the numbers in ``corpora``) and what is validated on.

    ``extractors`` names what made the features of each modality, ``text_adapter`` is what MiniLM was given first,
    ``takes`` are the faces of the voices if they are there, ``trials`` tell by modality what a baseline is worth.
    """

    corpora: Corpora
    voices: Voices
    faces: Faces
    texts: Texts
    exams: dict[str, Exam]
    sizes: dict[str, int]
    extractors: dict[str, str]
    text_adapter: dict[str, Array]
    takes: Takes | None = None
    trials: Mapping[Modality, tuple[Exam, Exam]] = field(default_factory=dict)


def check_layout(data: Path) -> None:
    """Make sure that a data folder holds everything.

    Raises
    ------
    ValueError
        Naming what is missing.
    """
    missing = [name for name in LAYOUT if not (data / name).exists()]
    if missing:
        raise ValueError(f"{data}: training needs {', '.join(missing)} in it")


def load_material(
    data: Path, recipe: Recipe, cache: FeatureCache, *, encoder: Encoder | None = None, progress: bool = False
) -> Material:
    """Read and extract every corpus of a data folder; what was extracted before is taken from the cache.

    Parameters
    ----------
    data
        Folder in the layout of ``LAYOUT``.
    recipe
        Says which actors are validated on and how many renderings and variants there are.
    cache
        Where features are kept.
    encoder
        What reads the words; the published one when not given.
    progress
        Whether to show progress bars.

    Raises
    ------
    ValueError
        When something is missing or malformed.
    """
    check_layout(data)
    appearance = Appearance() if recipe.appearance else None
    clips = read_ravdess(data / "ravdess")
    training = [clip for clip in clips if clip.actor not in recipe.validation_actors]
    held_out = [clip for clip in clips if clip.actor in recipe.validation_actors]
    if not training or not held_out:
        raise ValueError(f"{data / 'ravdess'}: needs clips of the validation actors and of others")
    copies = [extract_clips(training, copy, cache, progress=progress) for copy in range(recipe.renderings + 1)]
    voices = Voices(copies, speakers=Speakers(training, copies))
    takes = Takes(training, read_action_units(data / TAKES)) if (data / TAKES).exists() else None
    faces, face_labels = _training_faces(data, cache, appearance, progress)
    transcripts = (
        read_meld(data / "meld/train.csv"), read_mosi(data / "mosi/train.csv"), read_mosei(data / "mosei/train.csv")
    )  # fmt: skip
    meld, mosi, mosei = transcripts
    heard = [[hypotheses(c, variant) for variant in range(recipe.text_variants)] for c in transcripts]
    adapter = {} if encoder else _adapter(transcripts, heard, recipe, cache, progress)
    encoder = encoder or TextEncoder(adapters=adapter)
    texts = _training_texts(heard, cache, encoder, progress)
    exams = _exams(data, held_out, cache, encoder, appearance, progress)
    corpora = Corpora(
        text=ByLabel(np.array([u.label for u in meld], np.int64)),
        audio=ByLabel(np.array([clip.label for clip in training], np.int64)),
        vision=face_labels,
        text_sentiment=np.array([u.sentiment for u in (*meld, *mosi, *mosei)], np.float32),
        rated=np.split(np.arange(len(meld), len(meld) + len(mosi) + len(mosei)), [len(mosi)]),
        rated_shares=(recipe.mosi_share, 1.0 - recipe.mosi_share),
        taken=takes.there if takes else None,
    )
    counts = (len(training), len(face_labels.labels), *map(len, transcripts))
    sizes = dict(zip(CORPORA, counts, strict=True))
    versions, trials = extractor_versions(encoder, appearance), baseline_trials(data, held_out)
    return Material(corpora, voices, faces, texts, exams, sizes, versions, adapter, takes, trials)


def looks(crops: Array, appearance: Appearance) -> Array:
    """Embeddings ``[draws, 2, n, 64]`` of crops ``[n, 48, 48]`` disturbed anew in each draw, and their mirrors'.

    Disturbed, because ``appearance`` was trained on these very faces: undisturbed it knows them too well, and the
    network would learn to trust it more than it can be trusted with others.
    """
    generator = torch.Generator().manual_seed(0)
    draws = []
    for _ in range(APPEARANCE_DRAWS):
        moved = disturbed(torch.from_numpy(crops), generator).numpy()
        both = (moved, np.ascontiguousarray(moved[:, :, ::-1]))
        draws.append(np.stack([appearance.embed_crops(way) for way in both]))
    return np.stack(draws)


def _training_faces(
    data: Path, cache: FeatureCache, appearance: Appearance | None, progress: bool
) -> tuple[Faces, ByLabel]:
    """Stills in which a face is found, both ways round."""
    stills = read_fer2013(data / "fer2013_train.npz")
    landmarks = extract_stills(stills.images, cache, progress=progress)
    found = np.isfinite(landmarks[:, 0, 0])
    if not found.any():
        raise ValueError(f"{data / 'fer2013_train.npz'}: no face was found in any picture")
    height, width = stills.images.shape[1:]
    landmarks, labels = landmarks[found], stills.labels[found]
    both = [face_rows(points, width, height) for points in (landmarks, mirrored(landmarks, width))]
    if appearance is None:
        return Faces(both[0], both[1], labels), ByLabel(labels)
    crops = crops_of(stills.images[found], landmarks)
    return Faces(both[0], both[1], labels, looks(crops, appearance)), ByLabel(labels)


def _adapter(
    transcripts: Sequence[Sequence[Utterance]],
    heard: Sequence[Sequence[Sequence[Hypothesis]]],
    recipe: Recipe,
    cache: FeatureCache,
    progress: bool,
) -> dict[str, Array]:
    """What the published text encoder is given first; nothing when the recipe wants none."""
    if not recipe.adapter_rank:
        return {}
    readings = [Reading(*one) for one in zip(transcripts, heard, recipe.adapter_times, strict=True)]
    return text_adapter(readings, recipe, cache, progress=progress)


def _training_texts(
    heard: Sequence[Sequence[Sequence[Hypothesis]]], cache: FeatureCache, encoder: Encoder | None, progress: bool
) -> Texts:
    """Texts of hypotheses ``heard[corpus][variant]``, the corpora one after another."""
    variants = [[h for corpus in of_corpora for h in corpus] for of_corpora in zip(*heard, strict=True)]
    return Texts(
        [
            extract_texts(h, cache, encoder=encoder, what=f"texts, variant {i}", progress=progress)
            for i, h in enumerate(variants)
        ]
    )


def hypotheses(utterances: Sequence[Utterance], variant: int) -> list[Hypothesis]:
    """Every utterance as written (0), as a recogniser hears it (1), and with the one before it (2)."""
    if variant == 0:
        return [written(u.text) for u in utterances]
    vocabulary = sorted({word for u in utterances for word in spoken(u.text)})
    randoms = [np.random.default_rng([variant, i]) for i in range(len(utterances))]
    if variant == 1:
        return [recognised(u.text, vocabulary, r) for u, r in zip(utterances, randoms, strict=True)]
    return [
        in_context(earlier, u.text, vocabulary, r)
        for u, earlier, r in zip(utterances, _earlier(utterances), randoms, strict=True)
    ]


def _earlier(utterances: Sequence[Utterance]) -> list[str]:
    """The text before each utterance in its dialogue or video; nothing for the first."""
    pairs = zip([None, *utterances], utterances, strict=False)
    return [before.text if before and before.group == now.group else "" for before, now in pairs]


def baseline_trials(data: Path, held_out: Sequence[Clip]) -> dict[Modality, tuple[Exam, Exam]]:
    """RAVDESS without and with each actor's plain neutral clips as their baseline, by modality."""
    if {clip.actor for clip in held_out} - neutral_clips(held_out).keys():
        return {}
    faces = data / TAKES if (data / TAKES).exists() else None
    given: list[Modality] = ["audio", "vision"] if faces else ["audio"]
    return {
        name: (takes_exam(held_out, [name], faces, "none"), takes_exam(held_out, [name], faces, "neutral"))
        for name in given
    }


def _exams(
    data: Path,
    held_out: Sequence[Clip],
    cache: FeatureCache,
    encoder: Encoder | None,
    appearance: Appearance | None,
    progress: bool,
) -> dict[str, Exam]:
    voices = {"ravdess": clips_exam(held_out, cache, progress=progress)}
    return voices | {
        name: make_exam(name, data / part, cache, encoder=encoder, appearance=appearance, progress=progress)
        for name, part in HELD_OUT.items()
    }


def training_statistics(material: Material, random: np.random.Generator) -> Statistics:
    """Location and scale of all channels over windows drawn as in training."""
    corpora, count = material.corpora, STATISTICS_DRAWS
    voices = random.integers(len(corpora.audio.labels), size=count)
    texts = random.integers(len(corpora.text_sentiment), size=count)
    faces = random.integers(len(corpora.vision.labels), size=count)
    drawn: dict[Modality, Windows] = {
        "text": material.texts.draw(texts, draw_delays(count, random), random),
        "audio": material.voices.draw(voices, random),
        "vision": join([material.faces.draw(part, 2, random) for part in np.array_split(faces, 4)]),
    }
    return {name: channel_statistics(windows) for name, windows in drawn.items()}
