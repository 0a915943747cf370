"""``<universe>/training_set``: features beside known labels, folds, and the leak check that blocks."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``training_set`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "training_set",
        kinds={"polars", "deltalake"},
        description="Features and known labels, walk-forward folds purged and embargoed",
        deps=[above(universe, "features", whole=True), above(universe, "labels", whole=True)],
        checks=[("leak_free", "Nothing at or before a cut moves when everything after it does", True)],
    )
    def training_set(
        context: dg.AssetExecutionContext, config: StageOptions, lake: LakeResource
    ) -> dg.MaterializeResult:
        from nofx_pipelines.labels.training_set import refresh_training_set
        from nofx_pipelines.leakcheck.refresh import refresh_leak_check

        store, version = lake.open(), STAGES["training_set"].version(universe)
        result = refresh_training_set(
            store, universe, run_id=context.run.run_id, code_version=version, force=config.force
        )
        leaks = refresh_leak_check(
            store, universe, run_id=context.run.run_id, code_version=version, force=config.force
        )
        check = dg.AssetCheckResult(
            check_name="leak_free", passed=leaks.passed, metadata={"finding": leaks.finding}
        )
        return materialized(
            store.table(universe.name, "training_set"),
            rows=result.rows,
            seconds=result.seconds,
            more={"leak_check": leaks.finding, "leak_check_seconds": round(leaks.seconds, 3)},
            checks=[check],
        )

    return training_set
