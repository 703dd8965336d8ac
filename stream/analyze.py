"""A media file through the live path in media time; what it says comes from ``extraction``."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from miar_rt.features.appearance import Appearance
from stream.asr import Recogniser
from stream.events import Outgoing
from stream.extraction import Extraction
from stream.session import Session
from stream.sources.media_file import MediaFile


class Analyzer:
    """Drives a session with a media file; a context manager.

    Parameters
    ----------
    session
        Fresh; its clock is media time.
    recogniser
        Closed by the caller; ``None`` for no words.
    appearance
        As ``FaceExtractor`` takes it.
    """

    def __init__(
        self, session: Session, recogniser: Recogniser | None, appearance: Appearance | None = None
    ) -> None:
        self._session = session
        self._extraction = Extraction(recogniser, appearance, session.config.faces)

    def __enter__(self) -> Analyzer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._extraction.__exit__(kind, error, trace)

    def run(self, media: MediaFile, seconds: float | None = None) -> Iterator[Outgoing]:
        """Everything the session says about ``media``, up to ``seconds`` of it."""
        for step in self._extraction.run(media, seconds):
            for signal in step.signals:
                self._session.push(signal)
            last = step.item is None
            yield from self._session.finish(step.now) if last else self._session.advance(step.now)
