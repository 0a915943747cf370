"""``<universe>/champion``: the gates' verdict; the alias moves or does not."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.plan import stage_inputs, whole_state
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.sources import SourcesResource
from resources.tracker import TrackerResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``champion`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "champion",
        kinds={"mlflow"},
        description=f"Which version of {universe.model_name} carries @champion, and why",
        deps=[above(universe, "candidate_model")],
    )
    def champion(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        tracker: TrackerResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.promotion.champion import known_champion, refresh_champion

        store, stage = lake.open(), STAGES["champion"]
        state = whole_state(store, universe, stage, now=sources.now())
        if state.fresh and not config.force:
            result = known_champion(store, universe)
        else:
            result = refresh_champion(
                store,
                tracker.open(),
                universe,
                inputs=stage_inputs(store, universe, stage),
                now=sources.now(),
                run_id=context.run.run_id,
                code_version=stage.version(universe),
            )
        return materialized(
            store.table(universe.name, "gates"),
            rows=result.rows,
            seconds=result.seconds,
            more={
                "state": state.reason,
                "champion_version": result.champion_version,
                "promoted": result.promoted,
                "verdict": dg.MetadataValue.md(result.markdown),
            },
        )

    return champion
