"""Bring a universe's studies up to its training set: trials to the table and, batched, to MLflow."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ModelError
from nofx_pipelines.hpo.best import BestTrial, best_trials, stored_trials
from nofx_pipelines.hpo.figures import all_figures
from nofx_pipelines.hpo.study import run_study
from nofx_pipelines.hpo.summary import StudyResult
from nofx_pipelines.lake.schemas import HPO_TRIALS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.models.families import family
from nofx_pipelines.models.space import SearchSpace
from nofx_pipelines.registry.tracking import Tracker


@dataclass(frozen=True, eq=False)
class StudyRefresh:
    """What the studies came to, added up over families; no best without a family that has a study.

    ``figures`` are PNGs by name, with the family in front where there are several studies. ``failures`` says
    of each family whose trials failed, why.
    """

    rows: int
    complete: int
    pruned: int
    failed: int
    best_family: str | None
    best_value: float | None
    best_params: dict[str, Any]
    figures: dict[str, bytes]
    failures: dict[str, str]
    seconds: float


def refresh_study(
    lake: Lake,
    tracker: Tracker,
    universe: UniverseConfig,
    *,
    inputs: str,
    run_id: str,
    code_version: str,
    device: str = "cpu",
) -> StudyRefresh:
    """Run what is left of each family's study on today's training set and write their trials.

    A study that is complete is read from its journal; nothing is evaluated twice. A family none of whose
    trials completes stops no other: its trials say so. Raises ModelError when that is so of every family,
    before anything is written, PluginError for a plug-in that cannot be used at all.
    """
    began = time.perf_counter()
    spaces = searched_spaces(universe)
    training, folds = lake.table(universe.name, "training_set"), lake.table(universe.name, "folds")
    lineage = {table.key: version for table in (training, folds) if (version := table.version()) is not None}
    frames = training.scan().collect(), folds.scan().collect()
    results = [
        run_study(
            *frames,
            name,
            universe.search,
            space=space,
            plugins=universe.plugins,
            device=device,
            folder=lake.root.parent / "studies" / universe.name,
            name=f"{universe.name}-{_file_name(name)}",
            clock=lambda: datetime.now(UTC),
            code_version=code_version,
        )
        for name, space in spaces.items()
    ]
    _require_one(results)
    figures = {result.study: all_figures(result) for result in results if result.best is not None}
    for result in results:
        _log(tracker, universe, result, figures.get(result.study, {}), run_id)
    trials = pl.concat([pl.DataFrame(schema=HPO_TRIALS.columns), *(result.trials for result in results)])
    lake.table(universe.name, "hpo_trials").overwrite(
        trials, lineage=lineage, code_version=code_version, inputs=inputs, run_id=run_id
    )
    failures = {r.family: "; ".join(sorted(set(r.failures.values()))) for r in results if r.failures}
    shown = _named(results, figures)
    return _summed_up(universe, trials, shown, failures, time.perf_counter() - began)


def searched_spaces(universe: UniverseConfig) -> dict[str, SearchSpace]:
    """By family, what its study searches; families without a study are left out."""
    spaces = {name: family(name, universe.plugins).space() for name in universe.families}
    return {name: space for name, space in spaces.items() if space is not None}


def known_study(lake: Lake, universe: UniverseConfig) -> StudyRefresh:
    """What the last studies came to, read from their table."""
    return _summed_up(universe, stored_trials(lake, universe), {}, {}, 0.0)


def _require_one(results: Sequence[StudyResult]) -> None:
    """Raise ModelError where there are studies and none of them has a complete trial."""
    without = [result for result in results if result.best is None]
    if results and len(without) == len(results):
        raise ModelError(
            "; ".join(result.why_none() for result in without),
            kept="their journals",
            hint="mend the cause, then run again with --force",
        )
    for result in without:
        logging.getLogger(__name__).warning("family %s: %s", result.family, result.why_none())


def _log(
    tracker: Tracker, universe: UniverseConfig, result: StudyResult, figures: Mapping[str, bytes], run_id: str
) -> None:
    """One study as an MLflow run."""
    tags = {"nofx.dagster_run_id": run_id, "nofx.stage": "hpo_study", "nofx.universe": universe.name}
    config = universe.search
    with tracker.run(result.study, experiment=universe.name, tags=tags) as run:
        run.log_params({"trials": config.trials, "seed": config.seed, "sampler": config.sampler})
        run.log_params({"family": result.family})
        run.log_metrics({"best_rank_ic": result.best.rank_ic if result.best else None})
        run.log_trials(result.trials)
        for name, png in figures.items():
            run.log_file(f"figures/{name}.png", png)


def _named(results: Sequence[StudyResult], figures: Mapping[str, Mapping[str, bytes]]) -> dict[str, bytes]:
    """All figures; with several studies each has its family in front."""
    several = len(results) > 1
    return {
        f"{_file_name(result.family)}-{name}" if several else name: png
        for result in results
        for name, png in figures.get(result.study, {}).items()
    }


def _file_name(family: str) -> str:
    """A family's name as a part of file names.

    >>> _file_name("my_models.linear:FAMILY")
    'my_models-linear-FAMILY'
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "-", family)[:100]


def _summed_up(
    universe: UniverseConfig,
    trials: pl.DataFrame,
    figures: dict[str, bytes],
    failures: dict[str, str],
    seconds: float,
) -> StudyRefresh:
    counts = dict(trials.group_by("state").agg(pl.len()).rows())
    best = _best(universe, best_trials(trials))
    return StudyRefresh(
        rows=trials.height,
        complete=counts.get("COMPLETE", 0),
        pruned=counts.get("PRUNED", 0),
        failed=counts.get("FAIL", 0),
        best_family=best.family if best else None,
        best_value=best.rank_ic if best else None,
        best_params=best.params if best else {},
        figures=figures,
        failures=failures,
        seconds=seconds,
    )


def _best(universe: UniverseConfig, by_family: Mapping[str, BestTrial]) -> BestTrial | None:
    """The best of all families, the earlier family's of equals."""
    in_order = [by_family[name] for name in universe.families if name in by_family]
    return max(in_order, key=lambda best: best.rank_ic, default=None)
