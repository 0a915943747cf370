"""The stages that this package computes: features, and the newest of them in the online store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.stages import BARS
from nofx_pipelines.stages import Extent, Reads, Stage, StageRun


def feature_members(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    """The feature sets of a universe."""
    return (("features", name) for name in universe.features)


def _features(run: StageRun) -> Any:
    from nofx_pipelines.features.execution.refresh import refresh_features

    return refresh_features(
        run.lake, run.universe, start=run.start, end=run.end, force=run.force, **run.stamp
    )


def _feature_inputs(extent: Extent) -> Mapping[date, str]:
    from nofx_pipelines.features.execution.refresh import feature_inputs

    return feature_inputs(extent.lake, extent.universe, extent.feed, extent.start, extent.end)


def _publish(run: StageRun) -> Any:
    from nofx_pipelines.features.online.refresh import publish

    return publish(run.lake, run.home, run.universe, now=run.now, **run.table_stamp)


def _published(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.features.online.refresh import stored_publication

    return stored_publication(lake, universe)


def _why_not_published(lake: Lake, universe: UniverseConfig) -> str | None:
    from nofx_pipelines.features.online.refresh import why_not_published

    return why_not_published(lake, lake.root.parent, universe)


FEATURES = Stage(
    name="features",
    table="features",
    modules=("nofx_pipelines.features.execution.refresh",),
    # the state of the session before stands for all earlier ones
    reads=(Reads(BARS, back=1),),
    compute=_features,
    settings=("market", "freq", "features"),
    members=feature_members,
    session_inputs=_feature_inputs,
)
ONLINE_FEATURES = Stage(
    name="online_features",
    table="online_features",
    modules=("nofx_pipelines.features.online.refresh",),
    reads=(Reads(FEATURES, whole=True),),
    compute=_publish,
    settings=("freq",),
    members=feature_members,
    stored=_published,
    why_stale=_why_not_published,
)
STAGES = (FEATURES, ONLINE_FEATURES)
