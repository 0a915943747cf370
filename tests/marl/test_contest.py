"""The contest: buy and hold against arithmetic by hand, who is compared with whom, the same bytes again."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.lake.schemas import EQUITY
from nofx_pipelines.marl import contest
from nofx_pipelines.marl.contest import groups_of, run_contest
from tests.marl.test_credit import Fixed
from tests.marl.worlds import ROLES, SCENARIO, market_bars, panel

CUT, INSTRUMENTS = 100, 6


@pytest.fixture(scope="module")
def equity() -> pl.DataFrame:
    return run_contest(panel(), CUT, {1: Fixed(), 2: Fixed()}, [5, 6], SCENARIO).equity


def test_every_policy_is_there_from_the_same_start(equity: pl.DataFrame) -> None:
    assert dict(equity.schema) == dict(EQUITY.columns)
    starts = equity.group_by("policy", "seed").agg(pl.col("equity").first(), pl.len().alias("n"))
    assert (starts["equity"] == 1.0).all()
    assert starts["n"].unique().to_list() == [60]
    names = set(equity["policy"])
    assert {"agents", "random", "hold", "rules", "buy_and_hold"} <= names
    assert {f"rule_{role.name}" for role in ROLES} <= names
    assert {f"agents/{role.name}" for role in ROLES if role.trades} <= names


def test_holding_cash_costs_and_earns_nothing(equity: pl.DataFrame) -> None:
    rows = equity.filter(pl.col("policy") == "hold")
    assert rows["equity"].unique().to_list() == [1.0]
    assert rows["cost"].sum() == 0.0


def test_buy_and_hold_is_what_arithmetic_says(equity: pl.DataFrame) -> None:
    world, groups = panel(), groups_of(panel(), CUT, INSTRUMENTS)
    assert groups.tolist() == [[0, 1, 2, 3, 4, 5]]
    got = equity.filter(pl.col("policy") == "buy_and_hold")
    value, spent, cost = 0.0, 0.0, 0.0
    for i in range(6):
        decided = 1_000_000 / 6 / world.mark[CUT, i].item()
        lots = decided // 100 * 100
        bar_open, others = world.open[CUT + 1, i].item(), 6 * lots
        price = bar_open * (1 + world.sigma[CUT, i].item() * (others / world.adv[CUT, i].item()) ** 0.5)
        spent += lots * price * (1 + 2.6e-4)
        cost += lots * (price * (1 + 2.6e-4) - bar_open)
        value += lots * world.mark[-1, i].item()
    # an order may be cut when the open rose above the close that it was sized at
    assert got["equity"][-1] == pytest.approx((1_000_000 - spent + value) / 1_000_000, rel=2e-3)
    assert got["turnover"][1] == pytest.approx(0.5, abs=0.02)
    assert got["turnover"][2:].sum() == 0.0
    assert got["cost"][1] == pytest.approx(cost / 1_000_000, rel=0.02)
    assert got["cost"][2:].sum() == 0.0


def test_accounts_add_up_to_the_team(equity: pl.DataFrame) -> None:
    team = equity.filter((pl.col("policy") == "agents") & (pl.col("seed") == 1))["equity"].to_numpy()
    own = equity.filter(pl.col("policy").str.starts_with("agents/") & (pl.col("seed") == 1))
    mean = own.group_by("ts_close").agg(pl.col("equity").mean()).sort("ts_close")["equity"].to_numpy()
    assert team == pytest.approx(mean, rel=1e-12)


def test_the_same_seeds_give_the_same_curves(equity: pl.DataFrame) -> None:
    again = run_contest(panel(), CUT, {1: Fixed(), 2: Fixed()}, [5, 6], SCENARIO).equity
    assert again.equals(equity)
    random = equity.filter(pl.col("policy") == "random")
    assert not random.filter(pl.col("seed") == 5)["equity"].equals(
        random.filter(pl.col("seed") == 6)["equity"]
    )


def test_groups_are_dealt_by_liquidity_and_never_overlap() -> None:
    world = panel(market_bars(n=8))
    groups = groups_of(world, CUT, n_instruments=3)
    amount = (world.adv * world.mark)[CUT - 1]
    order = amount.argsort(descending=True)[:6].tolist()
    assert groups.shape == (2, 3)
    assert groups.flatten().unique().numel() == 6
    assert groups[0].tolist() == sorted(order[::2])
    assert torch.equal(groups_of(panel(market_bars(n=1)), CUT, INSTRUMENTS), torch.tensor([[0]]))


def test_what_stopped_trading_is_named() -> None:
    bars = market_bars()
    gone = (pl.col("session_date") > bars["session_date"].unique().sort()[130]) & (
        pl.col("instrument_id") == "CN.SSE.600000"
    )
    halted = bars.with_columns(
        pl.when(gone).then(pl.lit("suspended")).otherwise(pl.col("status")).alias("status")
    )
    assert run_contest(panel(halted), CUT, {1: Fixed()}, [1], SCENARIO).unpriced == ("CN.SSE.600000",)
    assert run_contest(panel(bars), CUT, {1: Fixed()}, [1], SCENARIO).unpriced == ()


@pytest.mark.parametrize("cut", [30, 150])
def test_too_little_to_judge_on_is_an_error(cut: int) -> None:
    with pytest.raises(NotEnoughData, match="are needed"):
        run_contest(panel(), cut, {1: Fixed()}, [1], SCENARIO)


def test_a_curve_is_the_mean_over_the_groups() -> None:
    world = panel(market_bars(n=12))
    groups = groups_of(world, CUT, INSTRUMENTS)
    assert groups.shape == (2, 6)
    both = run_contest(world, CUT, {1: Fixed()}, [1], SCENARIO).equity
    singles = []
    for group in groups:
        names = [world.instruments[place] for place in group]
        bars = market_bars(n=12).filter(pl.col("instrument_id").is_in(names))
        singles.append(run_contest(panel(bars), CUT, {1: Fixed()}, [1], SCENARIO).equity)
    for policy in ("buy_and_hold", "hold"):
        found, one, two = (
            e.filter(pl.col("policy") == policy)["equity"].to_numpy() for e in (both, *singles)
        )
        assert found == pytest.approx((one + two) / 2, rel=1e-12)


def test_a_long_span_is_played_in_windows_that_join(monkeypatch: pytest.MonkeyPatch) -> None:
    world = panel()
    monkeypatch.setattr(contest, "MOST_BARS", 30)
    both = run_contest(world, CUT, {1: Fixed()}, [1], SCENARIO).equity
    for policy in ("agents", "buy_and_hold", "rules"):
        curve = both.filter(pl.col("policy") == policy)
        assert curve["ts_close"].is_sorted()
        assert curve["ts_close"].n_unique() == curve.height == 2 * 29 + 1
    late = both.filter(pl.col("policy") == "buy_and_hold")
    again = run_contest(panel(market_bars()), CUT + 29, {1: Fixed()}, [1], SCENARIO).equity
    again = again.filter(pl.col("policy") == "buy_and_hold")
    joined = late["equity"][29:].to_numpy() / late["equity"][29]
    assert joined == pytest.approx(again["equity"][:30].to_numpy(), rel=1e-12)
    assert late["cost"][30] == pytest.approx(again["cost"][1] * late["equity"][29], rel=1e-12)
