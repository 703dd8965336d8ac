"""What the commands do: build the parts from options, run them, and say in one line what went wrong."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

from calibration.baseline import Baseline
from miar_rt.checkpoint import Checkpoint, CheckpointError
from miar_rt.engines import EngineUnavailable
from miar_rt.features.appearance import Appearance, AppearanceUnavailable
from miar_rt.features.text import Encoder, TextEncoderUnavailable
from miar_rt.features.text_onnx import open_encoder
from miar_rt.signals import Modality
from stream.adapting import tell_adapting
from stream.asr import Recogniser, RecogniserUnavailable
from stream.asr.choose import choose_recogniser
from stream.clock import CaptureClock
from stream.commands import STOPS
from stream.consent import MEDIA_NOTICE, NOTICE, ask, ask_about_media, can_answer
from stream.events import Outgoing
from stream.inputs import Devices, warm_up
from stream.keyboard import PAUSE_KEY
from stream.live import Live
from stream.live_calibration import LiveCalibration
from stream.live_recording import LiveRecording
from stream.onlookers import LandmarkFeed
from stream.options import AnalyzeOptions, LiveOptions, check_options
from stream.outputs import Output, make_outputs
from stream.profiles import know
from stream.recording import RecordedSession, open_recorder
from stream.recording_format import describe_session
from stream.report import ReportError
from stream.requests import Requests
from stream.scoring import Scorer, load_scorer
from stream.serving.protocol import HelloInfo
from stream.serving.server import Server, ServerError, tls_context
from stream.session import SessionConfig
from stream.sources import SourceError
from stream.views import Tally, View, make_view

WRONG_INPUT = (
    AppearanceUnavailable,
    CheckpointError,
    EngineUnavailable,
    RecogniserUnavailable,
    ReportError,
    ServerError,
    SourceError,
    TextEncoderUnavailable,
    ValueError,
)
"""What means that the call or its input is wrong: one line, exit code 2."""


class RunFailed(Exception):  # noqa: N818 - it names what happened
    """Something failed after the call and its input were found right: one line, exit code 1."""


def say(line: str) -> None:
    """One line for the person at the terminal, on stderr: stdout is for results."""
    # nobody listening is no reason to stop
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the one place that speaks


def run_live(options: LiveOptions) -> None:
    """``miar-live``: until the file ends, ``seconds`` are over, or a signal comes.

    Raises
    ------
    Exception
        One of ``WRONG_INPUT`` before anything is captured.
    """
    check_options(options)
    lines: list[str] = []
    view, tally = make_view(options.json), Tally()
    with contextlib.ExitStack() as held:
        clock = CaptureClock()
        devices = Devices(options, clock, held)
        outputs = make_outputs(options, clock, devices.named)
        scorer, why = load_scorer(options.checkpoint, options.engine, options.faces)
        held.callback(scorer.engine.close)
        lines.append(why)
        appearance = Appearance.wanted_by(scorer.checkpoint.extractors)
        profile = know(scorer, options.profile, lines)
        tell_adapting(options.adapt, scorer, lines)
        requests = Requests()
        server = _serve(options, scorer, devices.named, requests, held)
        recogniser, encoder = (
            open_words(options, scorer.checkpoint, clock.now, held, lines) if devices.hears else (None, None)
        )
        warm_up(devices, recording=options.record is not None)
        if not options.input:
            _tell_people(options, lines)
        clock.restart()
        devices.open(lines)
        wanted = listening_to(devices.sees, devices.hears, recogniser, options.text_only, lines)
        config = SessionConfig(options.rate, wanted, profile, adapt=options.adapt, faces=options.faces)
        asr = recogniser.kind if recogniser else None
        recorder = open_recorder(options, scorer, config, asr, held, lines)
        session = RecordedSession(recorder, scorer, encoder, config)
        recording = LiveRecording(session, lambda why: describe_session(scorer, session.config, asr, why), recorder)
        for output in outputs:
            lines.append(output.open())
            held.enter_context(output)
        held.enter_context(recording)
        _announce(server, lines)
        held.enter_context(view)
        live = Live(
            session,
            recogniser,
            video=devices.video,
            audio=devices.audio,
            clock=clock,
            listener=_everyone(recording, server, view, tally, session, *outputs),
            appearance=appearance,
        )
        recording.begin(live)
        requests.begin(live, _accompany(live, server, wanted, clock, scorer.checkpoint), devices, recording)
        if recorder is not None and recorder.media is not None:
            live.onlookers.append(recorder.media)
        _run(live, view, requests, options.seconds)
    _tell_outcome(view, devices, tally)


def _tell_outcome(view: View, devices: Devices, tally: Tally) -> None:
    if view.failure:
        raise RunFailed(view.failure)
    if devices.damage:
        say(f"warning: {devices.damage}")
    say(tally.line())


def tell(lines: list[str]) -> None:
    """The notice: at a terminal it wants a yes before a device is opened, elsewhere it comes first in ``lines``.

    Raises
    ------
    RunFailed
        When the answer is no.
    """
    if not can_answer():
        lines.insert(0, NOTICE)
    elif not ask(say):
        raise RunFailed("nothing was captured: the notice was not agreed to")


def _tell_people(options: LiveOptions, lines: list[str]) -> None:
    """``tell``, and what storing picture and sound means, where they are stored: that wants a yes of its own.

    Raises
    ------
    RunFailed
        When an answer is no.
    ValueError
        When nobody can answer.
    """
    if not options.accept_notice:
        tell(lines)
    if not options.record_media:
        return
    if options.accept_notice:
        lines.append(MEDIA_NOTICE)
    elif not can_answer():
        raise ValueError(f"{MEDIA_NOTICE}: start it at a terminal to say so, or with --accept-notice")
    elif not ask_about_media(say):
        raise RunFailed("nothing was captured: not everybody has agreed to picture and sound being stored")


def open_words(
    options: AnalyzeOptions,
    checkpoint: Checkpoint,
    now: Callable[[], float] | None,
    held: contextlib.ExitStack,
    lines: list[str],
) -> tuple[Recogniser | None, Encoder | None]:
    """Recogniser and text encoder; without MiniLM's weights the words are left out, and that is said."""
    recogniser, why = choose_recogniser(options.asr, options.language, now)
    if recogniser is None:
        lines.append(why)
        return None, None
    held.callback(recogniser.close)
    try:
        encoder = open_encoder(options.text_encoder, checkpoint.extractors, checkpoint.text_adapter)
    except TextEncoderUnavailable as error:
        if options.text_encoder is not None:
            raise
        lines.append(f"warning: no words: {error}")
        return None, None
    lines.append(why)
    return recogniser, encoder


