"""One commit: data files, then the log entry, then the files' checksums; conflicts are retried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import polars as pl
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from nofx_pipelines.errors import CommitConflict
from nofx_pipelines.lake.checksums import Checksums
from nofx_pipelines.lake.log import METADATA_KEY, CommitLog, Message

# Delta forgets versions after 30 days unless told otherwise; deltalake ignores years and months.
CONFIGURATION = {"delta.logRetentionDuration": "interval 36500 days"}
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


class Writer:
    """Commits frames to one table's folder."""

    def __init__(
        self,
        folder: Path,
        key: str,
        checksums: Checksums,
        log: CommitLog,
        backoff: Sequence[float],
        sleep: Callable[[float], None],
    ) -> None:
        self._folder = folder
        self._key = key
        self._checksums = checksums
        self._log = log
        self._backoff = tuple(backoff)
        self._sleep = sleep

    def commit(
        self,
        rows: pl.DataFrame,
        message: Message,
        *,
        mode: Literal["append", "overwrite"],
        predicate: str | None,
    ) -> int:
        """Commit ``rows`` under ``message``; returns the version, with its files' checksums recorded.

        Raises `CommitConflict` when other writers won more often than the backoff allows.
        """
        version = self._retried(lambda: self._attempt(rows, message, mode, predicate))
        for name in self._log.commit(version).added:
            self._checksums.record(name)
        return version

    def _retried(self, attempt: Callable[[], int]) -> int:
        for seconds in (*self._backoff, None):
            try:
                return attempt()
            except DeltaError as error:
                if not _lost_race(error):
                    raise
                if seconds is None:
                    raise self._conflict(error) from error
                self._sleep(seconds)
        raise AssertionError("unreachable: the last wait is None")

    def _attempt(
        self,
        rows: pl.DataFrame,
        message: Message,
        mode: Literal["append", "overwrite"],
        predicate: str | None,
    ) -> int:
        properties = CommitProperties(custom_metadata={METADATA_KEY: message.to_json()}, max_commit_retries=0)
        if self._log.latest() is None:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            write_deltalake(
                self._folder,
                rows,
                mode="error",
                configuration=CONFIGURATION,
                commit_properties=properties,
                post_commithook_properties=_HOOKS,
            )
            return 0
        table = DeltaTable(self._folder)
        if mode == "append":
            write_deltalake(
                table,
                rows,
                mode="append",
                schema_mode="merge",
                commit_properties=properties,
                post_commithook_properties=_HOOKS,
            )
        else:
            write_deltalake(
                table,
                rows,
                mode="overwrite",
                predicate=predicate,
                schema_mode="overwrite" if predicate is None else "merge",
                commit_properties=properties,
                post_commithook_properties=_HOOKS,
            )
        return table.version()

    def _conflict(self, error: DeltaError) -> CommitConflict:
        return CommitConflict(
            f"{self._key}: another writer won {len(self._backoff) + 1} times ({error})",
            kept="nothing was written",
            hint="run again when the other writer is done",
        )


def _lost_race(error: DeltaError) -> bool:
    return isinstance(error, CommitFailedError) or "already exists" in str(error)
