"""What the commands do: build the parts from options, run them, and say in one line what went wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from miar_rt.checkpoint import Checkpoint, CheckpointError
from miar_rt.engines import EngineUnavailable
from miar_rt.features.appearance import Appearance, AppearanceUnavailable
from miar_rt.features.text import Encoder, TextEncoderUnavailable
from miar_rt.features.text_onnx import open_encoder
from miar_rt.signals import Modality
from stream.asr import Recogniser, RecogniserUnavailable
from stream.asr.choose import choose_recogniser
from stream.clock import CaptureClock
from stream.consent import NOTICE, ask, can_answer
from stream.events import Outgoing
from stream.live import Live
from stream.options import AnalyzeOptions, LiveOptions, check_options
from stream.profiles import know
from stream.recording import RecordedSession, Recorder, open_recorder
from stream.recording_format import schema
from stream.report import FILES, Report, ReportError, SourceInfo, check_writable
from stream.requests import Requests
from stream.scoring import Scorer, load_scorer
from stream.serving.protocol import HelloInfo
from stream.serving.server import Server, ServerError, tls_context
from stream.session import Session, SessionConfig
from stream.sources import AudioSource, NoDefaultDevice, Source, SourceError, VideoSource
from stream.sources.slot import Slot
from stream.views import Tally, View, make_view

if TYPE_CHECKING:
    from stream.analyze import Analyzer
    from stream.sources.media_file import MediaFile

Some = TypeVar("Some", bound=Source)

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
    with contextlib.ExitStack() as held:
        clock = CaptureClock()
        devices = Devices(options, clock, held)
        scorer, why = load_scorer(options.checkpoint, options.engine)
        held.callback(scorer.engine.close)
        lines.append(why)
        appearance = Appearance.wanted_by(scorer.checkpoint.extractors)
        profile = know(scorer, options.profile, lines)
        requests = Requests()
        server = _serve(options, scorer, devices.named, requests, held)
        recogniser, encoder = (
            _words(options, scorer.checkpoint, clock.now, held, lines) if devices.hears else (None, None)
        )
        warm_up(devices, recording=options.record is not None)
        if not (options.input or options.accept_notice):
            tell(lines)
        clock.restart()
        devices.open(lines)
        wanted = _listening_to(devices.sees, devices.hears, recogniser, options.text_only, lines)
        config = SessionConfig(options.rate, wanted, profile)
        recorder = open_recorder(options, scorer, config, recogniser.kind if recogniser else None, lines)
        if recorder is not None:
            held.enter_context(recorder)
        _announce(server, lines)
        view, tally = held.enter_context(make_view(options.json)), Tally()
        live = Live(
            RecordedSession(recorder, scorer, encoder, config) if recorder else Session(scorer, encoder, config),
            recogniser,
            video=devices.video,
            audio=devices.audio,
            clock=clock,
            listener=_everyone(server, view, recorder, tally),
            appearance=appearance,
        )
        requests.live = live
        _run(live, view, options.seconds)
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


class Devices:
    """The sources that were asked for: probed when made, opened by ``open``."""

    def __init__(self, options: LiveOptions, clock: CaptureClock, held: contextlib.ExitStack) -> None:
        self._options = options
        self._clock = clock
        self._held = held
        self.video: Slot[VideoSource] | None = None
        self.audio: Slot[AudioSource] | None = None
        self._sees = not options.no_camera and not options.text_only
        self.hears = not options.no_mic
        if options.input:
            from stream.sources.realtime import RealtimeMedia

            self._media = RealtimeMedia(options.input, clock, options.loop, video=self._sees, audio=self.hears)
            self._sees, self.hears = self._media.has_video, self._media.has_audio
        self._need_something()

    @property
    def sees(self) -> bool:
        """Whether there is, or may be, a picture."""
        return self._sees

    @property
    def named(self) -> dict[str, str]:
        """What each modality listens to, for people."""
        options = self._options
        if options.input:
            found = {"vision": options.input.name, "audio": options.input.name}
        else:
            found = {"vision": f"camera {options.camera or 0}", "audio": f"microphone {options.mic or ''}".strip()}
        return {m: name for m, name in found.items() if (self._sees if m == "vision" else self.hears)}

    def open(self, lines: list[str]) -> None:
        """Open them; a default device that is absent is a warning in ``lines``, one that was named is an error."""
        if self._options.input:
            media = self._held.enter_context(self._media)
            self.video = Slot[VideoSource](media) if self._sees else None
            self.audio = Slot[AudioSource](media) if self.hears else None
            return
        absent: list[str] = []
        self.video = self._open(self._camera, absent) if self._sees else None
        self.audio = self._open(self._microphone, absent) if self.hears else None
        self._sees, self.hears = self.video is not None, self.audio is not None
        self._need_something(absent)
        lines.extend(f"warning: {reason}" for reason in absent)

    def _need_something(self, absent: Sequence[str] = ()) -> None:
        if not self._sees and not self.hears:
            why = f" ({'; '.join(absent)})" if absent else ""
            raise SourceError(
                f"nothing to look at or listen to{why}: give --camera, --mic or --input, or see `miar devices`"
            )

    def _camera(self) -> VideoSource:
        from stream.sources.camera import Camera

        return Camera(self._options.camera, self._clock)

    def _microphone(self) -> AudioSource:
        from stream.sources.microphone import Microphone

        return Microphone(self._options.mic, self._clock)

    def _open(self, make: Callable[[], Some], absent: list[str]) -> Slot[Some] | None:
        source = make()
        try:
            source.__enter__()
        except NoDefaultDevice as error:
            absent.append(str(error))
            return None
        slot = Slot(source, make)
        self._held.callback(slot.close)
        return slot


def _words(
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
        encoder = open_encoder(options.text_encoder, checkpoint.extractors)
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


def warm_up(devices: Devices, recording: bool) -> None:
    """Load what is slow to load before anything is captured, so that no sound waits for it."""
    from miar_rt.features.face import FaceExtractor
    from stream.senses import Hearing

    if devices.sees:
        FaceExtractor().close()
    if devices.hears:
        Hearing().acoustic.close()
    if recording:
        schema()


def _listening_to(
    sees: bool, hears: bool, recogniser: Recogniser | None, text_only: bool, lines: Sequence[str]
) -> frozenset[Modality]:
    wanted: dict[Modality, bool] = {
        "text": recogniser is not None and hears,
        "audio": hears and not text_only,
        "vision": sees,
    }
    if not any(wanted.values()):
        raise ValueError(f"nothing left to score with --text-only ({'; '.join(lines)})")
    return frozenset(modality for modality, here in wanted.items() if here)


def _everyone(
    server: Server | None, view: View, recorder: Recorder | None, tally: Tally
) -> Callable[[Outgoing], None]:
    listeners = [view.take, tally.take]
    if server is not None:
        listeners.insert(0, server.publish)
    if recorder is not None:
        listeners.append(recorder.take)

    def listener(event: Outgoing) -> None:
        for take in listeners:
            take(event)

    return listener


def _run(live: Live, view: View, seconds: float | None) -> None:
    with stopping(live), under_way():
        live.start()
        try:
            while live.going(seconds) and not view.abandoned:
                view.show()
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

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_analyze(path: Path, out: Path, options: AnalyzeOptions) -> None:
    """``miar analyze``: a file in media time, and the report of it in ``out``.

    Raises
    ------
    Exception
        One of ``WRONG_INPUT`` or ``ReportError``, before anything is written.
    """
    from stream.analyze import Analyzer
    from stream.sources.media_file import MediaFile

    SessionConfig(options.rate)
    media = MediaFile(path, video=not options.text_only)
    check_writable(out)
    lines: list[str] = []
    with contextlib.ExitStack() as held:
        scorer, why = load_scorer(options.checkpoint, options.engine)
        held.callback(scorer.engine.close)
        lines.append(why)
        appearance = Appearance.wanted_by(scorer.checkpoint.extractors)
        profile = know(scorer, options.profile, lines)
        recogniser, encoder = (
            _words(options, scorer.checkpoint, None, held, lines) if media.has_audio else (None, None)
        )
        wanted = _listening_to(media.has_video, media.has_audio, recogniser, options.text_only, lines)
        config = SessionConfig(options.rate, wanted, profile)
        for line in lines:
            say(line)
        held.enter_context(under_way())
        analyzer = Analyzer(Session(scorer, encoder, config), recogniser, appearance)
        results = _analyze(media, out, analyzer)
    if media.damage:
        say(f"warning: {media.damage}")
    say(f"{results} result{'' if results == 1 else 's'} in {out}: {', '.join(FILES)}")


def _analyze(media: MediaFile, out: Path, analyzer: Analyzer) -> int:
    """Write the report; how many results are in it."""
    # a file's name is bytes, the report is text
    name = media.name.encode(errors="replace").decode()
    source = SourceInfo(name, media.duration, media.has_video, media.has_audio, None)
    with Report(out, source) as report, analyzer:
        for event in progress("analysing", analyzer.run(media), media.duration):
            report.add(event)
        report.source = dataclasses.replace(source, damage=media.damage)
    return report.results


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
