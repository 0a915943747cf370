"""One commit: staged data files are moved in, then the log entry is written; conflicts are retried.

A commit is a compare-and-swap: it becomes the version after the one it was planned upon, or fails
because another writer took that number, and is planned anew. So nothing that another writer did in
between can be lost or doubled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import create_table_with_add_actions

from nofx_pipelines.errors import CommitConflict
from nofx_pipelines.lake.files import DataFile, delta_schema
from nofx_pipelines.lake.log import METADATA_KEY, CommitLog, Message
from nofx_pipelines.lake.staging import StagedRows

# Delta forgets versions after 30 days unless told otherwise; deltalake ignores years and months.
CONFIGURATION = {"delta.logRetentionDuration": "interval 36500 days"}
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_NO_ROWS = StagedRows(pl.Schema(), (), {}, None)


@dataclass(frozen=True)
class Change:
    """Files that a commit adds beside its new rows, and files that it removes."""

    added: Sequence[DataFile] = ()
    removed: Sequence[DataFile] = ()


Plan = Callable[[DeltaTable], Change]


@dataclass(frozen=True)
class Writer:
    """Commits staged files to one table's folder."""

    folder: Path
    key: str
    session: str | None
    log: CommitLog
    backoff: Sequence[float]
    sleep: Callable[[float], None]
    clock: Callable[[], float]

    def write(
        self,
        message: Message,
        staging: Path,
        *,
        rows: StagedRows = _NO_ROWS,
        mode: Literal["append", "overwrite"] = "append",
        plan: Plan = lambda delta: Change(),
    ) -> int:
        """Commit ``rows`` under ``message``; returns the version.

        ``plan`` says, for the version built upon, which files go and what is carried over from them;
        ``mode`` overwrite removes all of them. Raises `CommitConflict` when other writers won more
        often than the backoff allows.
        """
        for seconds in (*self.backoff, None):
            try:
                return self._attempt(message, staging, rows, mode, plan)
            except DeltaError as error:
                if not _lost_race(error):
                    raise
                if seconds is None:
                    raise self._conflict(error) from error
                self.sleep(seconds)
        raise AssertionError("unreachable: the last wait is None")

    def _attempt(
        self,
        message: Message,
        staging: Path,
        rows: StagedRows,
        mode: Literal["append", "overwrite"],
        plan: Plan,
    ) -> int:
        if self.log.latest() is None:
            return self._create(message, staging, rows)
        delta = DeltaTable(self.folder)
        if mode == "append":
            _add_columns(delta, rows.columns)
        change = plan(delta)
        files = [*rows.files, *change.added]
        self._publish(files, staging)
        now, new_rows = int(self.clock() * 1000), message.kind != "compact"
        delta.create_write_transaction(
            [
                *(file.added(self.session, now, new_rows=new_rows) for file in files),
                *(file.removed(now, new_rows=new_rows) for file in change.removed),
            ],
            mode=mode,
            schema=delta_schema(rows.columns) if mode == "overwrite" else delta.schema(),
            commit_properties=_properties(message),
            post_commithook_properties=_HOOKS,
        )
        return delta.version() + 1

    def _create(self, message: Message, staging: Path, rows: StagedRows) -> int:
        self._publish(rows.files, staging)
        now = int(self.clock() * 1000)
        create_table_with_add_actions(
            str(self.folder.resolve()),
            delta_schema(rows.columns),
            [file.added(self.session, now, new_rows=True) for file in rows.files],
            mode="error",
            configuration=CONFIGURATION,
            commit_properties=_properties(message),
            post_commithook_properties=_HOOKS,
        )
        return 0

    def _publish(self, files: Sequence[DataFile], staging: Path) -> None:
        """Move files to where the log will name them; until then no reader knows of them."""
        for file in files:
            if (staging / file.name).exists():  # else a lost attempt moved it
                os.rename(staging / file.name, self.folder / file.name)

    def _conflict(self, error: DeltaError) -> CommitConflict:
        return CommitConflict(
            f"{self.key}: another writer won {len(self.backoff) + 1} times ({error})",
            kept="nothing was written",
            hint="run again when the other writer is done",
        )


def _add_columns(delta: DeltaTable, columns: pl.Schema) -> None:
    """Widen the table by columns that it does not have yet, in a commit of its own."""
    known = {field.name for field in delta.schema().fields}
    new = [field for field in delta_schema(columns).fields if field.name not in known]
    if new:
        delta.alter.add_columns(new, commit_properties=_properties(Message("columns")))


def _properties(message: Message) -> CommitProperties:
    return CommitProperties(custom_metadata={METADATA_KEY: message.to_json()}, max_commit_retries=0)


def _lost_race(error: DeltaError) -> bool:
    return isinstance(error, CommitFailedError) or "already exists" in str(error)
