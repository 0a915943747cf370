"""``<universe>/online_features``: the newest vector of each instrument, published to the online store."""

from typing import Any

import dagster as dg

from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    from nofx_pipelines.features.online.backends import store_of
    from nofx_pipelines.features.online.refresh import differences

    wrong = differences(run.lake, run.home, run.universe)
    check = dg.AssetCheckResult(
        check_name="equals_batch",
        passed=not wrong,
        metadata={"differ": len(wrong), "first": wrong[0] if wrong else ""},
    )
    return Shown(
        rows=result.rows,
        seconds=result.seconds,
        more={
            "newer": result.newer,
            "newest": str(result.newest),
            "store": store_of(run.home, run.universe).place,
        },
        checks=[check],
    )


VIEW = StageView(
    kinds=frozenset({"numpy"}),
    description=lambda universe: "The newest vectors, for models that serve",
    show=_show,
    checks=[("equals_batch", "The store holds the table's newest rows, bit for bit", True)],
)
