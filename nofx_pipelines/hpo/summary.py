"""A study summed up: its rows for the table, the best trial, importance and the Pareto front."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
import polars as pl
from optuna.trial import FrozenTrial

from nofx_pipelines.hpo.best import BestTrial, best_trials
from nofx_pipelines.hpo.ledger import StudyLedger, outcome_of
from nofx_pipelines.lake.schemas import HPO_TRIALS
from nofx_pipelines.search.similarity import mean_correlations


@dataclass(frozen=True, eq=False)
class StudyResult:
    """A study's trials and what they say.

    ``trials`` are rows of HPO_TRIALS; their values are [rank IC, turnover, Sharpe ratio a horizon, mean
    correlation of the returns with the other complete trials'] (the last from two complete trials on).
    ``best`` is None when no trial is complete; ``importance`` sums to 1 (PED-ANOVA); ``pareto`` holds the
    trials that no other beats in both rank IC and turnover; ``failures`` has reasons.
    """

    study: str
    family: str
    trials: pl.DataFrame
    best: BestTrial | None
    importance: dict[str, float]
    pareto: pl.DataFrame
    failures: dict[int, str]

    def count(self, state: str) -> int:
        """How many trials ended in ``state``."""
        return self.trials.filter(pl.col("state") == state).height

    def why_none(self) -> str:
        """Why no trial is complete."""
        reasons = "; ".join(sorted(set(self.failures.values()))) or "all were pruned"
        return f"none of the {self.trials.height} trials of study {self.study} completed: {reasons}"


def summarise(ledger: StudyLedger, trials: int) -> StudyResult:
    """Sum up the first ``trials`` trials."""
    first = ledger.trials()[:trials]
    complete = [trial for trial in first if trial.state.name == "COMPLETE"]
    outcomes = {trial.number: outcome_of(trial) or {} for trial in first}
    alike = mean_correlations({trial.number: outcomes[trial.number]["returns"] for trial in complete})
    rows = [trial_row(ledger, trial) for trial in first]
    for row in rows:
        if row["trial"] in alike:
            row["values"].append(alike[row["trial"]])
    frame = pl.DataFrame(rows, schema=HPO_TRIALS.columns)
    names = list(ledger.space.distributions())
    return StudyResult(
        study=ledger.name,
        family=ledger.family,
        trials=frame,
        best=best_trials(frame).get(ledger.family),
        importance=importance(complete, names) if complete else {},
        pareto=pareto(frame),
        failures={n: outcome["reason"] for n, outcome in outcomes.items() if outcome.get("state") == "FAIL"},
    )


def trial_row(ledger: StudyLedger, trial: FrozenTrial) -> dict[str, Any]:
    """A trial as a row of HPO_TRIALS; ``fidelity`` is the share of the folds that it was measured on."""
    answer = outcome_of(trial) or {}
    measured = answer.get("rank_ic")
    finished = answer.get("finished")
    return {
        "study": ledger.name,
        "trial": trial.number,
        "state": trial.state.name,
        "values": None if measured is None else [measured, answer["turnover"], answer["sharpe"]],
        "params": json.dumps(trial.params, sort_keys=True),
        "seed": ledger.seed,
        "fidelity": len(answer["steps"]) / answer["folds"] if answer.get("steps") else None,
        "started": datetime.fromisoformat(trial.user_attrs["started"]),
        "finished": None if finished is None else datetime.fromisoformat(finished),
        "seconds": answer.get("seconds"),
        "worker": answer.get("worker", ""),
        "family": ledger.family,
    }


def importance(complete: Sequence[FrozenTrial], names: Sequence[str]) -> dict[str, float]:
    """Share of each parameter in reaching the best tenth of the trials, largest first; sums to 1.

    PED-ANOVA (Watanabe, Bansal, Hutter, IJCAI 2023). Equal shares where nothing can be told apart.
    """
    values = {trial.value for trial in complete}
    if len(values) < 2:
        return dict.fromkeys(names, 1.0 / len(names))
    study = optuna.create_study(direction="maximize", storage=None)
    study.add_trials(complete)
    shares = optuna.importance.get_param_importances(study)
    whole = sum(shares.values())
    if not whole > 0:
        return dict.fromkeys(names, 1.0 / len(names))
    return {
        name: share / whole for name, share in sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    }


def pareto(trials: pl.DataFrame) -> pl.DataFrame:
    """Complete trials that no other beats in rank IC and turnover at once: trial, rank_ic, turnover.

    >>> values = [[0.05, 0.3], [0.04, 0.1], [0.03, 0.2]]
    >>> frame = pl.DataFrame({"trial": [0, 1, 2], "values": values})
    >>> pareto(frame)["trial"].to_list()
    [1, 0]
    """
    measured = (
        trials.filter(pl.col("values").is_not_null())
        .select(
            "trial",
            rank_ic=pl.col("values").list.get(0),
            turnover=pl.col("values").list.get(1),
        )
        .sort("turnover", pl.col("rank_ic").neg(), "trial")
    )
    better = pl.col("rank_ic") > pl.col("rank_ic").cum_max().shift(1)
    return measured.filter(better.fill_null(True))
