"""``<universe>/signals``: the champion, loaded by alias, on the latest sessions."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.tracker import TrackerResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``signals`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "signals",
        kinds={"onnx", "deltalake"},
        description=f"Scores and ranks of models:/{universe.model_name}@champion",
        deps=[above(universe, "features", whole=True), above(universe, "champion")],
    )
    def signals(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        tracker: TrackerResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.promotion.signals import refresh_signals

        store = lake.open()
        result = refresh_signals(
            store,
            universe,
            tracker.open().load(f"models:/{universe.model_name}@champion"),
            run_id=context.run.run_id,
            code_version=STAGES["signals"].version(universe),
            force=config.force,
        )
        return materialized(store.table(universe.name, "signals"), rows=result.rows, seconds=result.seconds)

    return signals
