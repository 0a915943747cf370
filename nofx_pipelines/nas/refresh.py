"""Bring a universe's architecture search up to its training set."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from nofx_pipelines.config import NasConfig, UniverseConfig
from nofx_pipelines.lake.schemas import NAS_TRIALS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.models.dataset import feature_columns
from nofx_pipelines.models.networks.training_config import TrainingConfig
from nofx_pipelines.models.window_columns import window_names, windowed
from nofx_pipelines.nas.best import BestNetwork, best_network
from nofx_pipelines.nas.figures import all_figures
from nofx_pipelines.nas.objective import Fidelity, NetworkObjective
from nofx_pipelines.nas.search import run_search
from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.registry.tracking import Tracker
from nofx_pipelines.search.fold_rows import FOLDS_USED, ROW_BUDGET, study_rows

NETWORK = "network"
"""The family whose architectures are searched."""
_QUICK_FOLDS = 2
"""Latest folds that a trial of the search is measured on."""


@dataclass(frozen=True, eq=False)
class SearchRefresh:
    """What a search found; ``figures`` are PNGs by name."""

    rows: int
    complete: int
    failed: int
    best: BestNetwork | None
    figures: dict[str, bytes]
    seconds: float


def space_of(config: NasConfig, features: int, horizon: int) -> SearchSpace:
    """The space that a configuration searches, over ``features`` columns a bar, ``horizon`` bars ahead.

    >>> space_of(NasConfig(lookback=10), 23, 5).lookbacks
    (1, 5, 10)
    """
    lookbacks = tuple(sorted({1, -(-config.lookback // 2), config.lookback}))
    return SearchSpace(features=features, lookbacks=lookbacks, horizon=horizon)


def final_training(config: NasConfig) -> TrainingConfig:
    """How finalists and the registered network are trained."""
    return TrainingConfig(epochs=2 * config.epochs, row_budget=ROW_BUDGET)


def refresh_search(
    lake: Lake,
    tracker: Tracker,
    universe: UniverseConfig,
    *,
    inputs: str,
    run_id: str,
    code_version: str,
    device: str = "cpu",
) -> SearchRefresh:
    """Run what is left of the search on today's training set and write its trials.

    There are none with ``nas.trials`` = 0, nor where ``network`` is not among the universe's families.
    """
    began, config = time.perf_counter(), universe.nas
    tables = [lake.table(universe.name, name) for name in ("training_set", "folds", "features")]
    lineage = {table.key: version for table in tables if (version := table.version()) is not None}
    trials, figures = pl.DataFrame(schema=NAS_TRIALS.columns), dict[str, bytes]()
    if config.trials and NETWORK in universe.families:
        result = run_search(
            prepare_search(lake, universe, device),
            config,
            folder=lake.root.parent / "studies" / universe.name,
            name="nas",
            clock=lambda: datetime.now(UTC),
            plugins=universe.plugins,
            code_version=code_version,
        )
        trials, figures = result.trials, all_figures(result.trials)
        tags = {"nofx.dagster_run_id": run_id, "nofx.stage": "nas_search", "nofx.universe": universe.name}
        with tracker.run(result.study, experiment=universe.name, tags=tags) as run:
            run.log_params({"trials": config.trials, "seed": config.seed, "strategy": config.strategy})
            best = best_network(trials)
            run.log_metrics({"best_rank_ic": best.rank_ic if best else None})
            run.log_trials(trials, ("rank_ic", "n_params"))
            for name, png in figures.items():
                run.log_file(f"figures/{name}.png", png)
    lake.table(universe.name, "nas_trials").overwrite(
        trials, lineage=lineage, code_version=code_version, inputs=inputs, run_id=run_id
    )
    return _summed_up(trials, figures, time.perf_counter() - began)


def known_search(lake: Lake, universe: UniverseConfig) -> SearchRefresh:
    """What the last search found, read from its table."""
    return _summed_up(lake.table(universe.name, "nas_trials").scan().collect(), {}, 0.0)


def prepare_search(lake: Lake, universe: UniverseConfig, device: str = "cpu") -> NetworkObjective:
    """The rows with their windows, the folds that the hyper-parameter study uses, and the fidelities.

    Raises NotEnoughData where a fold has no train or valid rows.
    """
    config = universe.nas
    training_set = lake.table(universe.name, "training_set").scan().collect()
    folds = lake.table(universe.name, "folds").scan().collect()
    names = feature_columns(training_set)
    windows = window_names(names, config.lookback)
    data, fold_rows = study_rows(windowed(lake, universe.name, training_set, windows), folds)
    return NetworkObjective(
        data=data,
        folds=fold_rows,
        space=space_of(config, len(names), universe.labels.horizon),
        seed=config.seed,
        quick=Fidelity(_QUICK_FOLDS, TrainingConfig(epochs=config.epochs, row_budget=config.rows)),
        full=Fidelity(FOLDS_USED, final_training(config)),
        device=device,
    )


def _summed_up(trials: pl.DataFrame, figures: dict[str, bytes], seconds: float) -> SearchRefresh:
    counts = dict(trials.group_by("state").agg(pl.len()).rows())
    return SearchRefresh(
        rows=trials.height,
        complete=counts.get("COMPLETE", 0),
        failed=counts.get("FAIL", 0),
        best=best_network(trials),
        figures=figures,
        seconds=seconds,
    )
