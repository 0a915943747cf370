"""The ridge baseline and the tuned candidate of a universe: trained, tested once, registered."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.engine import Engine
from nofx_pipelines.hpo.best import best_params
from nofx_pipelines.lake.schemas import LEADERBOARD
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.models.evaluation import Evaluation, Trials, mean_rank_ic
from nofx_pipelines.models.figures import equity_figure
from nofx_pipelines.models.holdout import HoldOut, hold_out
from nofx_pipelines.models.lineage import Lineage
from nofx_pipelines.models.tracking import Tracker
from nofx_pipelines.models.training import Trained, train_baseline, train_candidate

PARITY = 1e-5
"""The largest difference allowed between the registered ONNX and the trained model."""
PARITY_METRIC = "onnx_difference"
FOLD_METRIC = "rank_ic_fold_"
_EXAMPLE_ROWS = 5


class Spread(TypedDict):
    """Where the folds' models are fitted."""

    engine: Engine | None
    workers: int


@dataclass(frozen=True, eq=False)
class CandidateRefresh:
    """What was trained and how it did on the hold-out."""

    rows: int
    baseline_version: str
    candidate_version: str
    parity: float
    parity_limit: float
    markdown: str
    figures: dict[str, bytes]
    seconds: float


def refresh_candidate(
    lake: Lake,
    tracker: Tracker,
    universe: UniverseConfig,
    *,
    inputs: str,
    run_id: str,
    code_version: str,
    engine: Engine | None = None,
) -> CandidateRefresh:
    """Train both models, judge each once on the last fold's test, register the ridge first.

    Writes ``equity`` and ``leaderboard``; raises ModelError when the study has no complete trial.
    """
    began = time.perf_counter()
    versions = _versions(lake, universe, ("training_set", "folds", "bars", "hpo_trials"))
    training_set = lake.table(universe.name, "training_set").scan().collect()
    folds = lake.table(universe.name, "folds").scan().collect()
    studied = lake.table(universe.name, "hpo_trials").scan().collect()
    test = hold_out(lake, universe)
    work = _Registration(tracker, universe, test, versions, run_id, code_version)
    spread: Spread = {"engine": engine, "workers": universe.search.workers}
    baseline = work.register(train_baseline(training_set, folds, **spread), "baseline", None)
    best = train_candidate(training_set, folds, best_params(studied), seed=universe.search.seed, **spread)
    candidate = work.register(best, "candidate", tried(studied, universe))
    board = pl.concat([baseline.rows, candidate.rows])
    equity = pl.concat([baseline.equity, candidate.equity])
    for name, frame in (("equity", equity), ("leaderboard", board)):
        lake.table(universe.name, name).overwrite(
            frame, lineage=versions, code_version=code_version, inputs=inputs, run_id=run_id
        )
    return CandidateRefresh(
        rows=board.height,
        baseline_version=baseline.version,
        candidate_version=candidate.version,
        parity=max(baseline.parity, candidate.parity),
        parity_limit=PARITY,
        markdown=_markdown(board),
        figures={"equity": equity_figure(equity)},
        seconds=time.perf_counter() - began,
    )


def known_candidate(lake: Lake, universe: UniverseConfig) -> CandidateRefresh:
    """What was trained last, read from its tables."""
    board = lake.table(universe.name, "leaderboard").scan().collect()
    versions = {
        kind: board.filter(pl.col("kind") == kind)["version"][0] for kind in ("baseline", "candidate")
    }
    parity = board.filter(pl.col("metric") == PARITY_METRIC)["value"].to_list()
    return CandidateRefresh(
        rows=board.height,
        baseline_version=versions["baseline"],
        candidate_version=versions["candidate"],
        parity=max(parity),
        parity_limit=PARITY,
        markdown=_markdown(board),
        figures={"equity": equity_figure(lake.table(universe.name, "equity").scan().collect())},
        seconds=0.0,
    )


