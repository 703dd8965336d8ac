"""Results as a session makes them, for the tests of what shows and sends them."""

from miar_rt.signals import EMOTIONS
from stream.events import (
    FaceBox,
    FaceResult,
    Latency,
    ModalityState,
    ModelInfo,
    Reason,
    Result,
    Sentiment,
    TranscriptState,
)

SHARES = (0.11, 0.62, 0.02, 0.03, 0.2, 0.018, 0.002)


def result(seq: int = 1) -> Result:
    """Words and voice present, no face."""
    emotions = dict(zip(EMOTIONS, SHARES, strict=True))
    return Result(
        seq=seq,
        time=1763630000.0 + seq / 10,
        media_time=seq / 10,
        emotions=emotions,
        raw_emotions=emotions,
        label="happiness",
        confidence=0.62,
        sentiment=Sentiment(1.2, 0.3, 2.1),
        modalities={
            "text": ModalityState(True, None, 340.0, 0.6),
            "audio": ModalityState(True, None, 72.0, 0.4),
            "vision": ModalityState(False, "no_face", None, 0.0),
        },
        gate={"text": 0.3, "audio": 0.2, "vision": 0.0, "fused": 0.5},
        transcript=TranscriptState("what a wonderful", "day", "sphinx"),
        latency_ms=Latency(410.0, 78.0, None, 1.9, 79.9),
        model=ModelInfo("default-1", "onnx"),
        profile=None,
    )


def face(number: int, speaking: bool = False) -> FaceResult:
    """One of several faces, which looks as the result does."""
    whole = result()
    return FaceResult(
        id=number,
        primary=number == 1,
        box=FaceBox(0.1 * number, 0.2, 0.1, 0.3),
        speaking=speaking,
        agreement=0.4 if speaking else None,
        emotions=whole.emotions,
        raw_emotions=whole.raw_emotions,
        label=whole.label,
        confidence=whole.confidence,
        sentiment=whole.sentiment,
        modalities=whole.modalities,
    )


def nothing(seq: int = 1) -> Result:
    """No modality present, so no score."""
    reasons: dict[str, Reason] = {"text": "no_words_yet", "audio": "silence", "vision": "no_face"}
    return Result(
        seq=seq,
        time=1763630000.0,
        media_time=seq / 10,
        emotions=None,
        raw_emotions=None,
        label=None,
        confidence=None,
        sentiment=None,
        modalities={name: ModalityState(False, reason, None, 0.0) for name, reason in reasons.items()},
        gate={},
        transcript=TranscriptState("", "", "sphinx"),
        latency_ms=None,
        model=ModelInfo("default-1", "onnx"),
        profile=None,
    )
