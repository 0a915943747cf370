"""What becomes of bars that no source delivered, and which sessions are left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from nofx_pipelines.market.bars import BarsResult, build_bars
from nofx_pipelines.market.gaps import GAPS_NO_TRADE, GAPS_SUSPENDED
from nofx_pipelines.market.sessions import calendar

NOW = datetime(2026, 11, 1, tzinfo=UTC)
A, B, C = "CN.SSE.600000", "CN.SZSE.000001", "CN.SZSE.000002"
DAY = date(2024, 1, 9)
Make = Callable[..., pl.DataFrame]


def build(bars: pl.DataFrame, listed: pl.DataFrame, freq: str) -> BarsResult:
    market = listed["market"][0]
    days = bars["session_date"].unique().sort().to_list()
    rows = bars.with_columns(pl.lit(0, pl.Int32).alias("revision"), pl.lit("h").alias("row_hash"))
    return build_bars(rows, listed, calendar(market), freq=freq, sessions=days, now=NOW)


def without(bars: pl.DataFrame, instrument: str, rows: slice) -> pl.DataFrame:
    mine = bars.filter(pl.col("instrument_id") == instrument)
    return bars.join(mine[rows], on=["instrument_id", "ts_open"], how="anti", maintain_order="left")


@pytest.mark.parametrize(
    ("tags", "status", "volume"), [([], "source_hole", None), ([GAPS_NO_TRADE], "no_trade", 0.0)]
)
def test_missing_minutes(
    make_bars: Make, make_instruments: Make, tags: list[str], status: str, volume: float | None
) -> None:
    name = "CRYPTO.BINANCE.SPOT.BTC-USDT"
    bars = make_bars([name], "1m", DAY, DAY + timedelta(days=1))
    bars = bars.with_columns(pl.lit(tags, pl.List(pl.String)).alias("quality"))
    result = build(without(bars, name, slice(100, 103)), make_instruments([name]), "1m")
    assert result.bars.height == 1440
    filled = result.bars.filter(pl.col("status") != "traded")
    assert filled["ts_open"].to_list() == bars["ts_open"][100:103].to_list()
    assert filled["status"].unique().to_list() == [status]
    assert filled["volume"].to_list() == [volume] * 3
    assert filled.select("open", "high", "low", "close").null_count().sum_horizontal().item() == 12
    assert filled["knowledge_time"].to_list() == filled["ts_close"].to_list()
    assert filled["source"].unique().to_list() == ["files"]
    assert GAPS_NO_TRADE not in result.bars["quality"].explode().to_list()
    assert result.excluded.is_empty()


OMITS_DAYS = pl.lit([GAPS_SUSPENDED], pl.List(pl.String)).alias("quality")


def test_a_missing_day_is_a_suspension_where_the_source_leaves_such_days_out(
    make_bars: Make, make_instruments: Make
) -> None:
    bars = make_bars([A, B], "1d", date(2024, 1, 8), date(2024, 1, 12))
    gap = without(bars, A, slice(1, 2))
    result = build(gap.with_columns(OMITS_DAYS), make_instruments([A, B]), "1d")
    missing = result.bars.filter(pl.col("status") != "traded").row(0, named=True)
    named = ("session_date", "status", "source", "price_basis", "is_final", "freq", "revision", "volume")
    assert [missing[name] for name in named] == [DAY, "suspended", "files", "unadjusted", True, "1d", 0, 0.0]
    assert missing["quality"] == ["inferred_suspension"]
    hole = build(gap, make_instruments([A, B]), "1d").bars.filter(pl.col("status") != "traded")
    assert hole.select("session_date", "status", "volume", "quality").rows() == [
        (DAY, "source_hole", None, [])
    ]


def test_an_index_is_never_suspended_nor_makes_a_share_so(make_bars: Make, make_instruments: Make) -> None:
    index = "CN.SSE.000001"
    bars = make_bars([A, index], "1d", date(2024, 1, 8), date(2024, 1, 12)).with_columns(OMITS_DAYS)
    for gone in (A, index):
        result = build(without(bars, gone, slice(1, 2)), make_instruments([A, index]), "1d")
        assert result.bars.filter(pl.col("status") != "traded")["status"].to_list() == ["source_hole"]


def test_a_session_with_too_many_holes_is_left_out_with_its_reason(
    make_bars: Make, make_instruments: Make
) -> None:
    start = date(2024, 1, 8)
    bars = make_bars([A], "1m", start, start + timedelta(days=3))
    cut = without(without(bars, A, slice(240, 361)), A, slice(0, 120))
    result = build(cut, make_instruments([A]), "1m")
    assert result.excluded.select("table", "session_date", "rule", "reason").rows() == [
        ("bars", DAY, "source_hole", "121 of 240 expected bars are missing, 0 of them refused")
    ]
    assert result.excluded["decided_at"].to_list() == [NOW]
    assert result.bars.height == 720


def test_a_session_refused_for_its_units_is_left_out_for_that(
    make_bars: Make, make_instruments: Make
) -> None:
    bars = make_bars([A, B, C], "1d", date(2024, 1, 8), date(2024, 1, 12))
    lots = pl.when(pl.col("session_date") == DAY).then(pl.col("volume") / 100).otherwise("volume")
    result = build(bars.with_columns(lots.alias("volume")), make_instruments([A, B, C]), "1d")
    assert result.excluded.select("session_date", "rule").rows() == [(DAY, "refused_bars")]
    assert set(result.rejects["rule"]) == {"units"}


def test_a_session_that_has_not_settled_is_left_out(make_bars: Make, make_instruments: Make) -> None:
    bars = make_bars([A], "1d", date(2024, 1, 8), date(2024, 1, 12))
    open_ = bars.with_columns((pl.col("session_date") < date(2024, 1, 11)).alias("is_final"))
    result = build(open_, make_instruments([A]), "1d")
    assert result.excluded.select("session_date", "rule").rows() == [(date(2024, 1, 11), "not_final")]


def test_nothing_is_expected_outside_an_instrument_s_life(make_bars: Make, make_instruments: Make) -> None:
    bars = make_bars([A], "1d", date(2024, 1, 8), date(2024, 1, 12))
    later = make_instruments([B], date(2024, 1, 10))
    left = make_instruments([C], date(2020, 1, 1), delisted_on=DAY)
    result = build(bars, pl.concat([make_instruments([A]), later, left]), "1d")
    held = result.bars.filter(pl.col("instrument_id") != A).select("instrument_id", "session_date").rows()
    assert sorted(held) == [(B, date(2024, 1, 10)), (B, date(2024, 1, 11)), (C, date(2024, 1, 8))]


def test_half_days_expect_the_morning_only(make_bars: Make, make_instruments: Make) -> None:
    eve = date(2019, 12, 24)
    name = "HK.SEHK.00700"
    bars = make_bars([name], "1m", eve, eve + timedelta(days=1))
    result = build(without(bars, name, slice(0, 1)), make_instruments([name]), "1m")
    assert result.bars.height == 150
    assert result.bars["status"].to_list() == ["source_hole"] + ["traded"] * 149


def test_bars_without_a_trade_lose_prices_and_volume(make_bars: Make, make_instruments: Make) -> None:
    bars = make_bars([A, B], "1d", date(2024, 1, 8), date(2024, 1, 12))
    idle = (pl.col("instrument_id") == A) & (pl.col("session_date") == DAY)
    bars = bars.with_columns(pl.when(idle).then(0.0).otherwise("volume").alias("volume"))
    row = build(bars, make_instruments([A, B]), "1d").bars.filter(idle).row(0, named=True)
    assert (row["status"], row["close"], row["volume"], row["amount"]) == ("suspended", None, 0.0, 0.0)
