"""The commands ``miar-live`` and ``miar``. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stream.cli_options import (
    AcceptNotice,
    Adapt,
    Asr,
    Camera,
    Checkpoint,
    Debug,
    Engine,
    Faces,
    Language,
    Mic,
    ProfileName,
    Rate,
    TextEncoder,
    TextOnly,
)
from stream.cli_profiles import calibrate, profiles_app
from stream.cli_sessions import replay, sessions_app
from stream.commands import STOPS
from stream.completion import corpora

FAILED, WRONG, INTERRUPTED = 1, 2, 130
LONGEST_LINE = 1000

live_app = typer.Typer(
    rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"max_content_width": 110}
)
app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="The live recogniser is the command `miar-live`.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"miar-live {version('miar-live')}")
        raise typer.Exit


app.add_typer(sessions_app, name="sessions")
app.add_typer(profiles_app, name="profiles")
app.command(epilog="Example:  miar calibrate --profile ann")(calibrate)
app.command(epilog="Example:  miar replay session-1 --out session-1-report  |  miar replay session-1 --serve")(
    replay
)

Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
]


@live_app.command(
    epilog="Examples:  miar-live --camera 0  |  miar-live --input clip.mp4 --loop  |  "
    "miar-live --no-camera --asr whisper:small --json  |  miar-live --camera http://127.0.0.1:8080/video"
)
def live(
    camera: Camera = None,
    no_camera: Annotated[bool, typer.Option("--no-camera", help="Do not look.")] = False,
    mic: Mic = None,
    no_mic: Annotated[bool, typer.Option("--no-mic", help="Do not listen.")] = False,
    input_: Annotated[Path | None, typer.Option("--input", help="Play a media file instead of devices.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Play the file again and again.")] = False,
    asr: Asr = "auto",
    language: Language = "en",
    text_only: TextOnly = False,
    engine: Engine = "auto",
    checkpoint: Checkpoint = None,
    text_encoder: TextEncoder = None,
    rate: Rate = 10.0,
    profile: ProfileName = None,
    adapt: Adapt = False,
    faces: Faces = 1,
    seconds: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    record: Annotated[Path | None, typer.Option(help="New folder to record the session into.")] = None,
    record_media: Annotated[
        bool, typer.Option("--record-media", help="Store picture and sound there too: those in view must agree.")
    ] = False,
    purpose: Annotated[str | None, typer.Option(help="What the recording is for, stored with it.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="New file for the results, one line each.")] = None,
    lsl: Annotated[bool, typer.Option("--lsl", help="Offer the scores to Lab Streaming Layer.")] = False,
    osc: Annotated[str | None, typer.Option("--osc", metavar="HOST:PORT", help="Send the scores by OSC.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    accept_notice: AcceptNotice = False,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve on; 0 takes a free one.", min=0, max=65535)] = 8765,
    token: Annotated[str | None, typer.Option(help="Ask every client for this token.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Serve over TLS with this certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Key of the certificate (PEM).")] = None,
    no_server: Annotated[bool, typer.Option("--no-server", help="Serve nothing.")] = False,
    debug: Debug = False,
    version: Version = False,
) -> None:
    """Recognise emotions live and serve them on ws://HOST:PORT, with a dashboard at http://HOST:PORT/."""
    from stream.app import run_live
    from stream.options import LiveOptions

    # debug is read by the wrapper, and the callback of version has ended the program
    given = {**locals(), "input": input_, "language": _language(language)}
    run_live(LiveOptions(**{one.name: given[one.name] for one in dataclasses.fields(LiveOptions)}))


@app.callback()
def _miar(version: Version = False) -> None:
    """Emotion recognition from words, voice and face: files, devices, training, evaluation."""


@app.command(epilog="Example:  miar analyze talk.mp4 --out talk-report")
def analyze(
    file: Annotated[Path, typer.Argument(help="Video or sound file.")],
    out: Annotated[Path, typer.Option(help="Folder for the report's four files.")],
    asr: Asr = "auto",
    language: Language = "en",
    text_only: TextOnly = False,
    engine: Engine = "auto",
    checkpoint: Checkpoint = None,
    text_encoder: TextEncoder = None,
    rate: Rate = 10.0,
    profile: ProfileName = None,
    adapt: Adapt = False,
    faces: Faces = 1,
    debug: Debug = False,  # noqa: ARG001 - read by the wrapper
) -> None:
    """Score a video or sound file and write a report.

    It is the live path in media time and as fast as it goes; two runs give the same bytes.
    """
    from stream.app_analyze import run_analyze
    from stream.options import AnalyzeOptions

    run_analyze(
        file,
        out,
        AnalyzeOptions(
            asr=asr,
            language=_language(language),
            text_only=text_only,
            engine=engine,
            checkpoint=checkpoint,
            text_encoder=text_encoder,
            rate=rate,
            profile=profile,
            adapt=adapt,
            faces=faces,
        ),
    )


