"""``<universe>/champion``: the gates' verdict; the alias moves or does not."""

from typing import Any

import dagster as dg

from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    return Shown(
        rows=result.rows,
        seconds=result.seconds,
        more={
            "champion_version": result.champion_version,
            "promoted": result.promoted,
            "verdict": dg.MetadataValue.md(result.markdown),
        },
        table=run.lake.table(run.universe.name, "gates"),
    )


VIEW = StageView(
    kinds=frozenset({"mlflow"}),
    description=lambda universe: f"Which version of {universe.model_name} carries @champion, and why",
    show=_show,
)
