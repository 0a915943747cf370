from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import GateConfig
from nofx_pipelines.evaluation.evaluate import Evaluation, MetricValue, Trials, evaluate, paired_difference
from nofx_pipelines.lake.schemas import GATES
from nofx_pipelines.promotion.gates import Gate, Verdict, decide, rank_ic_above, standard_gates, verdict_rows
from tests.evaluation.test_evaluate import world
from tests.evaluation.test_portfolio_ledger import Schedule

CONFIG = GateConfig()


def outcome(
    rank_ic: float | None = 0.05,
    half_width: float = 0.02,
    sharpe: float | None = 2.0,
    deflated: float | None = 0.97,
    metric: str = "rank_ic",
) -> Evaluation:
    """An evaluation with the given figures; its sessions' rank ICs scatter evenly around the mean."""
    n = 100
    bounds = (None, None) if rank_ic is None else (rank_ic - half_width, rank_ic + half_width)
    scatter = 0.02 * np.where(np.arange(n) % 2, 1.0, -1.0)
    series = [None] * n if rank_ic is None else (scatter + rank_ic).tolist()
    sessions = pl.DataFrame(
        {
            "session_date": [date(2024, 1, 1) + timedelta(days=t) for t in range(n)],
            "rank_ic": pl.Series(series, dtype=pl.Float64),
        }
    )
    measured = {
        metric: MetricValue(rank_ic, *bounds, n),
        "sharpe": MetricValue(sharpe, None, None, n),
        "deflated_sharpe": MetricValue(deflated, None, None, n),
    }
    return Evaluation(measured, sessions, pl.DataFrame(), metric, 1.0, 0.95, 500, 7)


GOOD, WEAK = outcome(), outcome(rank_ic=0.03, sharpe=1.0)
FOLDS = [0.02, 0.03, -0.01, 0.04, 0.05]


def ask(
    candidate: Evaluation = GOOD,
    incumbent: Evaluation | None = WEAK,
    baseline: Evaluation = WEAK,
    folds: list[float | None] | None = None,
    leak_passed: bool | None = True,
) -> dict[str, Verdict]:
    given = FOLDS if folds is None else folds
    return {v.gate: v for v in decide(candidate, incumbent, baseline, given, leak_passed, CONFIG)}


def test_a_good_candidate_passes_every_gate() -> None:
    verdicts = ask()
    assert [gate.name for gate in standard_gates(CONFIG)] == list(verdicts)
    assert all(verdict.passed for verdict in verdicts.values())


def test_the_reasons_carry_the_numbers() -> None:
    verdicts = ask()
    assert verdicts["rank_ic_interval"].reason == (
        "rank IC is +0.0500, 95% interval [+0.0300, +0.0700] over 100 sessions lies above 0"
    )
    assert verdicts["rank_ic_interval"].value == pytest.approx(0.03)
    assert verdicts["net_sharpe"].reason == "net Sharpe 2.00 is above the baseline's 1.00"
    assert verdicts["deflated_sharpe"].reason == "deflated Sharpe 0.970 over 100 sessions reaches 0.95"
    assert verdicts["fold_share"].reason == "rank IC is above zero in 4 of 5 folds (80%), 60% are asked"
    assert "rank IC less the champion's" in verdicts["paired_difference"].reason


@pytest.mark.parametrize(
    ("change", "gate", "reason"),
    [
        ({"candidate": outcome(half_width=0.05)}, "rank_ic_interval", "does not lie above 0"),
        ({"incumbent": outcome(rank_ic=0.05)}, "paired_difference", "nothing to replace"),
        ({"incumbent": outcome(rank_ic=0.06)}, "paired_difference", "-0.0100"),
        ({"baseline": outcome(sharpe=2.0)}, "net_sharpe", "is not above the baseline's 2.00"),
        ({"candidate": outcome(deflated=0.9499)}, "deflated_sharpe", "does not reach 0.95"),
        ({"folds": [0.1, 0.1, -0.1, -0.1]}, "fold_share", "2 of 4 folds (50%)"),
        ({"leak_passed": False}, "leak_check", "found a leak"),
    ],
)
def test_each_gate_fails_alone(change: dict[str, object], gate: str, reason: str) -> None:
    verdicts = ask(**change)  # type: ignore[arg-type]
    assert [name for name, verdict in verdicts.items() if not verdict.passed] == [gate]
    assert reason in verdicts[gate].reason


