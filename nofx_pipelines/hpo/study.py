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
from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.hpo.objective import Objective, Outcome, Trial, valid_folds
from nofx_pipelines.hpo.pruning import thresholds
from nofx_pipelines.hpo.space import SearchSpace
from nofx_pipelines.hpo.workers import Evaluator, evaluator
from nofx_pipelines.models.dataset import from_frame

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from nofx_pipelines.hpo.ledger import StudyLedger
    from nofx_pipelines.hpo.summary import StudyResult

FOLDS_USED = 3
"""The latest folds, latest first: what is nearest to the hold-out decides first."""
ROW_BUDGET = 25_000


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

    objective = prepare(training_set, folds, config.seed, folds_used=folds_used, row_budget=row_budget)
    full_name = f"{name}-{identity(objective, space, config, code_version)}"
    with open_ledger(folder, full_name, space, config.seed) as ledger:
        _finish(ledger, objective, config, clock, on_trial)
        return summarise(ledger, config.trials)


def prepare(
    training_set: pl.DataFrame, folds: pl.DataFrame, seed: int, *, folds_used: int, row_budget: int
) -> Objective:
    """The rows before the last fold's test and the folds that trials are measured on, latest first."""
    ends = folds.filter(pl.col("role") == "valid")["end"]
    data = from_frame(training_set.filter(pl.col("session_date") < ends.max()))
    days = folds.with_columns(pl.col("start", "end").to_physical())
    spans = []
    for fold in sorted(folds["fold"].unique(), reverse=True)[:folds_used]:
        of_fold = days.filter(fold=fold).select("role", "start", "end")
        roles = {role: (start, end) for role, start, end in of_fold.iter_rows()}
        spans.append((roles["train"], roles["valid"]))
    found = valid_folds(data, spans)
    for place, rows in enumerate(found):
        if rows.train[0] >= rows.train[1] or rows.valid[0] >= rows.valid[1]:
            raise NotEnoughData(
                f"the fold {place} before last has {rows.train[1] - rows.train[0]} train and "
                f"{rows.valid[1] - rows.valid[0]} valid rows",
                kept="no trial was run",
                hint="ask for a longer history",
            )
    return Objective(data, found, seed, row_budget)


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
    with evaluator(objective, config.workers) as workers:
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
