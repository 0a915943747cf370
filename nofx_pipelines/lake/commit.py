"""One commit: data files, then the log entry, then the files' checksums; conflicts are retried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from nofx_pipelines.errors import CommitConflict
from nofx_pipelines.lake.checksums import Checksums
from nofx_pipelines.lake.log import METADATA_KEY, CommitLog, Message

# Delta forgets versions after 30 days unless told otherwise; deltalake ignores years and months.
CONFIGURATION = {"delta.logRetentionDuration": "interval 36500 days"}
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)

Mode = Literal["append", "overwrite"]
_T = TypeVar("_T")


class Writer:
    """Commits Arrow streams to one table's folder."""

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

    def write(
        self,
        stream: Callable[[], Any],
        message: Message,
        *,
        mode: Mode,
        predicate: str | None = None,
        prepare: Callable[[DeltaTable], None] = lambda delta: None,
    ) -> int:
        """Commit a stream's rows under ``message``; returns the version, its files' checksums recorded.

        ``stream`` is opened, and ``prepare`` called with the version built upon, for each attempt.
        Raises `CommitConflict` when other writers won more often than the backoff allows.
        """
        properties = _properties(message)

        def attempt() -> int:
            if self._log.latest() is None:
                return _create(self._folder, stream(), properties)
            delta = DeltaTable(self._folder)
            prepare(delta)
            return _add(delta, stream(), mode, predicate, properties)

        return self._recorded(self._retried(attempt))

    def compact(
        self, message: Message, target_bytes: int, prepare: Callable[[DeltaTable], None]
    ) -> tuple[int, int, int]:
        """Merge small files; returns version, files removed and files added."""

        def attempt() -> tuple[int, int, int]:
            delta = DeltaTable(self._folder)
            prepare(delta)
            done = delta.optimize.compact(
                target_size=target_bytes,
                commit_properties=_properties(message),
                post_commithook_properties=_HOOKS,
            )
            return delta.version(), done["numFilesRemoved"], done["numFilesAdded"]

        version, removed, added = self._retried(attempt)
        return self._recorded(version), removed, added

    def _recorded(self, version: int) -> int:
        for name in self._log.commit(version).added:
            self._checksums.record(name)
        return version

    def _retried(self, attempt: Callable[[], _T]) -> _T:
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

    def _conflict(self, error: DeltaError) -> CommitConflict:
        return CommitConflict(
            f"{self._key}: another writer won {len(self._backoff) + 1} times ({error})",
            kept="nothing was written",
            hint="run again when the other writer is done",
        )


def _properties(message: Message) -> CommitProperties:
    return CommitProperties(custom_metadata={METADATA_KEY: message.to_json()})


def _create(folder: Path, rows: Any, properties: CommitProperties) -> int:
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(
        folder,
        rows,
        mode="error",
        configuration=CONFIGURATION,
        commit_properties=properties,
        post_commithook_properties=_HOOKS,
    )
    return 0


def _add(
    delta: DeltaTable, rows: Any, mode: Mode, predicate: str | None, properties: CommitProperties
) -> int:
    if mode == "append":
        write_deltalake(
            delta,
            rows,
            mode="append",
            schema_mode="merge",
            commit_properties=properties,
            post_commithook_properties=_HOOKS,
        )
    else:
        write_deltalake(
            delta,
            rows,
            mode="overwrite",
            predicate=predicate,
            schema_mode="merge" if predicate else "overwrite",
            commit_properties=properties,
            post_commithook_properties=_HOOKS,
        )
    return delta.version()


def _lost_race(error: DeltaError) -> bool:
    return isinstance(error, CommitFailedError) or "already exists" in str(error)
