"""Score a checkpoint on the validation parts and write its model card; every figure in it comes from here.

python scripts/make_model_card.py --data DIR [--checkpoint DIR] [--out FILE] [--machine TEXT]
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from calibration.temperature import pattern_name, softmax
from miar_rt import metrics
from miar_rt.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.features.appearance import Appearance
from miar_rt.features.text import Encoder
from miar_rt.features.text_onnx import open_encoder
from miar_rt.signals import EMOTIONS, MODALITIES, Modality
from miar_rt.training import simulate
from miar_rt.training.cache import FeatureCache
from miar_rt.training.calibrate import SINGLE_EXAMS, matched_logits
from miar_rt.training.corpora import Clip, read_meld, read_mosei, read_mosi, read_ravdess
from miar_rt.training.evaluate import evaluate
from miar_rt.training.exams import Exam, ask, clips_exam, grade, make_exam, text_exam, voice_exam
from miar_rt.training.extract import Ragged, audio_grid, extract_texts, read_sound
from miar_rt.training.material import HELD_OUT, TAKES
from miar_rt.training.pairing import ALL, PAIRS, SINGLES
from miar_rt.training.recipe import Recipe, read_recipe

Render = Callable[[simulate.Signal, np.random.Generator], simulate.Signal]

CHANNELS: Mapping[str, Render] = {
    "telephone band": lambda signal, _: simulate.telephone(signal),
    "noise at 10 dB": lambda signal, random: simulate.add_noise(signal, 10.0, 1.0, random),
    "20 dB softer": lambda signal, _: simulate.gain(signal, -20.0),
    "20 dB louder": lambda signal, _: simulate.gain(signal, 20.0),
    "room, 0.5 s": lambda signal, random: simulate.room(signal, 0.5, 3.0, random),
}

LICENCES = """| corpus | used for | licence as stated at its source |
|---|---|---|
| RAVDESS speech (Livingstone and Russo 2018) | voice, seven emotions (calm counts as neutral) | CC BY-NC-SA 4.0 |
| RAVDESS's faces of the same takes, as OpenFace action units | face beside voice | MIT; CC BY-NC-SA 4.0 |
| FER2013 (Goodfellow et al. 2013) | face, seven emotions | none stated; research use |
| MELD (Poria et al. 2019) | words, seven emotions | GPL-3.0 repository |
| CMU-MOSI (Zadeh et al. 2016) | words, sentiment | none stated; research use |
| CMU-MOSEI (Zadeh et al. 2018) | words, sentiment | none stated; research use |"""

INTRODUCTION = """# Model card: {name}

A fusion network for words, voice and face, an implementation consistent with the abstract of MIAR
(arXiv 2601.02414). It answers with seven emotions and with sentiment from -3 to 3, from any modalities there are.
{weights:,} weights. The features it is given come from openSMILE (eGeMAPSv02), FaceMesh, a small appearance network
of this project and all-MiniLM-L6-v2; it holds no part of these.{adapter}

**The weights may not be used commercially**: RAVDESS is licensed CC BY-NC-SA 4.0, and openSMILE's own licence
allows research and private use only.

## Trained on

{licences}

No corpus with raw face, voice and words of the same people was available. In {takes:.0%} of the samples a voice
went with the action units of its own face. The others were put together across corpora: of one emotion, of fitting
sentiment, or deliberately in conflict; {astray} of the texts, voices and faces had nothing to do with the rest of
their sample, so that no modality is trusted blindly. Members of such samples are independent given the label,
which real people's words, voice and face are not, so the product of the single modalities' probabilities is near
the best possible answer to them and **their joint accuracy below says little about real people**. Confidence from
several modalities is held down to that of the surest one alone.

Voices were trained on in {renderings} live renderings beside the clean one (other speaking rates, rooms, noise,
telephone bands, levels). Words: {variants}. Faces are stills, moved a little; real faces in motion were never seen.

## How good it is (validation parts; test parts were not looked at)
"""

ADAPTER = """
Beside its own weights it holds low-rank adapters (rank {rank}) that were trained for all-MiniLM-L6-v2 and are
merged into it wherever it reads words."""

LIMITS = """
## What it must not be used for

Not for hiring, schooling, policing, border control, credit, insurance, medical or psychological assessment, lie
detection, nor for judging people who have not agreed to it. What is scored is how words, voice and face *look to
others*, learned from acted voices, pictures labelled by strangers and television dialogue; it is not what a person
feels. In the European Union, emotion recognition at work and in education is prohibited (Regulation (EU) 2024/1689,
Article 5), but for medical and safety reasons.

