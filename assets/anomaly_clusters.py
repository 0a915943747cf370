"""``<universe>/anomaly_clusters``: anomalies that look alike, under ids that stay."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.plan import whole_state
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.sources import SourcesResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``anomaly_clusters`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "anomaly_clusters",
        kinds={"scikitlearn", "deltalake"},
        description="HDBSCAN over the evidence of the anomalies",
        deps=[above(universe, "anomalies")],
    )
    def anomaly_clusters(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.anomaly.refresh import known_clusters, refresh_clusters

        store, stage = lake.open(), STAGES["anomaly_clusters"]
        state = whole_state(store, universe, stage, now=sources.now())
        if state.fresh and not config.force:
            result = known_clusters(store, universe)
        else:
            result = refresh_clusters(
                store, universe, run_id=context.run.run_id, code_version=stage.version(universe)
            )
        return materialized(
            store.table(universe.name, "anomaly_clusters"),
            rows=result.rows,
            seconds=result.seconds,
            more={"state": state.reason, "members": result.members},
        )

    return anomaly_clusters
