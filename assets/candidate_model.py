"""``<universe>/candidate_model``: the ridge baseline and the tuned model, tested once, registered."""

import dagster as dg

from assets.outcome import HeavyOptions, image, materialized
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.plan import stage_inputs, whole_state
from nofx_pipelines.stages import STAGES
from resources.compute import ComputeResource
from resources.engine import EngineResource
from resources.lake import LakeResource
from resources.sources import SourcesResource
from resources.tracker import TrackerResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``candidate_model`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "candidate_model",
        kinds={"lightgbm", "torch", "onnx"},
        description=f"{universe.model_name}: the better of boosting and network, tested once",
        deps=[
            above(universe, "training_set"),
            above(universe, "hpo_study"),
            above(universe, "nas_search"),
            above(universe, "bars", whole=True),
        ],
        checks=[("onnx_parity", "The registered ONNX scores as the trained model does", True)],
        heavy=True,
    )
    def candidate_model(
        context: dg.AssetExecutionContext,
        config: HeavyOptions,
        lake: LakeResource,
        tracker: TrackerResource,
        sources: SourcesResource,
        compute: ComputeResource,
        engine: EngineResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.promotion.candidate import known_candidate, refresh_candidate

        store, stage = lake.open(), STAGES["candidate_model"]
        device = compute.resolve(config.compute_of(universe.compute)).kind
        state = whole_state(store, universe, stage, now=sources.now())
        if state.fresh and not config.force:
            result = known_candidate(store, universe)
        else:
            result = refresh_candidate(
                store,
                tracker.open(),
                universe,
                inputs=stage_inputs(store, universe, stage),
                run_id=context.run.run_id,
                code_version=stage.version(universe),
                engine=engine.open(),
                device=device,
            )
        check = dg.AssetCheckResult(
            check_name="onnx_parity",
            passed=result.parity <= result.parity_limit,
            metadata={"largest_difference": result.parity},
        )
        return materialized(
            store.table(universe.name, "leaderboard"),
            rows=result.rows,
            seconds=result.seconds,
            device=device,
            more={
                "state": state.reason,
                "candidate_version": result.candidate_version,
                "baseline_version": result.baseline_version,
                "leaderboard": dg.MetadataValue.md(result.markdown),
                **{name: image(png, name) for name, png in result.figures.items()},
            },
            checks=[check],
        )

    return candidate_model
