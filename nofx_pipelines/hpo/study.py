"""A hyper-parameter study: asked in fixed batches, evaluated by any number of workers, told in trial order.

The same rows, space, seed and batch give the same trials, whatever the number of workers and however often
the run is killed and started again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nofx_pipelines.config import SearchConfig
from nofx_pipelines.hpo.objective import Objective
from nofx_pipelines.hpo.space import SearchSpace
from nofx_pipelines.search.fold_rows import FOLDS_USED, ROW_BUDGET, study_rows
from nofx_pipelines.search.pruning import thresholds
from nofx_pipelines.search.trials import Outcome, Trial
from nofx_pipelines.search.workers import Evaluator, evaluator

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from nofx_pipelines.hpo.ledger import StudyLedger
    from nofx_pipelines.hpo.summary import StudyResult

WORKER = "nofx_pipelines.hpo.worker"


def run_study(
    training_set: pl.DataFrame,
    folds: pl.DataFrame,
    space: SearchSpace,
    config: SearchConfig,
    *,
    folder: Path,
    name: str,
    clock: Callable[[], datetime],
    code_version: str = "",
    on_trial: Callable[[Mapping[str, Any]], None] | None = None,
    folds_used: int = FOLDS_USED,
    row_budget: int = ROW_BUDGET,
) -> StudyResult:
    """Run ``config.trials`` trials, or what is left of them, and sum up.

    The journal lies in ``folder`` and belongs to these rows, space, seed, batch and ``code_version``: any
    other starts a study of its own. ``on_trial`` gets each told trial's row. Raises NotEnoughData without
    train or valid rows, ModelError when no trial completes or another process runs this study
    and does not end.
    """
    from nofx_pipelines.hpo.ledger import open_ledger
    from nofx_pipelines.hpo.summary import summarise

    objective = Objective(*study_rows(training_set, folds, folds_used), config.seed, row_budget)
    full_name = f"{name}-{identity(objective, space, config, code_version)}"
    with open_ledger(folder, full_name, space, config.seed) as ledger:
        _finish(ledger, objective, config, clock, on_trial)
        return summarise(ledger, config.trials)


def identity(objective: Objective, space: SearchSpace, config: SearchConfig, code_version: str) -> str:
    """Twelve hex digits of all that decides which trials are asked and what they score."""
    parts = {
        "data": objective.data.fingerprint(),
        "folds": [[*rows.train, *rows.valid] for rows in objective.folds],
        "row_budget": objective.row_budget,
        "space": space.digest(),
        "seed": config.seed,
        "batch": config.batch,
        "code": code_version,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _finish(
    ledger: StudyLedger,
    objective: Objective,
    config: SearchConfig,
    clock: Callable[[], datetime],
    on_trial: Callable[[Mapping[str, Any]], None] | None,
) -> None:
    """Ask, evaluate and tell until there are ``config.trials`` trials."""
    from nofx_pipelines.hpo.summary import trial_row

    if all(trial.state.is_finished() for trial in ledger.trials()) and len(ledger.trials()) >= config.trials:
        return
    with evaluator(objective, config.workers, WORKER) as workers:
        for first in range(0, config.trials, config.batch):
            batch = _ask_batch(ledger, range(first, min(first + config.batch, config.trials)), clock)
            limits = _limits(ledger.trials()[:first], len(objective.folds))
            for outcome in _evaluated(workers, batch, limits):
                ledger.tell(outcome, clock())
                if on_trial is not None:
                    on_trial(trial_row(ledger, ledger.trials()[outcome.number]))


def _ask_batch(ledger: StudyLedger, numbers: range, clock: Callable[[], datetime]) -> list[FrozenTrial]:
    """The trials of one batch that are not told yet: asked now, or left running by a run that died."""
    for _ in range(len(ledger.trials()), numbers.stop):
        ledger.ask(clock())
    return [trial for trial in ledger.trials()[numbers.start : numbers.stop] if not trial.state.is_finished()]


def _limits(earlier: list[FrozenTrial], folds: int) -> tuple[float | None, ...]:
    reached = [list(trial.intermediate_values.values()) for trial in earlier if trial.state.name != "FAIL"]
    return thresholds(reached, folds)


def _evaluated(
    workers: Evaluator, batch: list[FrozenTrial], limits: tuple[float | None, ...]
) -> list[Outcome]:
    asked = [Trial(trial.number, trial.params, limits) for trial in batch]
    return sorted(workers.evaluate(asked), key=lambda outcome: outcome.number)
