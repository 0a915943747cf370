"""An architecture search: asked in fixed batches, evaluated by any number of workers, told in trial order.

The same rows, space, strategy, seed and batch give the same trials, whatever the number of workers and
however often the run is killed. After the search's trials, the best few are measured again at full
fidelity: the number by which a network is compared with another model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from nofx_pipelines.config import NasConfig
from nofx_pipelines.errors import ModelError
from nofx_pipelines.lake.schemas import NAS_TRIALS
from nofx_pipelines.models.networks.shapes import total
from nofx_pipelines.nas.journal import Journal, open_journal
from nofx_pipelines.nas.objective import NetworkObjective
from nofx_pipelines.nas.space import Genotype
from nofx_pipelines.nas.strategies import Observation, strategy
from nofx_pipelines.plugins import find, plugin_digests
from nofx_pipelines.search.similarity import mean_correlations
from nofx_pipelines.search.trials import Outcome, Trial
from nofx_pipelines.search.workers import evaluator

FINALISTS = 2
WORKER = "nofx_pipelines.nas.worker"


@dataclass(frozen=True, eq=False)
class SearchResult:
    """``trials`` are rows of NAS_TRIALS, finalists last; ``failures`` has reasons by trial.

    Their values are [rank IC, parameters, Sharpe ratio a horizon, mean correlation of the returns with the
    other trials' of the same fidelity].
    """

    study: str
    trials: pl.DataFrame
    failures: dict[int, str]


def run_search(
    objective: NetworkObjective,
    config: NasConfig,
    *,
    folder: Path,
    name: str,
    clock: Callable[[], datetime],
    plugins: Path | None = None,
    code_version: str = "",
) -> SearchResult:
    """Run ``config.trials`` trials, or what is left of them, then the finalists.

    Parameters
    ----------
    objective:
        Rows, folds, space and fidelities.
    config:
        Trials, batch, strategy, workers, seed.
    folder:
        Where the journal lies.
    name:
        The search's name begins with it.
    clock:
        When a trial is asked and told.
    plugins:
        The home's folder of plug-ins.

    Raises
    ------
    ConfigError
        For an unknown strategy.
    PluginError
        For a strategy that cannot be imported, and for a proposal outside the space.
    ModelError
        When no trial completes, or another process runs this search and does not end.
    """
    proposing = strategy(config.strategy, plugins)
    study = f"{name}-{identity(objective, config, code_version, plugins)}"
    with open_journal(folder, study) as journal, evaluator(objective, config.workers, WORKER) as workers:
        for first in range(0, config.trials, config.batch):
            last = min(first + config.batch, config.trials)
            history = [_observation(row) for row in journal.rows[:first]]
            batch: list[tuple[int, Genotype]] = []
            for number in range(first, last):
                pending = [Observation(genotype, None) for _, genotype in batch]
                genotype = proposing.propose(objective.space, [*history, *pending], number, config.seed)
                batch.append((number, genotype))
            _measure(journal, workers.evaluate, batch, objective, clock, full=False)
        finalists = _finalists(journal.rows[: config.trials], study)
        numbered = [(config.trials + k, genotype) for k, genotype in enumerate(finalists)]
        _measure(journal, workers.evaluate, numbered, objective, clock, full=True)
        return _summed_up(study, journal.rows[: config.trials + len(numbered)], config)


def identity(
    objective: NetworkObjective, config: NasConfig, code_version: str, plugins: Path | None = None
) -> str:
    """Twelve hex digits of all that decides which trials are asked and what they score."""
    parts = {
        "data": objective.data.fingerprint(),
        "folds": [[*rows.train, *rows.valid] for rows in objective.folds],
        "space": objective.space.digest(),
        "quick": asdict(objective.quick),
        "full": asdict(objective.full),
        "device": objective.device,
        "strategy": config.strategy,
        "seed": config.seed,
        "batch": config.batch,
        "code": code_version,
        "plugins": plugin_digests([find("strategies", config.strategy, plugins)]),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _measure(
    journal: Journal,
    evaluate: Callable[[Sequence[Trial]], Any],
    batch: Sequence[tuple[int, Genotype]],
    objective: NetworkObjective,
    clock: Callable[[], datetime],
    *,
    full: bool,
) -> None:
    """Evaluate and tell the trials of a batch that are not told yet, in trial order."""
    batch_trials = {
        number: Trial(number, {"genotype": list(genotype), "full": full}, ())
        for number, genotype in batch
        if number >= len(journal.rows)
    }
    if not batch_trials:
        return
    started = clock()
    for outcome in sorted(evaluate(list(batch_trials.values())), key=lambda answer: answer.number):
        genotype = batch_trials[outcome.number].params["genotype"]
        spec = objective.space.decode(genotype)
        n_params, flops = total(spec)
        journal.tell(
            {
                "number": outcome.number,
                "genotype": genotype,
                "full": full,
                "fidelity": objective.share(outcome, full=full),
                "outcome": outcome.as_dict(),
                "n_params": n_params,
                "flops": flops,
                "spec": spec.to_json(),
                "started": started.isoformat(),
                "finished": clock().isoformat(),
            }
        )


def _observation(row: dict[str, Any]) -> Observation:
    return Observation(tuple(row["genotype"]), row["outcome"]["rank_ic"])


def _finalists(rows: Sequence[dict[str, Any]], study: str) -> list[Genotype]:
    """The best genotypes, each once."""
    complete = [row for row in rows if row["outcome"]["state"] == "COMPLETE"]
    if not complete:
        reasons = "; ".join(sorted({row["outcome"]["reason"] for row in rows}))
        raise ModelError(
            f"none of the {len(rows)} trials of search {study} completed: {reasons}",
            kept="their journal",
            hint="mend the cause, then run again with --force",
        )
    ranked = sorted(complete, key=lambda row: (-row["outcome"]["rank_ic"], row["number"]))
    return list(dict.fromkeys(tuple(row["genotype"]) for row in ranked))[:FINALISTS]


def _summed_up(study: str, rows: Sequence[dict[str, Any]], config: NasConfig) -> SearchResult:
    outcomes = [Outcome.from_dict(row["outcome"]) for row in rows]
    alike: dict[int, float] = {}
    for full in (False, True):
        alike |= mean_correlations(
            {
                o.number: o.returns
                for o, row in zip(outcomes, rows, strict=True)
                if o.state == "COMPLETE" and row["full"] is full
            }
        )
    frame = [_row(study, row, outcome, alike, config) for row, outcome in zip(rows, outcomes, strict=True)]
    failures = {o.number: o.reason for o in outcomes if o.state == "FAIL"}
    return SearchResult(study, pl.DataFrame(frame, schema=NAS_TRIALS.columns, orient="row"), failures)


def _row(
    study: str, row: dict[str, Any], outcome: Outcome, alike: dict[int, float], config: NasConfig
) -> dict[str, Any]:
    values = None
    if outcome.rank_ic is not None:
        values = [outcome.rank_ic, float(row["n_params"]), outcome.sharpe]
        values += [alike[outcome.number]] if outcome.number in alike else []
    return {
        "study": study,
        "trial": row["number"],
        "state": outcome.state,
        "values": values,
        "params": json.dumps({"strategy": config.strategy, "epochs": config.epochs, "rows": config.rows}),
        "seed": config.seed,
        "fidelity": row["fidelity"],
        "started": datetime.fromisoformat(row["started"]),
        "finished": datetime.fromisoformat(row["finished"]),
        "seconds": outcome.seconds,
        "worker": outcome.worker,
        "genotype": row["genotype"],
        "arch_hash": hashlib.sha256(row["spec"].encode()).hexdigest(),
        "spec": row["spec"],
        "n_params": row["n_params"],
        "flops": row["flops"],
        "latency_us": None,
    }