## Known limits

- Voices: actors of North American English speaking two fixed sentences. Other languages, children, old and ill
  voices were never heard. Even the validation actors say the same two sentences.
- Ordinary talk is not acted speech: on people giving a talk the voice alone says neutral, and at times disgust,
  with too much confidence.
- Faces: small grey pictures from a web search, with noisy labels. Resting faces are easily taken for sad ones; a
  personal baseline is the remedy, not this network. Results by skin colour and age are not known.
- Words: English television dialogue and film reviews. Irony is not understood. Disgust and fear are rare there and
  mostly missed.
- Much of what words alone tell is in the punctuation of a transcript; pocketsphinx writes none.
- Sentiment of voice and face alone is lent by their emotion and no more than a sign and a rough size.
- Windows of 4 s (sound, face) and 15 s (words): moods longer than that are out of reach.
"""


def main() -> None:
    """Score and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT)
    parser.add_argument("--out", type=Path, default=DEFAULT.parent / "MODEL_CARD.md")
    parser.add_argument("--machine", default="2 cores, CPU only")
    options = parser.parse_args()
    options.out.write_text(make_card(options.checkpoint, options.data, options.machine), encoding="utf-8")
    print(f"wrote {options.out}")


def make_card(folder: Path, data: Path, machine: str) -> str:
    """The whole card."""
    checkpoint = load_checkpoint(folder)
    recipe = read_recipe(folder / "recipe.toml")
    clips = [c for c in read_ravdess(data / "ravdess") if c.actor in recipe.validation_actors]
    engine = OnnxEngine(checkpoint)
    exams = {"ravdess": clips_exam(clips, FeatureCache())}
    appearance = Appearance.wanted_by(checkpoint.extractors)
    encoder = open_encoder(None, checkpoint.extractors, checkpoint.text_adapter)
    exams |= {
        name: make_exam(name, data / part, FeatureCache(), encoder=encoder, appearance=appearance)
        for name, part in HELD_OUT.items()
    }
    parts = [
        introduction(checkpoint, recipe),
        headline_table(folder, data, clips),
        recall_table(checkpoint, exams, engine),
        sex_table(checkpoint, clips, engine),
        channel_table(checkpoint, clips, engine),
        pairs_table(folder, data, clips),
        spoken_table(checkpoint, data, engine, encoder),
        pattern_table(checkpoint, exams, engine),
        trust_table(checkpoint, exams, engine),
        LIMITS,
        making(checkpoint, recipe, machine),
    ]
    engine.close()
    return "\n".join(parts)


def introduction(checkpoint: Checkpoint, recipe: Recipe) -> str:
    """What it is and was trained on."""
    kinds = ("as written", "as a recogniser hears them", "with the utterance before them")
    return INTRODUCTION.format(
        name=checkpoint.name,
        weights=sum(array.size for array in checkpoint.state.values()),
        licences=LICENCES,
        renderings=recipe.renderings,
        variants=", ".join(kinds[: recipe.text_variants]),
        adapter=ADAPTER.format(rank=recipe.adapter_rank) if checkpoint.text_adapter else "",
        takes=recipe.takes_share,
        astray=", ".join(f"{share:.0%}" for share in recipe.astray),
    )


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers with three decimals."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def headline_table(folder: Path, data: Path, clips: Sequence[Clip]) -> str:
    """The figures of ``miar evaluate`` on every validation part."""
    with alone(clips) as held_out:
        scores = {"ravdess": evaluate("ravdess", held_out, checkpoint=folder)}
    scores |= {name: evaluate(name, data / part, checkpoint=folder) for name, part in HELD_OUT.items()}
    actors = ", ".join(str(actor) for actor in sorted({clip.actor for clip in clips}))
    names = {"ravdess": f"RAVDESS, actors {actors}", "fer2013": "FER2013 valid", "meld": "MELD dev",
             "mosi": "CMU-MOSI dev", "mosei": "CMU-MOSEI valid"}  # fmt: skip
    emotion = ("n", "n_scored", "accuracy", "uar", "macro_f1", "weighted_f1", "ece", "nll")
    sentiment = ("n", "mae", "corr", "acc2_has0", "acc2_non0", "f1_non0", "acc7")
    return "\n".join(
        table(("corpus", "from", *columns), [
            (names[name], *found["modalities"], *(found[column] for column in columns))
            for name, found in scores.items() if columns[-1] in found
        ])
        for columns in (emotion, sentiment)
    )  # fmt: skip


