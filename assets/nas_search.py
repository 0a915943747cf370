"""``<universe>/nas_search``: the search over network architectures."""

from typing import Any

import dagster as dg

from assets.outcome import image
from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    check = dg.AssetCheckResult(
        check_name="trials_finished",
        passed=result.failed == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"complete": result.complete, "failed": result.failed},
    )
    best = result.best
    described = (
        {"best_rank_ic": best.rank_ic, "best": dg.MetadataValue.json(best.spec.to_json())} if best else {}
    )
    figures = {name: image(png, name) for name, png in result.figures.items()}
    return Shown(rows=result.rows, seconds=result.seconds, more={**described, **figures}, checks=[check])


VIEW = StageView(
    kinds=frozenset({"torch"}),
    description=lambda universe: f"{universe.nas.trials} architectures by {universe.nas.strategy}, resumable",
    show=_show,
    checks=[("trials_finished", "Trials that failed are named; the others count", False)],
    heavy=True,
)
