"""``<universe>/training_set``: features beside known labels, folds, and the leak check that blocks."""

from typing import Any

import dagster as dg

from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    leaks = result.leaks
    check = dg.AssetCheckResult(
        check_name="leak_free", passed=leaks.passed, metadata={"finding": leaks.finding}
    )
    return Shown(
        rows=result.training_set.rows,
        seconds=result.training_set.seconds,
        more={"leak_check": leaks.finding, "leak_check_seconds": round(leaks.seconds, 3)},
        checks=[check],
    )


VIEW = StageView(
    kinds=frozenset({"polars", "deltalake"}),
    description=lambda universe: "Features and known labels, walk-forward folds purged and embargoed",
    show=_show,
    checks=[("leak_free", "Nothing at or before a cut moves when everything after it does", True)],
)