def _serve(
    options: LiveOptions,
    scorer: Scorer,
    sources: dict[str, str],
    requests: Requests,
    held: contextlib.ExitStack,
) -> Server | None:
    if options.no_server:
        return None
    describe = HelloInfo(
        rate=options.rate, checkpoint=scorer.checkpoint.name, engine=scorer.engine.name, sources=sources
    )
    tls = tls_context(options.tls_cert, options.tls_key) if options.tls_cert and options.tls_key else None
    server = Server(
        options.host, options.port, describe=describe, token=options.token, tls=tls, on_request=requests
    )
    held.enter_context(server)
    return server


def _announce(server: Server | None, lines: Sequence[str]) -> None:
    """All there is to tell, once nothing about the call can be wrong any more and before anything is used."""
    for line in lines:
        say(line)
    if server is not None:
        say(f"dashboard {server.url}")


def listening_to(
    sees: bool, hears: bool, recogniser: Recogniser | None, text_only: bool, lines: Sequence[str]
) -> frozenset[Modality]:
    """The modalities that are there and wanted; ``lines`` say why when none is.

    Raises
    ------
    ValueError
        When nothing is left to score.
    """
    wanted: dict[Modality, bool] = {
        "text": recogniser is not None and hears,
        "audio": hears and not text_only,
        "vision": sees,
    }
    if not any(wanted.values()):
        raise ValueError(f"nothing left to score with --text-only ({'; '.join(lines)})")
    return frozenset(modality for modality, here in wanted.items() if here)


def _everyone(
    recording: LiveRecording, server: Server | None, *takers: View | Tally | RecordedSession | Output
) -> Callable[[Outgoing], None]:
    listeners = [taker.take for taker in takers]
    if server is not None:
        listeners.insert(0, server.publish)

    def listener(event: Outgoing) -> None:
        told = recording.told(event)
        for take in listeners:
            take(told)

    return listener


def _accompany(
    live: Live, server: Server | None, captured: frozenset[Modality], clock: CaptureClock, checkpoint: Checkpoint
) -> LiveCalibration | None:
    """What clients can have beside results: landmarks, and a calibration when they ask for one."""
    if server is None:
        return None

    def use(name: str, baseline: Mapping[Modality, Baseline]) -> None:
        live.order(lambda session: session.set_person(name, baseline))

    calibration = LiveCalibration(captured, checkpoint, now=clock.now, publish=server.publish, use=use)
    live.onlookers += LandmarkFeed(server.publish, lambda: server.wanted("landmarks")), calibration
    return calibration


def _run(live: Live, view: View, requests: Requests, seconds: float | None) -> None:
    with stopping(live), under_way():
        live.start()
        try:
            while live.going(seconds) and not view.abandoned:
                view.paused = live.paused
                view.show()
                if view.pressed().count(PAUSE_KEY) % 2:
                    requests.pause(not live.paused)
        finally:
            live.stop()
            view.show()
    if live.failure:
        raise RunFailed(live.failure)


@contextlib.contextmanager
def under_way() -> Iterator[None]:
    """What goes wrong from here on is no fault of the call."""
    try:
        yield
    except WRONG_INPUT as error:
        raise RunFailed(str(error)) from error


@contextlib.contextmanager
def stopping(live: Live) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run and nothing else."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        live.request_stop()

    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def progress(what: str, events: Iterator[Outgoing], duration: float | None) -> Iterator[Outgoing]:
    """The events, with a bar while they come if somebody watches."""
    if not sys.stderr.isatty():
        yield from events
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=duration)
        for event in events:
            bar.update(task, completed=event.media_time)
            yield event
