"""``mart``: small result tables of all universes in one DuckDB file, renamed into place."""

import dagster as dg

from assets.shared_work import alone
from nofx_pipelines.config import Config
from nofx_pipelines.storage import storage_guard
from resources.lake import LakeResource


def build(config: Config) -> dg.AssetsDefinition:
    """The asset ``mart`` over all universes."""

    @dg.asset(
        key="mart",
        deps=[dg.AssetKey([name, last]) for name in config.universes for last in ("signals", "marl_policy")],
        group_name="publish",
        owners=["team:data"],
        kinds={"duckdb"},
        description="Leaderboard, gates, signals, trials and coverage of all universes: mart.duckdb",
    )
    def mart(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        from nofx_pipelines.lake.result_tables import build_result_mart

        path = config.home / "mart.duckdb"
        with storage_guard(config.home), alone(context, config.home):
            rows = build_result_mart(lake.open(), path)
        return dg.MaterializeResult(
            metadata={
                "rows": sum(rows.values()),
                "path": dg.MetadataValue.path(str(path)),
                "tables": dg.MetadataValue.json(dict(rows)),
            }
        )

    return mart
