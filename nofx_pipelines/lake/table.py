"""One table of the lake: a Delta table whose unit of change is the whole session.

Data files are not partitioned: a commit adds files whose statistics name their sessions, so that
a read opens only the files it needs and thousands of sessions do not mean thousands of files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError as DeltaTableNotFound

from nofx_pipelines.errors import LakeError, OutsideRange, TableNotFound
from nofx_pipelines.lake.checksums import Checksums
from nofx_pipelines.lake.commit import Writer
from nofx_pipelines.lake.content import NO_ROWS, canonical, digest, session_digests
from nofx_pipelines.lake.log import CommitLog, Message, Part
from nofx_pipelines.lake.schemas import TableSchema
from nofx_pipelines.lake.stamps import SessionStamp, StampFold, TableStamp
from nofx_pipelines.lake.validation import conform

Frame = pl.DataFrame | pl.LazyFrame


@dataclass(frozen=True)
class DataFile:
    """One live file; ``first`` and ``last`` are the sessions it holds, where the table has sessions."""

    name: str
    rows: int
    first: date | None
    last: date | None


class LakeTable:
    """Read, replace, append and verify one table; made by `nofx_pipelines.lake.store.Lake`."""

    def __init__(
        self,
        folder: Path,
        *,
        scope: str,
        schema: TableSchema,
        excluded: LakeTable | None,
        backoff: Sequence[float],
        sleep: Callable[[float], None],
    ) -> None:
        self.folder = folder
        self.scope = scope
        self.schema = schema
        self.name = schema.name
        self._excluded = excluded
        self._log = CommitLog(folder)
        self._fold = StampFold(self._log)
        self._checksums = Checksums(folder)
        self._writer = Writer(folder, self.key, self._checksums, self._log, backoff, sleep)

    @property
    def key(self) -> str:
        """``scope/name``, as lineage and messages call the table."""
        return f"{self.scope}/{self.name}"

    def exists(self) -> bool:
        """Whether anything was ever committed."""
        return self._log.latest() is not None

    def version(self) -> int | None:
        """The newest version, None before the first commit."""
        return self._log.latest()

    def scan(
        self,
        version: int | None = None,
        start: date | None = None,
        end: date | None = None,
        as_of: datetime | None = None,
    ) -> pl.LazyFrame:
        """The rows of sessions ``[start, end)`` at a table version, as known at ``as_of``.

        Files that the range touches are checked against their SHA-256 first (`IntegrityError`);
        sessions listed in the scope's excluded_sessions are left out. Row order is not promised.
        Raises `TableNotFound` if the table was never written, `LakeError` if the table has no
        sessions or no knowledge time and is asked for them.
        """
        self._require_columns(start, end, as_of)
        delta = self._delta(version)
        files = [file for file in live_files(delta, self.schema) if _touches(file, start, end)]
        self._check(files)
        rows = self._rows(delta, files)
        session = self.schema.session_column
        if start is not None and session is not None:
            rows = rows.filter(pl.col(session) >= start)
        if end is not None and session is not None:
            rows = rows.filter(pl.col(session) < end)
        if as_of is not None:
            rows = rows.filter(pl.col("knowledge_time") <= as_of)
        excluded = self.excluded_sessions()
        return rows.filter(~pl.col(session).is_in(excluded)) if excluded and session else rows

    def replace(
        self,
        start: date,
        end: date,
        frame: Frame,
        *,
        lineage: Mapping[str, int] | None = None,
        code_version: str = "",
        inputs: Mapping[date, str] | None = None,
        run_id: str = "",
    ) -> int:
        """Replace the whole sessions ``[start, end)`` by ``frame`` in one commit; returns the version.

        Sessions named in ``inputs`` without rows are stamped as empty. Raises `OutsideRange` for
        rows or inputs outside the range, before anything changes.
        """
        session = self._session_column("replace", "overwrite")
        if not start < end:
            raise OutsideRange(f"{self.key}: [{start}, {end}) holds no session", kept="nothing was written")
        rows = self._conformed(frame)
        parts = self._parts(rows, session, inputs)
        outside = sorted(day for day in parts if not start <= day < end)
        if outside:
            raise OutsideRange(
                f"{self.key}: {len(outside)} sessions, the first {outside[0]}, lie outside [{start}, {end})",
                kept="nothing was written",
                hint="replace the range that holds them, or drop the rows",
            )
        message = Message("replace", start, end, parts, None, lineage or {}, code_version, run_id)
        predicate = f"{session} >= DATE '{start}' AND {session} < DATE '{end}'"
        return self._writer.commit(rows, message, mode="overwrite", predicate=predicate)

    def overwrite(
        self,
        frame: Frame,
        *,
        lineage: Mapping[str, int] | None = None,
        code_version: str = "",
        inputs: str = "",
        run_id: str = "",
    ) -> int:
        """Replace the whole table by ``frame`` in one commit; returns the version."""
        rows = self._conformed(frame)
        session = self.schema.session_column
        parts = self._parts(rows, session, None) if session else {}
        whole = None if session else Part(digest(rows), rows.height, inputs)
        message = Message("overwrite", None, None, parts, whole, lineage or {}, code_version, run_id)
        return self._writer.commit(rows, message, mode="overwrite", predicate=None)

    def append(
        self,
        frame: Frame,
        *,
        lineage: Mapping[str, int] | None = None,
        code_version: str = "",
        inputs: Mapping[date, str] | None = None,
        run_id: str = "",
    ) -> int:
        """Add rows, leaving all others as they are; returns the version."""
        rows = self._conformed(frame)
        session = self.schema.session_column
        parts = self._parts(rows, session, inputs) if session else {}
        whole = None if session else Part(digest(rows), rows.height)
        message = Message("append", None, None, parts, whole, lineage or {}, code_version, run_id)
        return self._writer.commit(rows, message, mode="append", predicate=None)

    def stamps(self, version: int | None = None) -> dict[date, SessionStamp]:
        """Content hash, rows, code version, inputs and version of each session, in date order."""
        newest = self._log.latest() if version is None else version
        return {} if newest is None else self._fold.sessions(newest)

    def stamp(self) -> TableStamp | None:
        """The stamp of the whole table, None before the first commit."""
        newest = self._log.latest()
        return None if newest is None else self._fold.table(newest)

    def history(self) -> pl.DataFrame:
        """One row a commit, newest first: what it did, to which range, from which versions."""
        newest = self._log.latest()
        numbers = range(newest, -1, -1) if newest is not None else range(0)
        return history_frame([self._log.commit(number) for number in numbers])

    def excluded_sessions(self) -> list[date]:
        """The sessions of this table that checks have left out, sorted."""
        if self._excluded is None or self.schema.session_column is None or not self._excluded.exists():
            return []
        listed = self._excluded.scan().filter(pl.col("table") == self.name)
        return listed.select(pl.col("session_date").unique().sort()).collect().to_series().to_list()

    def _session_column(self, action: str, instead: str) -> str:
        if self.schema.session_column is None:
            raise LakeError(
                f"{self.key} has no sessions and cannot {action} a range",
                kept="nothing was written",
                hint=f"use {instead}",
            )
        return self.schema.session_column

    def _conformed(self, frame: Frame) -> pl.DataFrame:
        eager = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
        rows = conform(eager, self.schema, self.key)
        session = [self.schema.session_column] if self.schema.session_column else []
        return canonical(rows, [*session, *(column for column in self.schema.key if column not in session)])

    def _parts(self, rows: pl.DataFrame, session: str, inputs: Mapping[date, str] | None) -> dict[date, Part]:
        """Each session's part in this commit, those named in ``inputs`` without rows included."""
        given = inputs or {}
        parts = {day: Part(NO_ROWS, 0, given[day]) for day in given}
        for day, (content, count) in session_digests(rows, session, self.schema.key).items():
            parts[day] = Part(content, count, given.get(day, ""))
        return dict(sorted(parts.items()))

    def _delta(self, version: int | None) -> DeltaTable:
        newest = self._log.latest()
        if newest is None:
            raise TableNotFound(f"{self.key} was never written", hint="nofx run")
        if version is not None and not 0 <= version <= newest:
            raise TableNotFound(
                f"{self.key} has no version {version}; its newest is {newest}", hint="see its history()"
            )
        try:
            return DeltaTable(self.folder, version=version)
        except DeltaTableNotFound as error:
            raise TableNotFound(f"{self.key} cannot be opened: {error}", hint="nofx run") from error

    def _check(self, files: Sequence[DataFile]) -> None:
        for file in files:
            self._checksums.require(file.name)

    def _rows(self, delta: DeltaTable, files: Sequence[DataFile]) -> pl.LazyFrame:
        schema = stored_schema(delta, self.schema)
        if not files:
            return pl.LazyFrame(schema=schema)
        paths = [self.folder / file.name for file in files]
        return pl.scan_parquet(paths, schema=schema, missing_columns="insert", glob=False)

    def _require_columns(self, start: date | None, end: date | None, as_of: datetime | None) -> None:
        if (start is not None or end is not None) and self.schema.session_column is None:
            raise LakeError(f"{self.key} has no sessions: start and end do not apply", hint="scan it whole")
        if as_of is not None and "knowledge_time" not in self.schema.columns:
            raise LakeError(
                f"{self.key} carries no knowledge_time: as_of={as_of} does not apply",
                hint="use version= for a table's own past",
            )


