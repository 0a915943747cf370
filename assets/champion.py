"""``<universe>/champion``: the gates' verdict; the alias moves or does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.stage import above, stage_arguments
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.tracker import TrackerResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``champion`` of ``universe``."""

    @dg.asset(
        **stage_arguments(
            universe,
            feed,
            "champion",
            kinds={"mlflow"},
            description=f"Which version of {universe.model_name} carries @champion, and why",
            deps=[above(universe, "candidate_model")],
        )
    )
    def champion(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        tracker: TrackerResource,
    ) -> dg.MaterializeResult[Any]:
        from nofx_pipelines.models.champion import refresh_champion

        store = lake.open()
        result = refresh_champion(
            store,
            tracker.open(),
            universe,
            now=datetime.now(UTC),
            run_id=context.run_id,
            code_version=STAGES["champion"].version(universe),
            force=config.force,
        )
        return materialized(
            store.table(universe.name, "gates"),
            rows=result.rows,
            seconds=result.seconds,
            more={
                "champion_version": result.champion_version,
                "promoted": result.promoted,
                "verdict": dg.MetadataValue.md(result.markdown),
            },
        )

    return champion
