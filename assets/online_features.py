"""``<universe>/online_features``: the newest vector of each instrument, handed over to the online store."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.plan import stage_inputs, whole_state
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.online import OnlineStoreResource
from resources.sources import SourcesResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``online_features`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "online_features",
        kinds={"numpy"},
        description="The newest vectors, for models that serve",
        deps=[above(universe, "features", whole=True)],
        checks=[("equals_batch", "The store holds the table's newest rows, bit for bit", True)],
    )
    def online_features(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        online: OnlineStoreResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.features.online.refresh import differences, hand_over, known_hand_over

        store, stage, now = lake.open(), STAGES["online_features"], sources.now()
        state = whole_state(store, universe, stage, now=now)
        if state.fresh and not config.force:
            result = known_hand_over(store, universe)
        else:
            result = hand_over(
                store,
                online.folder(),
                universe,
                inputs=stage_inputs(store, universe, stage),
                now=now,
                run_id=context.run.run_id,
                code_version=stage.version(universe),
            )
        wrong = differences(store, online.folder(), universe)
        check = dg.AssetCheckResult(
            check_name="equals_batch",
            passed=not wrong,
            metadata={"differ": len(wrong), "first": wrong[0] if wrong else ""},
        )
        return materialized(
            store.table(universe.name, "online_features"),
            rows=result.rows,
            seconds=result.seconds,
            more={
                "state": state.reason,
                "newer": result.newer,
                "newest": str(result.newest),
                "store": online.open(universe).place,
            },
            checks=[check],
        )

    return online_features
