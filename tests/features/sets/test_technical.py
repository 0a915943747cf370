"""The set `technical` against TA-Lib and closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import talib
from numpy.typing import NDArray

from nofx_pipelines.features import compute, feature_set
from nofx_pipelines.features.program.steps import layout_of
from tests.features.worlds import YEAR, random_bars, worst

F64 = NDArray[np.float64]
TECHNICAL = feature_set("technical")
SYMBOLS = 40


def bollinger(b: dict[str, F64], k: int) -> F64:
    return talib.BBANDS(b["close"], 20, 2, 2)[k]


def macd(b: dict[str, F64], k: int) -> F64:
    return talib.MACD(b["close"], 12, 26, 9)[k]


def stochastic(b: dict[str, F64], k: int) -> F64:
    return talib.STOCH(b["high"], b["low"], b["close"], 14, 3, 0, 3, 0)[k]


ORACLES: dict[str, tuple[int, Callable[[dict[str, F64]], F64]]] = {
    "sma_5": (4, lambda b: talib.SMA(b["close"], 5)),
    "sma_20": (19, lambda b: talib.SMA(b["close"], 20)),
    "sma_60": (59, lambda b: talib.SMA(b["close"], 60)),
    "ema_12": (11, lambda b: talib.EMA(b["close"], 12)),
    "ema_26": (25, lambda b: talib.EMA(b["close"], 26)),
    "bollinger_upper": (19, lambda b: bollinger(b, 0)),
    "bollinger_middle": (19, lambda b: bollinger(b, 1)),
    "bollinger_lower": (19, lambda b: bollinger(b, 2)),
    "macd": (33, lambda b: macd(b, 0)),
    "macd_signal": (33, lambda b: macd(b, 1)),
    "macd_histogram": (33, lambda b: macd(b, 2)),
    "atr_14": (14, lambda b: talib.ATR(b["high"], b["low"], b["close"], 14)),
    "mom_10": (10, lambda b: talib.MOM(b["close"], 10)),
    "obv": (0, lambda b: talib.OBV(b["close"], b["volume"])),
    "volume_mean_5": (4, lambda b: talib.SMA(b["volume"], 5)),
    "volume_mean_20": (19, lambda b: talib.SMA(b["volume"], 20)),
    "rsi_14": (14, lambda b: talib.RSI(b["close"], 14)),
    "stochastic_k": (15, lambda b: stochastic(b, 0)),
    "stochastic_d": (17, lambda b: stochastic(b, 1)),
    "roc_10": (10, lambda b: talib.ROC(b["close"], 10)),
}
"""The number of rows that are null, and TA-Lib's function. Stochastic K starts before TA-Lib shows it: it
holds K back until D starts."""
EARLIER = {"stochastic_k": 17}


@pytest.fixture(scope="module", params=[0.0, 0.3], ids=["moving", "often unmoved"])
def bars(request: pytest.FixtureRequest) -> pl.DataFrame:
    frame = random_bars(SYMBOLS, 400, seed=11, suspended=0.1, flat=request.param)
    traded = pl.col("status") == "traded"
    return frame.filter(traded).sort("instrument_id", "ts_close")


@pytest.fixture(scope="module")
def features(bars: pl.DataFrame) -> pl.DataFrame:
    return compute(bars, TECHNICAL, bars_per_year=YEAR).frame


@pytest.mark.parametrize("name", ORACLES)
def test_equal_to_talib_after_its_start_and_null_before(
    name: str, bars: pl.DataFrame, features: pl.DataFrame
) -> None:
    start, oracle = ORACLES[name]
    for (symbol,), rows in bars.group_by("instrument_id", maintain_order=True):
        columns = {
            c: rows[c].to_numpy().astype(np.float64) for c in ("open", "high", "low", "close", "volume")
        }
        ours = features.filter(pl.col("instrument_id") == symbol)[name]
        expected = oracle(columns)
        first = EARLIER.get(name, start)
        assert np.isnan(expected[:first]).all()
        assert not np.isnan(expected[first:]).any()
        assert ours[:start].null_count() == start
        assert ours[start:].null_count() == 0
        scale = np.maximum(np.abs(expected[first:]), np.nanmax(np.abs(expected)))
        gap = np.abs(ours[first:].to_numpy() - expected[first:]) / scale
        assert gap.max() <= 1e-9, symbol


def test_scale_free_features_in_closed_form(bars: pl.DataFrame, features: pl.DataFrame) -> None:
    rows = bars.filter(pl.col("instrument_id") == "CN.SSE.600001")
    ours = features.filter(pl.col("instrument_id") == "CN.SSE.600001")
    c, o, h, low, v = (rows[n].to_numpy() for n in ("close", "open", "high", "low", "volume"))
    t = 200
    steps = np.log(c[1:] / c[:-1])[t - 20 : t]
    direction = np.sign(np.diff(c))[t - 20 : t]
    expected = {
        "return_1": np.log(c[t] / c[t - 1]),
        "return_5": np.log(c[t] / c[t - 5]),
        "return_20": np.log(c[t] / c[t - 20]),
        "volatility_20": np.std(steps, ddof=1) * np.sqrt(YEAR),
        "volume_ratio_5_20": v[t - 4 : t + 1].mean() / v[t - 19 : t + 1].mean() - 1,
        "close_to_sma_5": c[t] / c[t - 4 : t + 1].mean() - 1,
        "close_to_sma_20": c[t] / c[t - 19 : t + 1].mean() - 1,
        "close_to_sma_60": c[t] / c[t - 59 : t + 1].mean() - 1,
        "flow_20": (direction * v[t - 19 : t + 1]).sum() / v[t - 19 : t + 1].sum(),
        "range_to_close": (h[t] - low[t]) / c[t],
        "gap": np.log(o[t] / c[t - 1]),
        "close_position": (c[t] - low[t]) / (h[t] - low[t]),
        "atr_to_close": ours["atr_14"][t] / c[t],
        "ema_spread": (ours["ema_12"][t] - ours["ema_26"][t]) / c[t],
        "macd_histogram_to_close": ours["macd_histogram"][t] / c[t],
        "bollinger_percent_b": (c[t] - ours["bollinger_lower"][t])
        / (ours["bollinger_upper"][t] - ours["bollinger_lower"][t]),
        "bollinger_bandwidth": (ours["bollinger_upper"][t] - ours["bollinger_lower"][t])
        / ours["bollinger_middle"][t],
    }
    for name, value in expected.items():
        assert ours[name][t] == pytest.approx(value, rel=1e-10, abs=1e-14), name
    untested = set(TECHNICAL.columns) - set(ORACLES) - set(expected)
    assert untested == {"rank_return_5", "rank_return_20", "rank_volume_ratio", "rank_volatility"}


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("rank_return_5", "return_5"),
        ("rank_return_20", "return_20"),
        ("rank_volume_ratio", "volume_ratio_5_20"),
        ("rank_volatility", "volatility_20"),
    ],
)
def test_ranks_are_ranks_of_their_feature(name: str, of: str, features: pl.DataFrame) -> None:
    count = pl.col(of).count().over("ts_close")
    place = (pl.col(of).rank("average").over("ts_close") - 1) / (count - 1) - 0.5
    expected = features.select(pl.when(count >= 5).then(place)).to_series()
    assert features[name].is_null().equals(expected.is_null())
    assert (features[name] - expected).abs().max() < 1e-15  # type: ignore[operator]


def test_scale_free_features_do_not_move_with_the_unit(bars: pl.DataFrame, features: pl.DataFrame) -> None:
    prices = [pl.col(name) * 7.3 for name in ("open", "high", "low", "close")]
    other = compute(bars.with_columns(*prices, pl.col("volume") * 100), TECHNICAL, bars_per_year=YEAR).frame
    ranks = {name for name in TECHNICAL.scale_free if name.startswith("rank_")}
    gaps = worst(features, other, tuple(n for n in TECHNICAL.scale_free if n not in ranks))
    assert max(gaps.values()) < 1e-9, gaps


def test_what_the_set_promises() -> None:
    assert len(TECHNICAL.features) == 41
    assert len(TECHNICAL.scale_free) == 25
    required = "return_1 return_5 return_20 volatility_20 volume_ratio_5_20 "
    required += "rank_return_5 rank_return_20 rank_volume_ratio rank_volatility"
    assert set(required.split()) <= set(TECHNICAL.scale_free)
    assert TECHNICAL.warm_up == TECHNICAL.lookback == 59
    assert len(layout_of(TECHNICAL.program).stored_slots) == 16
    assert all(f.description.endswith(".") for f in TECHNICAL.features)


def test_warm_up_is_the_number_of_leading_nulls(features: pl.DataFrame) -> None:
    first = features.filter(pl.col("instrument_id") == "CN.SSE.600001")
    for feature in TECHNICAL.features:
        if not feature.name.startswith("rank_"):
            assert first[feature.name].is_null().arg_min() == feature.expr.warm_up, feature.name


def test_unmoved_prices_are_zero_where_talib_says_zero_and_null_where_undefined() -> None:
    bars = random_bars(1, 80, suspended=0, flat=1.0).with_columns(
        open=pl.col("close"), high=pl.col("close"), low=pl.col("close")
    )
    last = compute(bars, TECHNICAL, bars_per_year=YEAR).frame.row(-1, named=True)
    assert (last["rsi_14"], last["stochastic_k"], last["volatility_20"]) == (0.0, 0.0, 0.0)
    assert (last["bollinger_percent_b"], last["close_position"]) == (None, None)
