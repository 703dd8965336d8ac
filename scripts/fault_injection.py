"""Random faults in one live run: whether it goes on, never claims what is not there, and how soon all is back.

A real PulseAudio server, a real MJPEG camera, the shipped checkpoint, a recording and the websocket server.

Example
-------
    python scripts/fault_injection.py --faults 200 --seed 1 --publish
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import publish, section, table
from fault_world import ANSWER_SECONDS, World

from stream.events import Result
from stream.presence import STALE_SECONDS
from stream.replay import Recording

SLACK_SECONDS = 0.3
"""Between what happens here and what the capture clock says of it."""

OLDEST = {"text": 15.0, "audio": STALE_SECONDS, "vision": STALE_SECONDS}
NAMES = ("text", "audio", "vision")


def nothing(_: World) -> None:
    """What needs no end."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes
    ----------
    affects
        Modalities that are gone, until it is over or, when it ``heals`` by itself, until they are back.
    claimed
        Seconds after which no result may claim them any more.
    reason
        What results must say by then.
    holds
        Seconds it lasts, from and to.
    """

    name: str
    begin: Callable[[World], None]
    end: Callable[[World], None] = nothing
    affects: tuple[str, ...] = ()
    claimed: float = math.inf
    reason: str | None = None
    heals: bool = False
    holds: tuple[float, float] = (1.2, 2.5)


@dataclass
class Outcome:
    """What one fault led to."""

    fault: Fault
    recovered: float | None = None
    wrong: list[str] = field(default_factory=list)


def plug_in(world: World) -> None:
    """The microphone is back, and somebody speaks."""
    world.microphone.start()
    world.speak()


def set_back(_: World) -> None:
    """Somebody sets the system's time."""
    time.time = lambda: time.clock_gettime(time.CLOCK_REALTIME) - 3600.0


def set_right(_: World) -> None:
    """And again."""
    time.time = lambda: time.clock_gettime(time.CLOCK_REALTIME)


def crash(where: str) -> Callable[[World], None]:
    """A worker raises once."""
    return lambda world: world.saboteur.crash(where)


def hang(where: str) -> Callable[[World], None]:
    """A worker does not come back from a call."""
    return lambda world: world.saboteur.hang(where)


def free(world: World) -> None:
    """Who hung goes on."""
    world.saboteur.free()


def send(module: str, number: int) -> Callable[[World], None]:
    """A signal to the process of ours that runs what is in a module."""
    return lambda world: world.signal(module, number)


LOST: dict[str, Any] = {"claimed": 1.0, "reason": "device_lost"}
FROZEN: dict[str, Any] = {"claimed": 2.2, "reason": "stale", "holds": (3.0, 4.0)}
MUTED: dict[str, Any] = {"claimed": 3.0, "holds": (3.5, 4.5)}
HUNG: dict[str, Any] = {"claimed": 1.0, "heals": True}
SOUND, PICTURE = ("audio",), ("vision",)

HALVES = (
    [
        Fault("microphone server killed", lambda w: w.microphone.stop(), plug_in, SOUND, **LOST),
        Fault("camera stream dropped", lambda w: w.camera.stop(), lambda w: w.camera.start(), PICTURE, **LOST),
        Fault("face worker crashed", crash("look"), affects=PICTURE, heals=True),
        Fault("sound worker hung", hang("listen"), free, SOUND, **HUNG),
        Fault("microphone process killed", send("stream.portaudio", signal.SIGKILL), affects=SOUND, heals=True),
        Fault("disk full", World.fill_disk, World.empty_disk),
        Fault("client that never reads", World.connect_slow, World.disconnect_slow),
        Fault("machine slept", World.sleep, affects=(*SOUND, *PICTURE), heals=True),
        Fault("scoring crashed", crash("score"), heals=True),
    ],
    [
        Fault("microphone muted", lambda w: w.microphone.mute(), World.speak, SOUND, **MUTED),
        Fault(
            "microphone server hung", lambda w: w.microphone.hang(), lambda w: w.microphone.go_on(), SOUND, **LOST
        ),
        Fault("microphone process hung", send("stream.portaudio", signal.SIGSTOP), affects=SOUND, heals=True),
        Fault("camera hung", lambda w: w.camera.hung.set(), lambda w: w.camera.hung.clear(), PICTURE, **LOST),
        Fault(
            "camera froze", lambda w: w.camera.frozen.set(), lambda w: w.camera.frozen.clear(), PICTURE, **FROZEN
        ),
        Fault("face worker hung", hang("look"), free, PICTURE, **HUNG),
        Fault("sound worker crashed", crash("listen"), affects=SOUND, heals=True),
        Fault("recogniser killed", send("stream.asr.apart", signal.SIGKILL), affects=("text",), heals=True),
        Fault("system time set back", set_back, set_right),
    ],
)
"""A worker crashes in one half and hangs in the other: more than five in a row would rightly be the end of it."""


