"""The study against Optuna's own loop over the same objective, space and sampler.

    python -m benchmarks.bench_study

All tune the same gradient boosting on the same simulated rows. Ours keeps a journal, asks in batches,
prunes against earlier trials and gives the same trials with any number of workers; the peers are
`study.optimize` over Optuna's storages, one process. Trials differ in what they cost and pruned
ones stop early, so the ratio is of seconds per fold that was fitted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import polars as pl
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.timing import machine_table
from nofx_pipelines.config import FoldConfig, SearchConfig
from nofx_pipelines.hpo.objective import Objective
from nofx_pipelines.hpo.study import run_study
from nofx_pipelines.labels.folds import walk_forward
from nofx_pipelines.lake.schemas import TRAINING_SET
from nofx_pipelines.models.families.gbdt import gbdt_space
from nofx_pipelines.search.fold_rows import FOLDS_USED, study_rows
from nofx_pipelines.search.trials import Trial

TRIALS, SEED = 24, 7


def planted(
    instruments: int = 30, sessions: int = 700, features: int = 25
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A training set whose forward return leans on two features, and its folds."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(instruments * sessions, features))
    y = 0.002 * x[:, 0] + 0.004 * np.sign(x[:, 1] * x[:, 2]) + rng.normal(0, 0.03, len(x))
    days = pl.date_range(datetime(2022, 1, 3), interval="1d", end=datetime(2030, 1, 1), eager=True)[:sessions]
    keys = pl.DataFrame(
        {
            "session_date": np.repeat(days.to_numpy(), instruments),
            "instrument_id": np.tile([f"I{n:02}" for n in range(instruments)], sessions),
        }
    ).cast({"session_date": pl.Date})
    close = pl.col("session_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC") + pl.duration(hours=7)
    frame = keys.with_columns(
        close.alias("ts_close"), forward_return=pl.Series(y), barrier=pl.Series(np.sign(y)).cast(pl.Int8),
        weight=pl.lit(1.0),
    ).hstack([pl.Series(f"x{n}", x[:, n]) for n in range(features)])  # fmt: skip
    folds = walk_forward(days.to_list(), FoldConfig(), horizon_sessions=5)
    return frame.select(*TRAINING_SET.columns, *(f"x{n}" for n in range(features))), folds


def ours(rows: pl.DataFrame, folds: pl.DataFrame, workers: int, folder: Path) -> tuple[float, int]:
    """Seconds and folds fitted of our study."""
    began = time.perf_counter()
    config = SearchConfig(trials=TRIALS, seed=SEED, workers=workers)
    result = run_study(
        rows, folds, "gbdt", config, folder=folder, name="bench", clock=lambda: datetime.now(UTC)
    )
    fitted = sum(round(share * FOLDS_USED) for share in result.trials["fidelity"].fill_null(1.0).to_list())
    return time.perf_counter() - began, fitted


def theirs(objective: Objective, storage: Any) -> tuple[float, int]:
    """Seconds and folds fitted of Optuna's loop; every trial sees every fold."""
    space = gbdt_space()
    distributions = space.distributions()

    def value(trial: optuna.Trial) -> float:
        params = {name: trial._suggest(name, distribution) for name, distribution in distributions.items()}
        outcome = objective.evaluate(Trial(trial.number, params, (None,) * FOLDS_USED))
        assert outcome.rank_ic is not None, outcome.reason
        return outcome.rank_ic

    began = time.perf_counter()
    study = optuna.create_study(
        storage=storage, sampler=optuna.samplers.TPESampler(seed=SEED), direction="maximize"
    )
    study.enqueue_trial(space.first_params)
    study.optimize(value, n_trials=TRIALS)
    return time.perf_counter() - began, TRIALS * FOLDS_USED


def main() -> None:
    """Print the table."""
    logging.disable(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows, folds = planted()

    def fresh() -> Objective:
        return Objective("gbdt", *study_rows(rows, folds), SEED)

    fresh().evaluate(Trial(0, gbdt_space().first_params, (None,)))  # LightGBM is loaded, not timed
    with TemporaryDirectory() as name:
        folder = Path(name)
        runs: dict[str, Callable[[], tuple[float, int]]] = {
            "NOFX, 1 worker": lambda: ours(rows, folds, 1, folder / "one"),
            "NOFX, 2 workers": lambda: ours(rows, folds, 2, folder / "two"),
            "Optuna, in memory": lambda: theirs(fresh(), None),
            "Optuna, journal": lambda: theirs(
                fresh(), JournalStorage(JournalFileBackend(str(folder / "j.log")))
            ),
            "Optuna, SQLite": lambda: theirs(fresh(), f"sqlite:///{folder / 's.db'}"),
        }
        taken = {name: run() for name, run in runs.items()}
    seconds, fitted = taken["NOFX, 1 worker"]
    base = seconds / fitted
    shown = [
        (name, f"{took:.1f}", done, f"{1e3 * took / done:.0f}", f"{took / done / base:.2f}x")
        for name, (took, done) in taken.items()
    ]
    header = ("", "seconds", "folds fitted", "ms a fold", "to ours")
    print(machine_table(f"{TRIALS} trials on {rows.height:,} rows", header, shown))


if __name__ == "__main__":
    main()
