"""Keep a lake small: merge the files that daily runs leave, remove versions that nobody needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from nofx_pipelines.lake.store import Lake

RECENT = 30
"""Newest versions of each table that stay readable, besides the registered models'."""


@dataclass(frozen=True)
class Compaction:
    """What was done to one table: files merged into how many, and what was removed."""

    table: str
    merged: int
    into: int
    removed: int
    removed_bytes: int


def compact_lake(
    lake: Lake, *, keep: Mapping[str, Collection[int]], recent: int = RECENT, run_id: str = ""
) -> Iterator[Compaction]:
    """Compact and vacuum every table, one after the other; a row a table.

    ``keep``: per table key, versions that stay whatever their age, those that registered models were made
    from (``Tracker.kept_versions``). The newest ``recent`` versions stay as well. Rows never change.
    """
    for scope, name in lake.tables():
        table = lake.table(scope, name)
        if not table.exists():
            continue
        merged = table.compact(run_id=run_id)
        newest = table.version() or 0
        stay = {*range(max(0, newest - recent + 1), newest + 1), *keep.get(table.key, ())}
        gone = table.vacuum(stay)
        yield Compaction(table.key, merged.removed, merged.added, len(gone.removed), gone.removed_bytes)
