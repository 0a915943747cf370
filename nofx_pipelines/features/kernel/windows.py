"""Operators over windows in blocks of rows: lane by lane, and eight lanes at once where they stand alike.

Each is ``(i, z, g, first segment, after the last, m, w)``, w None for one lane; of eight lanes it is
``(i, z, g, segment, m, w)``, which says whether it could. See `blocks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel import wide
from nofx_pipelines.features.kernel.cache import named
from nofx_pipelines.features.kernel.codes import FIELDS, Segments, rows_of
from nofx_pipelines.features.kernel.memory import UNWANTED, Tables, at_row, get, get_int, put

_LINEAR = 4
"""From so many rows in a segment on, rings are read as straight memory."""
_LONG = 16
"""From so many rows in a segment on, a window's two parts are merged for all rows at once."""

_plain = njit(**row.COMPILE)
_inlined = njit(forceinline=True, **row.COMPILE)
"""Into the loop over instructions: to call it with so many numbers takes as long as a row."""
Compiled = Callable[..., Any]


def _compiled(function: Compiled, name: str) -> Compiled:
    return _inlined(named(function, name))


@_inlined
def refs(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    """State: position, then the last n values."""
    w = 1 if w is None else w
    lanes, line = g[2], g[5]
    t = z[0] + i * FIELDS * 8
    x = at_row(z, get_int(t, 2))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    outs = z[2] + get_int(t, 7) * 16
    count = get_int(t, 8) - get_int(t, 7)
    for s in range(begin, end):
        base = slot * w + get_int(lanes, s)
        lo, rows, apart = rows_of(g, s)
        at, ring = int(get(m, base)), base + w
        if rows < _LINEAR or apart > 1:
            for q in range(rows):
                r = lo + q * apart
                for k in range(count):
                    back = at - get_int(outs, 2 * k + 1)
                    value = get(m, ring + (back if back >= 0 else back + n) * w)
                    put(at_row(z, get_int(outs, 2 * k)), r, value)
                put(m, ring + at * w, get(x, r))
                at = 0 if at + 1 == n else at + 1
        else:
            for j in range(n - at):
                put(line, j, get(m, ring + (at + j) * w))
            for j in range(at):
                put(line, n - at + j, get(m, ring + j * w))
            for r in range(rows):
                put(line, n + r, get(x, lo + r))
            for k in range(count):
                out, old = at_row(z, get_int(outs, 2 * k)), n - get_int(outs, 2 * k + 1)
                for r in range(rows):
                    put(out, lo + r, get(line, old + r))
            at = row.moved(at, rows, n)
            for j in range(n - at):
                put(m, ring + (at + j) * w, get(line, rows + j))
            for j in range(at):
                put(m, ring + j * w, get(line, rows + n - at + j))
        put(m, base, at)


@_inlined
def eight_refs(i: int, z: Tables, g: Segments, s: int, m: int, w: int) -> bool:
    t, outs = z[0] + i * FIELDS * 8, z[2] + get_int(z[0] + i * FIELDS * 8, 7) * 16
    b = get_int(t, 6) * w + get_int(g[2], s)
    if not wide.together(m, b):
        return False
    count, (lo, rows, apart) = get_int(t, 8) - get_int(t, 7), rows_of(g, s)
    x, n = at_row(z, get_int(t, 2)), get_int(t, 5)
    wide.refs(x, z, outs, count, n, m, b, w, lo, rows, apart)
    return True


@_plain
def _all_valid(x: int, lo: int, rows: int, apart: int) -> bool:
    valid = 0
    for q in range(rows):
        valid += get(x, lo + q * apart) == get(x, lo + q * apart)
    return valid == rows


@_inlined
def counts(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    """State: position, how many of the last rows were valid without a gap (up to n), the counts, n flags."""
    w = 1 if w is None else w
    lanes, line = g[2], g[5]
    t = z[0] + i * FIELDS * 8
    x = at_row(z, get_int(t, 2))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    outs = z[2] + get_int(t, 7) * 16
    count = get_int(t, 8) - get_int(t, 7)
    for s in range(begin, end):
        base = slot * w + get_int(lanes, s)
        lo, rows, apart = rows_of(g, s)
        at, counts, ring = int(get(m, base)), base + 2 * w, base + (2 + count) * w
        if get(m, base + w) == n and _all_valid(x, lo, rows, apart):  # nothing comes or goes
            for k in range(count):
                out, length = at_row(z, get_int(outs, 2 * k)), float(get_int(outs, 2 * k + 1))
                for q in range(rows):
                    put(out, lo + q * apart, length)
            put(m, base, row.moved(at, rows, n))
            continue
        valid_rows = get(m, base + w)
        for q in range(rows):
            valid_rows = row.streak(get(x, lo + q * apart), n, valid_rows)
        put(m, base + w, valid_rows)
        if rows < _LINEAR or apart > 1:
            for q in range(rows):
                r = lo + q * apart
                valid = 1.0 - row.missing(get(x, r))
                for k in range(count):
                    back = at - get_int(outs, 2 * k + 1)
                    old = get(m, ring + (back if back >= 0 else back + n) * w)
                    found = get(m, counts + k * w) + valid - old
                    put(m, counts + k * w, found)
                    put(at_row(z, get_int(outs, 2 * k)), r, found)
                put(m, ring + at * w, valid)
                at = 0 if at + 1 == n else at + 1
        else:
            total = 0.0
            put(line, 0, total)
            for j in range(n):
                total += get(m, ring + (at + j if at + j < n else at + j - n) * w)
                put(line, j + 1, total)
            for r in range(rows):
                total += 1.0 - row.missing(get(x, lo + r))
                put(line, n + 1 + r, total)
            for k in range(count):
                out, old = at_row(z, get_int(outs, 2 * k)), n + 1 - get_int(outs, 2 * k + 1)
                for r in range(rows):
                    put(out, lo + r, get(line, n + 1 + r) - get(line, old + r))
                put(m, counts + k * w, get(out, lo + rows - 1))
            at = row.moved(at, rows, n)
            for j in range(n):
                place = at + j if at + j < n else at + j - n
                put(m, ring + place * w, get(line, rows + j + 1) - get(line, rows + j))
        put(m, base, at)


@_inlined
def eight_counts(i: int, z: Tables, g: Segments, s: int, m: int, w: int) -> bool:
    t, outs = z[0] + i * FIELDS * 8, z[2] + get_int(z[0] + i * FIELDS * 8, 7) * 16
    b = get_int(t, 6) * w + get_int(g[2], s)
    if not wide.together(m, b):
        return False
    count, (lo, rows, apart) = get_int(t, 8) - get_int(t, 7), rows_of(g, s)
    x, n = at_row(z, get_int(t, 2)), get_int(t, 5)
    wide.counts(x, z, outs, count, n, m, b, w, lo, rows, apart)
    return True


@_inlined
def _merged(
    code: int, x: int, valid: int, out: int, least: float, n: int, at: int, prefix: float, m: int, ring: int,
    w: int, lo: int, rows: int, line: int,
) -> tuple[int, float]:  # fmt: skip
    """`rows.aggregate` of at least n rows that follow each other, bit for bit.

    First what comes before each row in its block and what is left of the block before, two chains that wait
    for nothing but themselves, then all rows' two parts at once.
    """
    older, r, whole = line + rows * 8, 0, row.nothing(code)
    for j in range(at + 1, n):
        put(older, j - at - 1, get(m, ring + j * w))
    while r < rows:
        stop = r + min(n - at, rows - r)
        prefix = row.nothing(code) if at == 0 else prefix
        for q in range(r, stop):
            prefix = row.merge(code, prefix, row.valued(code, get(x, lo + q)))
            put(line, q, prefix)
        at += stop - r
        if at == n:
            whole, there = row.nothing(code), n - 1  # the suffix from there on is what the next block's row
            for q in range(stop - 1, r - 1, -1):  # there - 1 finds left
                whole = row.merge(code, row.valued(code, get(x, lo + q)), whole)
                put(older, stop + there - 1, whole)
                there -= 1
            for j in range(there, -1, -1):
                whole = row.merge(code, get(m, ring + j * w), whole)
                put(older, stop + j - 1, whole)
            put(older, stop - 1, row.nothing(code))
            at = 0
        r = stop
    put(m, ring, whole)
    for j in range(max(at, 1), n):
        put(m, ring + j * w, get(older, rows - at + j - 1))
    for j in range(at):
        put(m, ring + j * w, row.valued(code, get(x, lo + rows - at + j)))
    for q in range(rows):
        total = row.finite(row.merge(code, get(older, q), get(line, q)))
        put(out, lo + q, total if get(valid, lo + q) >= least else np.nan)
    return at, prefix


def aggregates(code: int) -> tuple[Compiled, Compiled]:
    """One kind of merge, lane by lane and eight lanes at once."""

    def block(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
        w = 1 if w is None else w
        lanes = g[2]
        t = z[0] + i * FIELDS * 8
        out = at_row(z, get_int(t, 1))
        x = at_row(z, get_int(t, 2))
        valid = at_row(z, get_int(t, 3))
        n = get_int(t, 5)
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        for s in range(begin, end):
            b = slot * w + get_int(lanes, s)
            at, prefix, ring = int(get(m, b)), get(m, b + w), b + 2 * w
            lo, rows, apart = rows_of(g, s)
            if apart == 1 and rows >= max(n, _LONG):
                at, prefix = _merged(code, x, valid, out, least, n, at, prefix, m, ring, w, lo, rows, g[5])
            else:
                for q in range(rows):
                    r = lo + q * apart
                    value, at, prefix = row.aggregate(
                        code, get(x, r), get(valid, r), least, n, at, prefix, m, ring, w
                    )
                    put(out, r, value)
            put(m, b, at)
            put(m, b + w, prefix)

    def eight(i: int, z: Tables, g: Segments, s: int, m: int, w: int) -> bool:
        t = z[0] + i * FIELDS * 8
        b = get_int(t, 6) * w + get_int(g[2], s)
        if not wide.together(m, b):
            return False
        x, valid, out = at_row(z, get_int(t, 2)), at_row(z, get_int(t, 3)), at_row(z, get_int(t, 1))
        least, n, (lo, rows, apart) = get(z[1], 2 * i), get_int(t, 5), rows_of(g, s)
        wide.aggregate(code, x, valid, out, least, n, m, b, w, lo, rows, apart)
        return True

    return _compiled(block, f"_aggregate_{code}"), _compiled(eight, f"_eight_aggregate_{code}")


def extremes(high: bool) -> tuple[Compiled, Compiled]:
    """An extreme and its place, lane by lane and eight lanes at once."""

    def block(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
        w = 1 if w is None else w
        lanes = g[2]
        t = z[0] + i * FIELDS * 8
        outs = z[2] + get_int(t, 7) * 16
        x = at_row(z, get_int(t, 2))
        valid = at_row(z, get_int(t, 3))
        n = get_int(t, 5)
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        ties = get(z[1], 2 * i + 1)
        newest, missing_first = ties == 1.0 or ties == 3.0, ties >= 2.0
        values, places = at_row(z, get_int(outs, 0)), at_row(z, get_int(outs, 2))
        wanted = get_int(outs, 0) != UNWANTED
        for s in range(begin, end):
            b = slot * w + get_int(lanes, s)
            at, best, where, ring = int(get(m, b)), get(m, b + w), get(m, b + 2 * w), b + 3 * w
            lo, rows, apart = rows_of(g, s)
            for q in range(rows):
                r = lo + q * apart
                value, back, at, best, where = row.extreme(
                    high,
                    newest,
                    missing_first,
                    get(x, r),
                    get(valid, r),
                    least,
                    n,
                    at,
                    best,
                    where,
                    m,
                    ring,
                    w,
                )
                if wanted:
                    put(values, r, value)
                put(places, r, back)
            put(m, b, at)
            put(m, b + w, best)
            put(m, b + 2 * w, where)

    def eight(i: int, z: Tables, g: Segments, s: int, m: int, w: int) -> bool:
        t, outs = z[0] + i * FIELDS * 8, z[2] + get_int(z[0] + i * FIELDS * 8, 7) * 16
        b = get_int(t, 6) * w + get_int(g[2], s)
        if not wide.together(m, b):
            return False
        x, valid, n, lo = (
            at_row(z, get_int(t, 2)),
            at_row(z, get_int(t, 3)),
            get_int(t, 5),
            get_int(g[1], s),
        )
        values = at_row(z, get_int(outs, 0)) if get_int(outs, 0) != UNWANTED else 0
        places = at_row(z, get_int(outs, 2))
        least, ties = get(z[1], 2 * i), get(z[1], 2 * i + 1)
        newest, missing_first, (lo, rows, apart) = ties == 1.0 or ties == 3.0, ties >= 2.0, rows_of(g, s)
        wide.extreme(
            high, newest, missing_first, x, valid, values, places, least, n, m, b, w, lo, rows, apart
        )
        return True

    return _compiled(block, f"_extreme_{high}"), _compiled(eight, f"_eight_extreme_{high}")


@_inlined
def var(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    out = at_row(z, get_int(t, 1))
    x = at_row(z, get_int(t, 2))
    valid = at_row(z, get_int(t, 3))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    least = get(z[1], 2 * i)
    ddof = get(z[1], 2 * i + 1)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        at, anchor, k = int(get(m, b)), get(m, b + w), get(m, b + 2 * w)
        total, squares, ring = get(m, b + 3 * w), get(m, b + 4 * w), b + 5 * w
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value, at, anchor, k, total, squares = row.variance(
                get(x, r), get(valid, r), least, ddof, n, at, anchor, k, total, squares, m, ring, w
            )
            put(out, r, value)
        put(m, b, at)
        put(m, b + w, anchor)
        put(m, b + 2 * w, k)
        put(m, b + 3 * w, total)
        put(m, b + 4 * w, squares)


@_inlined
def eight_var(i: int, z: Tables, g: Segments, s: int, m: int, w: int) -> bool:
    t = z[0] + i * FIELDS * 8
    b, n, (lo, rows, apart) = get_int(t, 6) * w + get_int(g[2], s), get_int(t, 5), rows_of(g, s)
    if not wide.ready(m, b, at_row(z, get_int(t, 3)), n, lo, rows, apart):
        return False
    x, out, least, ddof = (
        at_row(z, get_int(t, 2)),
        at_row(z, get_int(t, 1)),
        get(z[1], 2 * i),
        get(z[1], 2 * i + 1),
    )
    wide.variance(x, out, least, ddof, n, m, b, w, lo, rows, apart)
    return True


@_plain
def _put_wanted(z: Tables, outs: int, k: int, r: int, value: float) -> None:
    if get_int(outs, 2 * k) != UNWANTED:
        put(at_row(z, get_int(outs, 2 * k)), r, value)


@_inlined
def shape(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    outs = z[2] + get_int(t, 7) * 16
    x = at_row(z, get_int(t, 2))
    valid = at_row(z, get_int(t, 3))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    least = get(z[1], 2 * i)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        at, anchor, k, s1 = int(get(m, b)), get(m, b + w), get(m, b + 2 * w), get(m, b + 3 * w)
        s2, s3, s4, ring = get(m, b + 4 * w), get(m, b + 5 * w), get(m, b + 6 * w), b + 7 * w
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            skew, kurt, at, anchor, k, s1, s2, s3, s4 = row.shape(
                get(x, r), get(valid, r), least, n, at, anchor, k, s1, s2, s3, s4, m, ring, w
            )
            _put_wanted(z, outs, 0, r, skew)
            _put_wanted(z, outs, 1, r, kurt)
        put(m, b, at)
        put(m, b + w, anchor)
        put(m, b + 2 * w, k)
        put(m, b + 3 * w, s1)
        put(m, b + 4 * w, s2)
        put(m, b + 5 * w, s3)
        put(m, b + 6 * w, s4)


@_inlined
def trend(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    outs = z[2] + get_int(t, 7) * 16
    x = at_row(z, get_int(t, 2))
    valid = at_row(z, get_int(t, 3))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    least = get(z[1], 2 * i)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        at, anchor, k, total = int(get(m, b)), get(m, b + w), get(m, b + 2 * w), get(m, b + 3 * w)
        squares, cross, t1 = get(m, b + 4 * w), get(m, b + 5 * w), get(m, b + 6 * w)
        t2, full, ring = get(m, b + 7 * w), get(m, b + 8 * w), b + 9 * w
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            c = get(valid, r)
            spread, span, along, mean, middle, at, anchor, k, total, squares, cross, t1, t2, full = row.trend(
                get(x, r), c, n, at, anchor, k, total, squares, cross, t1, t2, full, m, ring, w
            )
            enough = c >= least
            if get_int(outs, 0) != UNWANTED:
                put(at_row(z, get_int(outs, 0)), r, row.slope(enough, span, along))
            if get_int(outs, 2) != UNWANTED:
                put(at_row(z, get_int(outs, 2)), r, row.fit(enough, spread, span, along))
            if get_int(outs, 4) != UNWANTED:
                value = row.residual(enough, get(x, r), span, along, mean, middle)
                put(at_row(z, get_int(outs, 4)), r, value)
            if get_int(outs, 6) != UNWANTED:
                value = row.weighted(enough, c, n, along, mean, middle)
                put(at_row(z, get_int(outs, 6)), r, value)
        put(m, b, at)
        put(m, b + w, anchor)
        put(m, b + 2 * w, k)
        put(m, b + 3 * w, total)
        put(m, b + 4 * w, squares)
        put(m, b + 5 * w, cross)
        put(m, b + 6 * w, t1)
        put(m, b + 7 * w, t2)
        put(m, b + 8 * w, full)


@_inlined
def eight_trend(i: int, z: Tables, g: Segments, s: int, m: int, w: int) -> bool:
    t, outs = z[0] + i * FIELDS * 8, z[2] + get_int(z[0] + i * FIELDS * 8, 7) * 16
    b, n, (lo, rows, apart) = get_int(t, 6) * w + get_int(g[2], s), get_int(t, 5), rows_of(g, s)
    if not wide.ready(m, b, at_row(z, get_int(t, 3)), n, lo, rows, apart):
        return False
    x = at_row(z, get_int(t, 2))
    wide.trend(x, z, outs, get(z[1], 2 * i), n, m, b, w, lo, rows, apart)
    return True


@_inlined
def pair(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    outs = z[2] + get_int(t, 7) * 16
    x = at_row(z, get_int(t, 2))
    y = at_row(z, get_int(t, 3))
    valid = at_row(z, get_int(t, 4))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    least = get(z[1], 2 * i)
    ddof = get(z[1], 2 * i + 1)
    for s in range(begin, end):
        b = slot * w + get_int(lanes, s)
        at, ax, ay, k = int(get(m, b)), get(m, b + w), get(m, b + 2 * w), get(m, b + 3 * w)
        sx, sy, sxx = get(m, b + 4 * w), get(m, b + 5 * w), get(m, b + 6 * w)
        syy, sxy, ring = get(m, b + 7 * w), get(m, b + 8 * w), b + 9 * w
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            c = get(valid, r)
            vx, vy, vxy, mx, my, at, ax, ay, k, sx, sy, sxx, syy, sxy = row.pair(
                get(x, r), get(y, r), c, n, at, ax, ay, k, sx, sy, sxx, syy, sxy, m, ring, w
            )
            enough = c >= least
            if get_int(outs, 0) != UNWANTED:
                put(at_row(z, get_int(outs, 0)), r, row.covariance(c, least, ddof, vxy))
            if get_int(outs, 2) != UNWANTED:
                put(at_row(z, get_int(outs, 2)), r, row.correlation(enough, vx, vy, vxy))
            if get_int(outs, 4) != UNWANTED:
                put(at_row(z, get_int(outs, 4)), r, row.slope(enough, vx, vxy))
            if get_int(outs, 6) != UNWANTED:
                value = row.beta_residual(enough, get(x, r), get(y, r), vx, vxy, mx, my)
                put(at_row(z, get_int(outs, 6)), r, value)
        put(m, b, at)
        put(m, b + w, ax)
        put(m, b + 2 * w, ay)
        put(m, b + 3 * w, k)
        put(m, b + 4 * w, sx)
        put(m, b + 5 * w, sy)
        put(m, b + 6 * w, sxx)
        put(m, b + 7 * w, syy)
        put(m, b + 8 * w, sxy)


@_inlined
def eight_pair(i: int, z: Tables, g: Segments, s: int, m: int, w: int) -> bool:
    t, outs = z[0] + i * FIELDS * 8, z[2] + get_int(z[0] + i * FIELDS * 8, 7) * 16
    b, n, (lo, rows, apart) = get_int(t, 6) * w + get_int(g[2], s), get_int(t, 5), rows_of(g, s)
    if not wide.ready(m, b, at_row(z, get_int(t, 4)), n, lo, rows, apart):
        return False
    x, y, least, ddof = (
        at_row(z, get_int(t, 2)),
        at_row(z, get_int(t, 3)),
        get(z[1], 2 * i),
        get(z[1], 2 * i + 1),
    )
    wide.pair(x, y, z, outs, least, ddof, n, m, b, w, lo, rows, apart)
    return True


@_inlined
def mad(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    out = at_row(z, get_int(t, 1))
    x = at_row(z, get_int(t, 2))
    valid = at_row(z, get_int(t, 3))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    least = get(z[1], 2 * i)
    for s in range(begin, end):
        base, values = slot * w + get_int(lanes, s), (slot + 1) * w + get_int(lanes, s) * n
        at = int(get(m, base))
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            value, at = row.mean_deviation(get(x, r), get(valid, r), least, n, at, m, values)
            put(out, r, value)
        put(m, base, at)


@_inlined
def order(i: int, z: Tables, g: Segments, begin: int, end: int, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    lanes = g[2]
    t = z[0] + i * FIELDS * 8
    outs = z[2] + get_int(t, 7) * 16
    levels = z[3] + get_int(t, 7) * 16
    count = get_int(t, 8) - get_int(t, 7)
    x = at_row(z, get_int(t, 2))
    n = get_int(t, 5)
    slot = get_int(t, 6)
    for s in range(begin, end):
        base = slot * w + get_int(lanes, s)
        at, size, half = int(get(m, base)), int(get(m, base + w)), int(get(m, base + 2 * w))
        lo, rows, apart = rows_of(g, s)
        for q in range(rows):
            r = lo + q * apart
            at, size, half, here = row.order(get(x, r), n, at, size, half, m, base + 3 * w, w)
            for k in range(count):
                level, least = get(levels, 2 * k), get(levels, 2 * k + 1)
                if level < 0.0:
                    value = row.percent_rank(get(x, r), n, size, least, here, w)
                else:
                    value = row.quantile(level, size, least, here, w)
                put(at_row(z, get_int(outs, 2 * k)), r, value)
        put(m, base, at)
        put(m, base + w, size)
        put(m, base + 2 * w, half)


@_inlined
def eight_order(i: int, z: Tables, g: Segments, s: int, m: int, w: int) -> bool:
    t, outs = z[0] + i * FIELDS * 8, z[2] + get_int(z[0] + i * FIELDS * 8, 7) * 16
    b, n, (lo, rows, apart) = get_int(t, 6) * w + get_int(g[2], s), get_int(t, 5), rows_of(g, s)
    x = at_row(z, get_int(t, 2))
    if not wide.sorted_and_full(m, b, w, x, n, lo, rows, apart):
        return False
    levels, count = z[3] + get_int(t, 7) * 16, get_int(t, 8) - get_int(t, 7)
    wide.order(x, z, outs, levels, count, n, m, b, w, lo, rows, apart)
    return True
