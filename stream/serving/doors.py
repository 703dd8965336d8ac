"""Who may come in: allow-lists for the Host and Origin headers, decided without I/O.

A page the user visits can make its own domain resolve to 127.0.0.1 (DNS rebinding) or simply open a websocket
to localhost. The first sends the attacker's name as Host, the second as Origin; neither can be forged by a
page, so both are compared with what is expected here.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address) can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Doors:
    """Decides by headers. Names beyond the defaults come from ``hosts`` and ``origins``.

    Bound to loopback only loopback names are let in; bound to another address so is any literal address
    (rebinding needs a name) and this machine's own name.
    """

    def __init__(self, host: str, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._open = not is_loopback(host)
        own = {host.lower(), socket.gethostname().lower()} if self._open else set()
        self._hosts = _LOOPBACK_NAMES | own | {name.lower() for name in hosts}
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def host_allowed(self, values: Sequence[str]) -> bool:
        """Whether the values of the Host header are one value with an expected name (any port: tunnels)."""
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            return False
        name = match["name"].lower()
        return name in self._hosts or (self._open and _is_address(name))

    def origin_allowed(self, values: Sequence[str], host: str) -> bool:
        """Whether the Origin header is absent (no browser), our own ``host``, or on the list."""
        if not values:
            return True
        origin = values[0].lower().rstrip("/")
        own = {f"http://{host.lower()}", f"https://{host.lower()}"}
        return len(values) == 1 and (origin in own or origin in self._origins)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
