"""The stage that this package computes: the search over network architectures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.features.stages import FEATURES
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.leakcheck.stages import TRAINING_SET
from nofx_pipelines.stages import Reads, Stage, StageRun


def _members(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    return (("families", "network"), ("strategies", universe.nas.strategy))


def _search(run: StageRun) -> Any:
    from nofx_pipelines.nas.refresh import refresh_search

    return refresh_search(run.lake, run.open_tracker(), run.universe, device=run.device, **run.table_stamp)


def _stored_search(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.nas.refresh import known_search

    return known_search(lake, universe)


NAS_SEARCH = Stage(
    name="nas_search",
    table="nas_trials",
    modules=("nofx_pipelines.nas.refresh", "nofx_pipelines.nas.worker"),
    reads=(Reads(TRAINING_SET), Reads(FEATURES, whole=True)),
    compute=_search,
    settings=("labels", "families", "nas", "compute"),
    members=_members,
    stored=_stored_search,
    searched=True,
)
STAGES = (NAS_SEARCH,)
