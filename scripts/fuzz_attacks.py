"""What an attacker may send, with the answers that are right: only those, and nothing else, may come back."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from raw_client import BINARY, CLOSE, CONT, PING, TEXT, UPGRADE, frame, request, upgrade

FOREIGN_NAMES = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "8.8.8.8", "")
WORDS = (
    "dance",
    "result",
    "hello",
    "ready",
    "IDENTIFY",
    "identify ",
    "pause\0",
    "__proto__",
    "constructor",
    "é" * 50,
)


@dataclass(frozen=True)
class Case:
    """Bytes to send and the answers that are right: codes of errors, ``reply``, ``close N``, ``HTTP N``."""

    name: str
    data: bytes
    right: frozenset[str]


def _case(name: str, data: bytes, *right: str) -> Case:
    return Case(name, data, frozenset(right))


def _text(name: str, payload: str | bytes, *right: str) -> Case:
    data = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    return _case(name, frame(data), *right)


def junk_text(rng: random.Random) -> Case:
    """Any characters."""
    text = "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xA0, 0xD7FF)))) for _ in range(60))
    return _text("junk text", text, "bad_message")


def not_json(rng: random.Random) -> Case:
    """Nearly JSON."""
    good = '{"type": "pause", "id": 1}'
    made = (
        good[: rng.randrange(len(good))], f"\ufeff{good}", good.replace('"', "'"), good + good, f"/**/{good}",
        good.replace("1", "NaN"), good.replace("1", "0x1"), good.replace("1", "01"), "\0" + good,
        good.replace("pause", "\\ud800"),
    )  # fmt: skip
    return _text("not JSON", rng.choice(made), "bad_message", "bad_field")


def not_an_object(rng: random.Random) -> Case:
    """JSON that is no object with a type."""
    made = ("[]", "null", "1e400", '"pause"', "true", "{}", '{"type": 1}', '{"type": null}', '{"type": ["pause"]}')
    return _text("not an object with a type", rng.choice(made), "bad_message")


def unknown_type(rng: random.Random) -> Case:
    """A type that nobody knows."""
    return _text("unknown type", json.dumps({"type": rng.choice(WORDS), "id": rng.randrange(9)}), "unknown_type")


def wrong_field(rng: random.Random) -> Case:
    """A known type with a field that is wrong."""
    made: tuple[dict[str, object], ...] = (
        {"type": "pause"}, {"type": "pause", "id": None}, {"type": "pause", "id": {}}, {"type": "pause", "id": 1.5},
        {"type": "set_rate", "id": 1}, {"type": "set_rate", "id": 1, "rate": "10"}, {"type": "calibrate", "id": 1},
        {"type": "set_rate", "id": 1, "rate": 0}, {"type": "set_rate", "id": 1, "rate": 61},
        {"type": "calibrate", "id": 1, "profile": "a", "seconds": -1}, {"type": "identify", "token": 1},
        {"type": "identify", "events": "result"}, {"type": "identify", "events": [1]},
        {"type": "identify", "max_rate": 0}, {"type": "identify", "max_rate": "5"},
    )  # fmt: skip
    return _text("wrong field", json.dumps(rng.choice(made)), "bad_field")


def huge_number(rng: random.Random) -> Case:
    """A number that is too great for its field, or for anything."""
    number = rng.choice(("1e999", "-1e999", "9" * 400, "9" * 6000, "-" + "9" * 6000, "1" + "0" * 308, "1e308"))
    field = rng.choice(('"type":"set_rate","id":1,"rate"', '"type":"identify","max_rate"'))
    return _text("huge number", f"{{{field}:{number}}}", "bad_field", "bad_message")


def deep_nesting(rng: random.Random) -> Case:
    """Brackets in brackets, closed or not."""
    depth, (opening, ending) = rng.randrange(1100, 2700), rng.choice((("[", "]"), ('{"a":', "}")))
    closed = ending * depth if rng.random() < 0.5 else ""
    middle = "1" if closed and opening != "[" else ""
    return _text(
        "deep nesting", '{"type":"pause","id":1,"x":' + opening * depth + middle + closed + "}", "bad_message"
    )


def in_fragments(rng: random.Random) -> Case:
    """A message nobody knows, in pieces, with pings between them."""
    data = json.dumps({"type": "".join(rng.choices("äxyz", k=9))}, ensure_ascii=False).encode()
    cuts = sorted(rng.sample(range(1, len(data)), 4))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    frames = [frame(p, TEXT if i == 0 else CONT, fin=i == len(pieces) - 1) for i, p in enumerate(pieces)]
    return _case("fragments", frame(b"?", PING).join(frames), "unknown_type")


def binary_on_json(rng: random.Random) -> Case:
    """Bytes, MessagePack or UTF-16 where text is agreed on."""
    good = {"type": "pause", "id": 1}
    made = (rng.randbytes(40), msgspec.msgpack.encode(good), json.dumps(good).encode("utf-16"))
    return _case("binary on JSON", frame(rng.choice(made), BINARY), "bad_message")


def junk_msgpack(rng: random.Random) -> Case:
    """What is no MessagePack, too little of it, claims to be gigabytes, is deep, or holds bytes for text."""
    good = msgspec.msgpack.encode({"type": "pause", "id": 1})
    made = (
        b"\xc1" + rng.randbytes(30), good[: rng.randrange(len(good))], b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff", b"\x81\xa4type\xc4\x05pause", b"\xdd\xff\xff\xff\xff",
        b"\x82\xa4type\xa5pause\xa1x" + b"\x91" * 9000,
        b"\xc7\x05\x01hello", b"\x81\xa4type\xa5pa\xff\xfee",
    )  # fmt: skip
    return _case("junk MessagePack", frame(rng.choice(made), BINARY), "bad_message")


def text_on_msgpack(rng: random.Random) -> Case:
    """JSON where MessagePack is agreed on."""
    return _text("text on MessagePack", json.dumps({"type": "pause", "id": rng.randrange(99)}), "bad_message")


def wrong_msgpack(rng: random.Random) -> Case:
    """MessagePack with numbers that are none, or too great."""
    number = rng.choice((float("nan"), float("inf"), -float("inf"), 2**64 - 1, -(2**63), 1e300))
    made = {"type": "set_rate", "id": 1, "rate": number}
    return _case("not a number", frame(msgspec.msgpack.encode(made), BINARY), "bad_field")


def breaks_frames(rng: random.Random) -> Case:
    """Frames that RFC 6455 forbids."""
    made = (
        frame(b"x", rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))),
        frame(b"x", flags=rng.choice((0x10, 0x20, 0x40, 0x70))),
        frame(b"{}", masked=False), frame(b"x", CONT), frame(b"x" * 126, PING), frame(b"x", PING, fin=False),
        frame(b"{", fin=False) + frame(b"}"), frame(b"\x01", CLOSE), frame(struct.pack(">H", 999), CLOSE),
        frame(struct.pack(">H", 1005), CLOSE), frame(b"{", fin=False) + frame(b"\x03\xe8", CLOSE),
    )  # fmt: skip
    return _case("forbidden frames", rng.choice(made), "close 1002")


def not_utf8(rng: random.Random) -> Case:
    """Text that is none."""
    made = (b"\xff\xfe", b"\xc0\xaf", b'{"type": "\xed\xa0\x80"}', b"\xf4\x90\x80\x80", rng.randbytes(30) + b"\xff")
    data = rng.choice(made)
    pieces = frame(data) if rng.random() < 0.5 else frame(data[:1], fin=False) + frame(data[1:], CONT)
    return _case("not UTF-8", pieces, "close 1007")


def oversize(rng: random.Random) -> Case:
    """A message over the limit: at once, in fragments, or only claimed."""
    piece = b"x" * 9000
    made = (
        frame(b"x" * 17_000), frame(piece, fin=False) + frame(piece, CONT),
        b"\x81\xff" + struct.pack(">Q", rng.randrange(2**20, 2**63)) + b"\0\0\0\0",
    )  # fmt: skip
    return _case("oversize", rng.choice(made), "close 1009")


def too_many(rng: random.Random) -> Case:
    """More messages, pings or empty fragments than anybody needs."""
    made = (
        (frame(b'{"type":"dance"}') * 60, "rate_limited"),
        (frame(rng.randbytes(8), PING) * 1500, "close 4003"),
        (frame(b"", fin=False) + frame(b"", CONT, fin=False) * 3000, "close 4003"),
    )
    data, right = rng.choice(made)
    return _case("too many", data, right)


def _identify(token: object) -> Case:
    return _text("bad token", json.dumps({"type": "identify", "token": token, "events": ["result"]}), "bad_token")


def bad_token(rng: random.Random, token: str) -> Case:
    """No token, one nearly right, one of another alphabet."""
    made: tuple[object, ...] = (None, "", token[:-1], token + "x", token.upper(), "ö" * 20, "\ud800", token + "\0")
    chosen = rng.choice(made)
    if chosen == "\ud800":
        return _text("bad token", '{"type": "identify", "token": "\\ud800"}', "bad_message")
    return _identify(chosen)


MESSAGES: tuple[Callable[[random.Random], Case], ...] = (
    junk_text, not_json, not_an_object, unknown_type, wrong_field, huge_number, deep_nesting, in_fragments,
    binary_on_json,
)  # fmt: skip
PACKED: tuple[Callable[[random.Random], Case], ...] = (junk_msgpack, text_on_msgpack, wrong_msgpack)
ENDINGS: tuple[Callable[[random.Random], Case], ...] = (breaks_frames, not_utf8, oversize, too_many)
BEFORE_THE_END = ("bad_message", "unknown_type")
"""What the first of too many messages may be answered with."""


def bad_origin(rng: random.Random) -> Case:
    """A page from elsewhere."""
    made = ("http://evil.example", "null", "http://localhost:1", "file://", "http://127.0.0.1@evil.example", "")
    headers = {"Origin": rng.choice(made)}
    return _case(
        "bad Origin", upgrade(headers=headers) if rng.random() < 0.7 else request(headers=headers), "HTTP 403"
    )


def bad_host(rng: random.Random) -> Case:
    """A name that an attacker made lead here."""
    host = rng.choice(FOREIGN_NAMES)
    headers = {"Origin": f"http://{host}"} if host and rng.random() < 0.5 else {}
    made = (upgrade(host, headers), request(host=host), request("/metrics", host=host))
    return _case("bad Host", rng.choice(made), "HTTP 421")


def no_such_path(rng: random.Random) -> Case:
    """Ways out of the folder of pages."""
    dots = rng.choice(("..", "%2e%2e", ".%2e", "%252e%252e", "..%00", "....//..", "\\..", "%c0%ae%c0%ae", "..;"))
    slash = rng.choice(("/", "%2f", "\\", "%5c", "//"))
    start = rng.choice(("/", "/overlay/", "/style.css/", "//", "/schema/", "http://127.0.0.1/"))
    end = rng.choice(("server.py", "etc/passwd", "index.html", "proc/self/environ", ""))
    target = start + (dots + slash) * rng.randrange(1, 6) + end
    made = upgrade().replace(b"GET / ", f"GET {target} ".encode()) if rng.random() < 0.2 else request(target)
    return _case("path traversal", made, "HTTP 404")


def bad_request(rng: random.Random) -> Case:
    """What is no request, or one that is not served."""
    host = "Host: 127.0.0.1\r\n"
    made = (
        (rng.randbytes(50) + b"\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400), (b"PRI * HTTP/2.0\r\n\r\n", 400), (b"GET /\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (f"GET / HTTP/1.1\r\n{host}{host}\r\n".encode(), 421), (b"GET / HTTP/1.1\r\n\r\n", 421),
        (f"GET / HTTP/1.1\r\n{host}Content-Length: 9\r\n\r\nsomething".encode(), 400),
        (f"POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(), 400),
        (f"GET / HTTP/1.1\r\n{host}no colon here\r\n\r\n".encode(), 400),
    )  # fmt: skip
    data, status = rng.choice(made)
    return _case("bad request", data, f"HTTP {status}")


def bad_method(rng: random.Random) -> Case:
    """Anything but GET; older libraries know no other method."""
    method = rng.choice(("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD", "get"))
    data = upgrade().replace(b"GET", method.encode()) if rng.random() < 0.3 else request(method=method)
    return _case("bad method", data, "HTTP 405", "HTTP 400")


def bad_upgrade(rng: random.Random) -> Case:
    """Handshakes that are none."""
    name = rng.choice(("Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"))
    headers = {**UPGRADE, name: rng.choice(("", "8", "x" * 300, "close", "=" * 24))}
    return _case("bad handshake", request(headers=headers), "HTTP 400", "HTTP 426")


def too_long(rng: random.Random) -> Case:
    """Requests without an end."""
    made = (
        request("/" + "a" * rng.randrange(9000, 60_000)), request(headers={"X": "a" * rng.randrange(9000, 60_000)}),
        request(headers={f"X{i}": "a" for i in range(200)}),
        request(headers={f"X{i}": "a" * 900 for i in range(100)}),
    )  # fmt: skip
    return _case("too long", rng.choice(made), "HTTP 414", "HTTP 431", "HTTP 400")


def secret_page(rng: random.Random) -> Case:
    """The metrics without the token."""
    made: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic eDp4"},
        {"Authorization": "Bearer \xff"},
    )
    return _case("metrics without the token", request("/metrics", headers=rng.choice(made)), "HTTP 401")


def pipelined(rng: random.Random) -> Case:
    """Several requests at once: the first is answered and the connection closed, as the answer says."""
    return _case("pipelined", request("/healthz") * rng.randrange(2, 30), "HTTP 200")


REQUESTS: tuple[Callable[[random.Random], Case], ...] = (
    bad_origin, bad_host, no_such_path, bad_request, bad_method, bad_upgrade, too_long, secret_page, pipelined,
)  # fmt: skip
