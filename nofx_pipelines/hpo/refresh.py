"""Bring a universe's study up to its training set: trials to the table and, batched, to MLflow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.hpo.best import best_params
from nofx_pipelines.hpo.figures import all_figures
from nofx_pipelines.hpo.space import gbdt_space
from nofx_pipelines.hpo.study import run_study
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.registry.tracking import Tracker


@dataclass(frozen=True, eq=False)
class StudyRefresh:
    """What a study found; ``figures`` are PNGs by name."""

    rows: int
    complete: int
    pruned: int
    failed: int
    best_value: float
    best_params: dict[str, Any]
    figures: dict[str, bytes]
    seconds: float


def refresh_study(
    lake: Lake,
    tracker: Tracker,
    universe: UniverseConfig,
    *,
    inputs: str,
    run_id: str,
    code_version: str,
) -> StudyRefresh:
    """Run what is left of the study on today's training set and write its trials.

    A study that is complete is read from its journal; nothing is evaluated twice.
    """
    began = time.perf_counter()
    training, folds = lake.table(universe.name, "training_set"), lake.table(universe.name, "folds")
    lineage = {table.key: version for table in (training, folds) if (version := table.version()) is not None}
    result = run_study(
        training.scan().collect(),
        folds.scan().collect(),
        gbdt_space(),
        universe.search,
        folder=lake.root.parent / "studies" / universe.name,
        name=f"{universe.name}-gbdt",
        clock=lambda: datetime.now(UTC),
        code_version=code_version,
    )
    figures = all_figures(result)
    tags = {"nofx.dagster_run_id": run_id, "nofx.stage": "hpo_study", "nofx.universe": universe.name}
    with tracker.run(result.study, experiment=universe.name, tags=tags) as run:
        run.log_params({"trials": universe.search.trials, "seed": universe.search.seed})
        run.log_metrics({"best_rank_ic": result.best_value})
        run.log_trials(result.trials)
        for name, png in figures.items():
            run.log_file(f"figures/{name}.png", png)
    lake.table(universe.name, "hpo_trials").overwrite(
        result.trials, lineage=lineage, code_version=code_version, inputs=inputs, run_id=run_id
    )
    return _summed_up(result.trials, figures, time.perf_counter() - began)


def known_study(lake: Lake, universe: UniverseConfig) -> StudyRefresh:
    """What the last study found, read from its table."""
    return _summed_up(lake.table(universe.name, "hpo_trials").scan().collect(), {}, 0.0)


def _summed_up(trials: pl.DataFrame, figures: dict[str, bytes], seconds: float) -> StudyRefresh:
    counts = dict(trials.group_by("state").agg(pl.len()).rows())
    complete = trials.filter(pl.col("state") == "COMPLETE")
    return StudyRefresh(
        rows=trials.height,
        complete=counts.get("COMPLETE", 0),
        pruned=counts.get("PRUNED", 0),
        failed=counts.get("FAIL", 0),
        best_value=max(values[0] for values in complete["values"].to_list()),
        best_params=best_params(trials),
        figures=figures,
        seconds=seconds,
    )
