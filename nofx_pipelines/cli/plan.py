"""What one job of ``nofx run`` has to materialise: the lake's freshness and Dagster's records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from nofx_pipelines.config import Config, FeedConfig, UniverseConfig
from nofx_pipelines.graph import STAGES
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.inbox import with_inbox
from nofx_pipelines.market.window import data_window
from nofx_pipelines.plan import StageState, plan_feed, plan_universe

if TYPE_CHECKING:
    from dagster import DagsterInstance


@dataclass(frozen=True)
class Chosen:
    """The state of a job's stages, the asset keys to run and the range of partition keys."""

    states: tuple[StageState, ...]
    keys: list[list[str]]
    range: tuple[str, str] | None


@dataclass(frozen=True)
class Selection:
    """Chooses, for a window of dates, what each job has to run."""

    config: Config
    start: date | None
    end: date | None
    now: datetime
    force: bool = False

    @property
    def lake(self) -> Lake:
        """The home's lake."""
        return Lake(self.config.lake)

    def window(self, feed: FeedConfig) -> tuple[date, date]:
        """The dates asked for, within what the feed's sources have."""
        return data_window(with_inbox(feed, self.config.home, self.now), self.start, self.end, self.now)

    def of_feed(self, feed: FeedConfig, instance: DagsterInstance | None) -> Chosen:
        """The ingestion of ``feed``."""
        start, end = self.window(feed)
        state = plan_feed(self.lake, self.config, feed, start=start, end=end, now=self.now, force=self.force)
        state = self._recorded(state, feed, start, end, instance, partitioned=True)
        keys = [] if state.fresh else [[feed.scope, "instruments"], [feed.scope, feed.source_bars]]
        return Chosen((state,), keys, self._range(feed, start, end))

    def of_universe(
        self, universe: UniverseConfig, instance: DagsterInstance | None, *, feed_fresh: bool = True
    ) -> Chosen:
        """The stages of ``universe`` that are not fresh."""
        feed = self.config.feed_of(universe)
        start, end = self.window(feed)
        states = plan_universe(
            self.lake,
            feed,
            universe,
            start=start,
            end=end,
            now=self.now,
            force=self.force,
            feed_fresh=feed_fresh,
        )
        states = [
            self._recorded(s, feed, start, end, instance, partitioned=STAGES[s.stage].has_partitions)
            for s in states
        ]
        keys = [[s.scope, s.stage] for s in states if not s.fresh]
        return Chosen(tuple(states), keys, self._range(feed, start, end))

    def _range(self, feed: FeedConfig, start: date, end: date) -> tuple[str, str] | None:
        from assets.partitions import keys_between

        return keys_between(feed, start, end, self.now)

    def _recorded(
        self,
        state: StageState,
        feed: FeedConfig,
        start: date,
        end: date,
        instance: DagsterInstance | None,
        *,
        partitioned: bool,
    ) -> StageState:
        """``state``, or stale where Dagster has no materialisation of what the lake holds."""
        from dagster import AssetKey

        from assets.partitions import partitions_of

        if not state.fresh or instance is None:
            return state
        key = AssetKey([state.scope, state.stage])
        if not partitioned:
            known = instance.get_latest_materialization_event(key) is not None
            return state if known else replace(state, fresh=False, reason="not in Dagster's records")
        span = self._range(feed, start, end)
        if span is None:
            return state
        keys = partitions_of(feed).get_partition_keys(current_time=self.now)
        wanted = set(keys[keys.index(span[0]) : keys.index(span[1]) + 1])
        missing = wanted - set(instance.get_materialized_partitions(key))
        if not missing:
            return state
        return replace(state, fresh=False, reason=f"{len(missing)} partitions not in Dagster's records")
