"""``miar sessions``: recordings told of and removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

sessions_app = typer.Typer(
    rich_markup_mode=None,
    help="List and delete recorded sessions.",
    epilog="Example:  miar sessions list recordings",
    no_args_is_help=True,
)


@sessions_app.command("list", epilog="Example:  miar sessions list recordings")
def list_(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings, at any depth.")] = Path(),
) -> None:
    """List the recordings below a folder: name, date, length, results, size and purpose."""
    from stream.recordings import list_recordings

    typer.echo(list_recordings(folder))


@sessions_app.command(epilog="Example:  miar sessions delete recordings/monday")
def delete(folder: Annotated[Path, typer.Argument(help="A recording, as miar-live --record writes it.")]) -> None:
    """Delete one recording; a folder that is none is refused."""
    from stream.recordings import delete_recording

    delete_recording(folder)
    typer.echo(f"deleted {folder}")