def stored_schema(delta: DeltaTable, schema: TableSchema) -> dict[str, pl.DataType]:
    """The declared columns and the further ones that were written."""
    extra = sorted(field.name for field in delta.schema().fields if field.name not in schema.columns)
    return {**schema.columns, **{name: pl.Float64() for name in extra}}


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


def _touches(file: DataFile, start: date | None, end: date | None) -> bool:
    after = start is None or file.last is None or file.last >= start
    return after and (end is None or file.first is None or file.first < end)


def history_frame(commits: Sequence[Any]) -> pl.DataFrame:
    """Commits as rows."""
    return pl.DataFrame(
        [
            {
                "version": commit.version,
                "committed_at": commit.committed_at,
                "kind": commit.message.kind,
                "start": commit.message.start,
                "end": commit.message.end,
                "sessions": len(commit.message.sessions),
                "rows": sum(part.rows for part in commit.message.sessions.values())
                + (commit.message.whole.rows if commit.message.whole else 0),
                "code_version": commit.message.code_version,
                "run_id": commit.message.run_id,
                "lineage": dict_json(commit.message.lineage),
            }
            for commit in commits
        ],
        schema={
            "version": pl.Int64,
            "committed_at": pl.Datetime("us", "UTC"),
            "kind": pl.String,
            "start": pl.Date,
            "end": pl.Date,
            "sessions": pl.Int64,
            "rows": pl.Int64,
            "code_version": pl.String,
            "run_id": pl.String,
            "lineage": pl.String,
        },
    )


def dict_json(lineage: Mapping[str, int]) -> str:
    """Lineage as canonical JSON."""
    return json.dumps(dict(lineage), sort_keys=True)
