"""What cameras and microphones have in common: being chosen by name, and being waited for only so long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from stream.sources import Device, NoDefaultDevice, SourceError

T = TypeVar("T")


def choose_device(devices: Sequence[Device], which: int | str | None, kind: str) -> Device:
    """The device meant by an index, an identifier, a name or a part of one; ``None`` means the default.

    Raises
    ------
    NoDefaultDevice
        ``which`` is ``None`` and no device is the default.
    SourceError
        Nothing, or more than one device, is meant; the message lists what there is.
    """
    if which is None:
        found = [device for device in devices if device.default]
        if not found:
            raise NoDefaultDevice(f"there is no {kind} here")
        return found[0]
    found = _matching(devices, which)
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{device.index} ({device.name})" for device in found or devices) or "none"
    problem = f"{kind} {which!r} could be any of" if found else f"there is no {kind} {which!r}; there is"
    raise SourceError(f"{problem}: {there}")


def _matching(devices: Sequence[Device], which: int | str) -> list[Device]:
    if isinstance(which, int) or which.isdecimal():
        return [device for device in devices if device.index == int(which)]
    wanted = which.casefold()
    exact = [device for device in devices if wanted in (device.identifier.casefold(), device.name.casefold())]
    return exact[:1] or [device for device in devices if wanted in device.name.casefold()]


def within(seconds: float, act: Callable[[], T]) -> T | None:
    """What ``act`` returns, or ``None`` when it takes longer than that: then it is left behind, on its thread.

    Drivers and network stacks can hang for minutes in calls that offer no deadline of their own.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(act())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    return result[0] if result else None
