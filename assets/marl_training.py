"""``<universe>/marl_training``: teams of agents, trained on the bars before the hold-out."""

from typing import Any

import dagster as dg

from assets.outcome import image
from assets.stage import Shown, StageView
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.stages import StageRun


def _show(result: Any, run: StageRun, table: LakeTable) -> Shown:
    return Shown(
        rows=result.rows,
        seconds=result.seconds,
        more={
            "frames": result.frames,
            "reward": dg.MetadataValue.json(result.reward),
            **{name: image(png, name) for name, png in result.figures.items()},
        },
    )


VIEW = StageView(
    kinds=frozenset({"pytorch", "mlflow"}),
    description=lambda universe: (
        f"{len(universe.marl.seeds)} trainings of {len(universe.marl.roles)} agents by "
        f"{universe.marl.algorithm}, {universe.marl.iterations} iterations each, resumable"
    ),
    show=_show,
    heavy=True,
)
