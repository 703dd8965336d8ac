"""The protocol for programs: JSON Schema and AsyncAPI 3, made from the message types themselves."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from stream.events import PROTOCOL_VERSION
from stream.serving.protocol import SUBPROTOCOLS, ClientMessage, ServerMessage

SIDES: Mapping[str, tuple[type, ...]] = {
    "server": typing.get_args(ServerMessage),
    "client": typing.get_args(ClientMessage),
}
DOES = {"server": "send", "client": "receive"}
"""AsyncAPI describes the application that serves: what clients send it receives."""


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of every message, ``server`` and ``client`` naming who sends which."""
    references, definitions = _components("#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _title(),
        **{who: {"anyOf": [references[kind] for kind in kinds]} for who, kinds in SIDES.items()},
        "$defs": definitions,
    }


def asyncapi() -> dict[str, Any]:
    """The protocol as an AsyncAPI 3.0.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""
    references, definitions = _components("#/components/schemas/{name}")
    messages = {
        _tag(kind): {
            "name": _tag(kind),
            "summary": (kind.__doc__ or "").strip().split("\n")[0],
            "payload": references[kind],
        }
        for kinds in SIDES.values()
        for kind in kinds
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": _title(),
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": "Live emotion estimates; docs/protocol.md explains the handshake and every field.",
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:8765", "protocol": "ws"}},
        "channels": {
            "live": {
                "address": "/",
                "description": f"Subprotocols: {', '.join(SUBPROTOCOLS)}.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            f"{DOES[who]}_{_tag(kind)}": {
                "action": DOES[who],
                "channel": {"$ref": "#/channels/live"},
                "messages": [{"$ref": f"#/channels/live/messages/{_tag(kind)}"}],
            }
            for who, kinds in SIDES.items()
            for kind in kinds
        },
        "components": {"messages": messages, "schemas": definitions},
    }


def _title() -> str:
    return f"miar.v{PROTOCOL_VERSION}"


def _tag(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]


def _components(template: str) -> tuple[dict[type, dict[str, Any]], dict[str, Any]]:
    """References by type, and the definitions they point to."""
    kinds = [kind for group in SIDES.values() for kind in group]
    references, definitions = msgspec.json.schema_components(kinds, ref_template=template)
    return dict(zip(kinds, references, strict=True)), definitions
