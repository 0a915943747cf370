"""A family's hyper-parameter study: asked in fixed batches, told in trial order, whoever evaluates it.

The same rows, family, space, sampler, seed and batch give the same trials, whatever the number of workers and
however often the run is killed and started again.
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
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.hpo.objective import Objective
from nofx_pipelines.models import families
from nofx_pipelines.models.space import SearchSpace
from nofx_pipelines.plugins import find, plugin_digests
from nofx_pipelines.search.fold_rows import FOLDS_USED, ROW_BUDGET, study_rows
from nofx_pipelines.search.pruning import thresholds
from nofx_pipelines.search.samplers import sampler
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
    family: str,
    config: SearchConfig,
    *,
    folder: Path,
    name: str,
    clock: Callable[[], datetime],
    space: SearchSpace | None = None,
    plugins: Path | None = None,
    device: str = "cpu",
    code_version: str = "",
    on_trial: Callable[[Mapping[str, Any]], None] | None = None,
    folds_used: int = FOLDS_USED,
    row_budget: int = ROW_BUDGET,
) -> StudyResult:
    """Run ``config.trials`` trials, or what is left of them, and sum up.

    The journal belongs to these rows, family, space, sampler, seed, batch, device, ``code_version`` and
    plug-ins' sources: any other starts a study of its own.

    Parameters
    ----------
    training_set, folds:
        The last fold's test is never read.
    family:
        The model family by name.
    config:
        Trials, batch, sampler, workers, seed.
    folder:
        Where the journal lies.
    name:
        The study's name begins with it.
    clock:
        When a trial is asked and told.
    space:
        What is searched; None: the family's own.
    plugins:
        The home's folder of plug-ins.
    device:
        Where models are fitted.
    on_trial:
        Gets each told trial's row.
    folds_used, row_budget:
        Folds that a trial is measured on, and train rows of each.

    Raises
    ------
    NotEnoughData
        Without train or valid rows.
    ConfigError
        For an unknown family or sampler, and for a family without a space.
    PluginError
        For a family or sampler that cannot be imported, and for a proposal outside the space.
    ModelError
        When another process runs this study and does not end.
    """
    from nofx_pipelines.hpo.ledger import open_ledger
    from nofx_pipelines.hpo.summary import summarise

    searched = space or families.family(family, plugins).space()
    if searched is None:
        raise ConfigError(f"model family {family} has no hyper-parameters to search", kept="nothing was run")
    rows = study_rows(training_set, folds, folds_used)
    objective = Objective(family, *rows, config.seed, row_budget, plugins, device)
    proposing = sampler(config.sampler, plugins)
    full_name = f"{name}-{identity(objective, searched, config, code_version)}"
    with open_ledger(folder, full_name, family, searched, proposing, config.seed) as ledger:
        _finish(ledger, objective, config, clock, on_trial)
        return summarise(ledger, config.trials)


def identity(objective: Objective, space: SearchSpace, config: SearchConfig, code_version: str) -> str:
    """Twelve hex digits of all that decides which trials are asked and what they score."""
    members = (
        find("families", objective.family, objective.plugins),
        find("samplers", config.sampler, objective.plugins),
    )
    parts = {
        "family": objective.family,
        "data": objective.data.fingerprint(),
        "folds": [[*rows.train, *rows.valid] for rows in objective.folds],
        "row_budget": objective.row_budget,
        "device": objective.device,
        "space": space.digest(),
        "sampler": config.sampler,
        "seed": config.seed,
        "batch": config.batch,
        "code": code_version,
        "plugins": plugin_digests(members),
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
    requests = [Trial(trial.number, trial.params, limits) for trial in batch]
    return sorted(workers.evaluate(requests), key=lambda outcome: outcome.number)
