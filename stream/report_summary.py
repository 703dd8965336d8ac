"""What an analysis comes to in a few numbers: ``summary.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import msgspec

from miar_rt.signals import EMOTIONS, MODALITIES, Modality
from stream.events import DECIMALS, ModelInfo, Result, Status, TimedWord

PACKAGES = (
    "miar-live", "av", "faster-whisper", "mediapipe", "numpy", "onnxruntime", "opencv-python",
    "opensmile", "pocketsphinx", "torch",
)  # fmt: skip
"""Distributions whose release can change a result."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What was analysed; ``duration`` in seconds, ``damage`` one line on what could not be read.

    ``began`` is the media time at which it begins: of a recording from the middle of a session not 0.
    """

    name: str
    duration: float | None
    has_video: bool
    has_audio: bool
    damage: str | None = None
    began: float = 0.0


class Summary:
    """Counts and means over results, taken in as they come.

    All shares are of results: ``label_share`` of those with a label, the others of all.
    """

    def __init__(self) -> None:
        self._results = 0
        self._first: float | None = None
        self._first_scored: float | None = None
        self._last: Result | None = None
        self._labels: Counter[str] = Counter()
        self._emotions = dict.fromkeys(EMOTIONS, 0.0)
        self._sentiment = 0.0
        self._present: Counter[Modality] = Counter()
        self._reasons: dict[Modality, Counter[str]] = {name: Counter() for name in MODALITIES}

    def extend(self, batch: Sequence[Result]) -> None:
        """Take the next results, in order."""
        for result in batch:
            self._add(result)

    def _add(self, result: Result) -> None:
        self._results += 1
        self._last = result
        if self._first is None:
            self._first = result.media_time
        for name in MODALITIES:
            state = result.modalities[name]
            self._present[name] += state.present
            if state.reason is not None:
                self._reasons[name][state.reason] += 1
        if result.label is not None and result.emotions is not None and result.sentiment is not None:
            self._add_score(result.media_time, result.label, result.emotions, result.sentiment.value)

    def _add_score(self, t: float, label: str, emotions: dict[str, float], sentiment: float) -> None:
        if self._first_scored is None:
            self._first_scored = t
        self._labels[label] += 1
        self._sentiment += sentiment
        for name in EMOTIONS:
            self._emotions[name] += emotions[name]

    @property
    def model(self) -> ModelInfo | None:
        """What made the results; ``None`` when there are none."""
        return self._last.model if self._last else None

    def footnote(self) -> str:
        """One line on what made the results."""
        scored = self._labels.total()
        counts = f"{self._results} results, {scored} with a score"
        return (
            f"{counts} · checkpoint {self.model.checkpoint} · engine {self.model.engine}" if self.model else counts
        )

    def to_json(self, source: SourceInfo, words: Sequence[TimedWord], notices: Sequence[Status]) -> bytes:
        """The summary as indented JSON with a line feed at its end."""
        content = {
            "source": asdict(source),
            "seconds": self._last.media_time if self._last else 0.0,
            "results": self._results,
            "scored": self._labels.total(),
            "first_result": self._first,
            "first_scored": self._first_scored,
            **self._scores(),
            **self._presence(),
            "transcript": _transcript(words, self._last),
            "notices": [_notice(status) for status in notices],
            "checkpoint": self.model.checkpoint if self.model else None,
            "engine": self.model.engine if self.model else None,
            "profile": self._last.profile if self._last else None,
            "time": None,
            "latency_ms": None,
            "versions": package_versions(),
        }
        return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"

    def _scores(self) -> dict[str, Any]:
        scored = self._labels.total()
        return {
            "label_share": {name: _share(self._labels[name], scored) for name in EMOTIONS if self._labels[name]},
            "mean_emotions": {name: _share(total, scored) for name, total in self._emotions.items()}
            if scored
            else None,
            "mean_sentiment": _share(self._sentiment, scored) if scored else None,
        }

    def _presence(self) -> dict[str, Any]:
        return {
            "presence_share": {name: _share(self._present[name], self._results) for name in MODALITIES},
            "reason_share": {
                name: {reason: _share(count, self._results) for reason, count in sorted(reasons.items())}
                for name, reasons in self._reasons.items()
            },
        }


def _share(part: float, whole: int) -> float:
    return round(part / whole, DECIMALS) if whole else 0.0


def _transcript(words: Sequence[TimedWord], last: Result | None) -> dict[str, Any]:
    return {
        "text": " ".join(word.text for word in words),
        "asr": last.transcript.asr if last else None,
        "words": [_word(word) for word in words],
    }


def _word(word: TimedWord) -> dict[str, Any]:
    t0, t1, confidence = (round(value, DECIMALS) for value in (word.t0, word.t1, word.confidence))
    return {"text": word.text, "t0": t0, "t1": t1, "confidence": confidence}


def _notice(status: Status) -> dict[str, Any]:
    return {
        "media_time": status.media_time,
        "modality": status.modality,
        "state": status.state,
        "detail": status.detail,
    }


def package_versions() -> dict[str, str | None]:
    """Installed releases of ``PACKAGES``; ``None`` where one is absent."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
