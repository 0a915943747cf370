"""Partitions: time windows that the assets turn into sessions by the market's calendar.

Daily bars are partitioned by month (ten years are 120 keys), intraday bars by session. One
definition per market and frequency, shared by the ingestion and its universes, so that one run
can hold them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache

import dagster as dg

from nofx_pipelines.config import FeedConfig


@cache
def partitions_of(feed: FeedConfig) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of ``feed``: months for daily bars, sessions for the others.

    An open feed has ``end_offset=1``: the current month or session exists before it is over.
    """
    end = None if feed.end is None else datetime.combine(_ceil(feed, feed.end), datetime.min.time(), UTC)
    if feed.freq == "1d":
        return dg.MonthlyPartitionsDefinition(
            start_date=datetime(feed.start.year, feed.start.month, 1, tzinfo=UTC),
            end_date=end,
            end_offset=0 if feed.end else 1,
            timezone="UTC",
        )
    return dg.TimeWindowPartitionsDefinition(
        start=datetime(feed.start.year, feed.start.month, feed.start.day, tzinfo=UTC),
        end=end,
        fmt="%Y-%m-%d",
        cron_schedule="0 0 * * *" if feed.market == "crypto" else "0 0 * * 1-5",
        timezone="UTC",
        end_offset=0 if feed.end else 1,
        exclusions=_holidays(feed),
    )


def _ceil(feed: FeedConfig, end: date) -> date:
    if feed.freq != "1d" or end.day == 1:
        return end
    return (end.replace(day=1) + timedelta(days=32)).replace(day=1)


def _holidays(feed: FeedConfig) -> list[datetime] | None:
    """Weekdays on which the market is closed, as far as the calendar is verified."""
    if feed.market == "crypto":
        return None
    from nofx_pipelines.market.sessions import calendar

    market = calendar(feed.market)
    end = min(feed.end or market.verified_until, market.verified_until)
    open_days = set(market.sessions(feed.start, end))
    days = (feed.start + timedelta(days=i) for i in range((end - feed.start).days))
    closed = [d for d in days if d.weekday() < 5 and d not in open_days]
    return [datetime(d.year, d.month, d.day, tzinfo=UTC) for d in closed] or None


def window_of(context: dg.AssetExecutionContext, feed: FeedConfig) -> tuple[date, date]:
    """The half-open range of dates that a run covers, clipped to the feed's own start and end."""
    window = context.partition_time_window
    start, end = max(window.start.date(), feed.start), window.end.date()
    return start, end if feed.end is None else min(end, feed.end)


def keys_between(feed: FeedConfig, start: date, end: date, now: datetime) -> tuple[str, str] | None:
    """The first and last partition key that touch ``[start, end)``; None when there is none."""
    definition = partitions_of(feed)
    first = max(start, feed.start)
    keys = [
        key
        for key in definition.get_partition_keys(current_time=now)
        if definition.time_window_for_partition_key(key).end.date() > first
        and definition.time_window_for_partition_key(key).start.date() < end
    ]
    return (keys[0], keys[-1]) if keys else None
