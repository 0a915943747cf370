"""``<universe>/marl_policy``: the teams judged on later bars, the first one registered, @champion or not."""

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
    """The asset ``marl_policy`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "marl_policy",
        kinds={"pytorch", "onnx", "mlflow"},
        description=f"{universe.agents_name}: judged on later bars against random, holding and the rules",
        heavy=True,
        deps=[above(universe, "bars", whole=True), above(universe, "marl_training")],
        checks=[("onnx_parity", "The registered ONNX acts as the trained team does", True)],
    )
    def marl_policy(
        context: dg.AssetExecutionContext,
        config: HeavyOptions,
        lake: LakeResource,
        tracker: TrackerResource,
        sources: SourcesResource,
        compute: ComputeResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.marl.registration import known_policy, refresh_policy

        store, stage = lake.open(), STAGES["marl_policy"]
        device = compute.resolve(config.compute_of(universe.compute)).kind
        state = whole_state(store, universe, stage, now=sources.now())
        if state.fresh and not config.force:
            result = known_policy(store, universe)
        else:
            result = refresh_policy(
                store,
                tracker.open(),
                universe,
                inputs=stage_inputs(store, universe, stage),
                now=sources.now(),
                run_id=context.run.run_id,
                code_version=stage.version(universe),
                device=device,
            )
        check = dg.AssetCheckResult(
            check_name="onnx_parity",
            passed=result.differing == 0,
            metadata={"differing_actions": result.differing},
        )
        return materialized(
            store.table(universe.name, "policy_leaderboard"),
            rows=result.rows,
            seconds=result.seconds,
            device=device,
            more={
                "state": state.reason,
                "version": result.version,
                "champion_version": result.champion or "none",
                "promoted": result.promoted,
                "verdict": dg.MetadataValue.md(result.markdown),
                **{name: image(png, name) for name, png in result.figures.items()},
            },
            checks=[check],
        )

    return marl_policy
