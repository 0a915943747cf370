"""``<universe>/features``: every feature set of the universe in one table."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.partitions import window_of
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``features`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "features",
        kinds={"numba", "deltalake"},
        description=f"Feature sets {', '.join(universe.features)}, resumed from the session before",
        # the state of the session before stands for all earlier ones
        deps=[above(universe, "bars", back=1)],
        checks=[("drift", "The newest sessions' features are distributed as those before (PSI)", False)],
    )
    def features(
        context: dg.AssetExecutionContext, config: StageOptions, lake: LakeResource
    ) -> dg.MaterializeResult:
        from nofx_pipelines.features.execution.refresh import refresh_features
        from nofx_pipelines.features.online.drift import MUCH, feature_drift
        from nofx_pipelines.features.sets.registry import feature_set

        store = lake.open()
        start, end = window_of(context, feed)
        result = refresh_features(
            store,
            universe,
            start=start,
            end=end,
            run_id=context.run.run_id,
            code_version=STAGES["features"].version(universe),
            force=config.force,
        )
        drift = feature_drift(store, universe)
        moved = drift.moved if drift else []
        check = dg.AssetCheckResult(
            check_name="drift",
            passed=not moved,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "above": MUCH,
                "and_above": "what is usual for the feature",
                "moved": ", ".join(moved[:20]),
                "known": drift is not None,
            },
        )
        return materialized(
            store.table(universe.name, "features"),
            rows=result.rows,
            seconds=result.seconds,
            more={
                "sessions_written": len(result.written),
                "sessions_fresh": len(result.fresh),
                "psi": dg.MetadataValue.json(dict(list(drift.psi.items())[:20]) if drift else {}),
            },
            checks=[check],
            described={
                f.name: f"{f.description} ({f.unit})" for f in feature_set(*universe.features).features
            },
        )

    return features
