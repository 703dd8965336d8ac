"""Profiles of people in use: loaded for a scorer, told of, and removed."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from calibration.profile import NoProfile, Profile, ProfileError, Profiles, remedy
from miar_rt.checkpoint import Checkpoint
from miar_rt.input_spec import SPEC
from miar_rt.neutral import MEASURED, inputs_name, known_seconds, personal
from miar_rt.signals import Modality
from stream.scoring import Scorer

PARTS = {"audio": "voice", "vision": "face"}


def load_profile(name: str, store: Profiles | None = None) -> Profile:
    """A profile that fits the input table in use; ``ProfileError`` when there is none."""
    widths: dict[str, int] = {modality: SPEC.widths[modality] for modality in MEASURED}
    return (store or Profiles()).load(name, widths, inputs_name())


def know(scorer: Scorer, name: str | None, lines: list[str]) -> str | None:
    """Let a scorer take everybody for the person of a profile, and tell in ``lines`` what should be known.

    Gives the profile's name, ``None`` where none was asked for; ``ProfileError`` when it cannot be used.
    """
    if name is None:
        return None
    try:
        profile = load_profile(name)
    except NoProfile as error:
        raise ProfileError(f"{error}: make it with {remedy(name)}") from error
    scorer.builder.baseline = personal(profile.neutral)
    lines.append(f"profile {profile.name}: {told_seconds(profile)}")
    if warning := profile.warning():
        lines.append(f"warning: {warning}")
    if warning := not_trained_with(scorer.checkpoint, scorer.builder.baseline):
        lines.append(f"warning: {warning}")
    return profile.name


def not_trained_with(checkpoint: Checkpoint, known: Collection[Modality]) -> str | None:
    """One line when a checkpoint makes no use of baselines of what is ``known``, or has not learned to."""
    unused = sorted(PARTS[modality] for modality in set(known) & checkpoint.ignored_baselines)
    if unused:
        return (
            f"checkpoint {checkpoint.name} uses no personal {' and '.join(unused)}: on validation "
            "it did worse with one"
        )
    strange = sorted(PARTS[modality] for modality in set(known) - checkpoint.baselines)
    if not strange:
        return None
    return (
        f"checkpoint {checkpoint.name} was not trained with profiles of the {' and the '.join(strange)}: "
        "its answers may get worse with one"
    )


def told_seconds(profile: Profile) -> str:
    """How much of each part a profile rests on, for people."""
    known = _seconds(profile)
    return ", ".join(f"{known[name]:.1f} s of {PARTS[name]}" for name in MEASURED if name in known)


def _seconds(profile: Profile) -> dict[str, float]:
    return {
        name: round(known_seconds(name, profile.neutral[name]), 2) for name in MEASURED if name in profile.neutral
    }


def list_profiles(as_json: bool) -> str:
    """All profiles for ``miar profiles list``; one that cannot be used says why."""
    found = [_entry(name) for name in Profiles().names()]
    if as_json:
        return json.dumps(found)
    width = max((len(one["name"]) for one in found), default=0)
    return "\n".join(f"{one['name']:{width}}  {_shown(one)}" for one in found) or (
        "no profiles: make one with miar calibrate --profile NAME"
    )


def show_profile(name: str, as_json: bool) -> str:
    """One profile for ``miar profiles show``; ``ProfileError`` when it cannot be used."""
    profile = load_profile(name)
    entry = _described(profile)
    if as_json:
        return json.dumps(entry)
    warning = profile.warning()
    lines = [f"{key:9} {value}" for key, value in entry.items() if key not in {"seconds", "path"}]
    lines += [f"{'measured':9} {told_seconds(profile)}", f"{'file':9} {entry['path']}"]
    return "\n".join([*lines, *([f"warning: {warning}"] if warning else [])])


def _entry(name: str) -> dict[str, Any]:
    try:
        return _described(load_profile(name))
    except ProfileError as error:
        return {"name": name, "error": str(error)}


def _described(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "created": profile.day,
        "age_days": math.floor(profile.age_days()),
        "seconds": _seconds(profile),
        "path": str(Profiles().path(profile.name)),
    }


def _shown(entry: dict[str, Any]) -> str:
    if "error" in entry:
        return f"cannot be used: {entry['error']}"
    parts: Sequence[str] = [f"{seconds:.1f} s of {PARTS[name]}" for name, seconds in entry["seconds"].items()]
    return f"{entry['created']}  {', '.join(parts)}"


def delete_profile(name: str) -> str:
    """Remove a profile for ``miar profiles delete``."""
    Profiles().delete(name)
    return f"deleted profile {name}"


def export_profile(name: str, target: Path) -> str:
    """Copy a profile for ``miar profiles export``."""
    Profiles().export(name, target)
    return f"profile {name} is in {target}"