@contextmanager
def alone(clips: Sequence[Clip]) -> Iterator[Path]:
    """A folder with nothing but these clips."""
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            (Path(folder) / clip.path.name).symlink_to(clip.path.resolve())
        yield Path(folder)


def pairs_table(folder: Path, data: Path, clips: Sequence[Clip]) -> str:
    """Real pairs: voices with the action units of their own faces, with and without the actor's neutral."""
    given: Sequence[tuple[str, ...]] = (("audio",), ("vision",), ("audio", "vision"))
    with alone(clips) as held_out:
        rows = [
            (
                " and ".join(modalities),
                *(
                    evaluate("ravdess", held_out, checkpoint=folder, modalities=modalities, faces=data / TAKES,
                             baseline=baseline)["uar"]
                    for baseline in ("none", "neutral")
                ),
            )
            for modalities in given
        ]  # fmt: skip
    return (
        "\nReal pairs, RAVDESS's voices and the action units of their faces; UAR without and with the actor's four "
        "neutral clips as a personal baseline (which share their sentences with those that are scored):\n\n"
        + table(("given", "stranger", "known person"), rows)
    )


def recall_table(checkpoint: Checkpoint, exams: Mapping[str, Exam], engine: OnnxEngine) -> str:
    """Recall of every class and the confusion of every emotion corpus."""
    rows, confusions = [], []
    for name in ("ravdess", "fer2013", "meld"):
        found = grade(exams[name], ask(exams[name], engine.score, checkpoint.statistics), checkpoint.temperatures)
        counts = np.array(found["confusion"])
        rows.append((name, *(float(share) for share in counts.diagonal() / counts.sum(axis=1))))
        confusions += [f"\nConfusion, {name} (rows: truth):\n", table(("", *EMOTIONS), _named_rows(counts))]
    return "\n".join(
        ["\nRecall by class, of the samples that were scored:\n", table(("", *EMOTIONS), rows), *confusions]
    )


def _named_rows(counts: metrics.Integers) -> list[tuple[object, ...]]:
    return [(name, *row) for name, row in zip(EMOTIONS, counts.tolist(), strict=True)]


def sex_table(checkpoint: Checkpoint, clips: Sequence[Clip], engine: OnnxEngine) -> str:
    """Voices of men and women apart."""
    rows = []
    for sex in ("female", "male"):
        exam = clips_exam([clip for clip in clips if clip.sex == sex], FeatureCache())
        found = grade(exam, ask(exam, engine.score, checkpoint.statistics), checkpoint.temperatures)
        rows.append((sex, found["n"], found["uar"], found["accuracy"]))
    return "\nVoices by the speaker's sex:\n\n" + table(("", "n", "UAR", "accuracy"), rows)


def channel_table(checkpoint: Checkpoint, clips: Sequence[Clip], engine: OnnxEngine) -> str:
    """Voices through what lies between a mouth and a computer."""
    rows = []
    for name, render in CHANNELS.items():
        exam = _rendered_exam(clips, render)
        found = grade(exam, ask(exam, engine.score, checkpoint.statistics), checkpoint.temperatures)
        rows.append((name, found["uar"], found["ece"]))
    return "\nThe same voices through other channels:\n\n" + table(("", "UAR", "ECE"), rows)


def _rendered_exam(clips: Sequence[Clip], render: Render) -> Exam:
    grids = [
        audio_grid(simulate.to_samples(render(read_sound(clip.path).astype(np.float64), np.random.default_rng(i))))
        for i, clip in enumerate(clips)
    ]
    starts = np.concatenate([[0], np.cumsum([len(grid) for grid in grids])])
    return voice_exam([clip.label for clip in clips], Ragged(np.concatenate(grids), starts))


