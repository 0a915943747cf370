"""``ta`` against TA-Lib itself: every value, and the same first row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest
import talib
from numpy.typing import NDArray

from nofx_pipelines.features import compute
from nofx_pipelines.features.sets.ta import FEATURES as TA
from tests.features.worlds import YEAR, random_bars, worst

F64 = NDArray[np.float64]
Bars = dict[str, F64]
PRICES = ("open", "high", "low", "close")


def _back(values: F64) -> F64:
    """TA-Lib gives the row's number, we how many rows back it is."""
    out = np.arange(len(values)) - values.astype(np.float64)
    out[:29] = np.nan
    return out


# fmt: off
TALIB: dict[str, Callable[[Bars], F64]] = {
    "SMA_20": lambda b: talib.SMA(b["close"], 20),
    "EMA_20": lambda b: talib.EMA(b["close"], 20),
    "WMA_20": lambda b: talib.WMA(b["close"], 20),
    "DEMA_20": lambda b: talib.DEMA(b["close"], 20),
    "TEMA_20": lambda b: talib.TEMA(b["close"], 20),
    "TRIMA_20": lambda b: talib.TRIMA(b["close"], 20),
    "KAMA_30": lambda b: talib.KAMA(b["close"], 30),
    "T3_5": lambda b: talib.T3(b["close"], 5, 0.7),
    "BBANDS_UPPER_20": lambda b: talib.BBANDS(b["close"], 20)[0],
    "BBANDS_MIDDLE_20": lambda b: talib.BBANDS(b["close"], 20)[1],
    "BBANDS_LOWER_20": lambda b: talib.BBANDS(b["close"], 20)[2],
    "ACCBANDS_UPPER_20": lambda b: talib.ACCBANDS(b["high"], b["low"], b["close"], 20)[0],
    "ACCBANDS_LOWER_20": lambda b: talib.ACCBANDS(b["high"], b["low"], b["close"], 20)[2],
    "MIDPOINT_14": lambda b: talib.MIDPOINT(b["close"], 14),
    "MIDPRICE_14": lambda b: talib.MIDPRICE(b["high"], b["low"], 14),
    "SAR": lambda b: talib.SAR(b["high"], b["low"]),
    "PLUS_DM_14": lambda b: talib.PLUS_DM(b["high"], b["low"], 14),
    "MINUS_DM_14": lambda b: talib.MINUS_DM(b["high"], b["low"], 14),
    "PLUS_DI_14": lambda b: talib.PLUS_DI(b["high"], b["low"], b["close"], 14),
    "MINUS_DI_14": lambda b: talib.MINUS_DI(b["high"], b["low"], b["close"], 14),
    "DX_14": lambda b: talib.DX(b["high"], b["low"], b["close"], 14),
    "ADX_14": lambda b: talib.ADX(b["high"], b["low"], b["close"], 14),
    "ADXR_14": lambda b: talib.ADXR(b["high"], b["low"], b["close"], 14),
    "APO_12_26": lambda b: talib.APO(b["close"], 12, 26, 0),
    "PPO_12_26": lambda b: talib.PPO(b["close"], 12, 26, 0),
    "AROON_UP_14": lambda b: talib.AROON(b["high"], b["low"], 14)[1],
    "AROON_DOWN_14": lambda b: talib.AROON(b["high"], b["low"], 14)[0],
    "AROONOSC_14": lambda b: talib.AROONOSC(b["high"], b["low"], 14),
    "BOP": lambda b: talib.BOP(b["open"], b["high"], b["low"], b["close"]),
    "CCI_14": lambda b: talib.CCI(b["high"], b["low"], b["close"], 14),
    "CMO_14": lambda b: talib.CMO(b["close"], 14),
    "MACD": lambda b: talib.MACD(b["close"])[0],
    "MACD_SIGNAL": lambda b: talib.MACD(b["close"])[1],
    "MACD_HIST": lambda b: talib.MACD(b["close"])[2],
    "MFI_14": lambda b: talib.MFI(b["high"], b["low"], b["close"], b["volume"], 14),
    "MOM_10": lambda b: talib.MOM(b["close"], 10),
    "ROC_10": lambda b: talib.ROC(b["close"], 10),
    "ROCP_10": lambda b: talib.ROCP(b["close"], 10),
    "ROCR_10": lambda b: talib.ROCR(b["close"], 10),
    "ROCR100_10": lambda b: talib.ROCR100(b["close"], 10),
    "RSI_14": lambda b: talib.RSI(b["close"], 14),
    "STOCH_K_5_3_3": lambda b: talib.STOCH(b["high"], b["low"], b["close"])[0],
    "STOCH_D_5_3_3": lambda b: talib.STOCH(b["high"], b["low"], b["close"])[1],
    "STOCHF_K_5_3": lambda b: talib.STOCHF(b["high"], b["low"], b["close"])[0],
    "STOCHF_D_5_3": lambda b: talib.STOCHF(b["high"], b["low"], b["close"])[1],
    "STOCHRSI_K_14_5_3": lambda b: talib.STOCHRSI(b["close"])[0],
    "STOCHRSI_D_14_5_3": lambda b: talib.STOCHRSI(b["close"])[1],
    "TRIX_30": lambda b: talib.TRIX(b["close"], 30),
    "ULTOSC_7_14_28": lambda b: talib.ULTOSC(b["high"], b["low"], b["close"]),
    "WILLR_14": lambda b: talib.WILLR(b["high"], b["low"], b["close"], 14),
    "AD": lambda b: talib.AD(b["high"], b["low"], b["close"], b["volume"]),
    "ADOSC_3_10": lambda b: talib.ADOSC(b["high"], b["low"], b["close"], b["volume"]),
    "OBV": lambda b: talib.OBV(b["close"], b["volume"]),
    "TRANGE": lambda b: talib.TRANGE(b["high"], b["low"], b["close"]),
    "ATR_14": lambda b: talib.ATR(b["high"], b["low"], b["close"], 14),
    "NATR_14": lambda b: talib.NATR(b["high"], b["low"], b["close"], 14),
    "AVGPRICE": lambda b: talib.AVGPRICE(b["open"], b["high"], b["low"], b["close"]),
    "MEDPRICE": lambda b: talib.MEDPRICE(b["high"], b["low"]),
    "TYPPRICE": lambda b: talib.TYPPRICE(b["high"], b["low"], b["close"]),
    "WCLPRICE": lambda b: talib.WCLPRICE(b["high"], b["low"], b["close"]),
    "BETA_5": lambda b: talib.BETA(b["high"], b["low"], 5),
    "CORREL_30": lambda b: talib.CORREL(b["high"], b["low"], 30),
    "LINEARREG_14": lambda b: talib.LINEARREG(b["close"], 14),
    "LINEARREG_SLOPE_14": lambda b: talib.LINEARREG_SLOPE(b["close"], 14),
    "LINEARREG_ANGLE_14": lambda b: talib.LINEARREG_ANGLE(b["close"], 14),
    "LINEARREG_INTERCEPT_14": lambda b: talib.LINEARREG_INTERCEPT(b["close"], 14),
    "TSF_14": lambda b: talib.TSF(b["close"], 14),
    "AVGDEV_14": lambda b: talib.AVGDEV(b["close"], 14),
    "STDDEV_5": lambda b: talib.STDDEV(b["close"], 5),
    "VAR_5": lambda b: talib.VAR(b["close"], 5),
    "MAX_30": lambda b: talib.MAX(b["close"], 30),
    "MIN_30": lambda b: talib.MIN(b["close"], 30),
    "MAXINDEX_30": lambda b: _back(talib.MAXINDEX(b["close"], 30)),
    "MININDEX_30": lambda b: _back(talib.MININDEX(b["close"], 30)),
    "SUM_30": lambda b: talib.SUM(b["close"], 30),
}
# fmt: on


