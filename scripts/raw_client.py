"""Websocket clients made by hand: what a library would refuse to send, at a thousand clients' speed."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Mapping

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = base64.b64encode(b"sixteen bytes ok").decode()
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def request(
    target: str = "/", method: str = "GET", host: str = "127.0.0.1", headers: Mapping[str, str] | None = None
) -> bytes:
    """An HTTP request without a body."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{n}: {v}" for n, v in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def upgrade(host: str = "127.0.0.1", headers: Mapping[str, str] | None = None) -> bytes:
    """The request that opens a websocket."""
    return request(host=host, headers={**UPGRADE, **(headers or {})})


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, flags: int = 0, masked: bool = True) -> bytes:
    """A frame as a client sends it; the mask is zero, which changes nothing."""
    size, mask = len(payload), 0x80 if masked else 0
    if size < 126:
        length = bytes([mask | size])
    elif size < 65536:
        length = bytes([mask | 126]) + struct.pack(">H", size)
    else:
        length = bytes([mask | 127]) + struct.pack(">Q", size)
    return bytes([(0x80 if fin else 0) | flags | opcode]) + length + (b"\0" * 4 if masked else b"") + payload


def message(**fields: object) -> bytes:
    """A JSON message in a frame."""
    return frame(json.dumps(fields).encode())


def take_frame(data: bytes | bytearray) -> tuple[int, bytes, int] | None:
    """Opcode and payload of the frame at the start of ``data`` and how long it is; ``None`` if not all is here."""
    if len(data) < 2:
        return None
    size, start = data[1] & 0x7F, 2
    if size == 126:
        if len(data) < 4:
            return None
        size, start = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        if len(data) < 10:
            return None
        size, start = int.from_bytes(data[2:10], "big"), 10
    end = start + size
    return (data[0] & 0x0F, bytes(data[start:end]), end) if len(data) >= end else None


class Raw:
    """A connection that sends any bytes and understands what comes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._data = bytearray()

    @classmethod
    async def open(cls, port: int) -> Raw:
        """A connection to the server on this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send, with a pause after each piece; the other side having hung up is found out by reading."""
        try:
            for piece in pieces:
                self._writer.write(piece)
                await self._writer.drain()
                if pause:
                    await asyncio.sleep(pause)
        except OSError:
            return

    async def status(self) -> tuple[int, bytes]:
        """Status and head of the HTTP answer; 0 where the server hung up without one."""
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            if not await self._more():
                return 0, bytes(self._data)
        head = bytes(self._data[:end])
        del self._data[: end + 4]
        return int(head.split(b" ", 2)[1]), head

    async def rest(self) -> bytes:
        """Everything up to the end."""
        while await self._more():
            pass
        return bytes(self._data)

    async def frame(self) -> tuple[int, bytes] | None:
        """The next frame; ``None`` at the end."""
        while (found := take_frame(self._data)) is None:
            if not await self._more():
                return None
        del self._data[: found[2]]
        return found[:2]

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()

    async def _more(self) -> bool:
        try:
            data = await self._reader.read(65536)
        except OSError:
            return False
        self._data += data
        return bool(data)


def close_code(payload: bytes) -> int:
    """The code in a close frame; 1005 where there is none."""
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
