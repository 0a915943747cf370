"""The table-driven stream executor: one row of each of many instruments, in tiles of lanes side by side.

A call from Python hands over one array, the frame: addresses and sizes in the order of `FRAME`. Every array
that it names is kept by `streaming.instrument_state`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.blocks import step
from nofx_pipelines.features.kernel.cache import cached
from nofx_pipelines.features.kernel.memory import get, get_int, put, put_int

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FRAME = (
    "runs", "count", "entries", "table", "numbers", "pool", "levels", "registers", "stride", "place", "width",
    "segment_rows", "starts", "segment_lanes", "segments", "each", "line", "begins",
    "memory", "slots", "w", "panel", "lanes", "tiles", "bounds", "parts",
    "at", "times", "rows", "seen", "last_ts", "history", "history_ts", "depth", "columns",
    "features", "last", "apart", "further", "values", "newest", "panel_row",
)  # fmt: skip
"""Of a pass its tables, as in `blocks.step`, from ``table`` on those of `memory.Tables`, from
``segment_rows`` on those of `codes.Segments`; of the stream ``memory`` float64 [tiles, slots * w];
``panel`` float64 [panel rows, rows] of ``panel_row`` bytes a panel row, first its ``columns`` of bars, then
the outputs; of a moment's ``rows`` their ``lanes``, ``at`` (instrument) and ``times``, int64 [rows]; of
its ``parts`` their ``tiles`` int64 [parts] and ``bounds`` int64 [parts + 1]; of the instruments the rows
``seen`` and ``last_ts``, int64 [I], the ``history`` of the last rows float64 [I, depth, columns] with its
times int64 [I, depth] and the ``last`` outputs float64 [I, features], ``apart`` bytes from an instrument to
the next and ``further`` from a feature to the next; of the features how many ``values`` they had and when the
``newest``, int64 [features]."""
# fmt: off
(
    _RUNS, _COUNT, _ENTRIES, _TABLE, _NUMBERS, _POOL, _LEVELS, _REGISTERS, _STRIDE, _PLACE, _WIDTH,
    _ROWS, _STARTS, _SEGMENT_LANES, _SEGMENTS, _EACH, _LINE, _BEGINS,
    _MEMORY, _SLOTS, _W, _PANEL, _LANES, _TILES, _BOUNDS, _PARTS,
    _AT, _TIMES, _NROWS, _SEEN, _LAST_TS, _HISTORY, _HISTORY_TS, _DEPTH, _COLUMNS,
    _FEATURES, _LAST, _APART, _FURTHER, _VALUES, _NEWEST, _PANEL_ROW,
) = range(len(FRAME))
# fmt: on


@njit(**row.COMPILE)
def _pass(f: int) -> None:
    w, slots = get_int(f, _W), get_int(f, _SLOTS)
    for p in range(get_int(f, _PARTS)):
        lo, hi = get_int(get_int(f, _BOUNDS), p), get_int(get_int(f, _BOUNDS), p + 1)
        put_int(f, _ROWS, hi - lo)
        put_int(f, _SEGMENTS, hi - lo)
        put_int(f, _SEGMENT_LANES, get_int(f, _LANES) + lo * 8)
        put_int(f, _PLACE, get_int(f, _PANEL) + lo * 8)
        if w == 1:  # places are addresses, of every row in a column of its own
            put_int(f, _REGISTERS, lo * 8)
        m = get_int(f, _MEMORY) + get_int(get_int(f, _TILES), p) * slots * w * 8
        z, g = f + _TABLE * 8, f + _ROWS * 8
        step(get_int(f, _RUNS), get_int(f, _COUNT), get_int(f, _ENTRIES), z, g, m, w)


@njit(forceinline=True, **row.COMPILE)
def _keep_bar(f: int, i: int, ts: int, bar: int, width: int) -> None:
    """One more row of instrument i; the bar's columns lie ``width`` bytes apart."""
    depth, columns, seen = get_int(f, _DEPTH), get_int(f, _COLUMNS), get_int(get_int(f, _SEEN), i)
    place = i * depth + seen % depth
    put_int(get_int(f, _SEEN), i, seen + 1)
    put_int(get_int(f, _LAST_TS), i, ts)
    put_int(get_int(f, _HISTORY_TS), place, ts)
    for k in range(columns):
        put(get_int(f, _HISTORY), place * columns + k, get(bar + k * width, 0))