@pytest.mark.parametrize(
    ("change", "gate", "reason"),
    [
        ({"candidate": outcome(rank_ic=None)}, "rank_ic_interval", "rank IC is unknown: 100 sessions"),
        ({"candidate": outcome(rank_ic=None)}, "paired_difference", "is unknown: 0 sessions"),
        ({"incumbent": outcome(metric="rank_ic_time")}, "paired_difference", "cannot be compared"),
        ({"candidate": outcome(sharpe=None)}, "net_sharpe", "the candidate's net Sharpe is unknown"),
        ({"baseline": outcome(sharpe=None)}, "net_sharpe", "the baseline's net Sharpe is unknown"),
        ({"candidate": outcome(deflated=None)}, "deflated_sharpe", "is unknown"),
        ({"folds": []}, "fold_share", "no fold has a rank IC"),
        ({"folds": [None, None, 0.1]}, "fold_share", "1 of 3 folds"),
        ({"leak_passed": None}, "leak_check", "did not run"),
    ],
)
def test_the_unknown_never_passes(change: dict[str, object], gate: str, reason: str) -> None:
    verdict = ask(**change)[gate]  # type: ignore[arg-type]
    assert not verdict.passed
    assert reason in verdict.reason


def test_an_interval_that_is_missing_fails_with_the_value_named() -> None:
    bare = replace(GOOD, metrics={**GOOD.metrics, "rank_ic": MetricValue(0.05, None, None, 8)})
    verdict = ask(candidate=bare)["rank_ic_interval"]
    assert not verdict.passed
    assert "+0.0500 but has no interval: 8 sessions" in verdict.reason


def test_over_time_is_named_so() -> None:
    candidate, other = (
        outcome(metric="rank_ic_time"),
        outcome(rank_ic=0.03, sharpe=1.0, metric="rank_ic_time"),
    )
    assert ask(candidate, other, other)["rank_ic_interval"].reason.startswith("rank IC over time is +0.0500")


def test_before_the_first_champion_the_baseline_is_the_rival() -> None:
    verdict = ask(incumbent=None)["paired_difference"]
    assert verdict.passed
    assert "there is no champion yet" in verdict.reason


def test_thresholds_come_from_the_configuration_and_gates_are_data() -> None:
    strict = GateConfig(deflated_sharpe=0.99, fold_share=0.9)
    failed = [v.gate for v in decide(GOOD, WEAK, WEAK, FOLDS, True, strict) if not v.passed]
    assert failed == ["deflated_sharpe", "fold_share"]
    own = [Gate("strong_rank_ic", rank_ic_above, 0.035)]
    verdicts = decide(GOOD, WEAK, WEAK, FOLDS, True, CONFIG, gates=own)
    assert [(v.gate, v.passed, v.threshold) for v in verdicts] == [("strong_rank_ic", False, 0.035)]


def test_rows_for_the_lake_have_its_columns() -> None:
    now = datetime(2024, 5, 1, tzinfo=UTC)
    rows = verdict_rows(list(ask().values()), "nofx-signal-cn", "2", now)
    assert dict(rows.schema) == GATES.columns
    assert rows.height == 6
    assert rows["decided_at"].to_list() == [now] * 6


@pytest.mark.slow
def test_skill_less_candidates_are_turned_away() -> None:
    """Scores without skill against a baseline without skill: no more than one in fifty takes the title."""
    promoted, worlds = 0, 150
    for seed in range(worlds):
        options = {"horizon": 5, "periods_per_year": 252, "resamples": 300}
        predictions, bars = world(seed, 0.0, bars=225, names=30)
        other = world(10_000 + seed, 0.0, bars=225, names=30)[0]
        rival = predictions.with_columns(other["score"])
        costs = Schedule(3.0, 8.0)
        candidate = evaluate(predictions, bars, costs, trials=Trials(30, 0.1), **options)  # type: ignore[arg-type]
        baseline = evaluate(rival, bars, costs, **options)  # type: ignore[arg-type]
        rank_ic = candidate.rank_ic.lo
        difference = paired_difference(candidate, baseline).lo
        assert rank_ic is not None
        assert difference is not None
        verdicts = decide(candidate, baseline, baseline, [0.01] * 5, True, CONFIG)
        promoted += all(verdict.passed for verdict in verdicts)
    assert promoted <= worlds // 50