LENGTHS = (1, 2, 3, 5, 8, 13, 14, 15, 20, 29, 30, 31, 59, 60)
APART = 17  # bars between two stretches: many windows see both


def with_stretches(
    bars: pl.DataFrame, lengths: Sequence[int], *, traded: bool = True, tick: float = 0.0
) -> pl.DataFrame:
    """Stretches without any move, of these lengths in another order each, one of the first at the beginning.

    A stretch stands at the close before it; with ``traded`` its volume stays, else it is 0.
    """
    parts = []
    for number, own in enumerate(bars.sort("ts_close").partition_by("instrument_id", maintain_order=True)):
        columns = _columns(own)
        for name in PRICES:
            columns[name] = np.round(columns[name] / tick) * tick if tick else columns[name].copy()
        start = 0 if number else APART
        for length in np.random.default_rng(number).permutation(lengths).tolist():
            stretch = slice(start, start + length)
            for name in PRICES:
                columns[name][stretch] = columns["close"][max(start - 1, 0)]
            columns["volume"] = columns["volume"].copy()
            columns["volume"][stretch] *= traded
            start += length + APART
        assert start <= own.height, "every length, whole"
        parts.append(own.with_columns(pl.Series(name, values) for name, values in columns.items()))
    return pl.concat(parts)


