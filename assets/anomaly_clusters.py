"""``<universe>/anomaly_clusters``: anomalies that look alike, under ids that stay."""

from typing import Any

from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    return Shown(rows=result.rows, seconds=result.seconds, more={"members": result.members})


VIEW = StageView(
    kinds=frozenset({"scikitlearn", "deltalake"}),
    description=lambda universe: "HDBSCAN over the evidence of the anomalies",
    show=_show,
)
