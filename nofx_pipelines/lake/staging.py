"""Rows on their way into a table: checked, sorted, hashed and written as data files.

The files wait in a folder under ``_staging`` until their commit moves them into the table. A
`polars.DataFrame` is checked at once; a lazy frame, or an iterator of frames in any order, arrives
in one Parquet file first and is checked some sessions at a time, so that memory holds ``FILE_ROWS``
rows (or the longest session) whatever the range.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from nofx_pipelines.lake.content import canonical, digest, session_digests
from nofx_pipelines.lake.files import DataFile, write_file
from nofx_pipelines.lake.schemas import TableSchema
from nofx_pipelines.lake.validation import check_columns, conform

Frame = pl.DataFrame | pl.LazyFrame | Iterable[pl.DataFrame]

FILE_ROWS = 250_000
"""Rows of a data file, at most, unless one session has more: sessions are not split.

Replacing one session rewrites the file that it shares, so files are kept small.
"""


@dataclass(frozen=True)
class StagedRows:
    """Checked rows as data files that wait for their commit."""

    columns: pl.Schema
    files: tuple[DataFile, ...]
    sessions: dict[date, tuple[str, int]]
    """Content hash and rows of each session; empty for a table without sessions."""
    whole: tuple[str, int] | None
    """Content hash and rows of all, for a table without sessions."""


def stage(
    frame: Frame, schema: TableSchema, where: str, staging: Path, file_rows: int = FILE_ROWS
) -> StagedRows:
    """Check ``frame`` against ``schema`` (`LakeError`) and write it into ``staging``."""
    if schema.session_column is None:
        return _stage_whole(_collected(frame), schema, where, staging, file_rows)
    if isinstance(frame, pl.DataFrame):
        rows = conform(frame, schema, where)
        counts = rows.group_by(schema.session_column).len().sort(schema.session_column)
        return _stage_sessions(rows.lazy(), counts, schema, where, staging, file_rows)
    arrived = _spool(frame, schema, where, staging / "arrived")
    counts = arrived.group_by(schema.session_column).len().collect(engine="streaming")
    return _stage_sessions(arrived, counts.sort(schema.session_column), schema, where, staging, file_rows)


def sort_order(schema: TableSchema) -> list[str]:
    """The canonical order of a table's rows: by session, then by key."""
    session = schema.session_column
    return ([session] if session else []) + [column for column in schema.key if column != session]


def _collected(frame: Frame) -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        return frame
    return frame.collect() if isinstance(frame, pl.LazyFrame) else pl.concat(list(frame))


def _stage_whole(
    frame: pl.DataFrame, schema: TableSchema, where: str, staging: Path, file_rows: int
) -> StagedRows:
    rows = canonical(conform(frame, schema, where), sort_order(schema))
    files = tuple(write_file(part, staging, None) for part in rows.iter_slices(file_rows) if part.height)
    return StagedRows(rows.schema, files, {}, (digest(rows), rows.height))


def _stage_sessions(
    rows: pl.LazyFrame,
    counts: pl.DataFrame,
    schema: TableSchema,
    where: str,
    staging: Path,
    file_rows: int,
) -> StagedRows:
    """One data file for each group of whole sessions, each session hashed."""
    session = str(schema.session_column)
    files: list[DataFile] = []
    found: dict[date, tuple[str, int]] = {}
    for days in _groups(counts, file_rows):
        column = pl.col(session)  # groups are runs of days; null sorts first and is refused below
        chosen = column.is_null() if days[0] is None else column.is_between(days[0], days[-1])
        group = (rows if len(days) == counts.height else rows.filter(chosen)).collect()
        ordered = canonical(conform(group, schema, where), sort_order(schema))
        found.update(session_digests(ordered, session, schema.key))
        files.append(write_file(ordered, staging, session))
    return StagedRows(rows.collect_schema(), tuple(files), found, None)


def _groups(counts: pl.DataFrame, file_rows: int) -> Iterator[list[date | None]]:
    days: list[date | None] = []
    held = 0
    for day, rows in counts.iter_rows():
        if days and (held + rows > file_rows or days[0] is None):
            yield days
            days, held = [], 0
        days.append(day)
        held += rows
    if days:
        yield days


def _spool(
    frame: pl.LazyFrame | Iterable[pl.DataFrame], schema: TableSchema, where: str, path: Path
) -> pl.LazyFrame:
    """Stream the rows to one Parquet file, checking names and dtypes only."""
    if isinstance(frame, pl.LazyFrame):
        columns = check_columns(frame.collect_schema(), schema, where)
        frame.select(columns).sink_parquet(path, compression="uncompressed")
        return pl.scan_parquet(path, glob=False)
    frames = iter(frame)
    first = next(frames, pl.DataFrame(schema=schema.columns))
    columns = check_columns(first.schema, schema, where)
    with pq.ParquetWriter(path, first.select(columns).to_arrow().schema, compression="none") as writer:
        writer.write_table(first.select(columns).to_arrow())
        for later in frames:
            check_columns(later.schema, schema, where)
            writer.write_table(later.select(columns).to_arrow())
    return pl.scan_parquet(path, glob=False)


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
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
