"""``<universe>/bars``: checked, final bars with limits and status, bad sessions left out."""

from __future__ import annotations

from typing import Any

import dagster as dg

from assets.outcome import StageOptions, materialized, sessions_note
from assets.partitions import window_of
from assets.stage import stage_arguments
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.sources import SourcesResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``bars`` of ``universe``."""

    @dg.asset(
        **stage_arguments(
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
    )
    def bars(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult[Any]:
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
            run_id=context.run_id,
            code_version=STAGES["bars"].version(universe),
            force=config.force,
        )
        usable = len(result.sessions) - len(result.excluded)
        check = dg.AssetCheckResult(
            check_name="usable_sessions",
            passed=not result.excluded and usable > 0,
            severity=dg.AssetCheckSeverity.WARN if usable else dg.AssetCheckSeverity.ERROR,
            metadata={"usable": usable, "excluded": sessions_note(result.excluded)},
        )
        return materialized(
            store.table(universe.name, "bars"),
            rows=result.rows,
            seconds=result.seconds,
            more={"sessions_written": len(result.written), "sessions_fresh": len(result.fresh)},
            checks=[check],
        )

    return bars
