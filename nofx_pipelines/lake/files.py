"""A version's data files: which there are, which sessions they hold, and their rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from nofx_pipelines.lake.schemas import TableSchema


@dataclass(frozen=True)
class DataFile:
    """One live file; ``first`` and ``last`` are the sessions it holds, None where it has none."""

    name: str
    rows: int
    first: date | None
    last: date | None

    def touches(self, start: date | None, end: date | None) -> bool:
        """Whether the file may hold rows of sessions ``[start, end)``."""
        after = start is None or self.last is None or self.last >= start
        return after and (end is None or self.first is None or self.first < end)

    def within(self, start: date, end: date) -> bool:
        """Whether all of the file's rows are of sessions ``[start, end)``."""
        if self.first is None or self.last is None:
            return False
        return start <= self.first and self.last < end


def live_files(delta: DeltaTable, schema: TableSchema) -> list[DataFile]:
    """The files of a version, by session."""
    actions: list[dict[str, Any]] = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    session = schema.session_column
    files = [
        DataFile(
            name=action["path"],
            rows=action["num_records"],
            first=action.get(f"min.{session}"),
            last=action.get(f"max.{session}"),
        )
        for action in actions
    ]
    return sorted(files, key=lambda file: (file.first or date.min, file.last or date.min, file.name))


def stored_schema(delta: DeltaTable, schema: TableSchema) -> dict[str, pl.DataType]:
    """The declared columns and the further ones that were written."""
    extra = sorted(field.name for field in delta.schema().fields if field.name not in schema.columns)
    return {**schema.columns, **{name: pl.Float64() for name in extra}}


def scan_files(folder: Path, names: Iterable[str], schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    """The rows of data files; columns that a file lacks are null."""
    paths = [folder / name for name in names]
    if not paths:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(paths, schema=schema, missing_columns="insert", glob=False)
