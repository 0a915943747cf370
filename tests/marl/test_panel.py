"""The panel: who is traded, what a session's terms are, what becomes of bad bars."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
import torch

from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.market.rules import LotRule
from nofx_pipelines.marl.panel import build_panel, most_liquid
from tests.marl.worlds import market_bars, panel, terms

CUT = date(2024, 1, 1) + timedelta(days=100)


def test_the_pool_is_the_most_traded_before_the_cut() -> None:
    bars = market_bars(n=4)
    amount = (pl.col("close") * pl.col("volume")).median()
    early = bars.filter(pl.col("session_date") < CUT).group_by("instrument_id").agg(amount.alias("a"))
    expected = early.sort("a", descending=True)["instrument_id"].to_list()
    assert most_liquid(bars, CUT, 3) == expected[:3]
    late = bars.with_columns(
        pl.when(pl.col("session_date") >= CUT).then(1e12).otherwise(pl.col("volume")).alias("volume")
    )
    assert most_liquid(late, CUT, 4) == expected


def test_what_hardly_trades_is_left_out() -> None:
    half = (pl.col("instrument_id") == "CN.SSE.600000") & (pl.col("session_date").dt.day() % 2 == 0)
    bars = market_bars(n=2, status=pl.when(half).then(pl.lit("suspended")).otherwise(pl.col("status")))
    assert most_liquid(bars, CUT, 2) == ["CN.SSE.600001"]
    nothing = market_bars(n=2, volume=pl.lit(0.0))
    assert most_liquid(nothing, CUT, 2) == []


def test_costs_are_those_of_the_day() -> None:
    bars = market_bars(n=1)
    before = bars.with_columns(
        pl.col("session_date") - pl.duration(days=200),
        pl.col("ts_open") - pl.duration(days=200),
        pl.col("ts_close") - pl.duration(days=200),
    )
    sells = panel(before).sell_bps  # the stamp duty was halved on 2023-08-28
    changed = panel(before).first_bar_of(date(2023, 8, 28))
    assert (sells[changed] - sells[changed - 1]).item() == pytest.approx(-5.0)


def test_lots_and_ticks_follow_the_adjustment() -> None:
    bars = market_bars(n=1)
    factors = pl.Series([1.0] * 80 + [1.25] * 80)
    found = build_panel(bars, factors, ["CN.SSE.600000"], terms(lots={"CN.SSE.600000": LotRule(200, 1)}))
    assert found.least[[0, -1], 0].tolist() == [200.0, 160.0]
    assert found.step[[0, -1], 0].tolist() == [1.0, 0.8]
    assert found.tick[[0, -1], 0].tolist() == pytest.approx([0.01, 0.0125])


def test_bars_without_trade_or_with_impossible_prices_cannot_be_filled() -> None:
    at = pl.col("session_date") == date(2024, 1, 1) + timedelta(days=90)
    for broken in (
        {"status": pl.when(at).then(pl.lit("suspended")).otherwise(pl.col("status"))},
        {"open": pl.when(at).then(float("nan")).otherwise(pl.col("open"))},
        {"open": pl.when(at).then(-1.0).otherwise(pl.col("open"))},
        {"open": pl.when(at).then(float("inf")).otherwise(pl.col("open"))},
    ):
        found = panel(market_bars(n=2, **broken))
        assert not found.can_buy[90].any()
        assert not found.can_sell[90].any()
        assert (found.volume[90] == 0).all()
        assert all(x.isfinite().all() for x in (found.open, found.mark, found.features, found.adv))


def test_no_bar_of_the_chosen_is_an_error() -> None:
    with pytest.raises(NotEnoughData, match="none of the 1 instruments"):
        build_panel(market_bars(n=1), pl.Series([1.0] * 160), ["CN.SSE.999999"], terms())


def test_it_moves_to_a_device() -> None:
    assert panel().to("cpu").open.device == torch.device("cpu")
