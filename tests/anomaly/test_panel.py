"""Bars as a cube."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.anomaly.panel import read_panel
from nofx_pipelines.errors import DataError

Bars = Callable[..., pl.DataFrame]


def test_every_bar_lands_in_its_cell(make_bars: Bars) -> None:
    bars = make_bars(sessions=4, instruments=3, slots=5).sample(fraction=1.0, shuffle=True, seed=3)
    panel = read_panel(bars, "1m")
    assert panel.shape == (4, 5, 3)
    told = panel.rows.with_columns(close=panel.gather(panel.values["close"]))
    expected = bars.select("instrument_id", "ts_close", "close")
    joined = told.join(expected, on=["instrument_id", "ts_close"], suffix="_bar")
    assert joined.height == bars.height
    assert (joined["close"] == joined["close_bar"]).all()


def test_a_slot_is_a_time_of_day_whichever_sessions_are_read(make_bars: Bars) -> None:
    bars = make_bars(sessions=3, instruments=2, slots=6)
    late = bars.filter(pl.col("session_date") == bars["session_date"].max()).group_by("instrument_id").tail(2)
    whole, part = read_panel(bars, "1m"), read_panel(late, "1m")
    assert part.first_slot == whole.first_slot + 4


def test_what_did_not_trade_is_unknown(make_bars: Bars) -> None:
    bars = make_bars(sessions=2, instruments=2)
    first = (pl.col("instrument_id") == "CN.SSE.600000") & (pl.col("session_date") == bars["session_date"][0])
    panel = read_panel(
        bars.with_columns(status=pl.when(first).then(pl.lit("source_hole")).otherwise("status")), "1d"
    )
    assert np.isnan(panel.values["close"][0, 0, 0])
    assert panel.hole[0, 0, 0]
    assert panel.traded.sum() == 3


def test_infinite_prices_are_unknown(make_bars: Bars) -> None:
    bars = make_bars(sessions=2, instruments=1).with_columns(close=pl.lit(float("inf")))
    assert np.isnan(read_panel(bars, "1d").values["close"]).all()


def test_two_bars_in_one_slot_are_refused_by_name(make_bars: Bars) -> None:
    bars = make_bars(sessions=2, instruments=2)
    with pytest.raises(DataError, match=r"CN\.SSE\.600001 has two bars in one slot of 2023-01-03"):
        read_panel(pl.concat([bars, bars.tail(1)]), "1d")


def test_no_bars_make_an_empty_panel(make_bars: Bars) -> None:
    assert read_panel(make_bars().clear(), "1m").shape == (0, 0, 0)
