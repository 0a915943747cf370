"""Every clean bar obeys what bars obey, on each market and frequency."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from nofx_pipelines.market.rules import tick_table

CASES = [("cn", "1d"), ("hk", "1d"), ("crypto", "1d"), ("cn", "5m"), ("hk", "1m"), ("crypto", "1h")]
SLACK = 1e-9


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def traded(request: pytest.FixtureRequest, simulate: Any, bars_of: Any) -> pl.DataFrame:
    market, freq = request.param
    short = {} if freq == "1d" else {"start": date(2024, 1, 1), "end": date(2024, 1, 20), "instruments": 12}
    bars: pl.DataFrame = bars_of(simulate(market, freq, seed=9, **short))
    return bars.filter(pl.col("status") == "traded")


def test_open_and_close_lie_between_low_and_high(traded: pl.DataFrame) -> None:
    inside = (pl.col("low") <= pl.min_horizontal("open", "close")) & (
        pl.max_horizontal("open", "close") <= pl.col("high")
    )
    assert traded.select(inside.all()).item()
    assert traded["low"].min() > 0  # type: ignore[operator]
    assert traded.filter(pl.col("high") > pl.col("low")).height > 0.5 * traded.height


def test_the_mean_price_lies_between_low_and_high(traded: pl.DataFrame) -> None:
    half_cent = 0.01 / pl.col("volume")
    vwap = pl.col("amount") / pl.col("volume")
    inside = vwap.is_between(
        pl.col("low") * (1 - SLACK) - half_cent, pl.col("high") * (1 + SLACK) + half_cent
    )
    assert traded.select(inside.all()).item()
    assert traded.select((vwap / pl.col("close")).median()).item() == pytest.approx(1, abs=0.005)


def test_volume_comes_in_lots_and_trades_are_counted(traded: pl.DataFrame) -> None:
    if traded["instrument_id"][0].startswith("CN."):
        assert traded.select((pl.col("volume") % 100 == 0).all()).item()
    assert traded["volume"].min() > 0  # type: ignore[operator]
    assert traded["n_trades"].min() >= 1  # type: ignore[operator]
    if traded["instrument_id"][0].startswith("CRYPTO."):
        assert traded.select((pl.col("taker_volume") <= pl.col("volume")).all()).item()
    else:
        assert traded["taker_volume"].null_count() == traded.height


def test_shares_never_print_outside_their_limits(traded: pl.DataFrame) -> None:
    outside = (pl.col("high") > pl.col("limit_up") + SLACK) | (pl.col("low") < pl.col("limit_down") - SLACK)
    assert traded.filter(outside).is_empty()
    has_limits = traded["limit_up"].null_count() < traded.height
    assert has_limits == traded["instrument_id"][0].startswith("CN.")


def test_hong_kong_prices_keep_to_the_spread_table_of_the_day(simulate: Any, bars_of: Any) -> None:
    bars = bars_of(simulate("hk", seed=9)).filter(pl.col("status") == "traded")
    prices = bars["close"].to_numpy()
    steps = prices / tick_table("hk", "main", date(2024, 1, 2)).tick(prices)
    assert abs(steps - steps.round()).max() < 1e-6


def test_the_close_on_an_ex_date_falls_by_the_action_and_the_reference_says_so(
    simulate: Any, bars_of: Any
) -> None:
    source = simulate("cn", seed=9)
    bars, actions = bars_of(source), source.corporate_actions()
    assert set(actions["kind"]) == {"dividend", "bonus"}
    traded = bars.filter(pl.col("status") == "traded").sort("instrument_id", "ts_open")
    held = traded.with_columns(pl.col("close").shift(1).over("instrument_id").alias("before"))
    terms = actions.group_by("instrument_id", "ex_date").agg(
        pl.col("cash").fill_null(0).sum(), pl.col("ratio").fill_null(0).sum()
    )
    on_ex = held.join(
        terms, left_on=["instrument_id", "session_date"], right_on=["instrument_id", "ex_date"]
    ).drop_nulls("before")
    reference = (pl.col("before") - pl.col("cash")) / (1 + pl.col("ratio"))
    assert on_ex.height > 50
    assert on_ex.select((pl.col("prev_close") - reference).abs().max()).item() <= 0.005 + SLACK
    quiet = held.join(
        terms, left_on=["instrument_id", "session_date"], right_on=["instrument_id", "ex_date"], how="anti"
    ).drop_nulls("before")
    assert quiet.select((pl.col("prev_close") == pl.col("before")).all()).item()
