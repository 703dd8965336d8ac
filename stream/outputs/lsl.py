"""Live results as a stream of the Lab Streaming Layer, stamped with the time of capture."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from miar_rt.installing import install_command
from stream.clock import CaptureClock
from stream.events import Result
from stream.outputs import Output, OutputError
from stream.report_table import Column, columns
from stream.silence import silent_stderr

NAME, TYPE = "miar-live", "Emotion"


def channels() -> list[Column]:
    """Columns of ``report_table`` that are measures: numbers, no words."""
    return [column for column in columns() if column.unit]


class LslOutlet(Output):
    """An outlet of irregular rate with ``channels()``; what is ``None`` is NaN.

    Parameters
    ----------
    clock
        What results are stamped on.
    listens_to
        Names of the sources by modality. With the machine's name they make the source id, so that who records
        finds the stream again after a restart.

    Raises
    ------
    OutputError
        Without pylsl and its library.
    """

    def __init__(self, clock: CaptureClock, listens_to: Mapping[str, str]) -> None:
        super().__init__()
        try:
            with silent_stderr():
                import pylsl
        except ImportError as error:
            raise OutputError(f"--lsl needs pylsl: {install_command('lsl')}") from error
        # its package for older systems comes without the library
        except RuntimeError as error:
            raise OutputError("--lsl needs liblsl: install it and name its file by PYLSL_LIB") from error
        self._lsl = pylsl
        self._clock = clock
        self._channels = channels()
        self.source_id = "/".join([NAME, platform.node(), *(listens_to[name] for name in sorted(listens_to))])
        self.name = f"the LSL stream {NAME}"

    def open(self) -> str:
        """Make the outlet: from now on the local network can find it."""
        # the library tells stderr about its version and its configuration
        with silent_stderr():
            self._outlet = self._lsl.StreamOutlet(self._described())
        return f"LSL stream {NAME}, type {TYPE}: whoever is on this network can receive the scores"

    def send(self, results: Sequence[Result]) -> None:
        """Push samples."""
        for result in results:
            values = [_number(column.value(result)) for column in self._channels]
            self._outlet.push_sample(values, self._lsl.local_clock() - self._age(result))

    def close(self) -> None:
        """Take the outlet off the network."""
        del self._outlet

    def _described(self) -> Any:
        lsl = self._lsl
        info = lsl.StreamInfo(NAME, TYPE, len(self._channels), lsl.IRREGULAR_RATE, lsl.cf_double64, self.source_id)
        described = info.desc().append_child("channels")
        for column in self._channels:
            channel = described.append_child("channel")
            channel.append_child_value("label", column.name)
            channel.append_child_value("unit", column.unit)
            channel.append_child_value("type", TYPE)
        return info

    def _age(self, result: Result) -> float:
        """Seconds since the newest signal in a result was captured."""
        now = self._clock.to_unix(self._clock.now())
        return now - (now if result.time is None else result.time)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
