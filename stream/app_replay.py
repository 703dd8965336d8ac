"""What ``miar replay`` does: open what made a recording, score it again, and tell how the results compare.

Where it is asked for, what comes out is served as if it were live.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from miar_rt.engines import EngineUnavailable
from miar_rt.features.text_onnx import open_encoder
from miar_rt.neutral import inputs_name
from stream.app import RunFailed, progress, say
from stream.events import Outgoing
from stream.options import ReplayOptions
from stream.recording_format import Manifest, RecordingError
from stream.recordings import find_recording
from stream.replay import Recording, Replay
from stream.report import FILES, Report, SourceInfo, check_writable
from stream.scoring import Scorer, load_scorer
from stream.serving.protocol import HelloInfo
from stream.serving.server import Server

LOOK_SECONDS = 0.05


def run_replay(folder: Path, options: ReplayOptions) -> None:
    """``miar replay``: a recorded session again, and a report of it if one is wanted.

    Raises
    ------
    RunFailed
        When results differ by more than engines may, and no other checkpoint was asked for.
    Exception
        One of ``app.WRONG_INPUT`` before anything is scored or written.
    """
    pace = options.pace
    folder = find_recording(folder)
    recording = Recording(folder)
    if options.out is not None:
        check_writable(options.out)
    with contextlib.ExitStack() as held:
        scorer = _scorer(recording.manifest, folder, options)
        held.callback(scorer.engine.close)
        words = "text" in recording.manifest.config.listening_to
        model = scorer.checkpoint
        encoder = open_encoder(options.text_encoder, model.extractors, model.text_adapter) if words else None
        replay = Replay(recording, scorer, encoder)
        events = replay.run() if pace is None else paced(replay.run(), pace)
        if options.port is not None:
            events = _served(events, held.enter_context(_server(options.port, recording, scorer)))
        began = time.monotonic()
        _play(events, recording, options.out)
        took = time.monotonic() - began
    _tell(recording, options.out)
    line = f"{replay.comparison}; {recording.length:.1f} s in {took:.1f} s"
    if not replay.comparison.alike and not _another(recording.manifest, scorer):
        raise RunFailed(f"{line}; the recording may be damaged, or other versions of packages compute otherwise")
    say(line)


def _scorer(manifest: Manifest, folder: Path, options: ReplayOptions) -> Scorer:
    """The checkpoint and engine of the recording, or those that were asked for."""
    if manifest.inputs != inputs_name():
        raise RecordingError(f"{folder} holds other input channels: replay it with the version that recorded it")
    try:
        scorer, why = load_scorer(options.checkpoint, options.engine or manifest.engine)
    except EngineUnavailable as error:
        if options.engine:
            raise
        say(f"warning: recorded with another engine: {error}")
        scorer, why = load_scorer(options.checkpoint, "auto")
    if _another(manifest, scorer):
        made = (
            f"{folder} was recorded with checkpoint {manifest.checkpoint}, sha256 {manifest.checkpoint_sha256[:12]}"
        )
        if options.checkpoint is None:
            scorer.engine.close()
            raise RecordingError(f"{made}, which is not the one that ships: give it by --checkpoint")
        say(f"warning: {made}, and is scored with {scorer.checkpoint.name}, {scorer.checkpoint.sha256[:12]}")
    say(why)
    return scorer


def _another(manifest: Manifest, scorer: Scorer) -> bool:
    return manifest.checkpoint_sha256 != scorer.checkpoint.sha256


def paced(events: Iterator[Outgoing], speed: float) -> Iterator[Outgoing]:
    """Each event when it is due, ``speed`` times as fast as it was."""
    began: float | None = None
    for event in events:
        due = event.media_time / speed
        began = time.monotonic() - due if began is None else began
        time.sleep(max(began + due - time.monotonic(), 0.0))
        yield event


def _server(port: int, recording: Recording, scorer: Scorer) -> Server:
    config = recording.manifest.config
    name = f"recording {recording.folder.resolve().name}"
    sources = {str(modality): name for modality in config.listening_to}
    told = HelloInfo(
        rate=config.rate, checkpoint=scorer.checkpoint.name, engine=scorer.engine.name, sources=sources
    )
    return Server(port=port, describe=told)


def _served(events: Iterator[Outgoing], server: Server) -> Iterator[Outgoing]:
    """The events once they have gone out; the first waits until somebody is there to take it."""
    say(f"dashboard {server.url}")
    say("waiting for somebody to look")
    while not server.wanted("result"):
        time.sleep(LOOK_SECONDS)
    for event in events:
        server.publish(event)
        yield event


def _play(events: Iterator[Outgoing], recording: Recording, out: Path | None) -> None:
    end = recording.manifest.end
    events = progress("replaying", events, end.began + end.seconds if end else None)
    if out is None:
        for _ in events:
            pass
        return
    _report(events, recording, out)


def _report(events: Iterator[Outgoing], recording: Recording, out: Path) -> None:
    wanted = recording.manifest.config.listening_to
    # a folder's name is bytes, the report is text
    name = recording.folder.resolve().name.encode(errors="replace").decode()
    source = SourceInfo(name, None, "vision" in wanted, not wanted <= {"vision"})
    with Report(out, source) as report:
        for event in events:
            report.add(event)
        length, began = recording.length, recording.began
        report.source = dataclasses.replace(source, duration=length, damage=recording.damage, began=began)


def _tell(recording: Recording, out: Path | None) -> None:
    """What was not as it should be, and what was written."""
    if recording.damage:
        say(f"warning: {recording.damage}")
    if recording.rows_lost:
        say(f"warning: {recording.rows_lost} rows were lost while it was recorded: results are not exact")
    if out is not None:
        say(f"report in {out}: {', '.join(FILES)}")
