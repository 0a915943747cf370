"""Verify, compact and vacuum: what is done to a table's files, never to its rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.checksums import Checksums, State
from nofx_pipelines.lake.log import CommitLog
from nofx_pipelines.lake.staging import remove_abandoned


@dataclass(frozen=True)
class VerifyReport:
    """Every data file of one version, by the state of its bytes."""

    version: int | None
    ok: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every file is there with the bytes that were recorded."""
        return not (self.mismatched or self.unrecorded or self.missing)


@dataclass(frozen=True)
class CompactReport:
    """The version after compaction, the files merged and the files they became."""

    version: int | None
    removed: int
    added: int


@dataclass(frozen=True)
class VacuumReport:
    """The versions whose files were spared, and what was removed."""

    kept: tuple[int, ...]
    removed: tuple[str, ...]
    removed_bytes: int


def verify_files(version: int, names: Collection[str], checksums: Checksums) -> VerifyReport:
    """Read every file and compare it with its record."""
    found: dict[State, list[str]] = {"ok": [], "mismatched": [], "unrecorded": [], "missing": []}
    for name in sorted(names):
        found[checksums.state(name)].append(name)
    return VerifyReport(version, **{state: tuple(files) for state, files in found.items()})


def vacuum_files(
    folder: Path, keep: Collection[int], log: CommitLog, abandoned_before: float
) -> VacuumReport:
    """Remove the files that neither the newest version nor any of ``keep`` needs.

    Files that no commit names may be another writer's, not committed yet: they go only when they
    were last changed before ``abandoned_before`` (seconds since 1970).
    """
    newest = log.latest()
    if newest is None:
        return VacuumReport((), (), 0)
    unknown = sorted(version for version in keep if not 0 <= version <= newest)
    if unknown:
        raise LakeError(
            f"{folder} has no version {unknown[0]}; its newest is {newest}", kept="nothing was removed"
        )
    kept = sorted({*keep, newest})
    needed = {name for version in kept for name in file_names(DeltaTable(folder, version=version))}
    committed = {name for version in range(newest + 1) for name in log.commit(version).added}
    removed: list[str] = []
    size = 0
    for path in sorted(folder.glob("*.parquet")):
        if path.name in needed or (path.name not in committed and path.stat().st_mtime >= abandoned_before):
            continue
        size += path.stat().st_size
        path.unlink()
        removed.append(path.name)
    remove_abandoned(folder)
    return VacuumReport(tuple(kept), tuple(removed), size)


def file_names(delta: DeltaTable) -> list[str]:
    """The data files of a version."""
    return [Path(uri).name for uri in delta.file_uris()]
