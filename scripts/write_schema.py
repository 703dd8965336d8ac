"""Write the protocol's published schemas, docs/schema.json and docs/asyncapi.json, from the message types.

Example
-------
    python scripts/write_schema.py
"""

from __future__ import annotations

import json
from pathlib import Path

from stream.serving.schema import asyncapi, json_schema

DOCS = Path(__file__).resolve().parents[1] / "docs"


def texts() -> dict[str, str]:
    """What belongs into each file of docs/."""
    made = {"schema.json": json_schema(), "asyncapi.json": asyncapi()}
    return {name: json.dumps(document, indent=1) + "\n" for name, document in made.items()}


if __name__ == "__main__":
    for name, text in texts().items():
        (DOCS / name).write_text(text)
