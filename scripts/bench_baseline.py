"""What a personal baseline is worth on RAVDESS: given, somebody else's, and learned meanwhile.

python scripts/bench_baseline.py --data DIR [--checkpoint DIR | --folds DIR] [--orders 20] [--seed 0] [--publish]

The network is scored on actors it was not trained on: those that its recipe validates on, or all twenty with a
folder of five checkpoints, as scripts/ravdess_folds.py makes them; logistic regression in five folds of actors. An
actor's four neutral clips say the same two sentences as the clips that are scored, and are not scored themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import unit_regression
from bench_report import publish, section, table
from make_model_card import CHANNELS

from calibration.adaptation import RunningNeutral
from calibration.baseline import Baseline
from miar_rt.adapting import people, usual
from miar_rt.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from miar_rt.engines.onnx_engine import OnnxEngine
from miar_rt.input_spec import SPEC
from miar_rt.metrics import Floats, unweighted_average_recall
from miar_rt.neutral import inputs_name, telling
from miar_rt.signals import Array
from miar_rt.training import simulate
from miar_rt.training.action_units import CLIP_SECONDS, face_baselines, read_action_units, unit_rows
from miar_rt.training.cache import FeatureCache, digest
from miar_rt.training.corpora import Clip, read_ravdess
from miar_rt.training.exams import Exam, ask, face_exam, mean_by_owner, voice_exam, with_faces
from miar_rt.training.extract import audio_grid, extract_clips, extractor_versions, pack, read_sound
from miar_rt.training.material import TAKES
from miar_rt.training.persons import PLAIN_NEUTRAL, voice_baselines
from miar_rt.training.recipe import read_recipe

NAME = "Personal baselines"
ROOMS = ("telephone band", "room, 0.5 s", "20 dB softer", "noise at 10 dB")
Persons = Mapping[int, Baseline]


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """Clips, their acoustic grids and their faces' rows, and which of them are scored."""

    clips: Sequence[Clip]
    grids: Sequence[Array]
    rows: Array
    scored: Sequence[int]

    def exam(self, given: str, heard: Persons | None = None, seen: Persons | None = None) -> Exam:
        """The scored clips from ``voice``, ``face`` or ``both``, with baselines of some actors or without any."""
        return exam_of(self, self.scored, given, *(self._each(one) for one in (heard, seen)))

    def _each(self, persons: Persons | None) -> list[Baseline | None]:
        return [] if persons is None else [persons.get(self.clips[i].actor) for i in self.scored]


def exam_of(
    voices: Voices,
    numbers: Sequence[int],
    given: str,
    heard: Sequence[Baseline | None],
    seen: Sequence[Baseline | None],
) -> Exam:
    """Some clips, each with its own baselines."""
    labels, rows = [voices.clips[i].label for i in numbers], voices.rows[list(numbers)]
    if given == "face":
        return face_exam(labels, rows, baselines=seen)
    exam = voice_exam(labels, [voices.grids[i] for i in numbers], baselines=heard)
    return exam if given == "voice" else with_faces(exam, rows, baselines=seen)


def main() -> None:
    """Measure, print, and publish when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT)
    parser.add_argument("--folds", type=Path, help="Folder of checkpoints, each scored on its own actors.")
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--publish", action="store_true")
    options = parser.parse_args()
    folders = sorted(one.parent for one in options.folds.glob("*/model.json")) if options.folds else []
    body = measure(options.data, folders or [options.checkpoint], options.orders, options.seed)
    print(body)
    if options.publish:
        command = "python scripts/bench_baseline.py --data DIR" + (" --folds DIR" if folders else "")
        publish(NAME, section(NAME, command, body))


def measure(data: Path, folders: Sequence[Path], orders: int, seed: int) -> str:
    """All tables."""
    torch.set_num_threads(1)
    clips = read_ravdess(data / "ravdess")
    rows = unit_rows(clips, read_action_units(data / TAKES))
    networks = [Network(folder, clips, rows) for folder in folders]
    regressions = unit_regression.folds(clips, rows)
    actors = sorted({actor for network in networks for actor in network.actors})
    names = ", ".join(dict.fromkeys(network.checkpoint.name for network in networks))
    heading = (
        f"Network {names}, actors {', '.join(map(str, actors))}; UAR of 7 classes. Another's: the profile of the "
        f"next actor, who is of the other sex. By clips heard before: {orders} random orders, seed {seed}, "
        "mean and deviation over orders."
    )
    parts = [
        heading,
        given_table(networks, regressions),
        learned_table(networks, regressions, orders, seed),
        unit_regression.report(regressions, orders, seed),
    ]
    for network in networks:
        network.engine.close()
    return "\n\n".join(parts)


class Network:
    """A checkpoint, and the actors it has not met."""

    def __init__(self, folder: Path, clips: Sequence[Clip], rows: Array) -> None:
        self.checkpoint: Checkpoint = load_checkpoint(folder)
        self.engine = OnnxEngine(self.checkpoint)
        self.actors = read_recipe(folder / "recipe.toml").validation_actors
        everybody = sorted({clip.actor for clip in clips})
        self.next = {one: everybody[(i + 1) % len(everybody)] for i, one in enumerate(everybody)}
        others = {self.next[actor] for actor in self.actors}
        kept = [
            i
            for i, clip in enumerate(clips)
            if clip.actor in self.actors or (clip.actor in others and clip.emotion == PLAIN_NEUTRAL)
        ]
        self._clips, self._rows = [clips[i] for i in kept], rows[kept]

    def voices(self, channel: str | None) -> Voices:
        """Its actors' clips through a channel."""
        grids = through(self._clips, channel)
        scored = [i for i, c in enumerate(self._clips) if c.actor in self.actors and c.emotion != PLAIN_NEUTRAL]
        return Voices(self._clips, grids, self._rows, scored)

    def answer(self, exam: Exam) -> Floats:
        """Probabilities ``[samples, classes]``."""
        found = ask(exam, lambda i, p: self.engine.score(self.checkpoint.told(i), p), self.checkpoint.statistics)
        pattern = "+".join(exam.modalities)
        return mean_by_owner(self.checkpoint.temperatures.probabilities(found.logits, pattern), exam)


