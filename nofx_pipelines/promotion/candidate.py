"""The ridge baseline and the candidate of a universe: trained, tested once, registered.

The candidate is the best of the universe's searched families by validation.
"""

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
from nofx_pipelines.evaluation.evaluate import Evaluation, Trials, mean_rank_ic
from nofx_pipelines.evaluation.holdout import HoldOut, hold_out
from nofx_pipelines.figures.equity import equity_figure
from nofx_pipelines.lake.schemas import LEADERBOARD
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.markdown import escape, table
from nofx_pipelines.models.families import family
from nofx_pipelines.models.training import Recipe, Trained, train, train_baseline
from nofx_pipelines.models.window_columns import windowed
from nofx_pipelines.plugins import find, plugin_digests
from nofx_pipelines.promotion.contest import contender, effective_trials, search_trials
from nofx_pipelines.registry.lineage import Lineage, libraries, training_code
from nofx_pipelines.registry.tracking import Tracker
from nofx_pipelines.registry.versions import newest_version

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
    device: str = "cpu",
) -> CandidateRefresh:
    """Train both models, judge each once on the last fold's test, register the ridge first.

    Writes ``equity`` and ``leaderboard``; raises ModelError when the study has no complete trial. A network
    is trained on ``device``.
    """
    began = time.perf_counter()
    names = ("training_set", "folds", "bars", "features", "hpo_trials", "nas_trials")
    versions = _versions(lake, universe, names)
    training_set = lake.table(universe.name, "training_set").scan().collect()
    folds = lake.table(universe.name, "folds").scan().collect()
    winner = contender(lake, universe, device)
    test = hold_out(lake, universe, winner.columns)
    recorded = newest_version(lake.table(universe.name, "leaderboard"))
    work = _Registration(tracker, universe, test, versions, run_id, code_version, recorded)
    spread: Spread = {"engine": engine, "workers": universe.search.workers}
    baseline = work.register(
        train_baseline(training_set, folds, **spread), "baseline", None, seed=universe.search.seed
    )
    rows = windowed(lake, universe.name, training_set, winner.columns)
    recipe = Recipe(winner.family, winner.params, winner.seed, universe.plugins, device)
    best, trials = train(rows, folds, recipe, **spread), search_trials(lake, universe)
    candidate = work.register(best, "candidate", effective_trials(trials, universe), seed=winner.seed)
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
        markdown=f"{escape(winner.reason)}\n\n{_markdown(board)}",
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
    recorded: int
    """The newest version that the leaderboard names."""

    def register(self, trained: Trained, kind: str, trials: Trials | None, *, seed: int = 0) -> _Registered:
        """Judge, log to MLflow and register one model; its ONNX is read back and compared."""
        universe = self.universe
        judged = self.test.evaluate(trained.hold_out, trials)
        lineage = self._lineage(trained, kind, seed)
        x = self.test.inputs(trained.model.feature_names)
        name = f"{universe.model_name}-{kind}"
        tags = {"nofx.stage": "candidate_model", "nofx.dagster_run_id": self.run_id}
        with self.tracker.run(name, experiment=universe.name, tags=tags) as run:
            run.log_metrics({metric: figure.value for metric, figure in judged.metrics.items()})
            version = self.tracker.register(
                universe.model_name,
                trained.model,
                lineage,
                run=run,
                example=x[:_EXAMPLE_ROWS],
                after=self.recorded,
            )
        scored = self.tracker.load(f"{universe.model_name}/{version}").predict(x)
        parity = float(np.max(np.abs(scored - trained.model.predict(x))))
        rows = judged.leaderboard(universe.model_name, version, kind, seed, self.versions)
        more = _further_rows(trained, judged, parity)
        named = [
            (universe.model_name, version, m, kind, value, lo, hi, n, seed, "{}")
            for m, value, lo, hi, n in more
        ]
        further = pl.DataFrame(named, schema=LEADERBOARD.columns, orient="row")
        return _Registered(version, pl.concat([rows, further]), judged.equity_rows(kind, seed), parity)

    def _lineage(self, trained: Trained, kind: str, seed: int) -> Lineage:
        universe, name = self.universe, trained.model.family
        features = [("features", each) for each in universe.features]
        members = [("families", name), ("labels", universe.labels.kind), *features]
        return Lineage(
            universe=universe.name,
            family=name,
            kind=kind,
            params=trained.model.settings,
            seed=seed,
            data_versions=self.versions,
            code_version=self.code_version,
            run_id=self.run_id,
            training_code=training_code(name, universe.plugins),
            libraries=libraries(family(name, universe.plugins).libraries),
            plugins=plugin_digests(find(kind, each, universe.plugins) for kind, each in members),
        )


def _further_rows(trained: Trained, judged: Evaluation, parity: float) -> list[tuple[Any, ...]]:
    """Metric, value, lo, hi, n of each fold's test, the hold-out's last, and of the ONNX comparison."""
    rows: list[tuple[Any, ...]] = []
    for (fold,), predictions in trained.folds.group_by("fold", maintain_order=True):
        n = predictions["session_date"].n_unique()
        rows.append((f"{FOLD_METRIC}{fold}", mean_rank_ic(predictions), None, None, n))
    last = judged.rank_ic
    rows.append((f"{FOLD_METRIC}{len(rows)}", last.value, last.lo, last.hi, last.n))
    rows.append((PARITY_METRIC, parity, None, None, len(trained.hold_out)))
    return rows


def _versions(lake: Lake, universe: UniverseConfig, names: tuple[str, ...]) -> dict[str, int]:
    tables = [lake.table(universe.name, name) for name in names]
    return {table.key: version for table in tables if (version := table.version()) is not None}


def _markdown(board: pl.DataFrame) -> str:
    """The leaderboard as a Markdown table, baseline beside candidate."""
    rows = []
    for metric in board["metric"].unique(maintain_order=True):
        cells = []
        for kind in ("baseline", "candidate"):
            row = board.filter((pl.col("metric") == metric) & (pl.col("kind") == kind)).to_dicts()
            cells.append(_cell(row[0]) if row else "")
        rows.append((metric, *cells))
    return table(("metric", "baseline", "candidate"), rows)


def _cell(row: Mapping[str, Any]) -> str:
    value, lo, hi = row["value"], row["lo"], row["hi"]
    if value is None or not math.isfinite(value):
        return "unknown"
    return f"{value:.4f}" if lo is None else f"{value:.4f} [{lo:.4f}, {hi:.4f}]"
