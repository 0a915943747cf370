"""Operators that carry a few numbers from row to row in blocks of rows, lane by lane.

Each is ``(i, z, g, first segment, after the last, m, w)``, w None for one lane; see `blocks`.
"""

from __future__ import annotations

from numba import njit

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.codes import (
    AGE,
    CUMMAX,
    CUMPROD,
    CUMSUM,
    FIELDS,
    FIRST_SINCE,
    MAX_SINCE,
    SUM_SINCE,
    Segments,
    rows_of,
)
from nofx_pipelines.features.kernel.memory import Tables, at_row, get, get_int, put

_inlined = njit(forceinline=True, **row.COMPILE)


@_inlined
def ewm(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    out = at_row(z, get_int(t, 1))
    x = at_row(z, get_int(t, 2))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    least = get(z[1], 2 * i)
    alpha = get(z[1], 2 * i + 1)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        seen, average = get(m, b), get(m, b + w)
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value, seen, average = row.ewm(get(x, r), float(n), least, alpha, seen, average)
            put(out, r, value)
        put(m, b, seen)
        put(m, b + w, average)


@_inlined
def decayed(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    out = at_row(z, get_int(t, 1))
    x = at_row(z, get_int(t, 2))
    slot = get_int(t, 6)
    least = get(z[1], 2 * i)
    alpha = get(z[1], 2 * i + 1)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        seen, top, bottom = get(m, b), get(m, b + w), get(m, b + 2 * w)
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value, seen, top, bottom = row.decayed(get(x, r), least, alpha, seen, top, bottom)
            put(out, r, value)
        put(m, b, seen)
        put(m, b + w, top)
        put(m, b + 2 * w, bottom)


@_inlined
def since(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    code = get_int(t, 0)
    out = at_row(z, get_int(t, 1))
    x = at_row(z, get_int(t, 2))
    slot = get_int(t, 6)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        back = get(m, b)
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value = get(x, r)
            back = row.since(value == value if code == AGE else value == 1.0, back)
            put(out, r, back)
        put(m, b, back)


@_inlined
def running(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    code = get_int(t, 0)
    out = at_row(z, get_int(t, 1))
    x = at_row(z, get_int(t, 2))
    slot = get_int(t, 6)
    merge = row.SUM if code == CUMSUM else row.PRODUCT if code == CUMPROD else row.MIN
    merge = row.MAX if code == CUMMAX else merge
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        begun, total = get(m, b), get(m, b + w)
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value, begun, total = row.running(merge, get(x, r), begun, total)
            put(out, r, value)
        put(m, b, begun)
        put(m, b + w, total)


@_inlined
def running_since(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    code = get_int(t, 0)
    merge = row.SUM if code == SUM_SINCE else row.MAX if code == MAX_SINCE else row.MIN
    merge = row.FIRST if code == FIRST_SINCE else merge
    out = at_row(z, get_int(t, 1))
    x = at_row(z, get_int(t, 2))
    start = at_row(z, get_int(t, 3))
    slot = get_int(t, 6)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        begun, total = get(m, b), get(m, b + w)
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value, begun, total = row.running_since(merge, get(x, r), get(start, r) == 1.0, begun, total)
            put(out, r, value)
        put(m, b, begun)
        put(m, b + w, total)


@_inlined
def recur(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    out = at_row(z, get_int(t, 1))
    a = at_row(z, get_int(t, 2))
    b = at_row(z, get_int(t, 3))
    c = at_row(z, get_int(t, 4))
    slot = get_int(t, 6)
    for s in range(begin, end):
        base = slot * w + get_int(lanes, s)
        begun, last = get(m, base), get(m, base + w)
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value, begun, last = row.recur(get(a, r), get(b, r), get(c, r), begun, last)
            put(out, r, value)
        put(m, base, begun)
        put(m, base + w, last)


@_inlined
def sar(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    out = at_row(z, get_int(t, 1))
    high = at_row(z, get_int(t, 2))
    low = at_row(z, get_int(t, 3))
    slot = get_int(t, 6)
    step = get(z[1], 2 * i)
    largest = get(z[1], 2 * i + 1)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        begun, long, stop, point = get(m, b), get(m, b + w), get(m, b + 2 * w), get(m, b + 3 * w)
        factor, last_high, last_low = get(m, b + 4 * w), get(m, b + 5 * w), get(m, b + 6 * w)
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value, begun, long, stop, point, factor, last_high, last_low = row.parabolic(
                get(high, r),
                get(low, r),
                step,
                largest,
                begun,
                long,
                stop,
                point,
                factor,
                last_high,
                last_low,
            )
            put(out, r, value)
        put(m, b, begun)
        put(m, b + w, long)
        put(m, b + 2 * w, stop)
        put(m, b + 3 * w, point)
        put(m, b + 4 * w, factor)
        put(m, b + 5 * w, last_high)
        put(m, b + 6 * w, last_low)


@_inlined
def seasonal(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    out = at_row(z, get_int(t, 1))
    x = at_row(z, get_int(t, 2))
    time = at_row(z, get_int(t, 3))
    slots = get_int(t, 5)
    slot = get_int(t, 6)
    n = get(z[1], 2 * i + 1)
    for s in range(begin, end):
        values = slot * w + get_int(lanes, s) * 2 * slots
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            put(out, r, row.seasonal(get(x, r), get(time, r), slots, n, m, values))
