"""What works on this machine, what does not, and the command that mends it: ``miar doctor``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from stream.sources.devices import within

PATIENCE = 20.0
"""Seconds after which a check that does not answer is given up."""


class Check(msgspec.Struct, frozen=True):
    """One finding.

    Attributes
    ----------
    ok
        ``None`` for what is worth knowing and neither right nor wrong.
    mend
        The command that mends it.
    essential
        Without it no media file or camera can be scored.
    """

    name: str
    ok: bool | None
    detail: str
    mend: str | None = None
    essential: bool = False


@dataclass(frozen=True, slots=True)
class Examiner:
    """A check by name: what it finds, and whether media can be scored where it fails altogether."""

    name: str
    essential: bool
    find: Callable[[], Iterable[Check]]


def run_doctor(as_json: bool) -> bool:
    """Examine this machine and print what was found; whether media can be scored here."""
    checks = examine()
    able = all(check.ok is not False for check in checks if check.essential)
    print(as_document(checks, able) if as_json else as_table(checks, able))  # noqa: T201 - the command's output
    return able


def examine(examiners: Sequence[Examiner] | None = None) -> list[Check]:
    """Run every check, or the given ones; one that raises or hangs becomes a failed check of its own.

    Nothing is fetched from the internet and no device is opened.
    """
    if examiners is None:
        from stream.doctor_checks import EXAMINERS

        examiners = EXAMINERS
    with _offline():
        return [check for examiner in examiners for check in _survive(examiner)]


def _survive(examiner: Examiner) -> list[Check]:
    try:
        found = within(PATIENCE, lambda: list(examiner.find()))
    except (Exception, SystemExit) as error:
        found, problem = None, f"the check failed: {type(error).__name__}: {' '.join(str(error).split())}"
    else:
        problem = f"no answer within {PATIENCE:g} s"
    return [Check(examiner.name, False, problem, essential=examiner.essential)] if found is None else found


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Keep libraries that could download models from doing so."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def as_document(checks: Sequence[Check], able: bool) -> str:
    """One JSON object."""
    return msgspec.json.format(msgspec.json.encode({"ok": able, "checks": checks}), indent=2).decode()


def as_table(checks: Sequence[Check], able: bool) -> str:
    """A table for people, in colours where the terminal has them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "finding", box=box.SIMPLE_HEAD, pad_edge=False)
    for check in checks:
        finding = Text(check.detail)
        if check.mend:
            finding.append(f"\n-> {check.mend}", style="cyan")
        table.add_row(_verdict(check), check.name, finding)
    console = Console()
    with console.capture() as captured:
        console.print(table)
        console.print(Text(_conclusion(checks, able), style="bold"))
    return captured.get().rstrip("\n")


def _verdict(check: Check) -> str:
    if check.ok is None:
        return "[dim]note[/]"
    if check.ok:
        return "[green]ok[/]"
    return "[bold red]FAILED[/]" if check.essential else "[yellow]missing[/]"


def _conclusion(checks: Sequence[Check], able: bool) -> str:
    failed = sum(check.ok is False for check in checks)
    if not able:
        return "Media files and cameras cannot be scored here until what FAILED is mended."
    rest = f"; {failed} {'thing is' if failed == 1 else 'things are'} missing" if failed else ""
    return f"Media files and cameras can be scored here{rest}."
