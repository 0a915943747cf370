"""The preset ``talib`` against TA-Lib itself on series with gaps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.features import Expr, close, compute, open_
from nofx_pipelines.features.algebra.presets import talib as preset
from tests.features.worlds import YEAR, one_series, set_of

talib = pytest.importorskip("talib", reason="pip install TA-Lib")

CASES: dict[str, tuple[Expr, Callable[..., np.ndarray]]] = {
    "SMA": (preset.SMA(close, 5), lambda x, _: talib.SMA(x, 5)),
    "SUM": (preset.SUM(close, 5), lambda x, _: talib.SUM(x, 5)),
    "EMA": (preset.EMA(close, 5), lambda x, _: talib.EMA(x, 5)),
    "DEMA": (preset.DEMA(close, 3), lambda x, _: talib.DEMA(x, 3)),
    "TEMA": (preset.TEMA(close, 3), lambda x, _: talib.TEMA(x, 3)),
    "TRIMA odd": (preset.TRIMA(close, 5), lambda x, _: talib.TRIMA(x, 5)),
    "TRIMA even": (preset.TRIMA(close, 6), lambda x, _: talib.TRIMA(x, 6)),
    "VAR": (preset.VAR(close, 5), lambda x, _: talib.VAR(x, 5)),
    "STDDEV": (preset.STDDEV(close, 5, 2.0), lambda x, _: talib.STDDEV(x, 5, 2.0)),
    "LINEARREG": (preset.LINEARREG(close, 6), lambda x, _: talib.LINEARREG(x, 6)),
    "LINEARREG_SLOPE": (preset.LINEARREG_SLOPE(close, 6), lambda x, _: talib.LINEARREG_SLOPE(x, 6)),
    "TSF": (preset.TSF(close, 6), lambda x, _: talib.TSF(x, 6)),
    "MOM": (preset.MOM(close, 5), lambda x, _: talib.MOM(x, 5)),
    "ROC": (preset.ROC(close, 5), lambda x, _: talib.ROC(x, 5)),
    "AVGDEV": (preset.AVGDEV(close, 5), lambda x, _: talib.AVGDEV(x, 5)),
    "RSI": (preset.RSI(close, 5), lambda x, _: talib.RSI(x, 5)),
    "CMO": (preset.CMO(close, 5), lambda x, _: talib.CMO(x, 5)),
    "CORREL": (preset.CORREL(close, open_, 5), lambda x, y: talib.CORREL(x, y, 5)),
}


def series(seed: int, gaps: tuple[int, ...], leading: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = 100 + np.cumsum(rng.normal(size=90)), 50 + np.cumsum(rng.normal(size=90))
    x[:leading] = np.nan
    x[list(gaps)] = np.nan
    return x, y


@pytest.mark.parametrize("leading", [0, 3])
@pytest.mark.parametrize("gaps", [(), (40,), (40, 41, 60), (12,), (7,), (30, 36)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_a_gap_does_what_it_does_there(name: str, gaps: tuple[int, ...], leading: int) -> None:
    expr, original = CASES[name]
    x, y = series(len(name), gaps, leading)
    bars = one_series([None if np.isnan(v) else float(v) for v in x]).with_columns(pl.Series("open", y))
    got = compute(bars, set_of(x=expr), bars_per_year=YEAR).frame["x"].fill_null(np.nan).to_numpy()
    wanted = original(x, y)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)


def test_macd_s_line() -> None:
    x, _ = series(3, (60,), 2)
    bars = one_series([None if np.isnan(v) else float(v) for v in x])
    got = compute(bars, set_of(x=preset.MACD(close, 4, 9)), bars_per_year=YEAR).frame["x"]
    wanted = talib.MACD(x, 4, 9, 1)[0]
    np.testing.assert_allclose(got.fill_null(np.nan).to_numpy(), wanted, rtol=1e-9, atol=1e-9)
