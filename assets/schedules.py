"""Schedules: each universe after its market's close, and weekly what its sources revised."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg

from assets.jobs import close_job_name
from assets.partitions import keys_between, partitions_of
from nofx_pipelines.config import FeedConfig, UniverseConfig

# minutes after the close that archives need to settle
AFTER_CLOSE = {
    "cn": ("30 16 * * 1-5", "Asia/Shanghai"),
    "hk": ("0 17 * * 1-5", "Asia/Hong_Kong"),
    "crypto": ("15 0 * * *", "UTC"),
}
# when archives have been rewritten and nobody trades
WEEKLY = {
    "cn": ("0 6 * * 6", "Asia/Shanghai"),
    "hk": ("30 6 * * 6", "Asia/Hong_Kong"),
    "crypto": ("0 6 * * 6", "UTC"),
}
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def close_schedule(universe: UniverseConfig, feed: FeedConfig) -> dg.ScheduleDefinition:
    """Ingest the session that just closed and bring ``universe`` up to date.

    The range reaches back over the label horizon: each close decides the labels of the last
    ``horizon`` sessions. Sessions that are fresh are not written again.
    """
    cron, zone = AFTER_CLOSE[universe.market]

    @dg.schedule(
        name=f"{universe.name}_after_close",
        cron_schedule=cron,
        execution_timezone=zone,
        job_name=close_job_name(universe),
        description=f"{universe.name} after the close of {universe.market}",
    )
    def after_close(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from nofx_pipelines.market.sessions import calendar

        market = calendar(universe.market)
        fired = context.scheduled_execution_time
        session = fired.date() - timedelta(days=1) if universe.market == "crypto" else fired.date()
        if feed.end is not None and session >= feed.end:
            return dg.SkipReason(f"the feed {feed.market} {feed.freq} ends before {feed.end}")
        if not market.is_session(session):
            return dg.SkipReason(f"{session} is no session of {universe.market}")
        first = session
        for _ in range(universe.labels.horizon):
            first = market.previous_session(first)
        keys = keys_between(feed, first, session + timedelta(days=1), fired)
        if keys is None:
            return dg.SkipReason(f"{session} lies before the feed's start {feed.start}")
        return dg.RunRequest(
            run_key=f"{universe.name}:{session}", tags={RANGE_START: keys[0], RANGE_END: keys[1]}
        )

    return after_close


def revision_schedule(
    universe: UniverseConfig, feed: FeedConfig, home: Path, lake_root: Path
) -> dg.ScheduleDefinition:
    """Materialise again every session whose source was revised: one run a contiguous range of partitions."""
    cron, zone = WEEKLY[universe.market]

    @dg.schedule(
        name=f"{universe.name}_revisions",
        cron_schedule=cron,
        execution_timezone=zone,
        job_name=close_job_name(universe),
        description=f"What the sources of {universe.name} revised",
    )
    def revisions(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        from nofx_pipelines.lake.store import Lake
        from nofx_pipelines.market.revisions import revised_sessions

        fired = context.scheduled_execution_time
        days = revised_sessions(Lake(lake_root), universe, feed, home, now=fired)
        if not days:
            return dg.SkipReason(f"no source of {universe.name} was revised")
        return [
            dg.RunRequest(
                run_key=f"{universe.name}:revisions:{fired.date()}:{first}",
                tags={RANGE_START: first, RANGE_END: last, "nofx/revised": str(len(days))},
            )
            for first, last in key_ranges(feed, days, fired)
        ]

    return revisions


def key_ranges(feed: FeedConfig, days: Sequence[date], now: datetime) -> Iterator[tuple[str, str]]:
    """The partitions that hold ``days`` as ranges of neighbours, first and last key each."""
    keys = partitions_of(feed).get_partition_keys(current_time=now)
    spans = (keys_between(feed, day, day + timedelta(days=1), now) for day in days)
    wanted = {key for span in spans if span is not None for key in span}
    held: list[str] = []
    for key in keys:
        if key in wanted:
            held.append(key)
        elif held:
            yield held[0], held[-1]
            held = []
    if held:
        yield held[0], held[-1]
