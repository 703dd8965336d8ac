"""``miar calibrate`` and ``miar profiles``: one person's neutral, made and looked after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli_options import AcceptNotice, Camera, Checkpoint, Debug, Engine, Json, Mic
from stream.completion import profiles

profiles_app = typer.Typer(
    rich_markup_mode=None,
    help="List, show, delete and export profiles of people.",
    epilog="Example:  miar profiles list",
)
Name = Annotated[str, typer.Argument(help="Of the profile.", autocompletion=profiles)]


def calibrate(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    profile: Annotated[str, typer.Option(help="Name of the profile: letters, digits, spaces, dots, dashes.")],
    seconds: Annotated[float, typer.Option(help="How long to look and listen, 5 to 300.")] = 20.0,
    input_: Annotated[Path | None, typer.Option("--input", help="Calibrate with a media file.")] = None,
    camera: Camera = None,
    no_camera: Annotated[bool, typer.Option("--no-camera", help="Measure the voice alone.")] = False,
    mic: Mic = None,
    no_mic: Annotated[bool, typer.Option("--no-mic", help="Measure the face alone.")] = False,
    engine: Engine = "auto",
    checkpoint: Checkpoint = None,
    accept_notice: AcceptNotice = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Measure a person's neutral voice and face.

    With it results are about them and not about the average.
    """
    from stream.guided_calibration import run_calibrate
    from stream.options import CalibrateOptions

    run_calibrate(
        profile,
        CalibrateOptions(
            seconds=seconds,
            input=input_,
            camera=camera,
            no_camera=no_camera,
            mic=mic,
            no_mic=no_mic,
            engine=engine,
            checkpoint=checkpoint,
            accept_notice=accept_notice,
        ),
    )


@profiles_app.command("list", epilog="Example:  miar profiles list --json")
def list_(json: Json = False) -> None:
    """List the profiles, their days and what they rest on."""
    from stream.profiles import list_profiles

    typer.echo(list_profiles(json))


@profiles_app.command(epilog="Example:  miar profiles show ann")
def show(name: Name, json: Json = False) -> None:
    """Show one profile."""
    from stream.profiles import show_profile

    typer.echo(show_profile(name, json))


@profiles_app.command(epilog="Example:  miar profiles delete ann")
def delete(name: Name) -> None:
    """Delete one profile."""
    from stream.profiles import delete_profile

    typer.echo(delete_profile(name))


@profiles_app.command(epilog="Example:  miar profiles export ann ann.json")
def export(
    name: Name, file: Annotated[Path, typer.Argument(help="New file for a copy, readable by its owner only.")]
) -> None:
    """Copy one profile to a file."""
    from stream.profiles import export_profile

    typer.echo(export_profile(name, file))
