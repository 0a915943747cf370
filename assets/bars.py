"""``<universe>/bars``: checked, final bars with limits and status, bad sessions left out."""

import dagster as dg

from assets.outcome import StageOptions, materialized, sessions_note
from assets.partitions import window_of
from assets.stage import stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.sources import SourcesResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``bars`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "bars",
        kinds={"polars", "deltalake"},
        description="Bars of the universe's members: the chain's first source, its newest revision",
        deps=[
            dg.AssetDep(dg.AssetKey([feed.scope, "instruments"])),
            dg.AssetDep(dg.AssetKey([feed.scope, feed.source_bars])),
        ],
        checks=[("usable_sessions", "Sessions that failed a check are listed and left out", True)],
    )
    def bars(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.market.bars import refresh_bars

        store = lake.open()
        start, end = window_of(context, feed)
        result = refresh_bars(
            store,
            universe,
            feed,
            start=start,
            end=end,
            now=sources.now(),
            run_id=context.run.run_id,
            code_version=STAGES["bars"].version(universe),
            force=config.force,
        )
        table = store.table(universe.name, "bars")
        excluded = [day for day in table.excluded_sessions() if start <= day < end]
        usable = len(result.written) + len(result.fresh) - len(excluded)
        check = dg.AssetCheckResult(
            check_name="usable_sessions",
            passed=not excluded and usable > 0,
            severity=dg.AssetCheckSeverity.WARN if usable else dg.AssetCheckSeverity.ERROR,
            metadata={"usable": usable, "excluded": sessions_note(excluded)},
        )
        return materialized(
            table,
            rows=result.rows,
            seconds=result.seconds,
            more={
                "sessions_written": len(result.written),
                "sessions_fresh": len(result.fresh),
                "sessions_left_out": len(excluded),
                "rejected": result.rejected,
            },
            checks=[check],
        )

    return bars
