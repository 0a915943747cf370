"""Which sessions were revised at their source since a universe's bars were built from them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.lake.stamps import SessionStamp
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.inbox import with_inbox
from nofx_pipelines.market.ingest import pending_sessions
from nofx_pipelines.market.stages import ingest_version
from nofx_pipelines.market.window import data_window


def revised_sessions(
    lake: Lake, universe: UniverseConfig, feed: FeedConfig, home: Path, *, now: datetime
) -> list[date]:
    """Known sessions that the sources deliver otherwise than ingested, or that bars do not follow yet.

    Ascending. A source is known by its files' bytes: a rewritten file makes all of its sessions suspects,
    and the ingestion then finds the rows that differ. New sessions are the daily schedule's matter.
    """
    table, bars = lake.table(feed.scope, feed.source_bars), lake.table(universe.name, "bars")
    if not table.exists() or not bars.exists():
        return []
    chain = with_inbox(feed, home, now)
    start, end = data_window(chain, None, None, now)
    ingested, built = table.stamps(), bars.stamps()
    version = ingest_version(chain)
    pending = pending_sessions(lake, chain, start=start, end=end, now=now, code_version=version)
    suspects = {day for day in pending if day in ingested}
    return sorted(suspects | _behind(table, bars, ingested, built))


def _behind(
    table: LakeTable,
    bars: LakeTable,
    ingested: dict[date, SessionStamp],
    built: dict[date, SessionStamp],
) -> set[date]:
    """Sessions whose source bars are others than when their bars were made of them."""
    behind: set[date] = set()
    by_version: dict[int, list[date]] = {}
    for day, stamp in built.items():
        read = bars.commit(stamp.version).message.lineage.get(table.key)
        if read is not None and day in ingested:
            by_version.setdefault(read, []).append(day)
    for version, days in by_version.items():
        then = table.stamps(version)
        behind |= {day for day in days if day in then and then[day].content != ingested[day].content}
    return behind
