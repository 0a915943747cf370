"""``compute``: bars in, features out, and the state with which the next bars go on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.clocks import TRADED
from nofx_pipelines.features.execution.numba_engine import Rows, empty_state, execute, plan_of
from nofx_pipelines.features.execution.panel import KEY, as_rows, bar_rows, nullable
from nofx_pipelines.features.program.declaration import FeatureSet
from nofx_pipelines.features.program.lowering import Program
from nofx_pipelines.features.program.state import FeatureState, encode_all, state_rows

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class FeatureResult:
    """What `compute` gives back.

    ``frame``: rows of `features`, sorted by instrument and time. ``state``: after the last row, None
    from the Polars engine. ``snapshots``: rows of `feature_state`, one an instrument and session.
    """

    frame: pl.DataFrame
    state: FeatureState | None
    snapshots: pl.DataFrame | None = None


@dataclass(frozen=True)
class Kept:
    """What `feature_state` holds of each instrument: stored slots, rows seen, time of the last."""

    stored: F64
    rows: I64
    last_ts: I64


def compute(
    bars: pl.DataFrame,
    feature_set: FeatureSet,
    *,
    state: FeatureState | None = None,
    bars_per_year: float,
    engine: Literal["numba", "polars"] = "numba",
    snapshots: bool = False,
    threads: int | None = None,
) -> FeatureResult:
    """Features of the traded bars; rows of all instruments of one ``ts_close`` belong into one call.

    ``bars``: rows of `bars` with adjusted prices, in any order. With ``state`` the bars go on where it
    ended, bit for bit as if all were computed at once; it is left as it was. FeatureError on bars that
    lack columns, repeat a key or do not come after the state. ``threads`` over instruments, all cores by
    default; their number changes no bit. The Polars engine is the independent
    oracle: it takes whole histories only.

    >>> from datetime import datetime, timezone
    >>> from nofx_pipelines.features import Feature, close, ref
    >>> gain = FeatureSet("mine", (Feature("gain", close - ref(close, 1), "price", "Change.", False),))
    >>> at = [datetime(2025, 1, day, 7, tzinfo=timezone.utc) for day in (2, 3)]
    >>> day = [moment.date() for moment in at]
    >>> bars = pl.DataFrame({"instrument_id": "A", "ts_close": at, "session_date": day, "close": [3.0, 5.0]})
    >>> compute(bars, gain, bars_per_year=243).frame["gain"].to_list()
    [None, 2.0]
    """
    if not (math.isfinite(bars_per_year) and bars_per_year > 0):
        raise FeatureError(
            f"bars_per_year = {bars_per_year!r} is not above 0", hint="calendar(market).bars_per_year"
        )
    rows = bar_rows(bars, feature_set.program.columns)
    if engine == "numba":
        days = None
        if snapshots:
            days = np.unique(bars["session_date"].drop_nulls().to_physical().to_numpy().astype(np.int64))
        return _incremental(rows, feature_set, state, bars_per_year, days, threads)
    if engine != "polars":
        raise FeatureError(f"no engine {engine!r}", hint='engine="numba" or engine="polars"')
    if state is not None or snapshots:
        raise FeatureError("the polars engine keeps no state", hint='engine="numba", or the whole history')
    from nofx_pipelines.features.oracle.polars_engine import evaluate

    values = evaluate(rows, feature_set.exprs, bars_per_year)
    return FeatureResult(_framed(rows, feature_set, values), None)


def compute_chunks(
    bars: pl.LazyFrame,
    feature_set: FeatureSet,
    *,
    bars_per_year: float,
    rows: int = 2_000_000,
    threads: int | None = None,
) -> Iterator[pl.DataFrame]:
    """The same rows as `compute`, in parts of whole sessions of about ``rows`` bars: more than memory holds.

    ``bars`` is scanned once for its sessions and once a part; a part goes on from the state of the one
    before.

    >>> from nofx_pipelines.features import Feature, close, ref
    >>> gain = FeatureSet("mine", (Feature("gain", close - ref(close, 1), "price", "Change.", False),))
    >>> days = pl.date_range(pl.date(2025, 1, 1), pl.date(2025, 1, 3), eager=True)
    >>> at = days.cast(pl.Datetime("us", "UTC"))
    >>> keys = {"instrument_id": "A", "ts_close": at, "session_date": days}
    >>> bars = pl.LazyFrame({**keys, "close": [3.0, 5.0, 4.0]})
    >>> [part["gain"].to_list() for part in compute_chunks(bars, gain, bars_per_year=243, rows=1)]
    [[None], [2.0], [-1.0]]
    """
    sizes = bars.group_by("session_date").len().collect(engine="streaming").sort("session_date")
    state: FeatureState | None = None
    part = ((pl.col("len").cum_sum() - 1) // rows).alias("part")
    for _, own in sizes.with_columns(part).group_by("part", maintain_order=True):
        days = own["session_date"]
        chunk = bars.filter(pl.col("session_date").is_between(days[0], days[-1])).collect(engine="streaming")
        result = compute(chunk, feature_set, state=state, bars_per_year=bars_per_year, threads=threads)
        state = result.state
        yield result.frame


def _incremental(
    rows: pl.DataFrame,
    feature_set: FeatureSet,
    state: FeatureState | None,
    bars_per_year: float,
    days: I64 | None,
    threads: int | None,
) -> FeatureResult:
    """The kernel over sorted rows; with ``days`` (since 1970) the state at the end of each."""
    program = feature_set.program
    plan = plan_of(program)
    end = _start(program, rows, state, bars_per_year)
    arrays = as_rows(rows, program.columns, end.instruments)
    _refuse_the_past(arrays, end)
    stored = end.values[:, list(plan.layout.stored_slots)]
    before = Kept(stored, end.rows.copy(), end.last_ts.copy())
    ends = None if days is None else _session_ends(arrays)
    panel, noted = execute(plan, arrays, end, ends, threads)
    values = pl.DataFrame([nullable(name, panel[row]) for name, row in plan.outputs])
    taken = None if days is None else _snapshots(end, arrays, days, before, noted)
    return FeatureResult(_framed(rows, feature_set, values), end, taken)


def _framed(rows: pl.DataFrame, feature_set: FeatureSet, values: pl.DataFrame) -> pl.DataFrame:
    keys = rows.select(*KEY, pl.lit(feature_set.version).alias("version"))
    frame = keys.hstack(values.select(feature_set.columns))
    return frame.filter(values[TRADED] == 1) if TRADED in values.columns else frame


def _start(
    program: Program, rows: pl.DataFrame, state: FeatureState | None, bars_per_year: float
) -> FeatureState:
    """A copy of the state, with instruments that come for the first time."""
    present = set(rows["instrument_id"].rle().struct.field("value"))
    if state is None:
        return empty_state(program, tuple(sorted(present)), bars_per_year)
    if state.version != program.version or state.bars_per_year != bars_per_year:
        raise FeatureError(
            f"the state is of version {state.version} at {state.bars_per_year:g} bars a year, "
            f"the features are {program.version} at {bars_per_year:g}",
            kept="nothing was computed",
            hint="compute from the first bar again",
        )
    names = tuple(sorted(present.union(state.instruments)))
    start = empty_state(program, names, bars_per_year)
    at = np.searchsorted(np.array(names, dtype=object), np.array(state.instruments, dtype=object))
    start.values[at], start.rows[at], start.last_ts[at] = state.values, state.rows, state.last_ts
    return start


def _refuse_the_past(arrays: Rows, start: FeatureState) -> None:
    came = np.flatnonzero(np.diff(arrays.offsets))
    early = [i for i in came.tolist() if arrays.times[arrays.offsets[i]] <= start.last_ts[i]]
    if early:
        raise FeatureError(
            f"bars of {arrays.instruments[early[0]]} begin at or before the last bar of the state",
            kept="the state is as it was",
            hint="pass only bars after it, or none of the state",
        )


def _session_ends(arrays: Rows) -> list[I64]:
    """For each instrument the row numbers after the last bar of each of its sessions."""
    ends = []
    for i in range(len(arrays.instruments)):
        lo, hi = int(arrays.offsets[i]), int(arrays.offsets[i + 1])
        inside = np.flatnonzero(np.diff(arrays.sessions[lo:hi])) + lo + 1
        ends.append(np.append(inside, hi).astype(np.int64) if hi > lo else np.zeros(0, np.int64))
    return ends


def _snapshots(state: FeatureState, arrays: Rows, days: I64, before: Kept, noted: list[F64]) -> pl.DataFrame:
    """The state at each session's end; one without a bar in a session keeps the one it had."""
    kept, rows, last_ts = before.stored, before.rows, before.last_ts
    ends = _session_ends(arrays)
    position = np.zeros(len(arrays.instruments), np.int64)
    frames = []
    for day in days.tolist():
        kept, rows, last_ts = kept.copy(), rows.copy(), last_ts.copy()
        for i, stop in enumerate(ends):
            k = position[i]
            if k < len(stop) and arrays.sessions[stop[k] - 1] == day:
                kept[i] = noted[i][k]
                rows[i] += stop[k] - (stop[k - 1] if k else arrays.offsets[i])
                last_ts[i] = arrays.times[stop[k] - 1]
                position[i] += 1
        at = np.flatnonzero(rows)
        names = tuple(state.instruments[i] for i in at.tolist())
        part = FeatureState(state.version, state.bars_per_year, names, kept[at], rows[at], last_ts[at])
        session = _EPOCH + timedelta(days=day)
        frames.append(state_rows(state.version, names, [session] * len(names), encode_all(part, kept[at])))
    return pl.concat(frames) if frames else state_rows(state.version, (), (), ())
