"""``<universe>/marl_training``: teams of eight agents, trained on the bars before the hold-out."""

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
    """The asset ``marl_training`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "marl_training",
        kinds={"pytorch", "mlflow"},
        description=f"{len(universe.marl.seeds)} trainings of eight agents by {universe.marl.algorithm}, "
        f"{universe.marl.iterations} iterations each, resumable",
        heavy=True,
        deps=[above(universe, "bars", whole=True)],
    )
    def marl_training(
        context: dg.AssetExecutionContext,
        config: HeavyOptions,
        lake: LakeResource,
        tracker: TrackerResource,
        sources: SourcesResource,
        compute: ComputeResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.marl.refresh import known_training, refresh_training

        store, stage = lake.open(), STAGES["marl_training"]
        device = compute.resolve(config.compute_of(universe.compute)).kind
        state = whole_state(store, universe, stage, now=sources.now())
        if state.fresh and not config.force:
            result = known_training(store, universe)
        else:
            result = refresh_training(
                store,
                tracker.open(),
                universe,
                inputs=stage_inputs(store, universe, stage),
                run_id=context.run.run_id,
                code_version=stage.version(universe),
                device=device,
            )
        return materialized(
            store.table(universe.name, "marl_history"),
            rows=result.rows,
            seconds=result.seconds,
            device=device,
            more={
                "state": state.reason,
                "frames": result.frames,
                "reward": dg.MetadataValue.json(result.reward),
                **{name: image(png, name) for name, png in result.figures.items()},
            },
        )

    return marl_training