def tried(trials: pl.DataFrame, universe: UniverseConfig) -> Trials:
    """How many configurations were compared and how much their validation Sharpe ratios varied.

    Trials that earn alike are not independent: M of them with mean correlation r count as r + (1 - r) M
    (Bailey & López de Prado 2014, appendix 3). A trial's third value is the Sharpe ratio per horizon, here
    annualised, the fourth its mean correlation with the others. One trial, or trials
    that all agree, leave the variance to the strictest reading.
    """
    values = trials["values"].drop_nulls()
    known = values.filter(values.list.len() > 2).list.get(2).to_numpy()
    alike = values.filter(values.list.len() > 3).list.get(3).to_numpy()
    correlation = float(np.clip(alike.mean(), 0, 1)) if len(alike) else 0.0
    count = correlation + (1 - correlation) * max(1, trials.height)
    if len(known) < 2:
        return Trials(count=count)
    per_year = calendar(universe.market).bars_per_year(universe.freq) / universe.labels.horizon
    return Trials(count=count, sharpe_variance=float(np.var(known, ddof=1)) * per_year)


@dataclass(frozen=True, eq=False)
class _Registered:
    """One registered model: its version, its rows of the leaderboard and its equity."""

    version: str
    rows: pl.DataFrame
    equity: pl.DataFrame
    parity: float


@dataclass(frozen=True, eq=False)
class _Registration:
    """What both models are judged and registered with."""

    tracker: Tracker
    universe: UniverseConfig
    test: HoldOut
    versions: Mapping[str, int]
    run_id: str
    code_version: str

    def register(self, trained: Trained, kind: str, trials: Trials | None) -> _Registered:
        """Judge, log to MLflow and register one model; its ONNX is read back and compared."""
        universe, seed = self.universe, self.universe.search.seed
        judged = self.test.evaluate(trained.hold_out, trials)
        lineage = Lineage(
            universe=universe.name,
            family=trained.model.family,
            kind=kind,
            params=trained.model.settings,
            seed=seed,
            data_versions=self.versions,
            code_version=self.code_version,
            run_id=self.run_id,
        )
        example = self.test.rows.x[:_EXAMPLE_ROWS]
        name = f"{universe.model_name}-{kind}"
        with self.tracker.run(name, experiment=universe.name, tags={"nofx.stage": "candidate_model"}) as run:
            run.log_metrics({metric: found.value for metric, found in judged.metrics.items()})
            version = self.tracker.register(
                universe.model_name, trained.model, lineage, run=run, example=example
            )
        scored = self.tracker.load(f"{universe.model_name}/{version}").predict(self.test.rows.x)
        parity = float(np.max(np.abs(scored - trained.model.predict(self.test.rows.x))))
        rows = judged.leaderboard(universe.model_name, version, kind, seed, self.versions)
        more = _further_rows(trained, judged, parity)
        named = [
            (universe.model_name, version, m, kind, value, lo, hi, n, seed, "{}")
            for m, value, lo, hi, n in more
        ]
        further = pl.DataFrame(named, schema=LEADERBOARD.columns, orient="row")
        return _Registered(version, pl.concat([rows, further]), judged.equity_rows(kind, seed), parity)


def _further_rows(trained: Trained, judged: Evaluation, parity: float) -> list[tuple[Any, ...]]:
    """Metric, value, lo, hi, n of each fold's test, the hold-out's last, and of the ONNX comparison."""
    rows: list[tuple[Any, ...]] = []
    for (fold,), predictions in trained.folds.group_by("fold", maintain_order=True):
        n = predictions["session_date"].n_unique()
        rows.append((f"{FOLD_METRIC}{fold}", mean_rank_ic(predictions), None, None, n))
    held = judged.rank_ic
    rows.append((f"{FOLD_METRIC}{len(rows)}", held.value, held.lo, held.hi, held.n))
    rows.append((PARITY_METRIC, parity, None, None, len(trained.hold_out)))
    return rows


def _versions(lake: Lake, universe: UniverseConfig, names: tuple[str, ...]) -> dict[str, int]:
    tables = [lake.table(universe.name, name) for name in names]
    return {table.key: version for table in tables if (version := table.version()) is not None}


def _markdown(board: pl.DataFrame) -> str:
    """The leaderboard as a Markdown table, baseline beside candidate."""
    lines = ["| metric | baseline | candidate |", "|---|---|---|"]
    for metric in board["metric"].unique(maintain_order=True):
        cells = []
        for kind in ("baseline", "candidate"):
            row = board.filter((pl.col("metric") == metric) & (pl.col("kind") == kind)).to_dicts()
            cells.append(_cell(row[0]) if row else "")
        lines.append(f"| {metric} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any]) -> str:
    value, lo, hi = row["value"], row["lo"], row["hi"]
    if value is None or not math.isfinite(value):
        return "unknown"
    return f"{value:.4f}" if lo is None else f"{value:.4f} [{lo:.4f}, {hi:.4f}]"