def _columns(own: pl.DataFrame) -> Bars:
    return {name: own[name].to_numpy() for name in (*PRICES, "volume")}


def _values(frame: pl.DataFrame, name: str) -> F64:
    return frame[name].fill_null(np.nan).to_numpy()


@pytest.fixture(scope="module")
def worlds() -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    moving = random_bars(5, 400, suspended=0)
    quiet = random_bars(5, 400, suspended=0, flat=0.4, seed=3)
    long = random_bars(4, 900, suspended=0, seed=4)
    dear = long.with_columns(pl.col(PRICES) * 300)
    cheap = long.with_columns(pl.col(PRICES) * 1e-7)
    bars = {
        "moving": moving,
        "quiet": quiet,
        "still": with_stretches(long, LENGTHS),
        "untraded": with_stretches(long, LENGTHS, traded=False),
        "ticks": with_stretches(long, LENGTHS, traded=False, tick=0.01),
        "dear": with_stretches(dear, LENGTHS, traded=False),
        "cheap": with_stretches(cheap, LENGTHS),
        "frozen": with_stretches(long, (450,)),
    }
    return {world: (b, compute(b, TA, bars_per_year=YEAR).frame) for world, b in bars.items()}


def test_there_is_a_reference_for_every_output() -> None:
    assert set(TALIB) == set(TA.columns)
    assert len(TA.columns) == 75


def resting(values: F64, rows: int) -> NDArray[np.bool_]:
    """Bars whose last ``rows`` values are all the same."""
    out = np.zeros(len(values), bool)
    windows = np.lib.stride_tricks.sliding_window_view(values, rows)
    out[rows - 1 :] = windows.min(axis=1) == windows.max(axis=1)
    return out


NULL: dict[str, Callable[[Bars], NDArray[np.bool_]]] = {
    "BETA_5": lambda b: resting(b["high"], 6),
    "CORREL_30": lambda b: resting(b["high"], 30) | resting(b["low"], 30),
}
"""Where nothing moved against which anything could be measured: we give null there, TA-Lib 0."""
TIES = ("MAXINDEX_30", "MININDEX_30")
"""Of equals TA-Lib gives the newest, after it had to look again the oldest; we the newest."""
ROUNDED = {"CORREL_30": 1e-8}
"""TA-Lib's running sums round more than ours where all but one of 30 bars rest; elsewhere 1e-9."""


def newest_of_equals(close: F64, back: F64) -> F64:
    """How many bars back the newest of the window's closes stands that equals the one so far back."""
    out = back.copy()
    for t in np.flatnonzero(~np.isnan(back)):
        window = close[t - 29 : t + 1][::-1]
        out[t] = np.flatnonzero(window == window[int(back[t])])[0]
    return out


@pytest.mark.parametrize(
    "world", ["moving", "quiet", "still", "untraded", "ticks", "dear", "cheap", "frozen"]
)
@pytest.mark.parametrize("name", TA.columns)
def test_equal_to_talib_with_the_same_first_row(
    name: str, world: str, worlds: dict[str, tuple[pl.DataFrame, pl.DataFrame]]
) -> None:
    bars, ours = worlds[world]
    for instrument, own in bars.sort("ts_close").partition_by("instrument_id", as_dict=True).items():
        columns = _columns(own)
        theirs = TALIB[name](columns).astype(np.float64)
        mine = _values(ours.filter(pl.col("instrument_id") == instrument[0]), name)
        if name in NULL:
            null = NULL[name](columns)
            assert np.isnan(mine[null]).all()
            assert (theirs[null] == 0).all()
            mine = np.where(null, 0.0, mine)
        if name in TIES:
            theirs = newest_of_equals(columns["close"], theirs)
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(theirs), err_msg=f"{instrument}")
        gap = np.nanmax(np.abs(mine - theirs)) / np.nanmax(np.abs(theirs))
        assert gap <= ROUNDED.get(name, 1e-9), f"{instrument}: {gap:.1e}"