def schedule(count: int, chance: np.random.Generator, only: str = "") -> Iterator[Fault]:
    """``count`` faults with ``only`` in their name, in random order within halves that take turns."""
    halves = [[fault for fault in half if only in fault.name] for half in HALVES]
    while any(halves):
        for half in halves:
            for place in chance.permutation(len(half)):
                if count == 0:
                    return
                count -= 1
                yield half[place]


def newest(result: Result, modality: str) -> float | None:
    """Capture time of a modality's newest signal, when a result claims to have it."""
    state = result.modalities[modality]
    return result.media_time - (state.age_ms or 0.0) / 1e3 if state.present else None


def present_since(result: Result, modalities: tuple[str, ...], since: float) -> bool:
    """Whether all of them are there with signal from after ``since``."""
    found = [newest(result, modality) for modality in modalities]
    return result.media_time > since and all(t is not None and t > since for t in found)


class Run:
    """Does one fault after the other to a world and keeps what came of them."""

    def __init__(self, world: World, chance: np.random.Generator) -> None:
        self.world = world
        self.outcomes: list[Outcome] = []
        self._chance = chance

    def do(self, fault: Fault) -> None:
        """One fault, from a state in which all is well to the next."""
        world, outcome = self.world, Outcome(fault)
        self.settle()
        first, began = len(world.results), world.clock.now()
        fault.begin(world)
        since = world.clock.now() if fault.name == "machine slept" else began
        if not fault.heals:
            time.sleep(self._chance.uniform(*fault.holds))
        until = world.clock.now()
        if not fault.heals:
            fault.end(world)
            since = world.clock.now()
        outcome.recovered = self._recovery(fault, since)
        if fault.heals:
            until = world.clock.now()
            fault.end(world)
        outcome.wrong = list(self._wrong(fault, world.results[first:], began, until))
        self.outcomes.append(outcome)

    def settle(self) -> None:
        """Wait until all is there, and a little."""
        self.wait(lambda result: present_since(result, ("audio", "vision"), 0.0))
        time.sleep(self._chance.uniform(0.3, 0.8))

    def wait(self, condition: Callable[[Result], bool]) -> Result | None:
        """The next result that meets ``condition``, if one comes."""
        world = self.world
        seen = [len(world.results)]

        def found() -> bool:
            while seen[0] < len(world.results):
                if condition(world.results[seen[0]]):
                    return True
                seen[0] += 1
            return not world.live.going()

        with world.changed:
            world.changed.wait_for(found, ANSWER_SECONDS)
            return world.results[seen[0]] if seen[0] < len(world.results) else None

    def _recovery(self, fault: Fault, since: float) -> float | None:
        result = self.wait(lambda one: present_since(one, fault.affects, since))
        return None if result is None else max(result.media_time - since, 0.0)

    def _wrong(self, fault: Fault, results: list[Result], began: float, until: float) -> Iterator[str]:
        """What results claimed that was not so."""
        for result in results:
            t = result.media_time - began
            for name in NAMES:
                age = result.modalities[name].age_ms
                if age is not None and age > (OLDEST[name] + SLACK_SECONDS) * 1e3:
                    yield f"{fault.name}: {name} is {age:.0f} ms old after {t:.2f} s"
            if fault.heals or result.media_time > until:
                continue
            for name in fault.affects if t > fault.claimed + SLACK_SECONDS else ():
                state = result.modalities[name]
                if state.present or (fault.reason and state.reason != fault.reason):
                    yield f"{fault.name}: {name} is {state.reason or 'claimed'} after {t:.2f} s"


