"""The sources of market data as a resource."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from nofx_pipelines.config import FeedConfig
from nofx_pipelines.market.inbox import with_inbox


class SourcesResource(dg.ConfigurableResource["SourcesResource"]):
    """Gives each feed its chain of sources, what lies in the inbox included, and the clock."""

    home: str
    fixed_now: str | None = None
    """An ISO time for tests and reproductions; the real clock when absent."""

    def now(self) -> datetime:
        """The time by which sessions count as final, in UTC."""
        return datetime.fromisoformat(self.fixed_now) if self.fixed_now else datetime.now(UTC)

    def feed(self, feed: FeedConfig) -> FeedConfig:
        """``feed`` with the inbox's files at the end of its chain."""
        return with_inbox(feed, Path(self.home), self.now())
