"""Results as a flat, typed table: ``results.parquet``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

from miar_rt.signals import EMOTIONS, MODALITIES
from stream.events import Result

ColumnType: TypeAlias = Literal["int64", "float64", "bool", "string"]
TOKENS = (*MODALITIES, "fused")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its type, and where in a result its value is (``None`` is stored as null).

    ``unit`` is that of a measure; text and what only counts or dates a result have none.
    """

    name: str
    type: ColumnType
    value: Callable[[Result], Any]
    nullable: bool = True
    unit: str = ""


def columns() -> list[Column]:
    """All columns in order."""
    return [
        Column("seq", "int64", lambda r: r.seq, nullable=False),
        Column("media_time", "float64", lambda r: r.media_time, nullable=False),
        Column("label", "string", lambda r: r.label),
        Column("confidence", "float64", lambda r: r.confidence, unit="probability"),
        *(_emotion("emotion", "emotions", name) for name in EMOTIONS),
        *(_emotion("raw", "raw_emotions", name) for name in EMOTIONS),
        *(_sentiment(bound) for bound in ("value", "low", "high")),
        *(column for name in MODALITIES for column in _modality(name)),
        *(_gate(token) for token in TOKENS),
        Column("transcript_committed", "string", lambda r: r.transcript.committed, nullable=False),
        Column("transcript_partial", "string", lambda r: r.transcript.partial, nullable=False),
    ]


def _emotion(prefix: str, field: str, name: str) -> Column:
    def value(result: Result) -> float | None:
        distribution: dict[str, float] | None = getattr(result, field)
        return None if distribution is None else distribution.get(name)

    return Column(f"{prefix}_{name}", "float64", value, unit="probability")


def _sentiment(bound: str) -> Column:
    name = "sentiment" if bound == "value" else f"sentiment_{bound}"

    def value(result: Result) -> float | None:
        return None if result.sentiment is None else getattr(result.sentiment, bound)

    return Column(name, "float64", value, unit="CMU -3..3")


def _gate(token: str) -> Column:
    return Column(f"gate_{token}", "float64", lambda r: r.gate.get(token), unit="share")


def _modality(name: str) -> list[Column]:
    return [
        Column(f"{name}_present", "bool", lambda r: r.modalities[name].present, False, "boolean"),
        Column(f"{name}_reason", "string", lambda r: r.modalities[name].reason),
        Column(f"{name}_age_ms", "float64", lambda r: r.modalities[name].age_ms, unit="ms"),
        Column(f"{name}_contribution", "float64", lambda r: r.modalities[name].contribution, False, "share"),
    ]


class TableWriter:
    """Writes batches of results as row groups; a context manager. No rows make a table with a schema."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self._columns = columns()
        kinds = {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
        self._schema = pa.schema([pa.field(c.name, kinds[c.type], nullable=c.nullable) for c in self._columns])
        # opened here: pyarrow takes names in UTF-8 only
        self._file = path.open("wb")
        self._writer = pq.ParquetWriter(self._file, self._schema)

    def write(self, batch: Sequence[Result]) -> None:
        """Append one row group."""
        arrays = [
            self._pa.array([column.value(result) for result in batch], type=field.type)
            for column, field in zip(self._columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._file.close()
