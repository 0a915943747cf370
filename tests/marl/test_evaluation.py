"""Verdicts on made-up curves whose truth is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import GateConfig
from nofx_pipelines.lake.schemas import LEADERBOARD
from nofx_pipelines.marl.evaluation import (
    RIVALS,
    from_leaderboard,
    leaderboard_rows,
    measures,
    session_growth,
    verdict,
)

GATES = GateConfig(resamples=400)


def curves(team: float, noise: float = 1e-4, sessions: int = 120, **rivals: float) -> pl.DataFrame:
    """Equity of a team of two seeds and rivals with the given mean growth a session."""
    rng = np.random.default_rng(4)
    means = {"agents": team, "agents/hedger": team, "rule_hedger": 0.0}
    means |= dict.fromkeys(RIVALS, 0.0) | rivals
    frames = []
    for policy, growth in means.items():
        for seed in (1, 2) if policy.startswith("agents") else (0,):
            steps = np.concatenate([[0.0], growth + noise * rng.standard_normal(sessions)])
            at = [datetime(2024, 1, 1, 7, tzinfo=UTC) + timedelta(days=d) for d in range(sessions + 1)]
            frames.append(
                pl.DataFrame(
                    {
                        "policy": policy,
                        "seed": pl.Series([seed] * len(at), dtype=pl.Int64),
                        "ts_close": pl.Series(at).cast(pl.Datetime("us", "UTC")),
                        "equity": np.exp(np.cumsum(steps)),
                        "turnover": 0.1,
                        "cost": 0.001,
                    }
                )
            )
    return pl.concat(frames)


def test_growth_is_the_mean_over_seeds() -> None:
    equity = curves(0.001)
    grown = session_growth(equity)
    by_hand = [
        np.diff(
            np.log(equity.filter((pl.col("policy") == "agents") & (pl.col("seed") == s))["equity"].to_numpy())
        )
        for s in (1, 2)
    ]
    np.testing.assert_allclose(grown["agents"].to_numpy(), np.mean(by_hand, axis=0), rtol=1e-9)


def test_a_team_that_beats_all_takes_the_alias() -> None:
    said = verdict(measures(curves(0.001), GATES, 252))
    assert said.beaten
    assert "takes @champion" in str(said)
    assert "Roles that beat their own rule: hedger." in str(said)


@pytest.mark.parametrize("rival", RIVALS)
def test_one_unbeaten_rival_is_enough_to_refuse(rival: str) -> None:
    said = verdict(measures(curves(0.001, **{rival: 0.0011}), GATES, 252))
    assert not said.beaten
    assert "no @champion" in str(said)


def test_worse_and_not_told_apart_are_said() -> None:
    said = str(verdict(measures(curves(0.0, buy_and_hold=0.01), GATES, 252)))
    assert "worse" in said
    assert "not told apart" in said


def test_too_few_sessions_give_no_interval_and_no_alias() -> None:
    said = verdict(measures(curves(0.01, sessions=6), GATES, 252))
    assert not said.beaten
    assert "too few sessions to tell" in str(said)


def test_the_figures_are_those_of_the_curve() -> None:
    found = {(m.policy, m.metric): m for m in measures(curves(0.001), GATES, 252)}
    assert found["agents", "turnover"].value == pytest.approx(0.1)
    assert found["agents", "cost"].value == pytest.approx(0.121)
    assert found["agents", "above_hold"].value == pytest.approx(0.001, abs=5e-5)
    assert found["agents", "growth"].n == 120


def test_the_leaderboard_keeps_all_of_it() -> None:
    found = measures(curves(0.001), GATES, 252)
    rows = leaderboard_rows(found, "nofx-agents-cn", "3", "{}")
    board = pl.DataFrame(rows, schema=LEADERBOARD.columns, orient="row")
    assert board.select(LEADERBOARD.key).is_duplicated().sum() == 0
    assert str(verdict(from_leaderboard(board.to_dicts()))) == str(verdict(found))
