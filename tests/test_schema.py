"""The published schemas say what the server does, and have not drifted from it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from serving_samples import nothing, result

from stream.serving import protocol
from stream.serving.schema import asyncapi, json_schema

ROOT = Path(__file__).parents[1]
SERVER = {"hello", "ready", "error", "reply", "result", "transcript", "status", "landmarks", "calibration"}
CLIENT = {"identify", "pause", "resume", "set_rate", "list_devices", "choose_device", "calibrate", "record"}


@pytest.mark.parametrize("name", ["schema.json", "asyncapi.json"])
def test_the_published_file_is_what_the_types_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    texts = importlib.import_module("write_schema").texts()
    assert (ROOT / "docs" / name).read_text() == texts[name], "run python scripts/write_schema.py"


def test_the_schema_covers_every_message() -> None:
    schema = json_schema()
    tags = {
        who: {schema["$defs"][ref["$ref"].rpartition("/")[2]]["properties"]["type"]["enum"][0] for ref in kinds}
        for who, kinds in ((who, schema[who]["anyOf"]) for who in ("server", "client"))
    }
    assert tags == {"server": SERVER, "client": CLIENT}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.mark.parametrize("document", [json_schema(), asyncapi()], ids=["schema", "asyncapi"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > 10
    for reference in found:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_asyncapi_says_who_sends_what() -> None:
    operations = asyncapi()["operations"]
    assert {name for name, o in operations.items() if o["action"] == "send"} == {f"send_{n}" for n in SERVER}
    assert {name for name, o in operations.items() if o["action"] == "receive"} == {f"receive_{n}" for n in CLIENT}
    assert asyncapi()["asyncapi"] == "3.0.0"


@pytest.mark.parametrize("message", [result(), nothing()], ids=["scored", "nothing present"])
def test_what_is_sent_has_the_fields_of_the_schema(message: Any) -> None:
    sent = json.loads(protocol.encode(message, "json"))
    described = json_schema()["$defs"]["Result"]
    assert set(described["required"]) <= set(sent) <= set(described["properties"])


def example(kind: dict[str, Any]) -> dict[str, Any]:
    """The least that the schema asks of a client's message."""
    made: dict[str, Any] = {}
    for name in kind["required"]:
        field = kind["properties"][name]
        if "enum" in field:
            made[name] = field["enum"][0]
        elif "anyOf" in field or field.get("type") == "string":
            made[name] = "x"
        else:
            made[name] = field.get("minimum", 1)
    return made


@pytest.mark.parametrize("tag", sorted(CLIENT))
def test_the_least_the_schema_asks_for_is_accepted(tag: str) -> None:
    definitions = json_schema()["$defs"]
    kind = next(d for d in definitions.values() if d.get("properties", {}).get("type") == {"enum": [tag]})
    accepted = protocol.parse(json.dumps(example(kind)), "json")
    assert not isinstance(accepted, protocol.Error)
    assert msgspec.to_builtins(accepted)["type"] == tag
