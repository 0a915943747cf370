"""Features bar by bar: one symbol through the Python call, many at once, and a whole replay into the store.

    python -m benchmarks.bench_stream

Against TA-Lib's stream handles, talipp and river where they are installed (``pip install talipp river``),
each with the indicators that it has. Gap masks are on: missing values are looked for in every step. One
thread where nothing else is said.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.bars import random_walks
from benchmarks.timing import machine_table
from nofx_pipelines.features import FeatureSet, feature_set
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.streaming.feeds.feeds import Replay
from nofx_pipelines.features.streaming.serving import serve
from nofx_pipelines.features.streaming.stream import Stream

F64 = NDArray[np.float64]
YEAR = 243.0
ROWS, WARM = 60_000, 2_000
LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
SYMBOLS, MINUTES = 5_000, 240


def prices(rows: int, seed: int = 0) -> dict[str, F64]:
    """One symbol's bars."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
    opened = close * np.exp(rng.normal(0, 0.002, rows))
    volume = np.round(rng.lognormal(10, 1, rows))
    high, low = np.maximum(close, opened) * 1.002, np.minimum(close, opened) * 0.998
    return {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "amount": volume * close,
    }


def timed(call: Callable[[int], object], rows: int = ROWS) -> tuple[float, float]:
    """p50 and p99 of a call a row, microseconds, the first ones left out, of the fastest of nine parts: a
    guest's processor may go at half its speed for seconds."""
    clock, took = time.perf_counter_ns, np.zeros(rows)
    for k in range(rows):
        begun = clock()
        call(k)
        took[k] = clock() - begun
    parts = [np.percentile(part, [50, 99]) / 1e3 for part in np.array_split(took[WARM:], 9)]
    p50, p99 = min(parts, key=lambda part: float(part[0]))
    return float(p50), float(p99)


def pushing(features: FeatureSet, kernels: Path | None, rows: int) -> Callable[[int], object]:
    """Our stream, one symbol, the generated kernel where there is a folder for it."""
    stream = Stream(features, ["A"], bars_per_year=YEAR, kernels=kernels)
    if stream._generated is not None:
        stream._generated.ready(600)
    columns = prices(rows)
    bars = np.ascontiguousarray(np.stack([columns[name] for name in stream.columns], axis=1))
    out = np.empty(len(stream.outputs))
    return lambda k: stream.push("A", k, bars[k], out)


def with_talib() -> tuple[float, float]:
    """Seventeen of TA-Lib's stream handles, opened on 250 bars."""
    from talib import stream as ta

    b = prices(ROWS)
    o, h, lo, c, v = (b[name][:250] for name in ("open", "high", "low", "close", "volume"))
    closes = [ta.SMA(c, 20), ta.EMA(c, 20), ta.WMA(c, 20), ta.BBANDS(c, 20), ta.RSI(c, 14), ta.MACD(c)]
    closes += [ta.MOM(c, 10), ta.ROC(c, 10)]
    bars = [
        ta.ATR(h, lo, c, 14),
        ta.ADX(h, lo, c, 14),
        ta.CCI(h, lo, c, 14),
        ta.STOCH(h, lo, c),
        ta.WILLR(h, lo, c, 14),
    ]
    volumes, obv, bop = [ta.AD(h, lo, c, v), ta.MFI(h, lo, c, v, 14)], ta.OBV(c, v), ta.BOP(o, h, lo, c)
    opened, high, low, close, volume = (
        b[name][250:].tolist() for name in ("open", "high", "low", "close", "volume")
    )

    def call(k: int) -> None:
        for one in closes:
            one.update(close[k])
        for one in bars:
            one.update(high[k], low[k], close[k])
        for one in volumes:
            one.update(high[k], low[k], close[k], volume[k])
        obv.update(close[k], volume[k])
        bop.update(opened[k], high[k], low[k], close[k])

    return timed(call, ROWS - 250)


def with_talipp() -> tuple[float, float]:
    """Eight of talipp's indicators."""
    from talipp.indicators import BB, EMA, MACD, RSI, SMA, StdDev, WMA, ROC  # noqa: I001

    own = [SMA(20), EMA(20), WMA(20), BB(20, 2.0), RSI(14), MACD(12, 26, 9), StdDev(20), ROC(10)]
    close = prices(ROWS)["close"].tolist()

    def call(k: int) -> None:
        for one in own:
            one.add(close[k])

    return timed(call, 12_000)


def with_river() -> tuple[float, float]:
    """Eight of river's rolling statistics."""
    from river import stats, utils

    own = [utils.Rolling(one, window_size=20) for one in (stats.Mean, stats.Var, stats.Sum)]
    own += [
        stats.RollingMax(20),
        stats.RollingMin(20),
        stats.RollingQuantile(0.8, 20),
        stats.EWMean(0.1),
        stats.EWVar(0.1),
    ]
    close = prices(ROWS)["close"].tolist()

    def call(k: int) -> None:
        for one in own:
            one.update(close[k])
            one.get() if hasattr(one, "get") else None

    return timed(call, 12_000)


