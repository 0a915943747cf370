"""Schedules: each universe after its market's close, in the market's own time zone."""

from datetime import timedelta

import dagster as dg

from assets.jobs import close_job_name
from assets.partitions import keys_between
from nofx_pipelines.config import FeedConfig, UniverseConfig

# minutes after the close that archives need to settle
AFTER_CLOSE = {
    "cn": ("30 16 * * 1-5", "Asia/Shanghai"),
    "hk": ("0 17 * * 1-5", "Asia/Hong_Kong"),
    "crypto": ("15 0 * * *", "UTC"),
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
