"""``<universe>/candidate_model``: the ridge baseline and the tuned model, tested once, registered."""

from typing import Any

import dagster as dg

from assets.outcome import image
from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    check = dg.AssetCheckResult(
        check_name="onnx_parity",
        passed=result.parity <= result.parity_limit,
        metadata={"largest_difference": result.parity},
    )
    return Shown(
        rows=result.rows,
        seconds=result.seconds,
        more={
            "candidate_version": result.candidate_version,
            "baseline_version": result.baseline_version,
            "leaderboard": dg.MetadataValue.md(result.markdown),
            **{name: image(png, name) for name, png in result.figures.items()},
        },
        checks=[check],
    )


VIEW = StageView(
    kinds=frozenset({"lightgbm", "torch", "onnx"}),
    description=lambda universe: (
        f"{universe.model_name}: the best of {', '.join(universe.families)}, tested once"
    ),
    show=_show,
    checks=[("onnx_parity", "The registered ONNX scores as the trained model does", True)],
    heavy=True,
)
