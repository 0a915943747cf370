"""``<market>/instruments`` and ``<market>/source_bars_<freq>``: what the sources deliver."""

import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from assets.outcome import StageOptions, decisions_markdown, materialized
from assets.partitions import window_of
from assets.shared_work import alone
from assets.stage import ingest_asset
from nofx_pipelines.config import FeedConfig
from nofx_pipelines.market.stages import ingest_version
from nofx_pipelines.storage import storage_guard
from resources.lake import LakeResource
from resources.sources import SourcesResource


def build_instruments(feeds: Sequence[FeedConfig]) -> dg.AssetsDefinition:
    """The instruments of one market, over all its feeds."""

    @ingest_asset(
        feeds[0],
        "instruments",
        description="Every instrument that a source knows: board, lot, tick, listing",
        partitioned=False,
    )
    def instruments(
        context: dg.AssetExecutionContext, lake: LakeResource, sources: SourcesResource
    ) -> dg.MaterializeResult:
        from nofx_pipelines.market.ingest import refresh_instruments

        store = lake.open()
        began = time.perf_counter()
        with storage_guard(store.root.parent), alone(context, Path(sources.home)):
            rows = refresh_instruments(
                store,
                [sources.feed(feed) for feed in feeds],
                now=sources.now(),
                run_id=context.run.run_id,
                code_version=ingest_version(feeds[0]),
            )
        table = store.table(feeds[0].scope, "instruments")
        return materialized(table, rows=rows, seconds=time.perf_counter() - began)

    return instruments


def build_source_bars(feed: FeedConfig) -> dg.AssetsDefinition:
    """The bars of one market and frequency as the sources delivered them, revisions appended."""

    @ingest_asset(
        feed,
        feed.source_bars,
        description=f"{feed.freq} bars of {feed.market} as delivered, revisions appended",
        partitioned=True,
        checks=[("rows_accepted", "Rows that could not be used went to quarantine", False)],
        deps=[dg.AssetKey([feed.scope, "instruments"])],
    )
    def source_bars(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.market.ingest import ingest

        store, chain = lake.open(), sources.feed(feed)
        start, end = window_of(context, feed)
        with storage_guard(store.root.parent), alone(context, Path(sources.home)):
            result = ingest(
                store,
                chain,
                start=start,
                end=end,
                now=sources.now(),
                run_id=context.run.run_id,
                code_version=ingest_version(chain),
                force=config.force,
            )
        check = dg.AssetCheckResult(
            check_name="rows_accepted",
            passed=result.rejected == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"rejected": result.rejected},
        )
        return materialized(
            store.table(feed.scope, feed.source_bars),
            rows=result.new + result.revised,
            seconds=result.seconds,
            more={
                "delivered": result.rows,
                "new": result.new,
                "revised": result.revised,
                "rejected": result.rejected,
                "decisions": dg.MetadataValue.md(decisions_markdown(result.decisions)),
            },
            checks=[check],
            problems=[
                f"{d.subject}: {d.value} {d.evidence}" for d in result.decisions if d.value == "plugin error"
            ],
        )

    return source_bars
