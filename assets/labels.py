"""``<universe>/labels``: forward returns and triple barriers; what is not known yet is null."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.partitions import window_of
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.sources import SourcesResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``labels`` of ``universe``."""
    labels = universe.labels

    @stage_asset(
        universe,
        feed,
        "labels",
        kinds={"polars", "deltalake"},
        description=f"Labels {labels.horizon} bars ahead, barriers over {labels.sigma_bars} bars' sigma",
        deps=[above(universe, "bars", back=1, ahead=1)],
    )
    def labels_asset(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.labels.refresh import refresh_labels

        store = lake.open()
        start, end = window_of(context, feed)
        result = refresh_labels(
            store,
            universe,
            start=start,
            end=end,
            run_id=context.run.run_id,
            code_version=STAGES["labels"].version(universe),
            force=config.force,
            known_until=sources.now(),
        )
        return materialized(
            store.table(universe.name, "labels"),
            rows=result.rows,
            seconds=result.seconds,
            more={"sessions_written": len(result.written), "sessions_fresh": len(result.fresh)},
        )

    return labels_asset
