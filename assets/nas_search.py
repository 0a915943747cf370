"""``<universe>/nas_search``: the search over network architectures."""

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
    """The asset ``nas_search`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "nas_search",
        kinds={"torch"},
        description=f"{universe.nas.trials} architectures by {universe.nas.strategy}, resumable",
        deps=[above(universe, "training_set"), above(universe, "features", whole=True)],
        checks=[("trials_finished", "Trials that failed are named; the others count", False)],
        heavy=True,
    )
    def nas_search(
        context: dg.AssetExecutionContext,
        config: HeavyOptions,
        lake: LakeResource,
        tracker: TrackerResource,
        sources: SourcesResource,
        compute: ComputeResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.nas.refresh import known_search, refresh_search

        store, stage = lake.open(), STAGES["nas_search"]
        state = whole_state(store, universe, stage, now=sources.now())
        device = compute.resolve(config.compute_of(universe.compute)).kind
        if state.fresh and not config.force:
            result = known_search(store, universe)
        else:
            result = refresh_search(
                store,
                tracker.open(),
                universe,
                inputs=stage_inputs(store, universe, stage),
                run_id=context.run.run_id,
                code_version=stage.version(universe),
                device=device,
            )
        check = dg.AssetCheckResult(
            check_name="trials_finished",
            passed=result.failed == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"complete": result.complete, "failed": result.failed},
        )
        best = result.best
        return materialized(
            store.table(universe.name, "nas_trials"),
            rows=result.rows,
            seconds=result.seconds,
            device=device,
            more={
                "state": state.reason,
                **(
                    {"best_rank_ic": best.rank_ic, "best": dg.MetadataValue.json(best.spec.to_json())}
                    if best
                    else {}
                ),
                **{name: image(png, name) for name, png in result.figures.items()},
            },
            checks=[check],
        )

    return nas_search
