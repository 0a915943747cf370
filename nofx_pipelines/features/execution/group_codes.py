"""Rows of many groups, each group sorted by value: what ranks and sums across instruments begin with.

``order`` int64 [N] are the rows group by group, ``bounds`` int64 [G + 1] where each group begins in it. NaN
is missing and left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.kernel_cache import cached

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_compiled = cached(Path(__file__).parent, nogil=True)


@_compiled
def by_value(values: F64, order: I64, bounds: I64) -> tuple[I64, I64, F64]:
    """The valid rows by group and value; of each the number of its group, of each group its size.

    Groups without a valid row have no number.
    """
    rows, number = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    sizes = np.empty(max(len(bounds) - 1, 0))
    last, groups = 0, 0
    for g in range(len(bounds) - 1):
        first = last
        for k in range(bounds[g], bounds[g + 1]):
            if values[order[k]] == values[order[k]]:
                rows[last] = order[k]
                last += 1
        if last > first:
            own = rows[first:last].copy()
            rows[first:last] = own[np.argsort(values[own])]
            number[first:last] = groups
            sizes[groups] = last - first
            groups += 1
    return rows[:last], number[:last], sizes[:groups]


@_compiled
def places(values: F64, order: I64, bounds: I64, tie: float) -> tuple[I64, F64, I64]:
    """The valid rows by group and value; of each its place in the group from 0, ties averaged, and the size.

    Neighbours are ties that are at most ``tie`` times the group's largest absolute value apart.
    """
    rows, _, sizes = by_value(values, order, bounds)
    position, size = np.empty(len(rows)), np.empty(len(rows), np.int64)
    begin = 0
    for g in range(len(sizes)):
        end = begin + int(sizes[g])
        far = tie * max(abs(values[rows[begin]]), abs(values[rows[end - 1]]))
        first = begin
        for k in range(begin, end):
            size[k] = end - begin
            if k + 1 == end or values[rows[k + 1]] - values[rows[k]] > far:
                position[first : k + 1] = (first + k) / 2.0 - begin
                first = k + 1
        begin = end
    return rows, position, size