@app.command(epilog="Example:  miar devices --json")
def devices(json: Annotated[bool, typer.Option("--json", help="As one JSON array.")] = False) -> None:
    """List cameras and microphones.

    Each with an identifier that stays the same.
    """
    from stream.listing import list_devices

    typer.echo(list_devices(json))


@app.command(epilog="Example:  miar doctor --engine tensorrt")
def doctor(
    engine: Annotated[str | None, typer.Option(help="Try this one: build, parity, timing, a report.")] = None,
    checkpoint: Checkpoint = None,
    json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    debug: Debug = False,  # noqa: ARG001 - read by the wrapper
) -> None:
    """Say what works here and what mends the rest."""
    from stream.doctor import run_doctor
    from stream.doctor_engine import run_engine_doctor

    fine = run_doctor(json) if engine is None else run_engine_doctor(engine, checkpoint, json)
    raise typer.Exit(0 if fine else FAILED)


@app.command(epilog="Example:  miar fetch whisper:small.en")
def fetch(
    what: Annotated[str, typer.Argument(help="whisper, in a size for this machine, or whisper:MODEL.")] = "whisper",
    language: Language = "en",
    debug: Debug = False,  # noqa: ARG001 - read by the wrapper
) -> None:
    """Download Whisper's weights, once.

    They stay in the cache of the Hugging Face hub; --asr auto takes them from then on.
    """
    from stream.fetching import fetch as fetched

    typer.echo(fetched(what, _language(language)))


