"""Live results as OSC messages by UDP, for music, light and picture programs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from miar_rt.installing import install_command
from miar_rt.signals import MODALITIES
from stream.events import Result
from stream.outputs import Output, OutputError

if TYPE_CHECKING:
    from pythonosc.osc_bundle import OscBundle

Value: TypeAlias = float | int | str
log = logging.getLogger("miar.live")


def address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, an IPv6 host in brackets.

    Raises
    ------
    OutputError
        When it is no such thing.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise OutputError(f"--osc wants HOST:PORT, as 127.0.0.1:9000, not {text!r}")
    return host, int(port)


class OscSender(Output):
    """Sends one bundle a result; a network that is away for a while is waited out.

    Raises
    ------
    OutputError
        When the address is none, or python-osc is not installed.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        self._host, self._port = address(target)
        try:
            import pythonosc.osc_bundle_builder
            import pythonosc.osc_message_builder
            import pythonosc.udp_client
        except ImportError as error:
            raise OutputError(f"--osc needs python-osc: {install_command('osc')}") from error
        self._osc = pythonosc
        self._away = False
        self.name = f"OSC to {target}"

    def open(self) -> str:
        """Look the host up."""
        try:
            self._client = self._osc.udp_client.UDPClient(self._host, self._port)
        except OSError as error:
            raise OutputError(f"no such host: {self._host} ({error.strerror}); give --osc HOST:PORT") from error
        return f"scores go to {self._host}:{self._port} by OSC"

    def send(self, results: Sequence[Result]) -> None:
        """Send what can be sent: UDP tells little of what arrives."""
        for result in results:
            try:
                self._client.send(self._bundle(result))
            except OSError as error:
                if not self._away:
                    log.warning("%s does not go out: %s", self.name, error.strerror)
                self._away = True
            else:
                self._away = False

    def close(self) -> None:
        """Close the socket."""
        self._client.close()

    def _bundle(self, result: Result) -> OscBundle:
        bundles, builders = self._osc.osc_bundle_builder, self._osc.osc_message_builder
        bundle = bundles.OscBundleBuilder(bundles.IMMEDIATELY)
        for name, values in messages(result):
            message = builders.OscMessageBuilder(f"/miar/{name}")
            for value in values:
                message.add_arg(value)
            bundle.add_content(message.build())
        built: OscBundle = bundle.build()
        return built


def messages(result: Result) -> Iterator[tuple[str, Sequence[Value]]]:
    """Address below ``/miar`` and arguments; what is not scored is not sent, and ``scored`` says so."""
    yield "scored", [int(result.label is not None)]
    for name in MODALITIES:
        yield f"present/{name}", [int(result.modalities[name].present)]
    if result.label is None or result.emotions is None or result.sentiment is None:
        return
    yield "label", [result.label, float(result.confidence or 0.0)]
    for emotion, share in result.emotions.items():
        yield f"emotion/{emotion}", [share]
    yield "sentiment", [result.sentiment.value, result.sentiment.low, result.sentiment.high]