def through(clips: Sequence[Clip], channel: str | None) -> Sequence[Array]:
    """Acoustic grids of clips; in a channel all of an actor's have the same room and the same noise."""
    if channel is None:
        found = extract_clips(clips, 0, FeatureCache())
        return [found[i] for i in range(len(clips))]

    def render(clip: Clip) -> Array:
        signal = read_sound(clip.path).astype(np.float64)
        return audio_grid(simulate.to_samples(CHANNELS[channel](signal, np.random.default_rng(clip.actor))))

    grids = []
    for clip in clips:
        key = {"clip": digest(clip.path.read_bytes()), "channel": channel, "actor": clip.actor,
               "made_by": extractor_versions()["audio"], "inputs": inputs_name()}  # fmt: skip
        grids.append(FeatureCache().shard("channels", key, lambda clip=clip: pack("grid", [render(clip)]))["grid"])  # type: ignore[misc]
    return grids


def given_table(networks: Sequence[Network], regressions: Sequence[unit_regression.Regression]) -> str:
    """Without, with one, two and four neutral clips of the person, with four of somebody else."""
    rows = []
    for channel in (None, *ROOMS):
        settings = [(network, network.voices(channel)) for network in networks]
        for given in ("voice",) if channel else ("voice", "face", "both"):
            found = [_uar([(n.answer(exam), exam) for n, v in settings for exam in [one(n, v, given)]])
                     for one in _settings()]  # fmt: skip
            rows.append((f"network, {given}", channel or "clean", *found))
    rows.append(("logistic regression, face", "clean", *unit_regression.given(regressions)))
    head = ("", "channel", "none", *(f"{n} clip{'s' * (n > 1)}" for n in unit_regression.COUNTS), "another's")
    return table(head, rows)


def _settings() -> list[Callable[[Network, Voices, str], Exam]]:
    """What is put before a network in each column."""

    def known(most: int, wrong: bool = False) -> Callable[[Network, Voices, str], Exam]:
        def make(network: Network, voices: Voices, given: str) -> Exam:
            heard = voice_baselines(voices.clips, voices.grids, most)  # type: ignore[arg-type]
            seen = face_baselines(voices.clips, voices.rows, most)
            if wrong:
                heard, seen = ({a: one[network.next[a]] for a in network.actors} for one in (heard, seen))
            return voices.exam(given, heard, seen)

        return make

    return [lambda _, voices, given: voices.exam(given), *map(known, unit_regression.COUNTS), known(4, wrong=True)]


def _uar(answered: Sequence[tuple[Floats, Exam]]) -> float:
    truth = np.concatenate([exam.truth for _, exam in answered]).astype(np.int64)
    predicted = np.concatenate([probabilities.argmax(axis=1) for probabilities, _ in answered])
    return unweighted_average_recall(truth, predicted)


def learned_table(
    networks: Sequence[Network], regressions: Sequence[unit_regression.Regression], orders: int, seed: int
) -> str:
    """By how many clips were heard before."""
    rows = []
    for given in ("voice", "face", "both"):
        learned = [learn(network, given, orders, np.random.default_rng(seed)) for network in networks]
        rows.append((f"network, {given}", *unit_regression.by_heard(learned)))
    rows.append(("logistic regression, face", *unit_regression.learned(regressions, orders, seed)))
    rows.append(("the same, standardised over all clips", *unit_regression.bound(regressions)))
    return table(("clips heard before", *unit_regression.HEARD_NAMES), rows)


def learn(network: Network, given: str, orders: int, random: np.random.Generator) -> unit_regression.Learned:
    """Every actor's clips in random orders, each scored with what was learned from those before it."""
    voices = network.voices(None)
    mine = [[i for i, clip in enumerate(voices.clips) if clip.actor == actor] for actor in network.actors]
    courses = [random.permutation(numbers) for numbers in mine for _ in range(orders)]
    running = [{name: RunningNeutral(one) for name, one in people().items()} for _ in courses]
    found = []
    for step in range(min(map(len, courses))):
        numbers = [int(course[step]) for course in courses]
        heard, seen = ([one[name].baseline() for one in running] for name in ("audio", "vision"))
        probabilities = network.answer(exam_of(voices, numbers, given, heard, seen))
        for one, i, answer in zip(running, numbers, probabilities, strict=True):
            rows = telling("audio", voices.grids[i])
            one["audio"].add(usual(rows), answer, len(rows) / SPEC.audio_rate)
            one["vision"].add(voices.rows[i].astype(np.float64), answer, CLIP_SECONDS)
        found.append(probabilities.argmax(axis=1))
    taken = np.array(courses)[:, : len(found)]
    scored = np.isin(taken, voices.scored)
    truth = np.array([clip.label for clip in voices.clips])[taken]
    return unit_regression.Learned(truth, np.transpose(found), scored, np.tile(np.arange(orders), len(mine)))


if __name__ == "__main__":
    main()
