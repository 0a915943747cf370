"""Rows that stay while their file goes: carried over beside replaced sessions, or merged by compaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from nofx_pipelines.lake.checksums import Checksums
from nofx_pipelines.lake.commit import Change, Plan
from nofx_pipelines.lake.content import canonical
from nofx_pipelines.lake.files import (
    DataFile,
    live_files,
    scan_files,
    small_neighbours,
    stored_schema,
    write_file,
)
from nofx_pipelines.lake.schemas import TableSchema
from nofx_pipelines.lake.staging import sort_order


@dataclass(frozen=True)
class Rewrite:
    """Plans of commits that rewrite files; every file is checked before its rows are copied."""

    folder: Path
    schema: TableSchema
    checksums: Checksums
    staging: Path
    _carried: dict[str, list[DataFile]] = field(default_factory=dict)
    """What was written for a file, for the next attempt after a conflict."""

    def without(self, start: date, end: date) -> Plan:
        """Take sessions ``[start, end)`` out, carrying over what shares their files.

        A file wholly inside the range is not read, so that a damaged one can be replaced.
        """

        def plan(delta: DeltaTable) -> Change:
            touched = [file for file in live_files(delta, self.schema) if file.touches(start, end)]
            shared = [file for file in touched if not file.within(start, end)]
            carried = [new for file in shared for new in self._outside(delta, file, start, end)]
            return Change(carried, touched)

        return plan

    def merging(self, target_rows: int) -> Plan:
        """Merge small files of neighbouring sessions."""

        def plan(delta: DeltaTable) -> Change:
            runs = small_neighbours(live_files(delta, self.schema), target_rows)
            return Change([self._merged(delta, run) for run in runs], [file for run in runs for file in run])

        return plan

    def _outside(self, delta: DeltaTable, file: DataFile, start: date, end: date) -> list[DataFile]:
        """What stays of a file, before and after the range apart: the next replace copies one of them."""
        if file.name not in self._carried:
            session = str(self.schema.session_column)
            rows = self._rows(delta, [file]).collect()
            kept = (rows.filter(pl.col(session) < start), rows.filter(pl.col(session) >= end))
            self._carried[file.name] = [
                write_file(part, self.staging, session) for part in kept if part.height
            ]
        return self._carried[file.name]

    def _merged(self, delta: DeltaTable, run: list[DataFile]) -> DataFile:
        rows = canonical(self._rows(delta, run).collect(), sort_order(self.schema))
        return write_file(rows, self.staging, self.schema.session_column)

    def _rows(self, delta: DeltaTable, files: Iterable[DataFile]) -> pl.LazyFrame:
        files = list(files)
        for file in files:
            self.checksums.require(file.name)
        columns = stored_schema(delta, self.schema)
        return scan_files(self.folder, files, columns, self.schema.renamed)
