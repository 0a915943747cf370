"""The functions of TA-Lib that give the outputs of ``technical`` and ``ta``, each once, for the benchmarks.

One table serves TA-Lib and polars-talib, which names its expressions alike: function, columns that it reads
(the first letters of open, high, low, close, volume), parameters, names of its outputs in our set; None for
an output that the set has not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import talib
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Call = tuple[str, str, Mapping[str, float], tuple[str | None, ...]]
_COLUMN = {name[0]: name for name in ("open", "high", "low", "close", "volume")}


def _one(function: str, columns: str, name: str, **parameters: float) -> Call:
    return function, columns, parameters, (name,)


def _over(n: int, function: str, columns: str = "c") -> Call:
    """One output, named by the function and its window."""
    return function, columns, {"timeperiod": n}, (f"{function}_{n}",)


# fmt: off
TECHNICAL: tuple[Call, ...] = (
    _one("SMA", "c", "sma_5", timeperiod=5), _one("SMA", "c", "sma_20", timeperiod=20),
    _one("SMA", "c", "sma_60", timeperiod=60), _one("EMA", "c", "ema_12", timeperiod=12),
    _one("EMA", "c", "ema_26", timeperiod=26),
    ("BBANDS", "c", {"timeperiod": 20, "nbdevup": 2.0, "nbdevdn": 2.0},
     ("bollinger_upper", "bollinger_middle", "bollinger_lower")),
    ("MACD", "c", {}, ("macd", "macd_signal", "macd_histogram")),
    _one("ATR", "hlc", "atr_14", timeperiod=14), _one("MOM", "c", "mom_10", timeperiod=10),
    _one("OBV", "cv", "obv"), _one("RSI", "c", "rsi_14", timeperiod=14),
    ("STOCH", "hlc", {"fastk_period": 14, "slowk_period": 3, "slowd_period": 3},
     ("stochastic_k", "stochastic_d")),
    _one("ROC", "c", "roc_10", timeperiod=10),
)
TA: tuple[Call, ...] = (
    *(_over(20, name) for name in ("SMA", "EMA", "WMA", "DEMA", "TEMA", "TRIMA")), _over(30, "KAMA"),
    _one("T3", "c", "T3_5", timeperiod=5),
    ("BBANDS", "c", {"timeperiod": 20}, ("BBANDS_UPPER_20", "BBANDS_MIDDLE_20", "BBANDS_LOWER_20")),
    ("ACCBANDS", "hlc", {"timeperiod": 20}, ("ACCBANDS_UPPER_20", None, "ACCBANDS_LOWER_20")),
    _over(14, "MIDPOINT"), _over(14, "MIDPRICE", "hl"), _one("SAR", "hl", "SAR"),
    _over(14, "PLUS_DM", "hl"), _over(14, "MINUS_DM", "hl"),
    *(_over(14, name, "hlc") for name in ("PLUS_DI", "MINUS_DI", "DX", "ADX", "ADXR")),
    _one("APO", "c", "APO_12_26", fastperiod=12, slowperiod=26, matype=0),
    _one("PPO", "c", "PPO_12_26", fastperiod=12, slowperiod=26, matype=0),
    ("AROON", "hl", {"timeperiod": 14}, ("AROON_DOWN_14", "AROON_UP_14")), _over(14, "AROONOSC", "hl"),
    _one("BOP", "ohlc", "BOP"), _over(14, "CCI", "hlc"), _over(14, "CMO"),
    ("MACD", "c", {}, ("MACD", "MACD_SIGNAL", "MACD_HIST")), _over(14, "MFI", "hlcv"), _over(10, "MOM"),
    *(_over(10, name) for name in ("ROC", "ROCP", "ROCR", "ROCR100")), _over(14, "RSI"),
    ("STOCH", "hlc", {}, ("STOCH_K_5_3_3", "STOCH_D_5_3_3")),
    ("STOCHF", "hlc", {}, ("STOCHF_K_5_3", "STOCHF_D_5_3")),
    ("STOCHRSI", "c", {}, ("STOCHRSI_K_14_5_3", "STOCHRSI_D_14_5_3")),
    _over(30, "TRIX"), _one("ULTOSC", "hlc", "ULTOSC_7_14_28"), _over(14, "WILLR", "hlc"),
    _one("AD", "hlcv", "AD"), _one("ADOSC", "hlcv", "ADOSC_3_10"), _one("OBV", "cv", "OBV"),
    _one("TRANGE", "hlc", "TRANGE"), _over(14, "ATR", "hlc"), _over(14, "NATR", "hlc"),
    _one("AVGPRICE", "ohlc", "AVGPRICE"), _one("MEDPRICE", "hl", "MEDPRICE"),
    _one("TYPPRICE", "hlc", "TYPPRICE"), _one("WCLPRICE", "hlc", "WCLPRICE"),
    _over(5, "BETA", "hl"), _over(30, "CORREL", "hl"),
    *(_over(14, f"LINEARREG{kind}") for kind in ("", "_SLOPE", "_ANGLE", "_INTERCEPT")),
    _over(14, "TSF"), _over(14, "AVGDEV"), _over(5, "STDDEV"), _over(5, "VAR"),
    *(_over(30, name) for name in ("MAX", "MIN", "MAXINDEX", "MININDEX", "SUM")),
)
# fmt: on


def with_talib(bars: pl.DataFrame, calls: tuple[Call, ...]) -> dict[str, F64]:
    """TA-Lib, symbol by symbol, from NumPy arrays."""
    parts: dict[str, list[F64]] = {name: [] for *_, names in calls for name in names if name}
    for _, own in bars.group_by("instrument_id", maintain_order=True):
        arrays = {letter: own[name].to_numpy() for letter, name in _COLUMN.items()}
        for function, columns, parameters, names in calls:
            found = getattr(talib, function)(*(arrays[c] for c in columns), **parameters)
            for name, values in zip(names, found if len(names) > 1 else (found,), strict=True):
                if name:
                    parts[name].append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def with_polars_talib(bars: pl.DataFrame, calls: tuple[Call, ...]) -> pl.DataFrame:
    """TA-Lib as Polars expressions over the symbols."""
    import polars_talib

    fields = [
        getattr(polars_talib, function.lower())(*(pl.col(_COLUMN[c]) for c in columns), **parameters)
        for function, columns, parameters, _ in calls
    ]
    return bars.select(field.over("instrument_id").alias(str(k)) for k, field in enumerate(fields))