@app.command(
    epilog="Example:  miar train --data corpora --out my-checkpoint  |  "
    "miar train mosi-features aligned_50.pkl --out mosi-run --seeds 10 --json"
)
def train(
    corpus: Annotated[str | None, typer.Argument(help="mosi-features; nothing for a live checkpoint.")] = None,
    path: Annotated[Path | None, typer.Argument(help="File of features (docs/cmu-mosi.md).")] = None,
    *,
    out: Annotated[Path, typer.Option(help="Checkpoint folder; an interrupted training goes on from it.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder with ravdess/, fer2013_*.npz, meld/, mosi/, mosei/.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0, max=2**32 - 1)] = 0,
    seeds: Annotated[int, typer.Option(help="How many, from --seed on (mosi-features).", min=1, max=1000)] = 10,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.", min=1)] = None,
    config: Annotated[Path | None, typer.Option(help="A recipe (TOML); the shipped one otherwise.")] = None,
    text_encoder: TextEncoder = None,
    languages: Annotated[str | None, typer.Option(help="Of the corpora's words, as en,de; otherwise en.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Scores as one JSON object (mosi-features).")] = False,
    debug: Debug = False,  # noqa: ARG001 - read by the wrapper
) -> None:
    """Train a checkpoint on corpora.

    On words, voices and faces; or several checkpoints on a file of features.
    """
    from stream.listing import show_scores

    if corpus is not None:
        from miar_rt.training.feature_runs import as_told, train_features

        file = as_told(corpus, path, {"--data": data, "--config": config, "--languages": languages})
        found = train_features(
            file,
            out,
            seeds=seeds,
            first_seed=seed,
            epochs=epochs,
            text_encoder=text_encoder,
            progress=sys.stderr.isatty(),
        )
        typer.echo(show_scores(found, json))
        return
    if data is None:
        raise typer.BadParameter("give --data FOLDER, or mosi-features FILE")
    from miar_rt.training.fit import train as fit

    fit(
        data,
        out,
        seed=seed,
        epochs=epochs,
        config=config,
        text_encoder=text_encoder,
        languages=languages,
        progress=sys.stderr.isatty(),
    )


@app.command(epilog="Example:  miar evaluate ravdess corpora/ravdess --json")
def evaluate(
    corpus: Annotated[
        str, typer.Argument(help="ravdess, fer2013, meld, mosi, mosei or mosi-features.", autocompletion=corpora)
    ],
    path: Annotated[Path, typer.Argument(help="The corpus' folder or file.")],
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Checkpoint folder.")] = None,
    text_encoder: TextEncoder = None,
    baseline: Annotated[str | None, typer.Option(help="none or neutral (RAVDESS).")] = None,
    faces: Annotated[Path | None, typer.Option(help="Action units of the same takes (RAVDESS, .npz).")] = None,
    modalities: Annotated[str | None, typer.Option(help="Which to give, as text,audio,vision.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    debug: Debug = False,  # noqa: ARG001 - read by the wrapper
) -> None:
    """Score a corpus with a checkpoint.

    The scores are defined as the field defines them.
    """
    from miar_rt.training.evaluate import evaluate as score
    from stream.listing import show_scores

    chosen = None if modalities is None else tuple(modalities.split(","))
    found = score(
        corpus,
        path,
        checkpoint=checkpoint,
        modalities=chosen,
        faces=faces,
        baseline=baseline,
        text_encoder=text_encoder,
    )
    typer.echo(show_scores(found, json))


@app.command(epilog="Example:  miar export --engine onnx --out miar.onnx")
def export(
    out: Annotated[Path, typer.Option(help="File to write.")],
    engine: Annotated[str, typer.Option(help="onnx")] = "onnx",
    checkpoint: Checkpoint = None,
    debug: Debug = False,  # noqa: ARG001 - read by the wrapper
) -> None:
    """Write the network for another runtime."""
    from miar_rt.checkpoint import load_checkpoint
    from miar_rt.engines.export import export_onnx

    if engine != "onnx":
        raise ValueError(f"no export for engine {engine!r}: use onnx")
    try:
        export_onnx(load_checkpoint(checkpoint), out)
    except OSError as error:
        raise ValueError(f"cannot write {out}: {error.strerror}; give a file in a folder that is there") from error


def live_main() -> None:
    """Entry point of ``miar-live``."""
    _run("miar-live", live_app, interrupted=0)


def main() -> None:
    """Entry point of ``miar``."""
    _run("miar", app, interrupted=INTERRUPTED)


def _language(code: str) -> str | None:
    return None if code == "auto" else code


def _run(name: str, command: Callable[..., Any], interrupted: int) -> None:
    """Run a command; whatever goes wrong is one line on stderr and an exit code."""
    if sys.stderr is None:  # closed by the shell: nobody is told, and the work goes on
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the program runs
    for number in STOPS:
        signal.signal(number, signal.default_int_handler)
    # asyncio's own remarks about clients that left are not for the person at the terminal
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    if "--debug" in sys.argv:
        logging.getLogger("miar").setLevel(logging.DEBUG)
    try:
        _refuse_empty(sys.argv[1:])
        code = command(prog_name=name, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        _complain(name, error)
    # typer turns most interruptions into this code by itself
    code = interrupted if code == INTERRUPTED else code
    sys.exit(code if isinstance(code, int) else 0)


def _refuse_empty(arguments: list[str]) -> None:
    """An unset variable of a script must not come to mean the folder it runs in."""
    for i, argument in enumerate(arguments):
        option = argument.rstrip("=") if argument.startswith("--") else None
        if argument == "" or option not in {None, argument}:
            raise typer.BadParameter(f"{option or (arguments[i - 1] if i else 'an argument')} is empty")


def _place(error: Exception, name: str) -> str:
    """The command, with the subcommand where the mistake was made in one."""
    context = getattr(error, "ctx", None)
    return context.command_path if context else name


def _complain(name: str, error: Exception) -> None:
    """One line, and 2 when the call or its input was wrong, 1 when something failed on the way."""
    from stream.app import WRONG_INPUT

    # typer carries a copy of click in some versions and uses click in others: both have this method
    usage = getattr(error, "format_message", None)
    # what no file is named for was written to a stream
    plain = error.strerror if isinstance(error, OSError) and error.filename is None else str(error)
    message = f"{usage().rstrip('.')}; see {_place(error, name)} --help" if usage else plain or type(error).__name__
    line = " ".join(message.split())
    typer.echo(f"{name}: {line[:LONGEST_LINE]}{' ...' if len(line) > LONGEST_LINE else ''}", err=True)
    sys.exit(WRONG if usage or isinstance(error, WRONG_INPUT) else FAILED)
