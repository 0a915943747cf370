"""The table-driven executor: one instruction over a block of rows, then the next; any program's tables do.

A block's rows come in segments, each of one lane: a segment of 256 rows is an instrument's history, 64
segments of one row are a cross-section, eight segments that take turns are eight histories. What happens to a
row depends on its own lane's earlier rows only, so blocks of any length and any mix give the same bits.

Each operator has a loop of its own (`windows`, `recursions`, `clocks`), alike as they are: its few changing
numbers stay in registers through it. Where eight lanes stand side by side at the same position `wide` takes
them at once.

The state of ``w`` lanes lies in one flat array ``m``: slot ``k`` of lane ``s`` at ``k * w + s``, except for
arrays that stand side by side (`steps.SIDE_BY_SIDE`), whose element ``j`` is at ``k * w + s * n + j``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nofx_pipelines.features.kernel import clocks, recursions, windows
from nofx_pipelines.features.kernel import copies as moves
from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.codes import (
    AGE,
    COPY,
    COUNTS,
    CUMMAX,
    CUMMIN,
    CUMPROD,
    CUMSUM,
    DECAYED,
    EWM,
    FIRST_SINCE,
    HIGHEST,
    HOLD,
    LOAD,
    LOWEST,
    MAD,
    MAX,
    MAX_SINCE,
    MIN,
    MIN_SINCE,
    ORDER,
    PAIR,
    PRODUCT,
    RECUR,
    REFS,
    SAMPLE,
    SAR,
    SAVE,
    SEASONAL,
    SEGMENTS,
    SHAPE,
    SINCE,
    SUM,
    SUM_SINCE,
    TREND,
    TURN,
    VAR,
    numbers_of,
)
from nofx_pipelines.features.kernel.memory import call, get_int

F64 = NDArray[np.float64]
Compiled = Callable[..., Any]


def line_of(scratch: F64, lanes: int) -> int:
    """The address of the line in scratch of `scratch` numbers: before it is room for a condition's rows."""
    return int(scratch.ctypes.data) + 8 * (SEGMENTS + 2 * lanes + 1)


def scratch(line: int, rows: int, lanes: int) -> int:
    """Numbers of scratch that a block of ``rows`` in so many lanes needs, for rings of ``line``."""
    return SEGMENTS + 2 * lanes + 1 + line + 2 * rows + 1


_AGGREGATES = (row.SUM, row.PRODUCT, row.MIN, row.MAX)
STATEFUL: dict[int, tuple[Compiled, Compiled | None]] = {
    REFS: (windows.refs, windows.eight_refs),
    COUNTS: (windows.counts, windows.eight_counts),
    **{
        code: windows.aggregates(merge)
        for code, merge in zip((SUM, PRODUCT, MIN, MAX), _AGGREGATES, strict=True)
    },
    HIGHEST: windows.extremes(True),
    LOWEST: windows.extremes(False),
    VAR: (windows.var, windows.eight_var),
    SHAPE: (windows.shape, None),
    TREND: (windows.trend, windows.eight_trend),
    PAIR: (windows.pair, windows.eight_pair),
    MAD: (windows.mad, None),
    ORDER: (windows.order, windows.eight_order),
    EWM: (recursions.ewm, None),
    DECAYED: (recursions.decayed, None),
    RECUR: (recursions.recur, None),
    **dict.fromkeys((CUMSUM, CUMPROD, CUMMIN, CUMMAX), (recursions.running, None)),
    **dict.fromkeys((AGE, SINCE), (recursions.since, None)),
    SAR: (recursions.sar, None),
    SEASONAL: (recursions.seasonal, None),
    **dict.fromkeys((FIRST_SINCE, SUM_SINCE, MAX_SINCE, MIN_SINCE), (recursions.running_since, None)),
    HOLD: (clocks.hold, None),
}
"""Operators with state: one instruction, ``(i, z, g, first segment, after the last, m, w)`` lane by lane, w
None for one lane; and ``(i, z, g, segment, m, w)`` of eight lanes at once, which says whether it could."""


@njit(**row.COMPILE)
def step(runs: int, count: int, entries: int, z: int, g: int, m: int, w: int) -> None:
    """Run every instruction over a block of rows. All arrays by their address (see `memory`).

    ``runs`` int64 [count, 3]: instructions of one operator after each other, its code, the first, one
    after the last; ``entries`` int64: the operators' addresses. ``z`` (`Tables`): ``table`` int64
    [instructions, 9]; ``numbers`` float64 [instructions, 2] (least valid values, a number); of the
    instructions with several outputs the ``pool`` int64 [outputs, 2] (place, lag or length) and ``levels``
    float64 [outputs, 2] (quantile, least); ``registers`` float64 [registers, >= rows]; the panel float64
    [panel rows, >= rows]. ``g``: `Segments`. ``m`` float64 [slots * w].
    """
    now, tables, rows = g, numbers_of(z), get_int(g, 0)
    for q in range(count):
        code, first, last = get_int(runs, 3 * q), get_int(runs, 3 * q + 1), get_int(runs, 3 * q + 2)
        if code == COPY:
            moves.copied(first, last, tables, rows)
        elif code in (LOAD, SAVE):
            moves.turned_over(code, first, last, tables, get_int(g, 4), get_int(g, 6), get_int(g, 5))
        elif code == TURN:
            now = clocks.turned(last - 1, tables, g)
        elif code == SAMPLE:
            clocks.sample(first, last, tables, rows)
        else:
            call(get_int(entries, code), first, last, z, g if code == HOLD else now, m, w)
