"""A version's data files: which there are, which sessions they hold, their rows, how they are made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, RemoveAction

from nofx_pipelines.lake.checksums import named_by_hash
from nofx_pipelines.lake.schemas import TableSchema


@dataclass(frozen=True)
class DataFile:
    """One data file; ``first`` and ``last`` are the sessions it holds, None where it has none."""

    name: str
    size: int
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

    def added(self, session: str | None, at_ms: int, *, new_rows: bool) -> AddAction:
        """The log's action for adding the file."""
        bounded = session is not None and self.first is not None
        stats = {
            "numRecords": self.rows,
            "minValues": {session: str(self.first)} if bounded else {},
            "maxValues": {session: str(self.last)} if bounded else {},
            "nullCount": {session: 0} if bounded else {},
        }
        return AddAction(
            path=self.name,
            size=self.size,
            partition_values={},
            modification_time=at_ms,
            data_change=new_rows,
            stats=json.dumps(stats),
        )

    def removed(self, at_ms: int, *, new_rows: bool) -> RemoveAction:
        """The log's action for removing the file from the next version."""
        return RemoveAction(self.name, new_rows, at_ms, size=self.size)


def write_file(frame: pl.DataFrame, folder: Path, session: str | None) -> DataFile:
    """Write one data file into ``folder`` under the name that records its hash."""
    path = folder / "unnamed"
    frame.write_parquet(path, compression="zstd")
    name = named_by_hash(path)
    size = path.stat().st_size
    path.rename(folder / name)
    if session is None or not frame.height:
        return DataFile(name, size, frame.height, None, None)
    first, last = frame.select(pl.col(session).min().alias("a"), pl.col(session).max().alias("b")).row(0)
    return DataFile(name, size, frame.height, first, last)


def live_files(delta: DeltaTable, schema: TableSchema) -> list[DataFile]:
    """The files of a version, by session."""
    actions: list[dict[str, Any]] = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    session = schema.session_column
    files = [
        DataFile(
            name=action["path"],
            size=action["size_bytes"],
            rows=action["num_records"],
            first=action.get(f"min.{session}"),
            last=action.get(f"max.{session}"),
        )
        for action in actions
    ]
    return sorted(files, key=lambda file: (file.first or date.min, file.last or date.min, file.name))


def stored_schema(delta: DeltaTable, schema: TableSchema) -> dict[str, pl.DataType]:
    """The declared columns and the further ones that were written, none under an earlier name."""
    declared = {*schema.columns, *schema.renamed.values()}
    extra = sorted(field.name for field in delta.schema().fields if field.name not in declared)
    return {**schema.columns, **{name: pl.Float64() for name in extra}}


def delta_schema(columns: pl.Schema) -> Schema:
    """The same columns as Delta knows them."""
    return Schema.from_arrow(pl.DataFrame(schema=columns).to_arrow().schema)


def scan_files(
    folder: Path,
    files: Iterable[DataFile],
    columns: dict[str, pl.DataType],
    renamed: Mapping[str, str] | None = None,
) -> pl.LazyFrame:
    """The rows of data files; columns that a file lacks are null.

    Parameters
    ----------
    folder
        The table's.
    files
        Of one version.
    columns
        Names and types of what is read.
    renamed
        Columns and the names that files of earlier versions have them under.
    """
    by_names: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        earlier = _earlier_names(folder / file.name, renamed) if renamed else ()
        by_names.setdefault(earlier, []).append(folder / file.name)
    parts = [
        _scan(paths, columns, {now: renamed[now] for now in names} if renamed else {})
        for names, paths in by_names.items()
    ]
    return pl.concat(parts) if parts else pl.LazyFrame(schema=columns)


def _scan(paths: list[Path], columns: dict[str, pl.DataType], renamed: Mapping[str, str]) -> pl.LazyFrame:
    stored = {renamed.get(name, name): dtype for name, dtype in columns.items()}
    rows = pl.scan_parquet(paths, schema=stored, missing_columns="insert", glob=False)
    return rows.rename({earlier: now for now, earlier in renamed.items()})


def _earlier_names(path: Path, renamed: Mapping[str, str]) -> tuple[str, ...]:
    """The columns that a file has under an earlier name."""
    if not renamed:
        return ()
    names = set(pq.read_schema(path).names)
    return tuple(now for now, earlier in renamed.items() if earlier in names)


def small_neighbours(files: Sequence[DataFile], target_rows: int) -> list[list[DataFile]]:
    """Runs of neighbouring files, by session, that together hold at most ``target_rows``."""
    runs: list[list[DataFile]] = [[]]
    for file in files:
        if runs[-1] and sum(held.rows for held in runs[-1]) + file.rows > target_rows:
            runs.append([])
        runs[-1].append(file)
    return [run for run in runs if len(run) > 1]
