"""Batch features against TA-Lib, polars-talib and Polars expressions: the outputs that all of them have.

    python -m benchmarks.bench_features

Each peer computes the same columns from the same bars, on one thread: TA-Lib one symbol after the other
from NumPy arrays, polars-talib as expressions over the symbols, Polars through our independent oracle.
Ours is timed through the public `compute`, with the frame that comes out of it.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import polars as pl
import talib

from benchmarks.bars import random_walks
from benchmarks.timing import machine_table, median_seconds
from nofx_pipelines.features import FeatureSet, compute, feature_set

COLUMNS = (
    "sma_5", "sma_20", "sma_60", "ema_12", "ema_26", "bollinger_upper", "bollinger_middle",
    "bollinger_lower", "macd", "macd_signal", "macd_histogram", "atr_14", "mom_10", "obv", "rsi_14",
    "stochastic_k", "stochastic_d", "roc_10",
)  # fmt: skip
SHAPES = ((200, 2_500), (500, 2_500), (1, 300_000))
TOLERANCE = 1e-9


def with_talib(bars: pl.DataFrame) -> dict[str, np.ndarray]:
    """TA-Lib, symbol by symbol."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    for (_,), own in bars.group_by("instrument_id", maintain_order=True):
        high, low, close, volume = (own[name].to_numpy() for name in ("high", "low", "close", "volume"))
        upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
        macd, signal, histogram = talib.MACD(close)
        k, d = talib.STOCH(high, low, close, fastk_period=14, slowk_period=3, slowd_period=3)
        found = (
            talib.SMA(close, 5), talib.SMA(close, 20), talib.SMA(close, 60), talib.EMA(close, 12),
            talib.EMA(close, 26), upper, middle, lower, macd, signal, histogram,
            talib.ATR(high, low, close, 14), talib.MOM(close, 10), talib.OBV(close, volume),
            talib.RSI(close, 14), k, d, talib.ROC(close, 10),
        )  # fmt: skip
        for name, values in zip(COLUMNS, found, strict=True):
            parts[name].append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def with_polars_talib(bars: pl.DataFrame) -> pl.DataFrame:
    """TA-Lib as Polars expressions over the symbols."""
    import polars_talib as plta

    close, own = pl.col("close"), "instrument_id"
    bands = plta.bbands(close, timeperiod=20, nbdevup=2.0, nbdevdn=2.0)
    macd = plta.macd(close, fastperiod=12, slowperiod=26, signalperiod=9)
    stochastic = plta.stoch(
        pl.col("high"), pl.col("low"), close, fastk_period=14, slowk_period=3, slowd_period=3
    )
    simple = [
        plta.sma(close, timeperiod=5), plta.sma(close, timeperiod=20), plta.sma(close, timeperiod=60),
        plta.ema(close, timeperiod=12), plta.ema(close, timeperiod=26),
        plta.atr(pl.col("high"), pl.col("low"), close, timeperiod=14), plta.mom(close, timeperiod=10),
        plta.obv(close, pl.col("volume")), plta.rsi(close, timeperiod=14), plta.roc(close, timeperiod=10),
    ]  # fmt: skip
    fields = (*simple, bands, macd, stochastic)
    return bars.select(field.over(own).alias(str(place)) for place, field in enumerate(fields))


def main() -> None:
    """Print the table."""
    chosen = {feature.name: feature for feature in feature_set("technical").features}
    ours = FeatureSet("benchmark", tuple(chosen[name] for name in COLUMNS))
    rows = []
    for instruments, length in SHAPES:
        bars = random_walks(instruments, length)
        _agree(compute(bars, ours, bars_per_year=243).frame, with_talib(bars))
        calls: dict[str, Callable[[], object]] = {
            "NOFX, compute": lambda bars=bars: compute(bars, ours, bars_per_year=243, threads=1),
            "TA-Lib, symbol by symbol": lambda bars=bars: with_talib(bars),
            "Polars expressions (our oracle)": lambda bars=bars: compute(
                bars, ours, bars_per_year=243, engine="polars"
            ),
        }
        if find_spec("polars_talib"):
            calls["polars-talib, .over"] = lambda bars=bars: with_polars_talib(bars)
        taken = {name: median_seconds(call, repeats=3, cpu=True) for name, call in calls.items()}
        base, cells = taken["NOFX, compute"], instruments * length
        rows += [
            (f"{instruments:,} x {length:,}", name, f"{1e9 * took / cells:,.0f}", f"{took / base:.2f}x")
            for name, took in taken.items()
        ]
    header = ("bars", "", "CPU ns a row", "to ours")
    print(machine_table(f"{len(COLUMNS)} technical features in batch, one thread", header, rows))


def _agree(frame: pl.DataFrame, expected: dict[str, np.ndarray]) -> None:
    """A figure counts only when both computed the same."""
    for name, values in expected.items():
        mine = frame[name].to_numpy()
        both = np.isfinite(mine) & np.isfinite(values)
        worst = np.max(np.abs(mine[both] - values[both]) / np.maximum(1, np.abs(values[both])))
        if both.sum() < len(values) / 2 or worst > TOLERANCE:
            raise SystemExit(f"{name} differs from TA-Lib by {worst:.1e}")


if __name__ == "__main__":
    main()
