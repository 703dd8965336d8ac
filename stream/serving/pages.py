"""What the server answers to plain HTTP: the pages, the schema, the metrics. No sockets here.

Only the names in ``FILES`` are ever read, so no path can lead out of the folder of pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from stream.serving import metrics, protocol, schema

HTML, JS, CSS = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_SCRIPTS = (
    "parts", "dashboard", "timeline", "latency", "mesh", "mesh-lines", "calibrate", "controls", "overlay", "record",
    "miar-client",
)  # fmt: skip
FILES: Mapping[str, tuple[str, str]] = {
    "/": ("index.html", HTML),
    "/overlay": ("overlay.html", HTML),
    **{f"/{name}.css": (f"{name}.css", CSS) for name in ("colours", "style", "overlay")},
    **{f"/{name}.js": (f"{name}.js", JS) for name in _SCRIPTS},
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP answer: status, body, and headers beyond the ones that every answer has."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def security_headers(host: str) -> dict[str, str]:
    """Headers of every answer: the pages load and reach nothing but ``host`` (already found allowed)."""
    # some browsers do not count ws: as 'self', so the socket's address is spelled out
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' ws://{host} wss://{host}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Cache-Control": "no-cache",
    }


class Pages:
    """Answers by path; ``render_metrics`` and ``health`` give the parts that change."""

    def __init__(
        self,
        render_metrics: Callable[[], bytes],
        health: Callable[[], dict[str, object]],
        token: str | None = None,
    ) -> None:
        self._render_metrics, self._health, self._token = render_metrics, health, token

    def answer(self, method: str, target: str, authorization: str = "") -> Page:
        """The answer to ``method`` on ``target`` (path and query)."""
        if method != "GET":
            return Page(405, b"only GET\n", headers={"Allow": "GET"})
        path = target.partition("?")[0]
        if path in FILES:
            name, content_type = FILES[path]
            return Page(200, _read(name), content_type)
        if path == "/schema":
            return Page(200, _schema(), "application/schema+json")
        if path == "/healthz":
            health = self._health()
            status = 503 if health["status"] == "stalled" else 200
            return Page(status, json.dumps(health).encode(), "application/json")
        if path == "/metrics":
            return self._metrics(authorization)
        return Page(404, b"there is no such page\n")

    def _metrics(self, authorization: str) -> Page:
        given = authorization.removeprefix("Bearer ")
        if self._token is not None and not protocol.same_token(given, self._token):
            return Page(401, b"needs the token\n", headers={"WWW-Authenticate": "Bearer"})
        return Page(200, self._render_metrics(), metrics.CONTENT_TYPE)


@cache
def _read(name: str) -> bytes:
    return resources.files("stream.serving.overlay").joinpath(name).read_bytes()


@cache
def _schema() -> bytes:
    return json.dumps(schema.json_schema(), indent=1).encode()