def one_symbol() -> None:
    """One row of one symbol through the Python call."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("alpha158", "ta"):
            features = feature_set(name)
            for kind, kernels in (("generated", Path(folder)), ("table-driven", None)):
                p50, p99 = timed(pushing(features, kernels, ROWS))
                rows.append((f"NOFX {name}, {kind}", len(features.columns), p50, p99))
    rows.append(("TA-Lib stream handles, 17", 24, *with_talib()))
    if find_spec("talipp"):
        rows.append(("talipp", 8, *with_talipp()))
    if find_spec("river"):
        rows.append(("river", 8, *with_river()))
    base = rows[0][2] / rows[0][1]
    cells = [
        (name, n, f"{p50:.2f}", f"{p99:.2f}", f"{1e3 * p50 / n:.0f}", f"{p50 / n / base:.1f}x")
        for name, n, p50, p99 in rows
    ]
    header = ("one symbol, one bar", "outputs", "p50 us", "p99 us", "ns an output", "to the first")
    print(machine_table("One bar of one symbol", header, cells))


def by_length() -> None:
    """The same after few bars and after many: nothing grows."""
    clock, cells = time.perf_counter_ns, []
    with tempfile.TemporaryDirectory() as folder:
        pushes = [pushing(feature_set(name), Path(folder), LENGTHS[-1]) for name in ("ta", "alpha158")]
        took = np.zeros((len(pushes), LENGTHS[-1]))
        for row, push in zip(took, pushes, strict=True):
            for k in range(LENGTHS[-1]):
                begun = clock()
                push(k)
                row[k] = clock() - begun
    for length in LENGTHS:
        last = np.median(took[:, length - LENGTHS[0] // 2 : length], axis=1) / 1e3
        cells.append((f"{length:,}", *(f"{p50:.2f}" for p50 in last)))
    header = ("after so many bars", "ta, p50 us", "alpha158, p50 us")
    print(machine_table("One bar of one symbol by length, generated kernel", header, cells))


def moments_of(stream: Stream) -> tuple[float, float]:
    """p50 of the fastest part, p99 of all: milliseconds of a moment of all symbols, windows full."""
    instruments = len(stream.instruments)
    at, rng = np.arange(instruments), np.random.default_rng(0)
    price, took = 100 * np.ones(instruments), []
    for k in range(340):
        price = price * np.exp(rng.normal(0, 0.02, instruments))
        own = {"close": price, "open": price * 1.001, "high": price * 1.01, "low": price * 0.99}
        own |= {"volume": np.round(rng.lognormal(10, 1, instruments)), "amount": price * 1e4}
        columns = np.stack([own[name] for name in stream.columns])
        begun = time.perf_counter()
        stream.lanes.moment(at, np.full(instruments, k), columns)
        took.append(time.perf_counter() - begun)
    full = np.array(took[100:]) * 1e3
    least = min(float(np.median(part)) for part in full.reshape(-1, 40))
    return least, float(np.percentile(full, 99))


def many_symbols() -> None:
    """alpha158 over all symbols of one close, without frames."""
    features, cells = feature_set("alpha158"), []
    for instruments in (10, 100, 1_000, 5_000, 10_000):
        names = [f"I{k:05d}" for k in range(instruments)]
        one = Stream(features, names, bars_per_year=YEAR, threads=1)
        memory = one.lanes.memory.nbytes + one.lanes.history.nbytes
        p50, p99 = moments_of(one)
        del one
        threaded = Stream(features, names, bars_per_year=YEAR)
        all_cores, _ = moments_of(threaded)
        cells.append(
            (
                f"{instruments:,}",
                f"{p50:.2f}",
                f"{p99:.2f}",
                f"{1e6 * p50 / instruments:,.0f}",
                f"{all_cores:.2f}",
                f"{len(threaded.lanes.frame_sets)}",
                f"{memory / instruments / 1e3:.0f}",
            )
        )
    header = ("symbols", "p50 ms", "p99 ms", "ns a symbol", "p50 ms, all cores", "threads", "kB a symbol")
    print(machine_table("alpha158 over all symbols of one close", header, cells))


def replayed() -> None:
    """A replay of a session's minute bars into the online store: frames, features, store."""
    cells, bars = [], random_walks(SYMBOLS, MINUTES, minutes=True)
    for name in ("technical", "ta", "alpha158"):
        with tempfile.TemporaryDirectory() as folder:
            stream = Stream(feature_set(name), bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
            done = serve(stream, Replay(bars), MappedStore(Path(folder) / "f.online"), None)
        cells.append(
            (
                name,
                len(stream.feature_set.columns),
                f"{done.bars_per_second:,.0f}",
                f"{done.percentile(50) / 1e3:.1f}",
                f"{done.percentile(99) / 1e3:.1f}",
            )
        )
    header = ("features", "outputs", "bars a second", "p50 ms", "p99 ms")
    title = f"nofx stream, replay of {SYMBOLS:,} symbols and {MINUTES} moments, all cores"
    print(machine_table(f"{title}: arrival of a moment to its vectors in the store", header, cells))


def main() -> None:
    """Print the tables."""
    pl.Config.set_tbl_rows(0)
    one_symbol()
    by_length()
    many_symbols()
    replayed()


if __name__ == "__main__":
    main()
