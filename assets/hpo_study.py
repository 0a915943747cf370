"""``<universe>/hpo_study``: the search over the gradient boosting's hyper-parameters."""

import dagster as dg

from assets.outcome import HeavyOptions, image, materialized
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.plan import stage_inputs, whole_state
from nofx_pipelines.stages import STAGES
from resources.compute import ComputeResource
from resources.lake import LakeResource
from resources.sources import SourcesResource
from resources.tracker import TrackerResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``hpo_study`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "hpo_study",
        kinds={"optuna", "lightgbm"},
        description=f"{universe.search.trials} trials over the walk-forward folds, pruned and resumable",
        deps=[above(universe, "training_set")],
        checks=[("trials_finished", "Trials that failed are named; the others count", False)],
        heavy=True,
    )
    def hpo_study(
        context: dg.AssetExecutionContext,
        config: HeavyOptions,
        lake: LakeResource,
        tracker: TrackerResource,
        sources: SourcesResource,
        compute: ComputeResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.hpo.refresh import known_study, refresh_study

        store, stage = lake.open(), STAGES["hpo_study"]
        state = whole_state(store, universe, stage, now=sources.now())
        if state.fresh and not config.force:
            result = known_study(store, universe)
        else:
            result = refresh_study(
                store,
                tracker.open(),
                universe,
                inputs=stage_inputs(store, universe, stage),
                run_id=context.run.run_id,
                code_version=stage.version(universe),
            )
        check = dg.AssetCheckResult(
            check_name="trials_finished",
            passed=result.failed == 0 and result.complete > 0,
            severity=dg.AssetCheckSeverity.WARN if result.complete else dg.AssetCheckSeverity.ERROR,
            metadata={"complete": result.complete, "pruned": result.pruned, "failed": result.failed},
        )
        return materialized(
            store.table(universe.name, "hpo_trials"),
            rows=result.rows,
            seconds=result.seconds,
            device=compute.resolve(config.compute_of(universe.compute)).kind,
            more={
                "state": state.reason,
                "best_rank_ic": result.best_value,
                "best_params": dg.MetadataValue.json(result.best_params),
                **{name: image(png, name) for name, png in result.figures.items()},
            },
            checks=[check],
        )

    return hpo_study
