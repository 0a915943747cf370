"""``ta`` against TA-Lib itself: every value, and the same first row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import talib
from numpy.typing import NDArray

from nofx_pipelines.features import compute
from nofx_pipelines.features.sets.ta import TA

from ..worlds import YEAR, random_bars, worst  # noqa: TID252 (tests are no installed package)

F64 = NDArray[np.float64]
Bars = dict[str, F64]


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


@pytest.fixture(scope="module")
def worlds() -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    moving = random_bars(5, 400, suspended=0)
    quiet = random_bars(5, 400, suspended=0, flat=0.4, seed=3)
    return {
        n: (b, compute(b, TA, bars_per_year=YEAR).frame) for n, b in (("moving", moving), ("quiet", quiet))
    }


def test_there_is_a_reference_for_every_output() -> None:
    assert set(TALIB) == set(TA.columns)
    assert len(TA.columns) == 75


NOISE = ("STOCHRSI_K_14_5_3", "STOCHRSI_D_14_5_3")
"""Where the RSI rests, these are TA-Lib's rounding errors divided by each other."""
TIES = ("MAXINDEX_30", "MININDEX_30")
"""Of equals TA-Lib gives the newest, after it had to look again the oldest; we the newest."""


@pytest.mark.parametrize("world", ["moving", "quiet"])
@pytest.mark.parametrize("name", TA.columns)
def test_equal_to_talib_with_the_same_first_row(
    name: str, world: str, worlds: dict[str, tuple[pl.DataFrame, pl.DataFrame]]
) -> None:
    if name in (*NOISE, *TIES) and world == "quiet":
        pytest.skip("rounding errors, or which of equals")
    bars, ours = worlds[world]
    for instrument, own in bars.sort("ts_close").partition_by("instrument_id", as_dict=True).items():
        columns = {c: own[c].to_numpy() for c in ("open", "high", "low", "close", "volume")}
        theirs = TALIB[name](columns).astype(np.float64)
        mine = ours.filter(pl.col("instrument_id") == instrument[0])[name].fill_null(np.nan).to_numpy()
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(theirs), err_msg=f"{instrument}")
        gap = np.nanmax(np.abs(mine - theirs)) / np.nanmax(np.abs(theirs))
        assert gap <= 1e-9, f"{instrument}: {gap:.1e}"


def test_both_engines_agree() -> None:
    bars = random_bars(4, 200, suspended=0.1, missing=0.02, flat=0.1)
    ours, oracle = (compute(bars, TA, bars_per_year=YEAR, engine=e).frame for e in ("numba", "polars"))  # type: ignore[arg-type]
    gaps = worst(ours, oracle, TA.columns)
    assert {name: gap for name, gap in gaps.items() if gap > 1e-9} == {}
