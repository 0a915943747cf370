"""Late and corrected bars: back to a checkpoint, the bar put in, everything after it computed again.

A checkpoint holds what the last bars cannot rebuild; the rest of the state comes from the bars themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.execution.numba_engine import Plan, Rows, empty_state, execute, rebuild

if TYPE_CHECKING:
    from nofx_pipelines.features.streaming.instrument_state import StateTiles

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Part = tuple[I64, I64, F64]
"""Instruments, times and outputs [features, rows] of rows."""


@dataclass(frozen=True)
class Checkpoint:
    """Of every instrument the stored slots float64 [I, stored], rows seen and time of the last, int64 [I]."""

    stored: F64
    seen: I64
    last_ts: I64

    def spread(self, at: I64, instruments: int, plan: Plan) -> Checkpoint:
        """The same among more instruments, which have had no row yet; ``at`` is where each one stands now."""
        empty = np.array(plan.layout.initial_state)[list(plan.layout.stored_slots)]
        stored = np.tile(empty, (instruments, 1))
        seen, last_ts = np.zeros(instruments, np.int64), np.full(instruments, -(2**62), np.int64)
        stored[at], seen[at], last_ts[at] = self.stored, self.seen, self.last_ts
        return Checkpoint(stored, seen, last_ts)


def checkpoint(plan: Plan, lanes: StateTiles) -> Checkpoint:
    """Where the stream stands."""
    slots = np.array(plan.layout.stored_slots, np.int64)
    everyone = np.arange(len(lanes.seen))
    stored = lanes.read_slots(everyone, slots)
    return Checkpoint(stored, lanes.seen.copy(), lanes.last_ts.copy())


def replay(
    plan: Plan,
    lanes: StateTiles,
    names: tuple[str, ...],
    checkpoints: list[Checkpoint],
    at: I64,
    times: I64,
    columns: F64,
) -> tuple[Part, int]:
    """Put rows in where they belong; the rows that came out anew, and which checkpoint was gone back to.

    Where features look across instruments all are computed again, else those that have such a row.
    FeatureError when the rows are older than the oldest checkpoint; nothing has changed then.
    """
    across = crossing(plan)
    chosen = fitting(plan, lanes, checkpoints, at, times)
    if chosen is None:
        first = int(np.argmin(times))
        raise FeatureError(
            f"the bar of {names[at[first]]} at {times[first]} us is older than what the stream keeps",
            kept="the stream is as it was",
            hint="compute the history again and hand it over: Stream.from_state(set, compute(...).state)",
        )
    start = checkpoints[chosen]
    touched = np.arange(len(lanes.seen)) if across else np.unique(at)
    own = tuple(names[i] for i in touched.tolist())
    state = empty_state(plan.program, own, lanes.bars_per_year)
    state.rows[:], state.last_ts[:] = start.seen[touched], start.last_ts[touched]
    past_rows, after = [], []
    for i in touched.tolist():
        old_times, bars = lanes.history_of(i, lanes.depth)
        past = old_times <= start.last_ts[i]
        mine = at == i
        past_rows.append((old_times[past], bars[past]))
        after.append(_merged(old_times[~past], bars[~past], times[mine], columns[:, mine].T))
    if plan.layout.slots:
        lookback = plan.program.lookback
        if lookback:
            windows = [(past_times[-lookback:], past[-lookback:]) for past_times, past in past_rows]
            rebuild(plan, _rows(own, windows), state, start.stored[touched])
        else:
            state.values[:, list(plan.layout.stored_slots)] = start.stored[touched]
    rows = _rows(own, after)
    panel, _ = execute(plan, rows, state)
    _put(lanes, touched, state.values, past_rows, after, start)
    outputs = panel[lanes.columns : lanes.columns + lanes.features]
    whose = np.repeat(touched, np.diff(rows.offsets))
    lanes.take_last(touched, rows.offsets, outputs)
    new = rows.times >= times.min()
    return (whose[new], rows.times[new], outputs[:, new]), chosen


def fitting(plan: Plan, lanes: StateTiles, checkpoints: list[Checkpoint], at: I64, times: I64) -> int | None:
    """The newest checkpoint that is before all of the rows and can be gone back to; None without one."""
    across = crossing(plan)
    before_all = (
        c.last_ts.max() < times.min(initial=2**62) if across else (c.last_ts[at] < times).all()
        for c in checkpoints
    )
    fit = [k for k, before in enumerate(before_all) if before]
    return next((k for k in reversed(fit) if _reaches(plan, lanes, checkpoints[k], at)), None)


def crossing(plan: Plan) -> bool:
    """Whether something looks across instruments."""
    return any(one.cross for one in plan.passes)


def _reaches(plan: Plan, lanes: StateTiles, start: Checkpoint, at: I64) -> bool:
    """Whether the bars that are kept rebuild the windows as they were at the checkpoint."""
    touched = np.arange(len(lanes.seen)) if crossing(plan) else np.unique(at)
    kept = np.minimum(lanes.seen - lanes.since, lanes.depth) - (lanes.seen - start.seen)
    return bool((kept >= np.minimum(start.seen, plan.program.lookback))[touched].all())


def _merged(times: I64, bars: F64, more_times: I64, more: F64) -> tuple[I64, F64]:
    """Both in order of time; of one time the second's."""
    kept = ~np.isin(times, more_times)
    all_times, all_bars = np.concatenate([times[kept], more_times]), np.concatenate([bars[kept], more])
    order = np.argsort(all_times, kind="stable")
    return all_times[order], all_bars[order]


def _rows(names: tuple[str, ...], parts: list[tuple[I64, F64]]) -> Rows:
    times = np.concatenate([t for t, _ in parts])
    bars = np.concatenate([b for _, b in parts])
    offsets = np.concatenate(([0], np.cumsum([len(t) for t, _ in parts]))).astype(np.int64)
    columns = np.ascontiguousarray(bars.T)
    return Rows(names, offsets, columns, times, np.zeros(len(times), np.int64))


def _put(
    lanes: StateTiles,
    touched: I64,
    values: F64,
    before: list[tuple[I64, F64]],
    after: list[tuple[I64, F64]],
    start: Checkpoint,
) -> None:
    """Give the lanes what the rows came to."""
    lanes.write(touched, values)
    for i, (past_times, past), (times, bars) in zip(touched.tolist(), before, after, strict=True):
        lanes.seen[i] = start.seen[i] + len(times)
        lanes.last_ts[i] = times[-1] if len(times) else start.last_ts[i]
        lanes.remember(i, np.concatenate([past_times, times]), np.concatenate([past, bars]))
