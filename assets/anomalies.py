"""``<universe>/anomalies``: alerts within the budget, merged in time, explained."""

from typing import Any

import dagster as dg

from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    from nofx_pipelines.anomaly.formatting import events_markdown, recovery_markdown

    more: dict[str, Any] = {
        "critical": result.by_severity.get("critical", 0),
        "newest": dg.MetadataValue.md(events_markdown(table.scan().collect())),
    }
    if result.recovered is not None:
        more["recovery"] = dg.MetadataValue.md(recovery_markdown(result.recovered, result.precision))
    return Shown(rows=result.rows, seconds=result.seconds, more=more)


VIEW = StageView(
    kinds=frozenset({"polars", "deltalake"}),
    description=lambda universe: (
        f"At most {universe.anomaly.budget} alerts an instrument and session, with their reasons"
    ),
    show=_show,
)
