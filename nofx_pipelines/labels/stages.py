"""The stage that this package computes: labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.market.stages import BARS
from nofx_pipelines.stages import Extent, Reads, Stage, StageRun


def label_members(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    """The label of a universe."""
    return (("labels", universe.labels.kind),)


def _labels(run: StageRun) -> Any:
    from nofx_pipelines.labels.refresh import refresh_labels

    return refresh_labels(
        run.lake,
        run.universe,
        start=run.start,
        end=run.end,
        force=run.force,
        known_until=run.now,
        **run.stamp,
    )


def _label_inputs(extent: Extent) -> Mapping[date, str]:
    from nofx_pipelines.labels.refresh import label_inputs

    return label_inputs(
        extent.lake, extent.universe, start=extent.start, end=extent.end, known_until=extent.now
    )


LABELS = Stage(
    name="labels",
    table="labels",
    modules=("nofx_pipelines.labels.refresh",),
    reads=(Reads(BARS, back=1, ahead=1),),
    compute=_labels,
    settings=("market", "freq", "labels"),
    members=label_members,
    session_inputs=_label_inputs,
)
STAGES = (LABELS,)
