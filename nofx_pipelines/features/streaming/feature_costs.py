"""What each feature of a stream costs by itself: its own program over the last bars that the stream keeps.

In the stream features share windows and steps, and a step has no time of its own; so the costs add up to more
than the stream takes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.features.execution.numba_engine import plan_of
from nofx_pipelines.features.program.lowering import lower
from nofx_pipelines.features.streaming.instrument_state import StateTiles

if TYPE_CHECKING:
    from nofx_pipelines.features.streaming.stream import Stream

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def costs(stream: Stream, moments: int = 64) -> pl.DataFrame:
    """``feature``, ``mean_us`` and ``worst_us`` a bar, the most expensive first.

    Measured over the last ``moments`` that are kept, all instruments at once; the stream stays as it is.
    Empty where no bar has come yet.
    """
    kept = _kept(stream, moments)
    rows = (
        [(feature, *_timed(stream, feature, kept)) for feature in stream.feature_set.columns] if kept else []
    )
    schema = {"feature": pl.String, "mean_us": pl.Float64, "worst_us": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort(
        "mean_us", "feature", descending=[True, False]
    )


def _kept(stream: Stream, moments: int) -> list[tuple[I64, I64, F64]]:
    """The last moments: instruments, times and bars [columns, rows]."""
    found = [stream.lanes.history_of(i, moments) for i in range(len(stream.instruments))]
    at = np.repeat(np.arange(len(found)), [len(times) for times, _ in found])
    times = np.concatenate([times for times, _ in found]) if found else np.zeros(0, np.int64)
    bars = np.concatenate([bars for _, bars in found]) if found else np.zeros((0, len(stream.columns)))
    out = []
    for when in np.unique(times)[-moments:]:
        own = times == when
        out.append((at[own], times[own], np.ascontiguousarray(bars[own].T)))
    return out


def _timed(stream: Stream, feature: str, kept: list[tuple[I64, I64, F64]]) -> tuple[float, float]:
    exprs = stream.feature_set.exprs
    plan = plan_of(lower({feature: exprs[feature]}))
    picked = [stream.columns.index(name) for name in plan.program.columns]
    lanes = StateTiles(plan, len(stream.instruments), stream.bars_per_year, 1, threads=1)
    lanes.moment(kept[0][0], kept[0][1], kept[0][2][picked])  # the first call finds its way
    took = []
    for at, times, columns in kept:
        own = np.ascontiguousarray(columns[picked])
        begun = time.perf_counter_ns()
        lanes.moment(at, times, own)
        took.append((time.perf_counter_ns() - begun) / len(at))
    return float(np.mean(took)) / 1e3, float(np.max(took)) / 1e3
