"""The table of input channels, frozen so that no training is thrown away when one of them starts to be used.

A channel that nothing fills stays masked; a checkpoint carries the table it was trained with and is refused
where it differs from the one that runs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from miar_rt.landmarks import MESH_LANDMARKS
from miar_rt.signals import EMOTIONS, RECOGNISER_KINDS, Modality

DESCRIPTORS: tuple[str, ...] = (
    "Loudness_sma3", "alphaRatio_sma3", "hammarbergIndex_sma3", "slope0-500_sma3", "slope500-1500_sma3",
    "spectralFlux_sma3", "mfcc1_sma3", "mfcc2_sma3", "mfcc3_sma3", "mfcc4_sma3",
    "F0semitoneFrom27.5Hz_sma3nz", "jitterLocal_sma3nz", "shimmerLocaldB_sma3nz", "HNRdBACF_sma3nz",
    "logRelF0-H1-H2_sma3nz", "logRelF0-H1-A3_sma3nz",
    "F1frequency_sma3nz", "F1bandwidth_sma3nz", "F1amplitudeLogRelF0_sma3nz",
    "F2frequency_sma3nz", "F2bandwidth_sma3nz", "F2amplitudeLogRelF0_sma3nz",
    "F3frequency_sma3nz", "F3bandwidth_sma3nz", "F3amplitudeLogRelF0_sma3nz",
)  # fmt: skip
"""eGeMAPSv02 low-level descriptors in openSMILE's order (Eyben et al., IEEE TAC 7(2), 2016)."""

VOICED_DESCRIPTORS = slice(10, 25)
"""Descriptors that mean something only where the voice has a pitch."""

MEL_BANDS = 26
ACOUSTICS: tuple[str, ...] = (*DESCRIPTORS, *(f"logMel{band}" for band in range(MEL_BANDS)))
"""What one acoustic frame holds: the descriptors, then the logarithms of the mel bands they are made from."""

ACTION_UNITS: tuple[str, ...] = (
    "AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12",
    "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU45",
)  # fmt: skip
"""FACS numbers of the action-unit-like measures, as OpenFace lists its intensities."""

HEAD_POSE: tuple[str, ...] = ("pitch", "yaw", "roll", "x", "y", "scale")
"""Radians; then the face's centre and eye distance as fractions of the picture's height."""

APPEARANCE_SLOTS = 64
TOKEN_WIDTH = 384
TEXT_EXTRAS: tuple[str, ...] = ("age", "partial", "confidence", *RECOGNISER_KINDS)


class Shapes(Protocol):
    """What a network has to know of its inputs."""

    @property
    def widths(self) -> dict[Modality, int]:
        """Channels of each modality's window."""

    @property
    def steps(self) -> dict[Modality, int]:
        """Rows of each modality's window."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what is told apart."""


@dataclass(frozen=True)
class FileShapes:
    """Shapes of features that come from a file and not from the extractors."""

    widths: dict[Modality, int]
    steps: dict[Modality, int]
    classes: tuple[str, ...] = EMOTIONS


@dataclass(frozen=True)
class InputSpec:
    """Shapes, rates and channel names of everything the network is given."""

    version: str = "2"
    classes: tuple[str, ...] = EMOTIONS
    audio_rate: int = 25
    audio_seconds: float = 4.0
    audio_channels: tuple[str, ...] = (*ACOUSTICS, "voiced", "voice_activity")
    vision_rate: int = 15
    vision_seconds: float = 4.0
    mesh_landmarks: tuple[int, ...] = MESH_LANDMARKS
    head_pose: tuple[str, ...] = HEAD_POSE
    action_units: tuple[str, ...] = ACTION_UNITS
    appearance_slots: int = APPEARANCE_SLOTS
    text_tokens: int = 48
    text_seconds: float = 15.0
    token_width: int = TOKEN_WIDTH
    text_extras: tuple[str, ...] = field(default=TEXT_EXTRAS)

    @property
    def audio_steps(self) -> int:
        """Steps of the acoustic window."""
        return round(self.audio_rate * self.audio_seconds)

    @property
    def vision_steps(self) -> int:
        """Steps of the face window."""
        return round(self.vision_rate * self.vision_seconds)

    @property
    def vision_groups(self) -> dict[str, slice]:
        """Column ranges of the face channels: ``mesh`` (x, y, z by landmark), ``pose``, ``units`` and so on."""
        widths = {
            "mesh": 3 * len(self.mesh_landmarks),
            "pose": len(self.head_pose),
            "units": len(self.action_units),
            "appearance": self.appearance_slots,
        }
        groups, start = {}, 0
        for name, width in widths.items():
            groups[name] = slice(start, start + width)
            start += width
        return groups

    @property
    def widths(self) -> dict[Modality, int]:
        """Channels of each modality's window."""
        return {
            "text": self.token_width + len(self.text_extras),
            "audio": len(self.audio_channels),
            "vision": self.vision_groups["appearance"].stop,
        }

    @property
    def steps(self) -> dict[Modality, int]:
        """Rows of each modality's window."""
        return {"text": self.text_tokens, "audio": self.audio_steps, "vision": self.vision_steps}

    def to_json(self) -> dict[str, Any]:
        """The table as it is written into a checkpoint."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


SPEC = InputSpec()
