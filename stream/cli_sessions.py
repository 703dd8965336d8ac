"""``miar sessions``: recordings told of and removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli_options import Json

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
