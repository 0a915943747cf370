"""Conditioned features: what time of day, market, volatility and return explain is gone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.anomaly.conditioning import FEATURES, NAMES, Conditioned, Explained, condition
from nofx_pipelines.anomaly.panel import read_panel
from nofx_pipelines.anomaly.windows import Lookback, TradedBars

Bars = Callable[..., pl.DataFrame]


def _conditioned(bars: pl.DataFrame, freq: str = "1d") -> Conditioned:
    panel, lookback = read_panel(bars, freq), Lookback.of(freq)
    return condition(panel, lookback, TradedBars.of(panel.traded, lookback.span))


def _z(raw: Conditioned, name: str) -> np.ndarray:
    return raw.z[NAMES.index(name)]


@pytest.mark.parametrize("name", ["return", "volume", "residual", "drift", "close_to_vwap"])
def test_ordinary_bars_have_a_unit_spread(make_bars: Bars, name: str) -> None:
    z = _z(_conditioned(make_bars(sessions=400, instruments=10)), name)
    low, high = np.nanquantile(z, (0.05, 0.95))
    assert (high - low) / 3.29 == pytest.approx(1.0, abs=0.15)


def test_what_moves_the_whole_market_is_no_residual(make_bars: Bars) -> None:
    bars = make_bars(sessions=150, instruments=10)
    last = bars["session_date"].max()
    fallen = pl.when(pl.col("session_date") == last).then(0.9).otherwise(1.0)
    crash = bars.with_columns(*(pl.col(c) * fallen for c in ("open", "high", "low", "close", "amount")))
    moved = _conditioned(crash)
    assert np.median(np.abs(_z(moved, "return")[-1])) > 4
    # each in its own scale, which is known to a tenth: what is left is a fraction of the fall
    assert np.median(np.abs(_z(moved, "residual")[-1])) < 2


def test_a_busy_market_makes_no_volume_spike_of_each(make_bars: Bars) -> None:
    bars = make_bars(sessions=100, instruments=10)
    last = pl.col("session_date") == bars["session_date"].max()
    busy = bars.with_columns(
        pl.when(last).then(pl.col(c) * 4).otherwise(pl.col(c)).alias(c) for c in ("volume", "amount")
    )
    moved, calm = _z(_conditioned(busy), "volume")[-1], _z(_conditioned(bars), "volume")[-1]
    np.testing.assert_allclose(moved, calm, atol=0.8)  # four times the volume is 3.5 of a scale


def test_below_five_instruments_nothing_is_said_about_a_cross_section(make_bars: Bars) -> None:
    raw = _conditioned(make_bars(sessions=90, instruments=4))
    assert np.isnan(_z(raw, "residual")).all()
    assert np.isnan(_z(raw, "drift")).all()
    assert np.isfinite(_z(raw, "return")[-1]).all()


def test_a_wrong_close_is_taken_back_by_the_opening(make_bars: Bars) -> None:
    bars = make_bars(sessions=100, instruments=6)
    day = bars["session_date"].unique().sort()[-2]
    wrong = (pl.col("session_date") == day) & (pl.col("instrument_id") == "CN.SSE.600002")
    raised = bars.with_columns(
        pl.when(wrong).then(pl.col(c) * 1.15).otherwise(pl.col(c)).alias(c) for c in ("close", "high")
    )
    z = _z(_conditioned(raised), "reversal")[-1, 0]
    assert z.argmin() == 2
    assert z[2] < -4


def test_volume_is_read_against_the_size_of_the_return(make_bars: Bars) -> None:
    bars = make_bars(sessions=300, instruments=8)
    size = (pl.col("close") / pl.col("open")).log().abs() / 0.02
    driven = bars.with_columns((pl.col(c) * size.exp()).alias(c) for c in ("volume", "amount"))
    raw = _conditioned(driven)
    explained = Explained.fit(raw)
    move = np.abs(_z(raw, "return"))
    z = explained.apply(raw).z[NAMES.index("volume")]
    known = np.isfinite(z) & np.isfinite(move)
    assert np.corrcoef(move[known], _z(raw, "volume")[known])[0, 1] > 0.3
    assert abs(np.corrcoef(np.minimum(move[known], 4), z[known])[0, 1]) < 0.05


def test_the_future_never_changes_the_past(make_bars: Bars) -> None:
    bars = make_bars(sessions=90, instruments=6, slots=4)
    days = bars["session_date"].unique().sort()
    later = pl.col("session_date") > days[59]
    changed = bars.with_columns(
        pl.when(later).then(pl.col(c) * 3).otherwise(pl.col(c)).alias(c) for c in ("close", "high", "volume")
    )
    before, after = _conditioned(bars, "1m"), _conditioned(changed, "1m")
    for name in ("value", "center", "scale", "recent"):
        np.testing.assert_array_equal(getattr(before, name)[:, :60], getattr(after, name)[:, :60])


@pytest.mark.parametrize("column", ["close", "volume", "amount", "n_trades"])
def test_constant_and_missing_columns_stay_silent(make_bars: Bars, column: str) -> None:
    bars = make_bars(sessions=90, instruments=6)
    for value in (1.0, None, float("nan"), float("inf"), 0.0):
        raw = _conditioned(bars.with_columns(pl.lit(value, dtype=pl.Float64).alias(column)))
        assert not np.isinf(raw.z).any()
        Explained.fit(raw).apply(raw)


def test_every_feature_has_a_channel_and_a_unit() -> None:
    assert {feature.channel for feature in FEATURES} == {"price", "volume", "liquidity", "cross_section"}
    assert all(feature.unit for feature in FEATURES)
