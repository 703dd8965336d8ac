"""``miar analyze``: a file in media time, and the report of it in a folder."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from miar_rt.features.appearance import Appearance
from stream.adapting import tell_adapting
from stream.app import listening_to, open_words, progress, say, under_way
from stream.events import Result
from stream.options import AnalyzeOptions
from stream.profiles import know
from stream.report import FILES, Report, SourceInfo, check_writable
from stream.scoring import load_scorer
from stream.session import Session, SessionConfig
from stream.sources import SourceError

if TYPE_CHECKING:
    from stream.analyze import Analyzer
    from stream.sources.media_file import MediaFile


class _TooShortError(Exception):
    """There is no result to report."""


def run_analyze(path: Path, out: Path, options: AnalyzeOptions) -> None:
    """``miar analyze``: a file in media time, and the report of it in ``out``.

    Raises
    ------
    Exception
        One of ``WRONG_INPUT`` or ``ReportError``, before anything is written.
    """
    from stream.analyze import Analyzer
    from stream.sources.media_file import MediaFile

    SessionConfig(options.rate, faces=options.faces)
    media = MediaFile(path, video=not options.text_only)
    check_writable(out)
    lines: list[str] = []
    results = scored = 0
    with contextlib.ExitStack() as held:
        scorer, why = load_scorer(options.checkpoint, options.engine)
        held.callback(scorer.engine.close)
        lines.append(why)
        appearance = Appearance.wanted_by(scorer.checkpoint.extractors)
        profile = know(scorer, options.profile, lines)
        tell_adapting(options.adapt, scorer, lines)
        recogniser, encoder = (
            open_words(options, scorer.checkpoint, None, held, lines) if media.has_audio else (None, None)
        )
        wanted = listening_to(media.has_video, media.has_audio, recogniser, options.text_only, lines)
        config = SessionConfig(options.rate, wanted, profile, adapt=options.adapt, faces=options.faces)
        for line in lines:
            say(line)
        held.enter_context(contextlib.suppress(_TooShortError))
        held.enter_context(under_way())
        analyzer = Analyzer(Session(scorer, encoder, config), recogniser, appearance)
        results, scored = _analyze(media, out, analyzer)
    if not results:
        damage = f" ({media.damage})" if media.damage else ""
        raise SourceError(f"{path} is too short for a result{damage}: give a file of half a second or more")
    if media.damage:
        say(f"warning: {media.damage}")
    if not scored:
        say(f"warning: nothing in {path.name} was scored: nobody was seen or heard in it")
    say(f"{results} result{'' if results == 1 else 's'} in {out}: {', '.join(FILES)}")


def _analyze(media: MediaFile, out: Path, analyzer: Analyzer) -> tuple[int, int]:
    """Write the report; how many results are in it, and how many of them with a score."""
    scored = 0
    # a file's name is bytes, the report is text
    name = media.name.encode(errors="replace").decode()
    source = SourceInfo(name, media.duration, media.has_video, media.has_audio, None)
    with Report(out, source) as report, analyzer:
        for event in progress("analysing", analyzer.run(media), media.duration):
            report.add(event)
            scored += isinstance(event, Result) and event.label is not None
        if not report.results:
            raise _TooShortError
        report.source = dataclasses.replace(source, damage=media.damage)
    return report.results, scored