def stopped(moving: int, still: int) -> tuple[pl.DataFrame, Bars]:
    """Bars that move, then do not."""
    bars = random_bars(2, moving + still, suspended=0).filter(pl.col("instrument_id") == "CN.SSE.600001")
    columns = {name: values.copy() for name, values in _columns(bars).items()}
    for name in PRICES:
        columns[name][moving:] = columns["close"][moving - 1]
    return bars.with_columns(pl.Series(name, values) for name, values in columns.items()), columns


def test_null_for_nothing_by_nothing_where_talib_gives_zero() -> None:
    bars, columns = stopped(100, 60)
    ours = compute(bars, TA, bars_per_year=YEAR).frame
    # the 6th bar without a move is the 5th without a return; 30 bars at rest end with the 30th
    for name, first, null in (("BETA_5", 5, 105), ("CORREL_30", 29, 129)):
        assert np.flatnonzero(np.isnan(_values(ours, name))).tolist() == [*range(first), *range(null, 160)]
        theirs = TALIB[name](columns)
        assert np.flatnonzero(np.isnan(theirs)).tolist() == [*range(first)]
        assert np.flatnonzero(theirs == 0).tolist() == [*range(null, 160)]
    others = [name for name in TA.columns if name not in NULL]
    assert ours.select(pl.col(others).tail(60).null_count().sum()).row(0) == (0,) * len(others)


@pytest.mark.parametrize(("name", "end"), [("MAXINDEX_30", 10.0), ("MININDEX_30", 30.0)])
def test_the_newest_of_equals_where_talib_gives_the_oldest(name: str, end: float) -> None:
    """After a fall the highest close of bars at rest is the oldest to TA-Lib, after a rise the lowest."""
    bars, columns = stopped(60, 60)
    columns["close"][:] = np.append(np.linspace(20.0, end, 60), np.full(60, end))
    ours = compute(bars.with_columns(close=columns["close"]), TA, bars_per_year=YEAR).frame
    assert _values(ours, name)[29:].tolist() == [29.0] * 59 + [0.0] * 32
    assert TALIB[name](columns)[29:].tolist() == [29.0] * 91


def test_correlation_where_all_but_one_bar_rest_is_exact() -> None:
    """TA-Lib is off by up to 3e-9 there."""
    bars = with_stretches(random_bars(4, 900, suspended=0, seed=4), LENGTHS)
    ours = compute(bars, TA, bars_per_year=YEAR).frame
    for (instrument,), own in bars.partition_by("instrument_id", as_dict=True).items():
        pair = np.stack([own["high"].to_numpy(), own["low"].to_numpy()]).astype(np.longdouble)
        windows = np.lib.stride_tricks.sliding_window_view(pair, 30, axis=1)
        x, y = windows - windows.mean(axis=2, keepdims=True)
        xx, yy, xy = ((a * b).sum(axis=1) for a, b in ((x, x), (y, y), (x, y)))
        moved = ~NULL["CORREL_30"](_columns(own))[29:]
        exact = xy[moved] / np.sqrt(xx[moved] * yy[moved])
        mine = _values(ours.filter(pl.col("instrument_id") == instrument), "CORREL_30")[29:][moved]
        assert np.abs(mine - exact).max() <= 1e-11


def test_both_engines_agree() -> None:
    bars = random_bars(4, 200, suspended=0.1, missing=0.02, flat=0.1)
    ours, oracle = (compute(bars, TA, bars_per_year=YEAR, engine=e).frame for e in ("numba", "polars"))  # type: ignore[arg-type]
    gaps = worst(ours, oracle, TA.columns)
    assert {name: gap for name, gap in gaps.items() if gap > 1e-9} == {}
