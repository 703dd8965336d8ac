"""Options that several commands have, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.completion import engines, profiles, recognisers

Camera = Annotated[str | None, typer.Option(help="Camera by index, name or URL (MJPEG, RTSP).")]
Mic = Annotated[str | None, typer.Option(help="Microphone by index or name.")]
AcceptNotice = Annotated[
    bool, typer.Option("--accept-notice", help="Devices: do not ask about the people in view.")
]
TextOnly = Annotated[bool, typer.Option("--text-only", help="Score words alone: no face, no voice.")]

Asr = Annotated[
    str, typer.Option(help="Recogniser: auto, whisper, whisper:MODEL, sphinx or off.", autocompletion=recognisers)
]
Language = Annotated[str, typer.Option(help="ISO 639-1 code of the speech, or auto to detect it (whisper only).")]
Engine = Annotated[
    str,
    typer.Option(help="auto, tensorrt, tensorrt-rtx, cuda-graph, compile, onnx or torch.", autocompletion=engines),
]
Checkpoint = Annotated[Path | None, typer.Option(help="Checkpoint folder; otherwise the one that ships.")]
TextEncoder = Annotated[
    Path | None, typer.Option(help="Folder of the text encoder a checkpoint is for; otherwise MiniLM.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Rate = Annotated[float, typer.Option(help="Results a second at most, 1 to 60.")]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", help="Whose profile, by miar calibrate, to apply.", autocompletion=profiles),
]
Faces = Annotated[int, typer.Option(help="Follow and score up to so many faces, 1 to 4.")]
Adapt = Annotated[
    bool, typer.Option("--adapt", help="Learn what is usual for whoever is there; kept in memory alone.")
]
