"""``report``: one self-contained HTML page over all universes."""

from datetime import UTC, datetime

import dagster as dg

from assets.shared_work import alone
from nofx_pipelines.config import Config
from nofx_pipelines.storage import storage_guard
from resources.lake import LakeResource


def build(config: Config) -> dg.AssetsDefinition:
    """The asset ``report`` over all universes."""

    @dg.asset(
        key="report",
        deps=[dg.AssetKey("mart")],
        group_name="publish",
        owners=["team:research"],
        kinds={"html"},
        description="Verdict, data, trials, leaderboard, equity, gates and lineage on one page",
    )
    def report(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        from nofx_pipelines.report.page import write_report

        path = config.home / "report" / "index.html"
        with storage_guard(config.home), alone(context, config.home):
            size = write_report(lake.open(), config, path, now=datetime.now(UTC))
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(str(path)), "bytes": size, "rows": len(config.universes)}
        )

    return report
