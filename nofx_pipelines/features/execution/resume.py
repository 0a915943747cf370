"""Going on from the rows of `feature_state`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.execution.numba_engine import Rows, empty_state, plan_of, rebuild
from nofx_pipelines.features.execution.panel import as_rows, bar_rows
from nofx_pipelines.features.program.declaration import FeatureSet
from nofx_pipelines.features.program.lowering import Program
from nofx_pipelines.features.program.state import FeatureState, StoredState, decode
from nofx_pipelines.features.program.steps import layout_of


def resume(
    stored: pl.DataFrame,
    feature_set: FeatureSet,
    *,
    bars_per_year: float,
    history: pl.DataFrame | None = None,
) -> FeatureState:
    """The state from rows of `feature_state` of one session.

    Compact rows need ``history``: for each instrument the last ``feature_set.lookback`` traded bars up to
    that session (or all, when there are fewer). FeatureError when a state is damaged, of another
    version, or when the history does not reach far enough.
    """
    program = feature_set.program
    ordered = stored.sort("instrument_id")
    pairs = zip(ordered["instrument_id"].to_list(), ordered["state"].to_list(), strict=True)
    states = [decode(name, blob, program) for name, blob in pairs]
    wrong = [s for s in states if s.bars_per_year != bars_per_year]
    if wrong:
        raise FeatureError(
            f"the state of {wrong[0].instrument_id} is for {wrong[0].bars_per_year:g} bars a year, "
            f"not {bars_per_year:g}",
            hint="compute from the first bar again",
        )
    out = empty_state(program, tuple(s.instrument_id for s in states), bars_per_year)
    out.rows[:], out.last_ts[:] = [s.rows for s in states], [s.last_ts for s in states]
    whole = [i for i, s in enumerate(states) if s.full]
    for i in whole:
        out.values[i] = states[i].values
    if len(whole) < len(states):
        _rebuild(program, out, [s for s in states if not s.full], history)
    return out


def missing_history(stored: pl.DataFrame, history: pl.DataFrame, program: Program) -> list[str]:
    """The instruments whose rows in ``history`` are fewer than `resume` needs."""
    counts = dict(history.group_by("instrument_id").len().iter_rows())
    pairs = zip(stored["instrument_id"].to_list(), stored["state"].to_list(), strict=True)
    states = [decode(name, blob, program) for name, blob in pairs]
    return [
        s.instrument_id
        for s in states
        if not s.full and counts.get(s.instrument_id, 0) < min(s.rows, program.lookback)
    ]


def _rebuild(
    program: Program, out: FeatureState, states: Sequence[StoredState], history: pl.DataFrame | None
) -> None:
    names = tuple(s.instrument_id for s in states)
    at = np.searchsorted(np.array(out.instruments, dtype=object), np.array(names, dtype=object))
    part = empty_state(program, names, out.bars_per_year)
    part.rows[:], part.last_ts[:] = out.rows[at], out.last_ts[at]
    if program.lookback == 0:
        part.values[:, list(layout_of(program).stored_slots)] = np.array([s.values for s in states])
    else:
        if history is None:
            raise FeatureError(
                "compact states need the bars before them", hint="pass history=, the last lookback bars"
            )
        tail = bar_rows(history.filter(pl.col("instrument_id").is_in(names)), program.columns)
        tail = tail.group_by("instrument_id", maintain_order=True).tail(program.lookback)
        arrays = as_rows(tail, program.columns, names)
        _check_history(program, arrays, part)
        rebuild(plan_of(program), arrays, part, np.array([s.values for s in states]))
    out.values[at] = part.values


def _check_history(program: Program, arrays: Rows, state: FeatureState) -> None:
    counts = np.diff(arrays.offsets)
    last = arrays.times[np.maximum(arrays.offsets[1:] - 1, 0)] if len(arrays.times) else np.zeros_like(counts)
    short = (counts < np.minimum(state.rows, program.lookback)) | ((counts > 0) & (last != state.last_ts))
    if short.any():
        i = int(np.flatnonzero(short)[0])
        raise FeatureError(
            f"the history of {arrays.instruments[i]} has {counts[i]} bars up to its state, "
            f"{min(int(state.rows[i]), program.lookback)} are needed, the last at the state's own time",
            kept="nothing was computed",
            hint="pass earlier bars too, and none after the state",
        )
