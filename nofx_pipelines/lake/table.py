"""One table of the lake: a Delta table whose unit of change is the whole session.

Data files are not partitioned: a commit adds files whose statistics name their sessions, so that
a read opens only the files it needs and thousands of sessions do not mean thousands of files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from nofx_pipelines.errors import LakeError, OutsideRange, TableNotFound
from nofx_pipelines.lake.checksums import Checksums
from nofx_pipelines.lake.commit import Writer
from nofx_pipelines.lake.content import NO_ROWS
from nofx_pipelines.lake.files import DataFile, live_files, scan_files, small_neighbours, stored_schema
from nofx_pipelines.lake.log import Commit, CommitLog, Message, Part, history_frame
from nofx_pipelines.lake.maintenance import (
    CompactReport,
    VacuumReport,
    VerifyReport,
    file_names,
    vacuum_files,
    verify_files,
)
from nofx_pipelines.lake.rewrite import Rewrite
from nofx_pipelines.lake.schemas import TableSchema
from nofx_pipelines.lake.staging import FILE_ROWS, Frame, StagedRows, stage, staging_folder
from nofx_pipelines.lake.stamps import SessionStamp, StampFold, TableStamp

ABANDONED_SECONDS = 86_400.0


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
        clock: Callable[[], float],
    ) -> None:
        self.folder = folder
        self.scope = scope
        self.schema = schema
        self.name = schema.name
        self._excluded = excluded
        self._clock = clock
        self._log = CommitLog(folder)
        self._fold = StampFold(self._log)
        self._checksums = Checksums(folder)
        self._writer = Writer(folder, self.key, schema.session_column, self._log, backoff, sleep, clock)

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
        *,
        exclusions: int | None = None,
    ) -> pl.LazyFrame:
        """The rows of sessions ``[start, end)`` at a table version, as known at ``as_of``.

        Files that the range touches are checked against their SHA-256 first (`IntegrityError`);
        sessions listed in the scope's excluded_sessions (its newest version, or ``exclusions``) are
        left out. Row order is not promised.
        Raises `TableNotFound` if the table was never written, `LakeError` if the table has no
        sessions or no knowledge time and is asked for them.
        """
        self._require_columns(start, end, as_of)
        files, columns = self.checked_files(version, start, end)
        rows = scan_files(self.folder, files, columns, self.schema.renamed)
        session = self.schema.session_column
        if start is not None and session is not None:
            rows = rows.filter(pl.col(session) >= start)
        if end is not None and session is not None:
            rows = rows.filter(pl.col(session) < end)
        if as_of is not None:
            rows = rows.filter(pl.col("knowledge_time") <= as_of)
        excluded = self.excluded_sessions(exclusions)
        return rows.filter(~pl.col(session).is_in(excluded)) if excluded and session else rows

    def checked_files(
        self, version: int | None = None, start: date | None = None, end: date | None = None
    ) -> tuple[list[DataFile], dict[str, pl.DataType]]:
        """The files of a version that hold sessions ``[start, end)``, each checked, and its columns."""
        delta = self._delta(version)
        files = [file for file in live_files(delta, self.schema) if file.touches(start, end)]
        for file in files:
            self._checksums.require(file.name)
        return files, stored_schema(delta, self.schema)

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
        self._require_sessions()
        if not start < end:
            raise OutsideRange(f"{self.key}: [{start}, {end}) holds no session", kept="nothing was written")
        with staging_folder(self.folder) as staging:
            rows = stage(frame, self.schema, self.key, staging)
            parts = _parts(rows, inputs)
            self._require_within(parts, start, end)
            message = Message("replace", start, end, parts, None, lineage or {}, code_version, run_id)
            plan = Rewrite(self.folder, self.schema, self._checksums, staging).without(start, end)
            return self._writer.write(message, staging, rows=rows, plan=plan)

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
        with staging_folder(self.folder) as staging:
            rows = stage(frame, self.schema, self.key, staging)
            parts, whole = _parts(rows, None), _whole(rows, inputs)
            message = Message("overwrite", None, None, parts, whole, lineage or {}, code_version, run_id)
            return self._writer.write(message, staging, rows=rows, mode="overwrite")

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
        with staging_folder(self.folder) as staging:
            rows = stage(frame, self.schema, self.key, staging)
            parts, whole = _parts(rows, inputs), _whole(rows, "")
            message = Message("append", None, None, parts, whole, lineage or {}, code_version, run_id)
            return self._writer.write(message, staging, rows=rows)

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

    def verify(self, version: int | None = None) -> VerifyReport:
        """Read every data file of a version and compare it with its SHA-256; changes nothing."""
        delta = self._delta(version)
        return verify_files(delta.version(), file_names(delta), self._checksums)

    def compact(self, target_rows: int = FILE_ROWS, *, run_id: str = "") -> CompactReport:
        """Merge small files of neighbouring sessions in one commit that leaves every row as it is."""
        if not small_neighbours(live_files(self._delta(None), self.schema), target_rows):
            return CompactReport(self.version(), 0, 0)
        with staging_folder(self.folder) as staging:
            rewrite = Rewrite(self.folder, self.schema, self._checksums, staging)
            version = self._writer.write(
                Message("compact", run_id=run_id), staging, plan=rewrite.merging(target_rows)
            )
        removed, added = self._log.commit(version).removed, self._log.commit(version).added
        return CompactReport(version, len(removed), len(added))

    def vacuum(self, keep: Collection[int], *, abandoned_seconds: float = ABANDONED_SECONDS) -> VacuumReport:
        """Remove the files that neither the newest version nor any version in ``keep`` needs.

        The only way to remove data. Files that no commit names may be another writer's at work:
        they go once they are ``abandoned_seconds`` old.
        """
        self._delta(None)
        abandoned_before = self._clock() - abandoned_seconds
        return vacuum_files(self.folder, keep, self._log, abandoned_before)

    def commit(self, version: int) -> Commit:
        """What one version did: its message, and the files that it added and removed."""
        self._require_version(version)
        return self._log.commit(version)

    def excluded_sessions(self, version: int | None = None) -> list[date]:
        """The sessions of this table that checks have left out, sorted, at a version of that list."""
        if self._excluded is None or self.schema.session_column is None or not self._excluded.exists():
            return []
        listed = self._excluded.scan(version).filter(pl.col("table") == self.name)
        return listed.select(pl.col("session_date").unique().sort()).collect().to_series().to_list()

    def _require_sessions(self) -> None:
        if self.schema.session_column is None:
            raise LakeError(
                f"{self.key} has no sessions: no range of it can be replaced",
                kept="nothing was written",
                hint="use overwrite",
            )

    def _require_within(self, days: Collection[date], start: date, end: date) -> None:
        outside = sorted(day for day in days if not start <= day < end)
        if outside:
            raise OutsideRange(
                f"{self.key}: {len(outside)} sessions, the first {outside[0]}, lie outside [{start}, {end})",
                kept="nothing was written",
                hint="replace the range that holds them, or drop the rows",
            )

    def _delta(self, version: int | None) -> DeltaTable:
        self._require_version(version)
        return DeltaTable(self.folder, version=version)

    def _require_version(self, version: int | None) -> None:
        newest = self._log.latest()
        if newest is None:
            raise TableNotFound(f"{self.key} was never written", hint="nofx run")
        if version is not None and not 0 <= version <= newest:
            raise TableNotFound(
                f"{self.key} has no version {version}; its newest is {newest}", hint="see its history()"
            )

    def _require_columns(self, start: date | None, end: date | None, as_of: datetime | None) -> None:
        if (start is not None or end is not None) and self.schema.session_column is None:
            raise LakeError(f"{self.key} has no sessions: start and end do not apply", hint="scan it whole")
        if as_of is not None and "knowledge_time" not in self.schema.columns:
            raise LakeError(
                f"{self.key} carries no knowledge_time: as_of={as_of} does not apply",
                hint="use version= for a table's own past",
            )


def _parts(rows: StagedRows, inputs: Mapping[date, str] | None) -> dict[date, Part]:
    """Each session's part in a commit, those named in ``inputs`` without rows included."""
    given = inputs or {}
    parts = {day: Part(NO_ROWS, 0, fingerprint) for day, fingerprint in given.items()}
    for day, (content, count) in rows.sessions.items():
        parts[day] = Part(content, count, given.get(day, ""))
    return dict(sorted(parts.items()))


def _whole(rows: StagedRows, inputs: str) -> Part | None:
    return None if rows.whole is None else Part(*rows.whole, inputs)
