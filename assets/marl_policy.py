"""``<universe>/marl_policy``: the teams judged on later bars, the first one registered, @champion or not."""

from typing import Any

import dagster as dg

from assets.outcome import image
from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    check = dg.AssetCheckResult(
        check_name="onnx_parity",
        passed=result.differing == 0,
        metadata={"differing_actions": result.differing},
    )
    return Shown(
        rows=result.rows,
        seconds=result.seconds,
        more={
            "version": result.version,
            "champion_version": result.champion or "none",
            "promoted": result.promoted,
            "verdict": dg.MetadataValue.md(result.markdown),
            **{name: image(png, name) for name, png in result.figures.items()},
        },
        checks=[check],
    )


VIEW = StageView(
    kinds=frozenset({"pytorch", "onnx", "mlflow"}),
    description=lambda universe: (
        f"{universe.agents_name}: judged on later bars against random, holding and the rules"
    ),
    show=_show,
    checks=[("onnx_parity", "The registered ONNX acts as the trained team does", True)],
    heavy=True,
)
