"""``<market>/instruments`` and ``<market>/source_bars_<freq>``: what the sources deliver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.partitions import window_of
from assets.stage import ingest_arguments
from nofx_pipelines.config import FeedConfig
from nofx_pipelines.stages import ingest_version
from resources.lake import LakeResource
from resources.sources import SourcesResource


def build_instruments(feeds: Sequence[FeedConfig]) -> dg.AssetsDefinition:
    """The instruments of one market, over all its feeds."""

    @dg.asset(
        **ingest_arguments(
            feeds[0],
            "instruments",
            description="Every instrument that a source knows: board, lot, tick, listing",
            partitioned=False,
        )
    )
    def instruments(lake: LakeResource, sources: SourcesResource) -> dg.MaterializeResult[Any]:
        from nofx_pipelines.market.ingest import refresh_instruments

        store = lake.open()
        result = refresh_instruments(store, [sources.feed(feed) for feed in feeds], now=sources.now())
        return materialized(
            store.table(feeds[0].scope, "instruments"), rows=result.rows, seconds=result.seconds
        )

    return instruments


def build_source_bars(feed: FeedConfig) -> dg.AssetsDefinition:
    """The bars of one market and frequency as the sources delivered them, revisions appended."""

    @dg.asset(
        **ingest_arguments(
            feed,
            feed.source_bars,
            description=f"{feed.freq} bars of {feed.market} as delivered, revisions appended",
            partitioned=True,
            checks=[("rows_accepted", "Rows that could not be used went to quarantine", False)],
        ),
        deps=[dg.AssetKey([feed.scope, "instruments"])],
    )
    def source_bars(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult[Any]:
        from nofx_pipelines.market.ingest import ingest

        store, chain = lake.open(), sources.feed(feed)
        start, end = window_of(context, feed)
        result = ingest(
            store,
            chain,
            start=start,
            end=end,
            now=sources.now(),
            run_id=context.run_id,
            code_version=ingest_version(chain),
            force=config.force,
        )
        check = dg.AssetCheckResult(
            check_name="rows_accepted",
            passed=result.rejected == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"rejected": result.rejected, "rules": dict(result.rejected_by_rule)},
        )
        return materialized(
            store.table(feed.scope, feed.source_bars),
            rows=result.new + result.revised,
            seconds=result.seconds,
            more={"new": result.new, "revised": result.revised, "rejected": result.rejected},
            checks=[check],
        )

    return source_bars
