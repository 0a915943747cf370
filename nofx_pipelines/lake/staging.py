"""Rows on their way into a table: checked, sorted and hashed, in memory or through a staging folder.

A `polars.DataFrame` is checked as it is. A lazy frame, or an iterator of frames in any order, goes
through Parquet files under ``_staging`` and is checked a few sessions at a time, so that memory
holds ``GROUP_ROWS`` rows whatever the range.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from nofx_pipelines.lake.content import canonical, digest, session_digests
from nofx_pipelines.lake.schemas import TableSchema
from nofx_pipelines.lake.validation import check_columns, conform

Frame = pl.DataFrame | pl.LazyFrame | Iterable[pl.DataFrame]

GROUP_ROWS = 1_000_000
"""Rows checked at once; a longer session is checked whole."""


@dataclass(frozen=True)
class CheckedRows:
    """Rows that may be committed; ``stream`` opens them anew as Arrow, for each attempt."""

    stream: Callable[[], Any]
    sessions: dict[date, tuple[str, int]]
    """Content hash and rows of each session; empty for a table without sessions."""
    whole: tuple[str, int] | None
    """Content hash and rows of all, for a table without sessions."""


def sort_order(schema: TableSchema) -> list[str]:
    """The canonical order of a table's rows: by session, then by key."""
    session = schema.session_column
    return ([session] if session else []) + [column for column in schema.key if column != session]


@contextmanager
def checked_rows(
    frame: Frame, schema: TableSchema, where: str, folder: Path, group_rows: int = GROUP_ROWS
) -> Iterator[CheckedRows]:
    """Check ``frame`` against ``schema`` (`LakeError`) and hold it ready for a commit."""
    if schema.session_column is None and not isinstance(frame, pl.DataFrame):
        frame = frame.collect() if isinstance(frame, pl.LazyFrame) else pl.concat(list(frame))
    if isinstance(frame, pl.DataFrame):
        yield _in_memory(frame, schema, where)
        return
    with _staging_folder(folder) as staging:
        _spool(frame, schema, where, staging / "arrived.parquet")
        sessions = _check_by_session(staging, schema, where, group_rows)
        yield CheckedRows(lambda: _batches(staging / "checked.parquet"), sessions, None)


def _in_memory(frame: pl.DataFrame, schema: TableSchema, where: str) -> CheckedRows:
    rows = canonical(conform(frame, schema, where), sort_order(schema))
    if schema.session_column is None:
        return CheckedRows(lambda: rows, {}, (digest(rows), rows.height))
    return CheckedRows(lambda: rows, session_digests(rows, schema.session_column, schema.key), None)


def _spool(frame: pl.LazyFrame | Iterable[pl.DataFrame], schema: TableSchema, where: str, path: Path) -> None:
    """Stream the rows to one Parquet file, checking names and dtypes only."""
    if isinstance(frame, pl.LazyFrame):
        columns = check_columns(frame.collect_schema(), schema, where)
        frame.select(columns).sink_parquet(path, compression="uncompressed")
        return
    frames = iter(frame)
    first = next(frames, pl.DataFrame(schema=schema.columns))
    columns = check_columns(first.schema, schema, where)
    with pq.ParquetWriter(path, first.select(columns).to_arrow().schema, compression="none") as writer:
        writer.write_table(first.select(columns).to_arrow())
        for later in frames:
            check_columns(later.schema, schema, where)
            writer.write_table(later.select(columns).to_arrow())


def _check_by_session(
    staging: Path, schema: TableSchema, where: str, group_rows: int
) -> dict[date, tuple[str, int]]:
    """Move rows from arrived to checked.parquet in canonical order, hashing each session."""
    session = schema.session_column
    assert session is not None  # tables without sessions are checked in memory
    arrived = pl.scan_parquet(staging / "arrived.parquet", glob=False)
    counts = arrived.group_by(session).len().collect(engine="streaming").sort(session)
    found: dict[date, tuple[str, int]] = {}
    target = arrived.head(0).collect().to_arrow().schema
    with pq.ParquetWriter(staging / "checked.parquet", target, compression="none") as writer:
        for days in _groups(counts, group_rows):
            rows = arrived.filter(pl.col(session).is_in(days, nulls_equal=True)).collect()
            ordered = canonical(conform(rows, schema, where), sort_order(schema))
            found.update(session_digests(ordered, session, schema.key))
            writer.write_table(ordered.to_arrow(), row_group_size=100_000)
    return found


def _groups(counts: pl.DataFrame, group_rows: int) -> Iterator[list[date | None]]:
    days: list[date | None] = []
    held = 0
    for day, rows in counts.iter_rows():
        if days and held + rows > group_rows:
            yield days
            days, held = [], 0
        days.append(day)
        held += rows
    if days:
        yield days


def _batches(path: Path) -> pa.RecordBatchReader:
    file = pq.ParquetFile(path)
    return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(batch_size=65_536))


@contextmanager
def _staging_folder(folder: Path) -> Iterator[Path]:
    """A folder of our own; its lock tells `remove_abandoned` that we are still at work."""
    parent = folder / "_staging"
    parent.mkdir(parents=True, exist_ok=True)
    mine = Path(tempfile.mkdtemp(dir=parent))
    handle = os.open(mine, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield mine
    finally:
        shutil.rmtree(mine)
        os.close(handle)


def remove_abandoned(folder: Path) -> None:
    """Remove staging folders whose writers are dead."""
    for left in (folder / "_staging").glob("*"):
        handle = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(left)
        finally:
            os.close(handle)
