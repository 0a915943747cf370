"""The stage that this package computes: the studies of the families' hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.leakcheck.stages import TRAINING_SET
from nofx_pipelines.stages import Reads, Stage, StageRun


def _members(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    # networks are searched by nas: a change of theirs must not start the studies of others anew
    families = (name for name in universe.families if name != "network")
    return (*(("families", name) for name in families), ("samplers", universe.search.sampler))


def _study(run: StageRun) -> Any:
    from nofx_pipelines.hpo.refresh import refresh_study

    return refresh_study(run.lake, run.open_tracker(), run.universe, device=run.device, **run.table_stamp)


def _stored_study(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.hpo.refresh import known_study

    return known_study(lake, universe)


HPO_STUDY = Stage(
    name="hpo_study",
    table="hpo_trials",
    modules=("nofx_pipelines.hpo.study", "nofx_pipelines.hpo.refresh", "nofx_pipelines.hpo.worker"),
    reads=(Reads(TRAINING_SET),),
    compute=_study,
    settings=("families", "search", "compute"),
    members=_members,
    stored=_stored_study,
    searched=True,
)
STAGES = (HPO_STUDY,)
