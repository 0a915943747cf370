"""``<universe>/anomalies``: alerts within the budget, merged in time, explained."""

import dagster as dg

from assets.outcome import StageOptions, materialized
from assets.stage import above, stage_asset
from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.plan import stage_inputs, whole_state
from nofx_pipelines.stages import STAGES
from resources.lake import LakeResource
from resources.sources import SourcesResource


def build(universe: UniverseConfig, feed: FeedConfig) -> dg.AssetsDefinition:
    """The asset ``anomalies`` of ``universe``."""

    @stage_asset(
        universe,
        feed,
        "anomalies",
        kinds={"polars", "deltalake"},
        description=f"At most {universe.anomaly.budget} alerts an instrument and session, with their reasons",
        deps=[above(universe, "anomaly_scores", whole=True)],
    )
    def anomalies(
        context: dg.AssetExecutionContext,
        config: StageOptions,
        lake: LakeResource,
        sources: SourcesResource,
    ) -> dg.MaterializeResult:
        from nofx_pipelines.anomaly.formatting import events_markdown, recovery_markdown
        from nofx_pipelines.anomaly.refresh import known_events, refresh_events

        store, stage = lake.open(), STAGES["anomalies"]
        state = whole_state(store, universe, stage, now=sources.now())
        if state.fresh and not config.force:
            result = known_events(store, universe)
        else:
            result = refresh_events(
                store,
                universe,
                inputs=stage_inputs(store, universe, stage),
                run_id=context.run.run_id,
                code_version=stage.version(universe),
            )
        table = store.table(universe.name, "anomalies")
        more = {
            "state": state.reason,
            "critical": result.by_severity.get("critical", 0),
            "newest": dg.MetadataValue.md(events_markdown(table.scan().collect())),
        }
        if result.recovered is not None:
            more["recovery"] = dg.MetadataValue.md(recovery_markdown(result.recovered, result.precision))
        return materialized(table, rows=result.rows, seconds=result.seconds, more=more)

    return anomalies
