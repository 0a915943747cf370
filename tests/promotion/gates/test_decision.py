from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nofx_pipelines.config import GateConfig
from nofx_pipelines.errors import ConfigError, PluginError
from nofx_pipelines.evaluation.evaluate import Trials, evaluate, paired_difference
from nofx_pipelines.lake.schemas import GATES
from nofx_pipelines.promotion.gates.decision import Verdict, decide, verdict_rows
from tests.evaluation.test_evaluate import world
from tests.evaluation.test_portfolio_ledger import Schedule
from tests.promotion.gates.evidence import CONFIG, FOLDS, GOOD, WEAK, outcome


def ask(config: GateConfig = CONFIG, folder: Path | None = None, **change: Any) -> dict[str, Verdict]:
    given = {
        "candidate": GOOD,
        "incumbent": WEAK,
        "baseline": WEAK,
        "fold_rank_ics": FOLDS,
        "leak_passed": True,
        **change,
    }
    return {v.gate: v for v in decide(**given, config=config, folder=folder)}


def test_a_good_candidate_passes_every_gate_in_the_order_of_the_configuration() -> None:
    verdicts = ask()
    assert tuple(verdicts) == CONFIG.use
    assert all(verdict.passed for verdict in verdicts.values())
    few = GateConfig(use=("leak_check", "net_sharpe"))
    assert list(ask(few)) == ["leak_check", "net_sharpe"]


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"candidate": outcome(half_width=0.05)}, "rank_ic_interval"),
        ({"incumbent": outcome(rank_ic=0.05)}, "paired_difference"),
        ({"baseline": outcome(sharpe=2.0)}, "net_sharpe"),
        ({"candidate": outcome(deflated=0.9499)}, "deflated_sharpe"),
        ({"fold_rank_ics": [0.1, 0.1, -0.1, -0.1]}, "fold_share"),
        ({"leak_passed": False}, "leak_check"),
    ],
)
def test_each_gate_fails_alone(change: dict[str, Any], gate: str) -> None:
    assert [name for name, verdict in ask(**change).items() if not verdict.passed] == [gate]


def test_thresholds_come_from_the_configuration() -> None:
    strict = GateConfig(deflated_sharpe=0.99, fold_share=0.9)
    failed = [verdict.gate for verdict in ask(strict).values() if not verdict.passed]
    assert failed == ["deflated_sharpe", "fold_share"]


def test_a_gate_of_one_s_own_is_asked_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from nofx_pipelines.promotion.gates import Finding\n"
        "class Mine:\n"
        "    def judge(self, evidence, config):\n"
        "        rank_ic = evidence.candidate.rank_ic.value\n"
        "        return Finding(rank_ic, 0.06, rank_ic > 0.06, f'the rank IC is {rank_ic}')\n"
        "GATE = Mine()\n"
    )
    own = GateConfig(use=("leak_check", "mine:GATE"))
    assert ask(own, tmp_path)["mine:GATE"] == Verdict("mine:GATE", 0.05, 0.06, False, "the rank IC is 0.05")
    assert ask(own, tmp_path, candidate=outcome(rank_ic=0.07))["mine:GATE"].passed
    with pytest.raises(ConfigError, match="no module mine is installed"):
        ask(own)


def test_one_gate_that_cannot_judge_leaves_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def judge(self, evidence, config):\n        return 1 / 0\nGATE = Mine()\n"
    )
    with pytest.raises(PluginError, match=r"'mine:GATE' .*mine\.py\) raised ZeroDivisionError when judging"):
        ask(GateConfig(use=("leak_check", "mine:GATE")), tmp_path)


def test_rows_for_the_lake_have_its_columns() -> None:
    now = datetime(2024, 5, 1, tzinfo=UTC)
    rows = verdict_rows(list(ask().values()), "nofx-signal-cn", "2", now)
    assert dict(rows.schema) == GATES.columns
    assert rows["gate"].to_list() == list(CONFIG.use)
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
