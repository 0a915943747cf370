"""``<universe>/hpo_study``: the search over the families' hyper-parameters."""

from typing import Any

import dagster as dg

from assets.outcome import image
from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    # without a family that has a space there is no trial, and nothing is wrong
    usable = result.complete > 0 or result.rows == 0
    check = dg.AssetCheckResult(
        check_name="trials_finished",
        passed=result.failed == 0 and usable,
        severity=dg.AssetCheckSeverity.WARN if usable else dg.AssetCheckSeverity.ERROR,
        metadata={"complete": result.complete, "pruned": result.pruned, "failed": result.failed},
    )
    return Shown(
        rows=result.rows,
        seconds=result.seconds,
        more={
            "best_family": result.best_family or "none",
            "best_rank_ic": result.best_value,
            "best_params": dg.MetadataValue.json(result.best_params),
            "failures": dg.MetadataValue.json(result.failures),
            **{name: image(png, name) for name, png in result.figures.items()},
        },
        problems=[f"trials of {family} failed: {reason}" for family, reason in result.failures.items()],
        checks=[check],
    )


VIEW = StageView(
    kinds=frozenset({"optuna", "lightgbm"}),
    description=lambda universe: (
        f"{universe.search.trials} trials over the walk-forward folds, pruned and resumable"
    ),
    show=_show,
    checks=[("trials_finished", "Trials that failed are named; the others count", False)],
    heavy=True,
)
