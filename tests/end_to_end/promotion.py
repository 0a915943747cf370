"""One simulated universe from bars to verdict, by the library alone: for counting promotions over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from nofx_pipelines.config import FeedConfig, GateConfig, SearchConfig, SourceConfig, UniverseConfig

START, END = date(2023, 1, 1), date(2026, 1, 1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TRIALS = 8


@dataclass(frozen=True)
class Case:
    """A simulated market; the model's registry lies under ``registry``, the lake under ``home``."""

    market: Any
    signal: bool
    home: Path
    registry: Path


@dataclass(frozen=True)
class Verdict:
    """What became of the candidate, and the gates that it failed."""

    seed: int
    promoted: bool
    failed: tuple[str, ...]
    rank_ic: float | None
    baseline_rank_ic: float | None
    sharpe: float | None


def judge(case: Case, seed: int) -> Verdict:
    """Run every stage of one universe with ``seed`` for source, search and gates."""
    from nofx_pipelines.features.execution.refresh import refresh_features
    from nofx_pipelines.hpo.refresh import refresh_study
    from nofx_pipelines.labels.refresh import refresh_labels
    from nofx_pipelines.labels.training_set import refresh_training_set
    from nofx_pipelines.lake.store import Lake
    from nofx_pipelines.leakcheck.refresh import refresh_leak_check
    from nofx_pipelines.market.bars import refresh_bars
    from nofx_pipelines.market.ingest import ingest
    from nofx_pipelines.promotion.candidate import refresh_candidate
    from nofx_pipelines.promotion.champion import refresh_champion
    from nofx_pipelines.registry.tracking import Tracker

    source = SourceConfig(kind="simulated", seed=seed, signal=case.signal)
    feed = FeedConfig(market=case.market, freq="1d", sources=(source,), start=START, end=END)
    universe = UniverseConfig(
        name=f"{case.market}_{'planted' if case.signal else 'free'}_{seed}",
        market=case.market,
        freq="1d",
        search=SearchConfig(trials=TRIALS, seed=seed),
        gates=GateConfig(seed=seed),
    )
    lake, tracker = Lake(case.home / universe.name), Tracker(case.registry)
    run: dict[str, Any] = {"run_id": "count", "code_version": "count"}
    span: dict[str, Any] = {"start": START, "end": END}
    ingest(lake, feed, now=NOW, **span, **run)
    refresh_bars(lake, universe, feed, now=NOW, **span, **run)
    refresh_features(lake, universe, **span, **run)
    refresh_labels(lake, universe, known_until=NOW, **span, **run)
    refresh_training_set(lake, universe, **run)
    refresh_leak_check(lake, universe, **run)
    refresh_study(lake, tracker, universe, inputs="", **run)
    refresh_candidate(lake, tracker, universe, inputs="", **run)
    decided = refresh_champion(lake, tracker, universe, inputs="", now=NOW, **run)
    gates = lake.table(universe.name, "gates").scan().collect()
    board = lake.table(universe.name, "leaderboard").scan().collect()
    found = {(kind, metric): value for kind, metric, value in board.select("kind", "metric", "value").rows()}
    return Verdict(
        seed,
        decided.promoted,
        tuple(gates.filter(~gates["passed"])["gate"].to_list()),
        found["candidate", "rank_ic"],
        found["baseline", "rank_ic"],
        found["candidate", "sharpe"],
    )


def judge_seed(item: tuple[Case, int], _: int) -> Verdict:
    """`judge` as an engine maps it: the case names its own seed."""
    return judge(*item)
