"""alpha158 in batch: ours against KunQuant's C++, Qlib's own operators and Polars expressions.

    python -m benchmarks.bench_alpha158

Peers take part where they are installed (``pip install KunQuant pyqlib``; KunQuant compiles with g++). Each
computes Qlib's 158 features of the same bars in float64 on one thread. Qlib and Polars
are timed on fewer symbols, since they take so long.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import polars as pl

from benchmarks.bars import random_walks
from benchmarks.timing import machine_table, median_seconds
from nofx_pipelines.features import compute, feature_set

FEATURES = 158
SHAPES = ((504, 2_500), (1, 500_000))
"""KunQuant takes eight symbols at once; 504 is a multiple."""
FEW = 12


def with_kunquant(bars: pl.DataFrame, instruments: int) -> Callable[[], object]:
    """KunQuant's predefined Alpha158, compiled, one thread."""
    from KunQuant.Driver import KunCompilerConfig
    from KunQuant.jit import cfake
    from KunQuant.Op import Builder, Input, Output
    from KunQuant.predefined import Alpha158
    from KunQuant.runner import KunRunner as kr
    from KunQuant.Stage import Function

    names = ("open", "close", "high", "low", "volume", "amount")
    builder = Builder()
    with builder:
        pack = {name: Input(name) for name in names}
        every = Alpha158.AllData(**pack)
        prices = [(name.upper(), getattr(every, name)) for name in ("open", "high", "low", "vwap")]
        chosen = {"kbar": {}, "price": {"windows": [0], "feature": prices}}
        found, columns = every.build({**chosen, "rolling": {"windows": [5, 10, 20, 30, 60]}})
        for op, name in zip(found, columns, strict=True):
            Output(op, name)
    config = KunCompilerConfig(
        input_layout="TS", output_layout="TS", dtype="double", partition_factor=8, split_source=0,
        options={"opt_reduce": True, "fast_log": True},
    )  # fmt: skip
    library = cfake.compileit(
        [("alpha158", Function(builder.ops), config)], "alpha158", cfake.CppCompilerConfig()
    )
    module, executor = library.getModule("alpha158"), kr.createSingleThreadExecutor()
    length = bars.height // instruments
    own = {n: np.ascontiguousarray(bars[n].to_numpy().reshape(instruments, length).T) for n in names}
    return lambda: kr.runGraph(executor, module, own, 0, length)


def main() -> None:
    """Print the table."""
    rows, features = [], feature_set("alpha158")
    for instruments, length in SHAPES:
        bars = random_walks(instruments, length)
        calls: list[tuple[str, Callable[[], object], int]] = [
            ("NOFX, compute", lambda b=bars: compute(b, features, bars_per_year=243, threads=1), bars.height)
        ]
        if find_spec("KunQuant") and instruments % 8 == 0:
            calls.append(("KunQuant, C++", with_kunquant(bars, instruments), bars.height))
        few = bars if instruments == 1 else bars.head(FEW * length)
        few = few.head(50_000)
        calls.append(
            (
                "Polars expressions (our oracle)",
                lambda b=few: compute(b, features, bars_per_year=243, engine="polars"),
                few.height,
            )
        )
        if find_spec("qlib"):
            from qlib.contrib.data.loader import Alpha158DL
            from qlib.data.cache import H

            from benchmarks.check_qlib import with_qlib

            fields = Alpha158DL.get_feature_config()[0]
            parts = few.partition_by("instrument_id")
            calls.append(
                (
                    "Qlib's operators",
                    lambda p=parts, f=fields: [(H.clear(), with_qlib(o, f)) for o in p],
                    few.height,
                )
            )
        taken = [
            (height, name, median_seconds(call, repeats=3, cpu=True) / height) for name, call, height in calls
        ]
        base = taken[0][2]
        rows += [
            (f"{max(1, height // length):,} x {min(length, height):,}", name, f"{1e9 * t:,.0f}",
             f"{1e9 * t / FEATURES:.1f}", f"{FEATURES / t / 1e6:,.0f}", f"{t / base:.1f}x")
            for height, name, t in taken
        ]  # fmt: skip
    header = ("bars", "", "CPU ns a row", "ns a row and feature", "M row-features/s a core", "to ours")
    print(machine_table("alpha158 in batch", header, rows))


if __name__ == "__main__":
    main()
