"""The table-driven stream executor: one row of each of many instruments, in tiles of lanes side by side.

A call from Python hands over one array, the frame: addresses and sizes in the order of `FRAME`. Every array
that it names is kept by `features.lanes`.
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
    "runs", "count", "table", "numbers", "pool", "levels", "registers", "stride", "starts", "line",
    "memory", "slots", "w", "panel", "width", "lanes", "tiles", "bounds", "parts",
    "at", "times", "rows", "seen", "last_ts", "history", "history_ts", "depth", "columns",
    "features", "last", "values", "newest",
)  # fmt: skip
"""Of a pass its tables, as in `blocks.step`, and of the stream: ``memory`` float64 [tiles, slots * w];
``panel`` float64 [panel rows, rows] of ``width`` bytes a panel row, first its ``columns`` of bars, then
the outputs; of a moment's ``rows`` their ``lanes``, ``at`` (instrument) and ``times``, int64 [rows]; of
its ``parts`` their ``tiles`` int64 [parts] and ``bounds`` int64 [parts + 1]; of the instruments the rows
``seen`` and ``last_ts``, int64 [I], the ``history`` of the last rows float64 [I, depth, columns] with its
times int64 [I, depth] and the ``last`` outputs float64 [I, features]; of the features how many ``values``
they had and when the ``newest``, int64 [features]."""
# fmt: off
(
    _RUNS, _COUNT, _TABLE, _NUMBERS, _POOL, _LEVELS, _REGISTERS, _STRIDE, _STARTS, _LINE,
    _MEMORY, _SLOTS, _W, _PANEL, _WIDTH, _LANES, _TILES, _BOUNDS, _PARTS,
    _AT, _TIMES, _NROWS, _SEEN, _LAST_TS, _HISTORY, _HISTORY_TS, _DEPTH, _COLUMNS,
    _FEATURES, _LAST, _VALUES, _NEWEST,
) = range(len(FRAME))
# fmt: on


@njit(**row.COMPILE)
def _pass(f: int, w: int | None) -> None:
    slots, lanes, line, width = get_int(f, _SLOTS), get_int(f, _LANES), get_int(f, _LINE), get_int(f, _WIDTH)
    z = (
        get_int(f, _TABLE), get_int(f, _NUMBERS), get_int(f, _POOL), get_int(f, _LEVELS),
        get_int(f, _REGISTERS), get_int(f, _STRIDE),
    )  # fmt: skip
    for p in range(get_int(f, _PARTS)):
        lo, hi = get_int(get_int(f, _BOUNDS), p), get_int(get_int(f, _BOUNDS), p + 1)
        g = (hi - lo, get_int(f, _STARTS), lanes + lo * 8, hi - lo)
        m = get_int(f, _MEMORY) + get_int(get_int(f, _TILES), p) * slots * get_int(f, _W) * 8
        step(get_int(f, _RUNS), get_int(f, _COUNT), z, g, m, w, line, get_int(f, _PANEL) + lo * 8, width)


@njit(forceinline=True, **row.COMPILE)
def keep(f: int, i: int, ts: int, bar: int, bar_width: int, out: int, out_width: int) -> None:
    """Keep one row's bar and outputs; columns and features lie so many bytes apart."""
    depth, columns, features = get_int(f, _DEPTH), get_int(f, _COLUMNS), get_int(f, _FEATURES)
    seen = get_int(get_int(f, _SEEN), i)
    place = i * depth + seen % depth
    put_int(get_int(f, _SEEN), i, seen + 1)
    put_int(get_int(f, _LAST_TS), i, ts)
    put_int(get_int(f, _HISTORY_TS), place, ts)
    for k in range(columns):
        put(get_int(f, _HISTORY), place * columns + k, get(bar + k * bar_width, 0))
    last, values, newest = get_int(f, _LAST) + i * features * 8, get_int(f, _VALUES), get_int(f, _NEWEST)
    for k in range(features):
        put(last, k, get(out + k * out_width, 0))
    for k in range(features):
        put_int(values, k, get_int(values, k) + (1 if get(last, k) == get(last, k) else 0))
    for k in range(features):
        put_int(newest, k, ts if get(last, k) == get(last, k) else get_int(newest, k))


@njit(**row.COMPILE)
def keep_row(f: int, i: int, ts: int, bar: int, out: int) -> None:
    """`keep` of a bar and outputs that each stand side by side."""
    keep(f, i, ts, bar, 8, out, 8)


@njit(**row.COMPILE)
def last_ts_of(f: int, i: int) -> int:
    """When instrument i had its last row."""
    return get_int(get_int(f, _LAST_TS), i)


@njit(**row.COMPILE)
def memory_of(f: int, i: int) -> int:
    """The address of instrument i's state, where each has a tile of its own."""
    return get_int(f, _MEMORY) + i * get_int(f, _SLOTS) * 8


@cached(njit, **row.COMPILE)
def tick(frame: I64) -> None:
    """One pass over a moment."""
    f = frame.ctypes.data
    if get_int(f, _W) == 1:
        _pass(f, None)
    else:
        _pass(f, get_int(f, _W))


@cached(njit, **row.COMPILE)
def note(frame: I64) -> None:
    """Keep what a moment brought: bars, outputs, times."""
    f = frame.ctypes.data
    panel, width = get_int(f, _PANEL), get_int(f, _WIDTH)
    for r in range(get_int(f, _NROWS)):
        i, ts, bar = get_int(get_int(f, _AT), r), get_int(get_int(f, _TIMES), r), panel + r * 8
        keep(f, i, ts, bar, width, bar + get_int(f, _COLUMNS) * width, width)


@cached(njit, **row.COMPILE)
def push(frame: I64, i: int, ts: int, bar: F64, out: F64) -> bool:
    """One row of one instrument through a program of one pass; whether it came after the last.

    ``bar`` float64 [columns], ``out`` float64 [features].
    """
    f = frame.ctypes.data
    if ts <= get_int(get_int(f, _LAST_TS), i):
        return False
    w, panel, width = get_int(f, _W), get_int(f, _PANEL), get_int(f, _WIDTH)
    for k in range(get_int(f, _COLUMNS)):
        put(panel + k * width, 0, bar[k] if abs(bar[k]) < np.inf else np.nan)
    put_int(get_int(f, _LANES), 0, i % w)
    put_int(get_int(f, _TILES), 0, i // w)
    put_int(get_int(f, _BOUNDS), 1, 1)
    put_int(f, _PARTS, 1)
    if w == 1:
        _pass(f, None)
    else:
        _pass(f, w)
    keep(f, i, ts, panel, width, panel + get_int(f, _COLUMNS) * width, width)
    last = get_int(f, _LAST) + i * get_int(f, _FEATURES) * 8
    for k in range(get_int(f, _FEATURES)):
        out[k] = get(last, k)
    return True
