"""``<universe>/anomaly_scores``: -log10 p of every bar against references from earlier sessions."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.partitions import window_of
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.tracker import TrackerResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``anomaly_scores`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "anomaly_scores",
        kinds={"scikitlearn", "numba", "deltalake"},
        description="Robust z, EWMA, isolation forest and rules on conditioned bars, and their ensemble",
        # references reach back over many partitions; what is missing there is not scored
        deps=[above(universe, "bars", whole=True)],
    )
    def anomaly_scores(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        tracker: TrackerResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.anomaly.refresh import refresh_scores

        store = lake.open()
        start, end = window_of(context, feed)
        result = refresh_scores(
            store,
            universe,
            tracker.open(),
            start=start,
            end=end,
            run_id=context.run.run_id,
            code_version=STAGES["anomaly_scores"].version(universe),
            force=config.force,
        )
        return materialized(
            store.table(universe.name, "anomaly_scores"),
            rows=result.rows,
            seconds=result.seconds,
            more={"sessions_written": len(result.written), "sessions_fresh": len(result.fresh)},
        )

    return anomaly_scores