def spoken_table(checkpoint: Checkpoint, data: Path, engine: OnnxEngine, encoder: Encoder) -> str:
    """Transcripts as a recogniser without punctuation and capitals would write them, had it heard every word."""
    rows = []
    corpora = (("meld", read_meld, "weighted_f1"), ("mosi", read_mosi, "mae"), ("mosei", read_mosei, "mae"))
    for name, read, score in corpora:
        kept = [u for u in read(data / HELD_OUT[name]) if simulate.spoken(u.text)]
        heard = [simulate.Hypothesis(simulate.timed(simulate.spoken(u.text)), "sphinx") for u in kept]
        exam = text_exam(kept, extract_texts(heard, FeatureCache(), encoder=encoder))
        found = grade(exam, ask(exam, engine.score, checkpoint.statistics), checkpoint.temperatures)
        rows.append((name, score, found[score]))
    return "\nThe same words without punctuation and capitals, as pocketsphinx writes them:\n\n" + table(
        ("", "", "score"), rows
    )


def pattern_table(checkpoint: Checkpoint, exams: Mapping[str, Exam], engine: OnnxEngine) -> str:
    """Label-matched validation samples under all seven availability patterns."""
    patterns = np.array([*SINGLES, *PAIRS, ALL], np.float32)
    random = np.random.default_rng(1)
    logits, labels = matched_logits(exams, engine.score, checkpoint.statistics, patterns, random)
    rows = []
    for column, pattern in enumerate(patterns):
        name = pattern_name([bool(here) for here in pattern], MODALITIES)
        answers = checkpoint.temperatures.probabilities(logits[:, column], name)
        found = metrics.emotion_scores(labels, answers)
        rows.append((name, found["accuracy"], float(answers.max(axis=1).mean()), found["ece"]))
    head = (
        "\nSamples matched by label across corpora, all classes alike (see above for what this does not say):\n\n"
    )
    return head + table(("present", "accuracy", "mean confidence", "ECE"), rows)


def trust_table(checkpoint: Checkpoint, exams: Mapping[str, Exam], engine: OnnxEngine) -> str:
    """Matched samples again: against the product of the single answers, and with one modality that says nothing."""
    patterns = np.array([*SINGLES, *PAIRS, ALL], np.float32)

    def answered(**disturbed: Modality) -> tuple[metrics.Floats, metrics.Integers]:
        random = np.random.default_rng(1)
        return matched_logits(exams, engine.score, checkpoint.statistics, patterns, random, **disturbed)

    logits, labels = answered()

    def right(scores: metrics.Floats) -> float:
        return float((scores.argmax(axis=1) == labels).mean())

    alone = [
        softmax(logits[:, i] / checkpoint.temperatures.by_pattern[name]) / _shares(exams[SINGLE_EXAMS[name]])
        for i, name in enumerate(MODALITIES)
    ]
    rows = [("all three", right(logits[:, -1])), ("product of the three answers", right(np.prod(alone, axis=0)))]
    for i, name in enumerate(MODALITIES):
        rows += [
            (f"without {name}", right(logits[:, -2 - i])),
            (f"{name} of another label", right(answered(astray=name)[0][:, -1])),
            (f"{name} replaced by noise", right(answered(noise=name)[0][:, -1])),
        ]
    head = "\nHow far one modality that says nothing leads astray, on the same samples:\n\n"
    return head + table(("", "accuracy"), rows)


def _shares(exam: Exam) -> metrics.Floats:
    """Class shares of an exam, none of them nothing."""
    counts = np.bincount(exam.truth.astype(np.int64), minlength=len(EMOTIONS)) + 1.0
    return np.asarray(counts / counts.sum())


MAKING = """## How it was made

`miar train --data DIR --config miar_rt/checkpoints/default/recipe.toml --seed {seed} --out OUT`: {minutes} minutes
for {epochs} epochs of {steps} steps on {machine}, after the features were extracted once; the best epoch on
validation was {best_epoch}. Samples trained on: {samples}.

Temperatures: {temperatures}.

The epoch and the temperatures were chosen on the same validation parts that the
figures are of, so these are a little flattering.

This card was written by `scripts/make_model_card.py` on {date}; the weights' sha256 begins {sha256}.
"""


def making(checkpoint: Checkpoint, recipe: Recipe, machine: str) -> str:
    """How to make it again."""
    done = checkpoint.corpora
    return MAKING.format(
        **{name: done[name] for name in ("seed", "minutes", "epochs", "best_epoch")},
        steps=recipe.steps,
        machine=machine,
        samples=", ".join(f"{name} {count:,}" for name, count in done["samples"].items()),
        temperatures=", ".join(f"{name} {t:.2f}" for name, t in checkpoint.temperatures.by_pattern.items()),
        date=f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        sha256=checkpoint.sha256[:12],
    )


if __name__ == "__main__":
    main()