@njit(forceinline=True, **row.COMPILE)
def _keep_outputs(f: int, i: int, ts: int, out: int) -> None:
    """One row's outputs, which stand side by side as those of an instrument do where each has its tile."""
    features, values, newest = get_int(f, _FEATURES), get_int(f, _VALUES), get_int(f, _NEWEST)
    last = get_int(f, _LAST) + i * features * 8
    for k in range(features):
        put(last, k, get(out, k))
    for k in range(features):
        put_int(values, k, get_int(values, k) + (1 if get(last, k) == get(last, k) else 0))
    for k in range(features):
        put_int(newest, k, ts if get(last, k) == get(last, k) else get_int(newest, k))


@njit(**row.COMPILE)
def keep_row(f: int, i: int, ts: int, bar: int, out: int) -> None:
    """Keep one row's bar and outputs, where each instrument has a tile of its own."""
    _keep_bar(f, i, ts, bar, 8)
    _keep_outputs(f, i, ts, out)


@njit(**row.COMPILE)
def _keep(f: int) -> None:
    """Keep what a moment brought: bars, outputs, times."""
    panel, width, rows = get_int(f, _PANEL), get_int(f, _PANEL_ROW), get_int(f, _NROWS)
    at, times, apart, further = (
        get_int(f, _AT), get_int(f, _TIMES), get_int(f, _APART), get_int(f, _FURTHER)
    )  # fmt: skip
    for r in range(rows):
        _keep_bar(f, get_int(at, r), get_int(times, r), panel + r * 8, width)
    beside = rows > 0 and apart == 8 and get_int(at, rows - 1) - get_int(at, 0) == rows - 1
    for k in range(get_int(f, _FEATURES)):
        out, last, found = panel + (get_int(f, _COLUMNS) + k) * width, get_int(f, _LAST) + k * further, 0
        if beside:
            last += get_int(at, 0) * 8
            for r in range(rows):
                put(last, r, get(out, r))
            for r in range(rows):
                found += get(out, r) == get(out, r)
        else:
            for r in range(rows):
                put(last + get_int(at, r) * apart, 0, get(out, r))
                found += get(out, r) == get(out, r)
        if found > 0:
            put_int(get_int(f, _VALUES), k, get_int(get_int(f, _VALUES), k) + found)
            r = rows - 1
            while get(out, r) != get(out, r):
                r -= 1
            put_int(get_int(f, _NEWEST), k, get_int(times, r))


@njit(**row.COMPILE)
def last_ts_of(f: int, i: int) -> int:
    """When instrument i had its last row."""
    return get_int(get_int(f, _LAST_TS), i)


@njit(**row.COMPILE)
def memory_of(f: int, i: int) -> int:
    """The address of instrument i's state, where each has a tile of its own."""
    return get_int(f, _MEMORY) + i * get_int(f, _SLOTS) * 8


@cached(**row.COMPILE)
def note(frame: I64) -> None:
    """Keep what a moment brought, when all passes are done."""
    _keep(frame.ctypes.data)


@cached(**row.COMPILE)
def tick(frame: I64, i: int, ts: int, bar: F64, out: F64) -> bool:
    """One pass over a moment where ``i`` is below 0.

    Else one row of instrument i through a program of one pass: whether it came after the last. ``bar``
    float64 [columns], ``out`` float64 [features].
    """
    f = frame.ctypes.data
    w, panel, width = get_int(f, _W), get_int(f, _PANEL), get_int(f, _PANEL_ROW)
    if i >= 0:
        if ts <= get_int(get_int(f, _LAST_TS), i):
            return False
        for k in range(get_int(f, _COLUMNS)):
            put(panel + k * width, 0, bar[k] if abs(bar[k]) < np.inf else np.nan)
        put_int(get_int(f, _LANES), 0, i % w)
        put_int(get_int(f, _TILES), 0, i // w)
        put_int(get_int(f, _BOUNDS), 1, 1)
        put_int(f, _PARTS, 1)
        put_int(get_int(f, _AT), 0, i)
        put_int(get_int(f, _TIMES), 0, ts)
        put_int(f, _NROWS, 1)
    _pass(f)
    if i >= 0:
        for k in range(get_int(f, _FEATURES)):
            out[k] = get(panel + (get_int(f, _COLUMNS) + k) * width, 0)
        if w == 1:
            _keep_bar(f, i, ts, panel, width)
            _keep_outputs(f, i, ts, out.ctypes.data)
        else:
            _keep(f)
    return True
