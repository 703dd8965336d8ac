"""``miar replay`` and ``miar sessions``: recordings scored again, told of and removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli_options import Checkpoint, Debug, Json, TextEncoder

sessions_app = typer.Typer(
    rich_markup_mode=None,
    help="List and delete recorded sessions.",
    epilog="Example:  miar sessions list recordings",
    no_args_is_help=True,
)


@sessions_app.command("list", epilog="Example:  miar sessions list recordings")
def list_(
    folder: Annotated[
        Path | None,
        typer.Argument(help="With recordings at any depth; else this one, and what the dashboard made."),
    ] = None,
    json: Json = False,
) -> None:
    """List recordings.

    With name, date, length, results, size and purpose.
    """
    from stream.recordings import list_recordings

    typer.echo(list_recordings(folder, json))


@sessions_app.command(epilog="Example:  miar sessions delete recordings/monday")
def delete(
    folder: Annotated[Path, typer.Argument(help="A recording, or the name of one of the dashboard's.")],
) -> None:
    """Delete one recording; a folder that is none is refused."""
    from stream.recordings import delete_recording, find_recording

    found = find_recording(folder)
    delete_recording(found)
    typer.echo(f"deleted {found}")


def replay(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    folder: Annotated[Path, typer.Argument(help="A recording, as miar-live --record writes it, or its name.")],
    out: Annotated[Path | None, typer.Option(help="Folder for a report, as of miar analyze.")] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it as if it were live; begins with the first client.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port to serve on; 0 takes a free one.", min=0, max=65535)] = 8765,
    speed: Annotated[
        float | None, typer.Option(help="Times as fast as it was; otherwise 1 with --serve, else all it can.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Instead of the one of the recording.")] = None,
    checkpoint: Checkpoint = None,
    text_encoder: TextEncoder = None,
    debug: Debug = False,  # noqa: ARG001 - read by the wrapper
) -> None:
    """Score a recording again and compare the results."""
    from stream.app_replay import run_replay
    from stream.options import ReplayOptions

    run_replay(folder, ReplayOptions(out, engine, checkpoint, text_encoder, port if serve else None, speed))
