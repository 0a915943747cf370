"""What to do about data files whose writer was killed after the commit and before the checksums.

The commit itself says what its rows are: their content hashes. A file is adopted, its checksum
recorded, only if the rows the commit wrote have the hashes that it announced and the rows it
carried over from replaced files are those of the files it replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from nofx_pipelines.errors import IntegrityError
from nofx_pipelines.lake.checksums import Checksums
from nofx_pipelines.lake.content import canonical, digest
from nofx_pipelines.lake.files import scan_files, stored_schema
from nofx_pipelines.lake.log import Commit, CommitLog, Message
from nofx_pipelines.lake.schemas import TableSchema
from nofx_pipelines.lake.staging import sort_order

_Key = object


def adopt(
    names: Collection[str], folder: Path, schema: TableSchema, log: CommitLog, checksums: Checksums
) -> None:
    """Record the checksums of unrecorded files, each only if its commit vouches for it.

    Raises `IntegrityError` for rows that differ from what the commit announced.
    """
    for commit in _commits_of(names, log):
        _confirm(commit, folder, schema, checksums)
        for name in commit.added:
            if checksums.recorded(name) is None and (folder / name).is_file():
                checksums.record(name)


def _commits_of(names: Collection[str], log: CommitLog) -> Iterator[Commit]:
    """The commits that added ``names``, newest first."""
    wanted = set(names)
    newest = log.latest()
    for version in range(newest if newest is not None else -1, -1, -1):
        if not wanted:
            return
        commit = log.commit(version)
        if wanted.intersection(commit.added):
            wanted.difference_update(commit.added)
            yield commit


def _confirm(commit: Commit, folder: Path, schema: TableSchema, checksums: Checksums) -> None:
    """Compare the commit's files with its message and with the files it replaced."""
    for name in (*commit.added, *commit.removed):
        if not (folder / name).is_file():
            raise _unconfirmed(folder, commit, f"{name} is gone")
    for name in commit.removed:
        checksums.require(name)
    columns = stored_schema(DeltaTable(folder, version=commit.version), schema)
    added = scan_files(folder, commit.added, columns)
    removed = scan_files(folder, commit.removed, columns)
    own, carried = _split(commit.message, schema)
    if _hashes(added.filter(own), schema) != _announced(commit.message):
        raise _unconfirmed(folder, commit, "its rows are not the ones that the commit announced")
    if _hashes(added.filter(carried), schema) != _hashes(removed.filter(carried), schema):
        raise _unconfirmed(folder, commit, "its rows are not those of the files that it replaced")


def _split(message: Message, schema: TableSchema) -> tuple[pl.Expr, pl.Expr]:
    """Which rows of a commit's files are its own, and which were carried over."""
    if message.kind == "replace" and message.start and message.end and schema.session_column:
        own = pl.col(schema.session_column).is_between(message.start, message.end, closed="left")
        return own, ~own
    own = pl.lit(message.kind in ("append", "overwrite"))
    return own, ~own if message.kind == "compact" else pl.lit(False)


def _announced(message: Message) -> dict[_Key, str]:
    if message.whole is not None:
        return {None: message.whole.content} if message.whole.rows else {}
    return {day: part.content for day, part in message.sessions.items() if part.rows}


def _hashes(rows: pl.LazyFrame, schema: TableSchema) -> dict[_Key, str]:
    """Content hash of each session's rows, one session in memory at a time."""
    session = schema.session_column
    if session is None:
        frame = canonical(rows.collect(), sort_order(schema))
        return {None: digest(frame)} if frame.height else {}
    days = rows.select(pl.col(session).unique()).collect(engine="streaming").to_series().to_list()
    return {
        day: digest(canonical(rows.filter(pl.col(session) == day).collect(), sort_order(schema)))
        for day in days
    }


def _unconfirmed(folder: Path, commit: Commit, why: str) -> IntegrityError:
    return IntegrityError(
        f"{folder}: version {commit.version} has files without a recorded SHA-256, and {why}",
        kept="nothing was read from them",
        hint="restore the files from a backup, or recompute the sessions with force",
    )
