"""The stages that this package computes: teams of agents, and the verdict on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.stages import BARS
from nofx_pipelines.marl.members import named_members
from nofx_pipelines.stages import Reads, Stage, StageRun


def _members(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    return named_members(universe.marl)


def _training(run: StageRun) -> Any:
    from nofx_pipelines.marl.refresh import refresh_training

    return refresh_training(run.lake, run.open_tracker(), run.universe, device=run.device, **run.table_stamp)


def _stored_training(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.marl.refresh import known_training

    return known_training(lake, universe)


def _policy(run: StageRun) -> Any:
    from nofx_pipelines.marl.registration import refresh_policy

    return refresh_policy(
        run.lake, run.open_tracker(), run.universe, now=run.now, device=run.device, **run.table_stamp
    )


def _stored_policy(lake: Lake, universe: UniverseConfig) -> Any:
    from nofx_pipelines.marl.registration import known_policy

    return known_policy(lake, universe)


MARL_TRAINING = Stage(
    name="marl_training",
    table="marl_history",
    modules=("nofx_pipelines.marl.refresh",),
    reads=(Reads(BARS, whole=True),),
    compute=_training,
    settings=("market", "freq", "folds", "marl", "compute"),
    members=_members,
    stored=_stored_training,
    searched=True,
)
MARL_POLICY = Stage(
    name="marl_policy",
    table="policy_leaderboard",
    modules=("nofx_pipelines.marl.registration",),
    reads=(Reads(BARS, whole=True), Reads(MARL_TRAINING)),
    compute=_policy,
    settings=(
        "market",
        "freq",
        "folds",
        "gates.confidence",
        "gates.resamples",
        "gates.seed",
        "marl",
    ),
    members=_members,
    stored=_stored_policy,
    searched=True,
)
STAGES = (MARL_TRAINING, MARL_POLICY)
