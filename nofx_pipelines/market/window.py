"""The dates that a feed's sources can deliver."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from nofx_pipelines.config import FeedConfig
from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.market.sources import open_source


def data_window(feed: FeedConfig, start: date | None, end: date | None, now: datetime) -> tuple[date, date]:
    """The half-open range of dates asked for, clipped to the feed and to what its sources hold.

    Raises:
        NotEnoughData: when nothing is left.
    """
    latest = feed.end or now.date() + timedelta(days=1)
    spans = [
        open_source(link, market=feed.market, freq=feed.freq, start=feed.start, end=latest, now=now).span()
        for link in feed.sources
    ]
    first = max(feed.start, min(s for s, _ in spans), start or feed.start)
    last = min(latest, max(e for _, e in spans), end or latest)
    if last <= first:
        raise NotEnoughData(
            f"{feed.market} {feed.freq}: no session in [{start or feed.start}, {end or latest}); "
            f"the sources hold {min(s for s, _ in spans)} to {max(e for _, e in spans)}",
            kept="nothing was run",
            hint="nofx run without --start and --end",
        )
    return first, last