def lost_seconds(folder: Path, told: list[float]) -> float:
    """Media time by which a recording ends before the last result that listeners got while it was made."""
    recording = Recording(folder)
    recording.read_through()
    return max(told[-1] - recording.seconds, 0.0) if told else 0.0


@dataclass
class Report:
    """What came of a whole run.

    Attributes
    ----------
    failure
        Why the session gave up, if it did.
    uncaught
        What threads died of.
    lost
        Seconds by which each recording ends too early.
    stopped
        Seconds that stopping took.
    """

    outcomes: list[Outcome]
    results: int
    failure: str | None
    uncaught: list[str]
    lost: list[float]
    stopped: float

    @property
    def wrong(self) -> list[str]:
        """What results claimed that was not so, or did not say in time."""
        return [line for outcome in self.outcomes for line in outcome.wrong]

    @property
    def well(self) -> bool:
        """Whether all was as it must be."""
        back = all(outcome.recovered is not None for outcome in self.outcomes)
        return back and not (self.wrong or self.uncaught or self.failure) and max(self.lost) <= 1.0

    def __str__(self) -> str:
        rows = [row for half in HALVES for fault in half for row in self._row(fault)]
        shown = table(["fault", "times", "recovered", "p50, s", "p95, s", "wrong results"], rows)
        every = _times(self.outcomes)
        lines = [
            f"{len(self.outcomes)} faults, {self.results} results, {len(self.wrong)} of them wrong.",
            f"Recovered {len(every)} times, p95 {_percentile(every, 95):.2f} s.",
            f"Why the session gave up: {self.failure or 'it did not'}.",
            f"Threads that died: {', '.join(self.uncaught) or 'none'}.",
            f"{len(self.lost)} recordings, of which at most {max(self.lost):.2f} s were lost.",
            f"Stopping took {self.stopped:.2f} s.",
        ]
        return "\n\n".join([shown, " ".join(lines), *self.wrong[:20]])

    def _row(self, fault: Fault) -> Iterator[list[object]]:
        mine = [outcome for outcome in self.outcomes if outcome.fault is fault]
        times = _times(mine)
        if mine:
            wrong = sum(len(outcome.wrong) for outcome in mine)
            shares = [_percentile(times, 50), _percentile(times, 95)]
            yield [fault.name, len(mine), len(times), *shares, wrong]


def _times(outcomes: list[Outcome]) -> list[float]:
    return [outcome.recovered for outcome in outcomes if outcome.recovered is not None]


def _percentile(values: list[float], share: int) -> float:
    return float(np.percentile(values, share)) if values else math.nan


def inject(faults: int, seed: int, folder: Path, only: str = "") -> Report:
    """A whole run, in a folder of its own."""
    uncaught: list[str] = []
    threading.excepthook = lambda died: uncaught.append(f"{died.exc_type.__name__}: {died.exc_value}")
    chance = np.random.default_rng(seed)
    with World(folder).running() as world:
        run = Run(world, chance)
        for number, fault in enumerate(schedule(faults, chance, only), 1):
            run.do(fault)
            last = run.outcomes[-1]
            print(f"{number}/{faults} {fault.name}: {last.recovered} {last.wrong[:1] or ''}", file=sys.stderr)
            if last.recovered is None:
                break
        began = time.monotonic()
        world.live.stop()
        stopped = time.monotonic() - began
    threading.excepthook = threading.__excepthook__
    lost = [lost_seconds(place, told) for place, told in world.recordings.made]
    return Report(run.outcomes, len(world.results), world.live.failure, uncaught, lost, stopped)


def main() -> None:
    """Run, print, and publish if asked; exit code 1 when anything went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--only", default="", help="only faults with this in their name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--publish", action="store_true", help="put the section into its page of docs/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults") as folder, contextlib.suppress(KeyboardInterrupt):
        report = inject(arguments.faults, arguments.seed, Path(folder), arguments.only)
        only = f" --only '{arguments.only}'" if arguments.only else ""
        call = f"python scripts/fault_injection.py --faults {arguments.faults} --seed {arguments.seed}{only}"
        text = section("Faults", call, str(report))
        print(text)
        if arguments.publish:
            publish("Faults", text)
        raise SystemExit(0 if report.well else 1)


if __name__ == "__main__":
    main()
