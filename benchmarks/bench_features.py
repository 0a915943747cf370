"""Batch features against TA-Lib, polars-talib, pandas and Polars expressions: the outputs that all have.

    python -m benchmarks.bench_features

Each peer computes the same columns from the same bars, on one thread: TA-Lib one symbol after the other
from NumPy arrays, each function once, polars-talib as expressions over the symbols, pandas symbol by symbol
(by its own windows, whose averages begin otherwise than TA-Lib's), Polars through our independent oracle; the
slowest on fewer bars. Ours is timed through the public `compute`, with the frame that comes out of it. The
last table takes one symbol from a thousand bars to a million.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.bars import random_walks
from benchmarks.talib_functions import TA, TECHNICAL, Call, with_polars_talib, with_talib
from benchmarks.timing import machine_table, median_seconds
from nofx_pipelines.features import FeatureSet, compute, feature_set

SHAPES = ((200, 2_500), (500, 2_500), (1, 500_000))
LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
FEW = 50_000
"""Rows that the slowest are timed on."""
TOLERANCE = 1e-9
YEAR = 243.0


def with_pandas(bars: pd.DataFrame) -> list[pd.DataFrame]:
    """The columns of `TECHNICAL` by pandas' windows, symbol by symbol."""
    return [_with_pandas(own) for _, own in bars.groupby("instrument_id", sort=False)]


def _with_pandas(own: pd.DataFrame) -> pd.DataFrame:
    high, low, close, volume = (own[name] for name in ("high", "low", "close", "volume"))
    middle, apart = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    macd = _ewm(close, span=12) - _ewm(close, span=26)
    signal, before = _ewm(macd, span=9), close.shift()
    span = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1)
    step = close.diff()
    up, down = (_ewm(side.clip(lower=0), alpha=1 / 14) for side in (step, -step))
    least, most = low.rolling(14).min(), high.rolling(14).max()
    k = (100 * (close - least) / (most - least)).rolling(3).mean()
    return pd.DataFrame(
        {
            **{f"sma_{n}": close.rolling(n).mean() for n in (5, 20, 60)},
            **{f"ema_{n}": _ewm(close, span=n) for n in (12, 26)},
            "bollinger_upper": middle + 2 * apart,
            "bollinger_middle": middle,
            "bollinger_lower": middle - 2 * apart,
            "macd": macd,
            "macd_signal": signal,
            "macd_histogram": macd - signal,
            "atr_14": _ewm(span, alpha=1 / 14),
            "mom_10": close.diff(10),
            "obv": (np.sign(step) * volume).fillna(0).cumsum(),
            "rsi_14": 100 * up / (up + down),
            "stochastic_k": k,
            "stochastic_d": k.rolling(3).mean(),
            "roc_10": 100 * close.pct_change(10),
        }
    )


def _ewm(values: pd.Series, **decay: float) -> pd.Series:
    return values.ewm(adjust=False, **decay).mean()


def against_peers(title: str, features: FeatureSet, calls: tuple[Call, ...]) -> str:
    """The table of one set."""
    rows = []
    for instruments, length in SHAPES:
        bars = random_walks(instruments, length)
        few = bars.head(FEW)
        _agree(compute(bars, features, bars_per_year=YEAR).frame, with_talib(bars, calls))
        timed: list[tuple[str, Callable[[], object], int]] = [
            (
                "NOFX, compute",
                lambda b=bars: compute(b, features, bars_per_year=YEAR, threads=1),
                bars.height,
            ),
            ("TA-Lib, symbol by symbol", lambda b=bars: with_talib(b, calls), bars.height),
        ]
        if find_spec("polars_talib"):
            timed.append(("polars-talib, .over", lambda b=bars: with_polars_talib(b, calls), bars.height))
        if calls is TECHNICAL:
            frame = few.to_pandas()
            timed.append(("pandas, symbol by symbol", lambda f=frame: with_pandas(f), few.height))
        timed.append(
            (
                "Polars expressions (our oracle)",
                lambda b=few: compute(b, features, bars_per_year=YEAR, engine="polars"),
                few.height,
            )
        )
        taken = [(name, median_seconds(call, repeats=5, cpu=True) / height) for name, call, height in timed]
        base = taken[0][1]
        rows += [
            (
                f"{max(1, height // length):,} x {min(length, height):,}",
                name,
                f"{1e9 * t:,.0f}",
                f"{t / base:.2f}x",
            )
            for (name, t), (_, _, height) in zip(taken, timed, strict=True)
        ]
    return machine_table(title, ("bars", "", "CPU ns a row", "to ours"), rows)


def by_length() -> str:
    """One symbol, from few bars to many: the least of seven calls, ours with their frames."""
    rows = []
    for length in LENGTHS:
        bars = random_walks(1, length)
        calls: list[Callable[[], object]] = [
            lambda b=bars: compute(b, feature_set("ta"), bars_per_year=YEAR, threads=1),
            lambda b=bars: with_talib(b, TA),
            lambda b=bars: compute(b, feature_set("alpha158"), bars_per_year=YEAR, threads=1),
        ]
        took = [min(median_seconds(call, repeats=1, cpu=True) for _ in range(7)) for call in calls]
        rows.append((f"{length:,}", *(f"{1e9 * t / length:,.0f}" for t in took)))
    header = ("bars of one symbol", "ta, ns a row", "TA-Lib, the same 75", "alpha158")
    return machine_table("Batch by length, one thread, CPU ns a row", header, rows)


def main() -> None:
    """Print the tables."""
    technical = {feature.name: feature for feature in feature_set("technical").features}
    names = [name for *_, outputs in TECHNICAL for name in outputs if name]
    chosen = FeatureSet("benchmark", tuple(technical[name] for name in names))
    print(against_peers(f"{len(names)} technical features in batch, one thread", chosen, TECHNICAL))
    print(against_peers("ta, 75 outputs, in batch, one thread", feature_set("ta"), TA))
    print(by_length())


def _agree(frame: pl.DataFrame, expected: dict[str, np.ndarray]) -> None:
    """A figure counts only when ours has whatever TA-Lib has, scaled by its largest value."""
    for name, found in expected.items():
        mine, values = frame[name].to_numpy(), found
        if "INDEX" in name:  # theirs is the row's number within its symbol, ours how many rows back it is
            row = frame.select(pl.int_range(pl.len()).over("instrument_id")).to_series().to_numpy()
            values = np.where(row < 29, np.nan, row - values)
        both = np.isfinite(mine) & np.isfinite(values)
        worst = np.abs(mine[both] - values[both]).max() / np.abs(values[both]).max()
        lacking = int((np.isfinite(values) & ~np.isfinite(mine)).sum())
        if worst > TOLERANCE or lacking:
            raise SystemExit(f"{name} differs from TA-Lib by {worst:.1e} and lacks {lacking} of its values")


if __name__ == "__main__":
    main()
