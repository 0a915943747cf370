"""The stage that this package computes: the training set, which counts only once its leak check passed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.features.stages import FEATURES, feature_members
from nofx_pipelines.labels.stages import LABELS, label_members
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.stages import Reads, Stage, StageRun

if TYPE_CHECKING:
    from nofx_pipelines.labels.training_set import TrainingSetResult
    from nofx_pipelines.leakcheck.refresh import LeakCheckResult


@dataclass(frozen=True)
class CheckedTrainingSet:
    """The training set and what its leak check says."""

    training_set: TrainingSetResult
    leaks: LeakCheckResult


def _training_set(run: StageRun) -> CheckedTrainingSet:
    from nofx_pipelines.labels.training_set import refresh_training_set
    from nofx_pipelines.leakcheck.refresh import refresh_leak_check

    return CheckedTrainingSet(
        refresh_training_set(run.lake, run.universe, force=run.force, **run.stamp),
        refresh_leak_check(run.lake, run.universe, force=run.force, **run.stamp),
    )


def _inputs(lake: Lake, universe: UniverseConfig) -> str:
    from nofx_pipelines.labels.training_set import training_inputs

    return training_inputs(lake, universe)


def _why_stale(lake: Lake, universe: UniverseConfig) -> str | None:
    from nofx_pipelines.leakcheck.refresh import leak_check_passed

    return None if leak_check_passed(lake, universe) is True else "its leak check did not pass"


def _members(universe: UniverseConfig) -> Iterable[tuple[str, str]]:
    return (*feature_members(universe), *label_members(universe))


TRAINING_SET = Stage(
    name="training_set",
    table="training_set",
    modules=("nofx_pipelines.labels.training_set", "nofx_pipelines.leakcheck.refresh"),
    reads=(Reads(FEATURES, whole=True), Reads(LABELS, whole=True)),
    compute=_training_set,
    settings=("market", "freq", "features", "labels", "folds"),
    members=_members,
    table_inputs=_inputs,
    why_stale=_why_stale,
)
STAGES = (TRAINING_SET,)
