"""``<universe>/bars``: checked, final bars with limits and status, bad sessions left out."""

from typing import Any

import dagster as dg

from assets.outcome import sessions_note
from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    excluded = [day for day in table.excluded_sessions() if run.start <= day < run.end]
    usable = len(result.written) + len(result.fresh) - len(excluded)
    check = dg.AssetCheckResult(
        check_name="usable_sessions",
        passed=not excluded and usable > 0,
        severity=dg.AssetCheckSeverity.WARN if usable else dg.AssetCheckSeverity.ERROR,
        metadata={"usable": usable, "excluded": sessions_note(excluded)},
    )
    return Shown(
        rows=result.rows,
        seconds=result.seconds,
        more={
            "sessions_written": len(result.written),
            "sessions_fresh": len(result.fresh),
            "sessions_left_out": len(excluded),
            "rejected": result.rejected,
        },
        checks=[check],
    )


VIEW = StageView(
    kinds=frozenset({"polars", "deltalake"}),
    description=lambda universe: "Members' bars: the chain's first source, its newest revision",
    show=_show,
    checks=[("usable_sessions", "Sessions that failed a check are listed and left out", True)],
)
