"""The table-driven executor: one instruction over a block of rows, then the next; compiled once for all.

A block's rows come in segments, each of one lane: a segment of 256 rows is an instrument's history, 64
segments of one row are a cross-section. What happens to a row depends on its own lane's earlier rows only,
so blocks of any length and any mix give the same bits.

Each operator has a loop of its own, alike as they are: its few changing numbers stay in registers through it.

The state of ``w`` lanes lies in one flat array ``m``: slot ``k`` of lane ``s`` at ``k * w + s``, except for
arrays that stand side by side (`steps.SIDE_BY_SIDE`), whose element ``j`` is at ``k * w + s * n + j``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.cache import cached
from nofx_pipelines.features.kernel.memory import get, get_int, put, put_int

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BLOCK = 256
"""Rows that an instruction takes at once."""
FIELDS = 9
"""Columns of an instruction: code, dst, a, b, c, n, slot, then the range of the pool that it writes to."""

# fmt: off
OPS = (
    "add", "sub", "mul", "div", "neg", "abs", "sqrt", "minimum", "maximum", "lt", "le", "eq", "and", "or",
    "where", "is_null", "fill_null", "not", "known", "sign", "log", "exp", "pow", "atan", "floor",
    "load", "save", "turn",
    "refs", "counts", "sum", "product", "min", "max", "highest", "lowest", "var", "shape", "trend", "pair",
    "mad", "order", "ewm", "decayed", "recur", "cumsum", "cumprod", "cummin", "cummax", "age", "bars_since",
    "sar", "seasonal", "first_since", "sum_since", "max_since", "min_since", "sample", "hold",
)
(
    ADD, SUB, MUL, DIV, NEG, ABS, SQRT, MINIMUM, MAXIMUM, LT, LE, EQ, AND, OR,
    WHERE, IS_NULL, FILL_NULL, NOT, KNOWN, SIGN, LOG, EXP, POW, ATAN, FLOOR,
    LOAD, SAVE, TURN, REFS, COUNTS, SUM, PRODUCT, MIN, MAX, HIGHEST, LOWEST, VAR, SHAPE, TREND, PAIR,
    MAD, ORDER, EWM, DECAYED, RECUR, CUMSUM, CUMPROD, CUMMIN, CUMMAX, AGE, SINCE,
    SAR, SEASONAL, FIRST_SINCE, SUM_SINCE, MAX_SINCE, MIN_SINCE, SAMPLE, HOLD,
) = range(len(OPS))
# fmt: on
CODES = {name: code for code, name in enumerate(OPS)}
"""Position of a step's operator in the kernel's table."""

_LINEAR = 4
"""From so many rows in a segment on, rings are read as straight memory."""

_plain = njit(**row.COMPILE)
Compiled = Callable[..., Any]
Tables = tuple[int, int, int, int, int, int]
Segments = tuple[int, int, int, int]


@njit(forceinline=True, **row.COMPILE)
def _value(code: int, a: float, b: float, c: float) -> float:
    if code == ADD:
        return row.finite(a + b)
    if code == SUB:
        return row.finite(a - b)
    if code == MUL:
        return row.finite(a * b)
    if code == DIV:
        return row.finite(a / b)
    if code == NEG:
        return -a
    if code == ABS:
        return abs(a)
    if code == SQRT:
        return row.safe_sqrt(a)
    if code == MINIMUM:
        return row.smaller(a, b)
    if code == MAXIMUM:
        return row.larger(a, b)
    if code == LT:
        return row.less(a, b)
    if code == LE:
        return row.at_most(a, b)
    if code == EQ:
        return row.equal(a, b)
    if code == AND:
        return row.both(a, b)
    if code == OR:
        return row.either(a, b)
    if code == WHERE:
        return row.choose(a, b, c)
    if code == IS_NULL:
        return row.missing(a)
    if code == FILL_NULL:
        return row.filled(a, b)
    if code == NOT:
        return 1.0 - a
    if code == KNOWN:
        return row.known(a, b)
    return _called(code, a, b)


@_plain
def _elementwise(code: int, first: int, last: int, z: Tables, rows: int) -> None:
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        a, b, c = z[4] + get_int(t, 2) * z[5], z[4] + get_int(t, 3) * z[5], z[4] + get_int(t, 4) * z[5]
        if rows == 1:
            put(out, 0, _value(code, get(a, 0), get(b, 0), get(c, 0)))
            continue
        if code == ADD:
            for r in range(rows):
                put(out, r, row.finite(get(a, r) + get(b, r)))
        elif code == SUB:
            for r in range(rows):
                put(out, r, row.finite(get(a, r) - get(b, r)))
        elif code == MUL:
            for r in range(rows):
                put(out, r, row.finite(get(a, r) * get(b, r)))
        elif code == DIV:
            for r in range(rows):
                put(out, r, row.finite(get(a, r) / get(b, r)))
        elif code == NEG:
            for r in range(rows):
                put(out, r, -get(a, r))
        elif code == ABS:
            for r in range(rows):
                put(out, r, abs(get(a, r)))
        elif code == SQRT:
            for r in range(rows):
                put(out, r, row.safe_sqrt(get(a, r)))
        elif code == MINIMUM:
            for r in range(rows):
                put(out, r, row.smaller(get(a, r), get(b, r)))
        elif code == MAXIMUM:
            for r in range(rows):
                put(out, r, row.larger(get(a, r), get(b, r)))
        elif code == LT:
            for r in range(rows):
                put(out, r, row.less(get(a, r), get(b, r)))
        elif code == LE:
            for r in range(rows):
                put(out, r, row.at_most(get(a, r), get(b, r)))
        elif code == EQ:
            for r in range(rows):
                put(out, r, row.equal(get(a, r), get(b, r)))
        elif code == AND:
            for r in range(rows):
                put(out, r, row.both(get(a, r), get(b, r)))
        elif code == OR:
            for r in range(rows):
                put(out, r, row.either(get(a, r), get(b, r)))
        elif code == WHERE:
            for r in range(rows):
                put(out, r, row.choose(get(a, r), get(b, r), get(c, r)))
        elif code == IS_NULL:
            for r in range(rows):
                put(out, r, row.missing(get(a, r)))
        elif code == FILL_NULL:
            for r in range(rows):
                put(out, r, row.filled(get(a, r), get(b, r)))
        elif code == NOT:
            for r in range(rows):
                put(out, r, 1.0 - get(a, r))
        elif code == KNOWN:
            for r in range(rows):
                put(out, r, row.known(get(a, r), get(b, r)))
        else:
            for r in range(rows):
                put(out, r, _called(code, get(a, r), get(b, r)))


@_plain
def _called(code: int, a: float, b: float) -> float:
    """The elementwise operators that are a call each."""
    if code == SIGN:
        return row.sign(a)
    if code == LOG:
        return row.safe_log(a)
    if code == EXP:
        return row.finite(np.exp(a))
    if code == ATAN:
        return math.atan(a)
    if code == FLOOR:
        return np.floor(a)
    return row.power(a, b)


@_plain
def _refs(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None, line: int) -> None:
    """State: position, then the last n values."""
    w = 1 if w is None else w
    registers, stride, starts, lanes, segments = z[4], z[5], g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        x = z[4] + get_int(t, 2) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        outs = z[2] + get_int(t, 7) * 16
        count = get_int(t, 8) - get_int(t, 7)
        for s in range(segments):
            base = slot * w + get_int(lanes, s)
            lo, hi, at, ring = get_int(starts, s), get_int(starts, s + 1), int(get(m, base)), base + w
            rows = hi - lo
            if rows < _LINEAR:
                for r in range(lo, hi):
                    for k in range(count):
                        i = at - get_int(outs, 2 * k + 1)
                        value = get(m, ring + (i if i >= 0 else i + n) * w)
                        put(registers + get_int(outs, 2 * k) * stride, r, value)
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
                    out, old = registers + get_int(outs, 2 * k) * stride, n - get_int(outs, 2 * k + 1)
                    for r in range(rows):
                        put(out, lo + r, get(line, old + r))
                at = row.moved(at, rows, n)
                for j in range(n - at):
                    put(m, ring + (at + j) * w, get(line, rows + j))
                for j in range(at):
                    put(m, ring + j * w, get(line, rows + n - at + j))
            put(m, base, at)


@_plain
def _all_valid(x: int, lo: int, hi: int) -> bool:
    valid = 0
    for r in range(lo, hi):
        valid += get(x, r) == get(x, r)
    return valid == hi - lo


@_plain
def _counts(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None, line: int) -> None:
    """State: position, how many of the last rows were valid without a gap (up to n), the counts, n flags."""
    w = 1 if w is None else w
    registers, stride, starts, lanes, segments = z[4], z[5], g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        x = z[4] + get_int(t, 2) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        outs = z[2] + get_int(t, 7) * 16
        count = get_int(t, 8) - get_int(t, 7)
        for s in range(segments):
            base = slot * w + get_int(lanes, s)
            lo, hi, at = get_int(starts, s), get_int(starts, s + 1), int(get(m, base))
            counts, ring = base + 2 * w, base + (2 + count) * w
            rows = hi - lo
            if get(m, base + w) == n and _all_valid(x, lo, hi):  # nothing comes or goes
                for k in range(count):
                    out, length = registers + get_int(outs, 2 * k) * stride, float(get_int(outs, 2 * k + 1))
                    for r in range(lo, hi):
                        put(out, r, length)
                put(m, base, row.moved(at, rows, n))
                continue
            valid_rows = get(m, base + w)
            for r in range(lo, hi):
                valid_rows = row.streak(get(x, r), n, valid_rows)
            put(m, base + w, valid_rows)
            if rows < _LINEAR:
                for r in range(lo, hi):
                    valid = 1.0 - row.missing(get(x, r))
                    for k in range(count):
                        i = at - get_int(outs, 2 * k + 1)
                        found = get(m, counts + k * w) + valid - get(m, ring + (i if i >= 0 else i + n) * w)
                        put(m, counts + k * w, found)
                        put(registers + get_int(outs, 2 * k) * stride, r, found)
                    put(m, ring + at * w, valid)
                    at = 0 if at + 1 == n else at + 1
            else:
                total = 0.0
                put(line, 0, total)
                for j in range(n):
                    i = at + j
                    total += get(m, ring + (i if i < n else i - n) * w)
                    put(line, j + 1, total)
                for r in range(rows):
                    total += 1.0 - row.missing(get(x, lo + r))
                    put(line, n + 1 + r, total)
                for k in range(count):
                    out, old = registers + get_int(outs, 2 * k) * stride, n + 1 - get_int(outs, 2 * k + 1)
                    for r in range(rows):
                        put(out, lo + r, get(line, n + 1 + r) - get(line, old + r))
                    put(m, counts + k * w, get(out, hi - 1))
                at = row.moved(at, rows, n)
                for j in range(n):
                    i = at + j
                    put(m, ring + (i if i < n else i - n) * w, get(line, rows + j + 1) - get(line, rows + j))
            put(m, base, at)


def _aggregates(code: int) -> Compiled:
    """The block loop of one kind of merge."""

    def block(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
        w = 1 if w is None else w
        starts, lanes, segments = g[1], g[2], g[3]
        for i in range(first, last):
            t = z[0] + i * FIELDS * 8
            out = z[4] + get_int(t, 1) * z[5]
            x = z[4] + get_int(t, 2) * z[5]
            valid = z[4] + get_int(t, 3) * z[5]
            n = get_int(t, 5)
            slot = get_int(t, 6)
            least = get(z[1], 2 * i)
            for s in range(segments):
                b = slot * w + get_int(lanes, s)
                at, prefix, ring = int(get(m, b)), get(m, b + w), b + 2 * w
                for r in range(get_int(starts, s), get_int(starts, s + 1)):
                    value, at, prefix = row.aggregate(
                        code, get(x, r), get(valid, r), least, n, at, prefix, m, ring, w
                    )
                    put(out, r, value)
                put(m, b, at)
                put(m, b + w, prefix)

    return njit(**row.COMPILE)(block)


_sum, _product, _min, _max = (_aggregates(code) for code in (row.SUM, row.PRODUCT, row.MIN, row.MAX))


def _extremes(high: bool) -> Compiled:
    """The block loop of an extreme and its place."""

    def block(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
        w = 1 if w is None else w
        registers, stride, starts, lanes, segments = z[4], z[5], g[1], g[2], g[3]
        for i in range(first, last):
            t = z[0] + i * FIELDS * 8
            outs = z[2] + get_int(t, 7) * 16
            x = z[4] + get_int(t, 2) * z[5]
            valid = z[4] + get_int(t, 3) * z[5]
            n = get_int(t, 5)
            slot = get_int(t, 6)
            least = get(z[1], 2 * i)
            ties = get(z[1], 2 * i + 1)
            newest, missing_first = ties == 1.0 or ties == 3.0, ties >= 2.0
            values, places = registers + get_int(outs, 0) * stride, registers + get_int(outs, 2) * stride
            wanted = get_int(outs, 0) >= 0
            for s in range(segments):
                b = slot * w + get_int(lanes, s)
                at, best, where, ring = int(get(m, b)), get(m, b + w), get(m, b + 2 * w), b + 3 * w
                for r in range(get_int(starts, s), get_int(starts, s + 1)):
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

    return njit(**row.COMPILE)(block)


_highest, _lowest = _extremes(True), _extremes(False)


@_plain
def _var(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        valid = z[4] + get_int(t, 3) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        ddof = get(z[1], 2 * i + 1)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            at, anchor, k = int(get(m, b)), get(m, b + w), get(m, b + 2 * w)
            total, squares, ring = get(m, b + 3 * w), get(m, b + 4 * w), b + 5 * w
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                value, at, anchor, k, total, squares = row.variance(
                    get(x, r), get(valid, r), least, ddof, n, at, anchor, k, total, squares, m, ring, w
                )
                put(out, r, value)
            put(m, b, at)
            put(m, b + w, anchor)
            put(m, b + 2 * w, k)
            put(m, b + 3 * w, total)
            put(m, b + 4 * w, squares)


@_plain
def _put_wanted(registers: int, stride: int, outs: int, k: int, r: int, value: float) -> None:
    if get_int(outs, 2 * k) >= 0:
        put(registers + get_int(outs, 2 * k) * stride, r, value)


@_plain
def _shape(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    registers, stride, starts, lanes, segments = z[4], z[5], g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        outs = z[2] + get_int(t, 7) * 16
        x = z[4] + get_int(t, 2) * z[5]
        valid = z[4] + get_int(t, 3) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            at, anchor, k, s1 = int(get(m, b)), get(m, b + w), get(m, b + 2 * w), get(m, b + 3 * w)
            s2, s3, s4, ring = get(m, b + 4 * w), get(m, b + 5 * w), get(m, b + 6 * w), b + 7 * w
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                skew, kurt, at, anchor, k, s1, s2, s3, s4 = row.shape(
                    get(x, r), get(valid, r), least, n, at, anchor, k, s1, s2, s3, s4, m, ring, w
                )
                _put_wanted(registers, stride, outs, 0, r, skew)
                _put_wanted(registers, stride, outs, 1, r, kurt)
            put(m, b, at)
            put(m, b + w, anchor)
            put(m, b + 2 * w, k)
            put(m, b + 3 * w, s1)
            put(m, b + 4 * w, s2)
            put(m, b + 5 * w, s3)
            put(m, b + 6 * w, s4)


@_plain
def _trend(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    registers, stride, starts, lanes, segments = z[4], z[5], g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        outs = z[2] + get_int(t, 7) * 16
        x = z[4] + get_int(t, 2) * z[5]
        valid = z[4] + get_int(t, 3) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            at, anchor, k, total = int(get(m, b)), get(m, b + w), get(m, b + 2 * w), get(m, b + 3 * w)
            squares, cross, t1 = get(m, b + 4 * w), get(m, b + 5 * w), get(m, b + 6 * w)
            t2, full, ring = get(m, b + 7 * w), get(m, b + 8 * w), b + 9 * w
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                c = get(valid, r)
                spread, span, along, mean, middle, at, anchor, k, total, squares, cross, t1, t2, full = (
                    row.trend(get(x, r), c, n, at, anchor, k, total, squares, cross, t1, t2, full, m, ring, w)
                )
                enough = c >= least
                if get_int(outs, 0) >= 0:
                    put(registers + get_int(outs, 0) * stride, r, row.slope(enough, span, along))
                if get_int(outs, 2) >= 0:
                    put(registers + get_int(outs, 2) * stride, r, row.fit(enough, spread, span, along))
                if get_int(outs, 4) >= 0:
                    value = row.residual(enough, get(x, r), span, along, mean, middle)
                    put(registers + get_int(outs, 4) * stride, r, value)
                if get_int(outs, 6) >= 0:
                    value = row.weighted(enough, c, n, along, mean, middle)
                    put(registers + get_int(outs, 6) * stride, r, value)
            put(m, b, at)
            put(m, b + w, anchor)
            put(m, b + 2 * w, k)
            put(m, b + 3 * w, total)
            put(m, b + 4 * w, squares)
            put(m, b + 5 * w, cross)
            put(m, b + 6 * w, t1)
            put(m, b + 7 * w, t2)
            put(m, b + 8 * w, full)


@_plain
def _pair(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    registers, stride, starts, lanes, segments = z[4], z[5], g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        outs = z[2] + get_int(t, 7) * 16
        x = z[4] + get_int(t, 2) * z[5]
        y = z[4] + get_int(t, 3) * z[5]
        valid = z[4] + get_int(t, 4) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        ddof = get(z[1], 2 * i + 1)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            at, ax, ay, k = int(get(m, b)), get(m, b + w), get(m, b + 2 * w), get(m, b + 3 * w)
            sx, sy, sxx = get(m, b + 4 * w), get(m, b + 5 * w), get(m, b + 6 * w)
            syy, sxy, ring = get(m, b + 7 * w), get(m, b + 8 * w), b + 9 * w
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                c = get(valid, r)
                vx, vy, vxy, mx, my, at, ax, ay, k, sx, sy, sxx, syy, sxy = row.pair(
                    get(x, r), get(y, r), c, n, at, ax, ay, k, sx, sy, sxx, syy, sxy, m, ring, w
                )
                enough = c >= least
                if get_int(outs, 0) >= 0:
                    put(registers + get_int(outs, 0) * stride, r, row.covariance(c, least, ddof, vxy))
                if get_int(outs, 2) >= 0:
                    put(registers + get_int(outs, 2) * stride, r, row.correlation(enough, vx, vy, vxy))
                if get_int(outs, 4) >= 0:
                    put(registers + get_int(outs, 4) * stride, r, row.slope(enough, vx, vxy))
                if get_int(outs, 6) >= 0:
                    value = row.beta_residual(enough, get(x, r), get(y, r), vx, vxy, mx, my)
                    put(registers + get_int(outs, 6) * stride, r, value)
            put(m, b, at)
            put(m, b + w, ax)
            put(m, b + 2 * w, ay)
            put(m, b + 3 * w, k)
            put(m, b + 4 * w, sx)
            put(m, b + 5 * w, sy)
            put(m, b + 6 * w, sxx)
            put(m, b + 7 * w, syy)
            put(m, b + 8 * w, sxy)


@_plain
def _mad(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        valid = z[4] + get_int(t, 3) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        for s in range(segments):
            base, values = slot * w + get_int(lanes, s), (slot + 1) * w + get_int(lanes, s) * n
            at = int(get(m, base))
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                value, at = row.mean_deviation(get(x, r), get(valid, r), least, n, at, m, values)
                put(out, r, value)
            put(m, base, at)


@_plain
def _order(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    registers, stride, starts, lanes, segments = z[4], z[5], g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        outs = z[2] + get_int(t, 7) * 16
        levels = z[3] + get_int(t, 7) * 16
        count = get_int(t, 8) - get_int(t, 7)
        x = z[4] + get_int(t, 2) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        for s in range(segments):
            base, values = slot * w + get_int(lanes, s), (slot + 3 + n) * w + get_int(lanes, s) * 2 * (n + 2)
            at, size, half = int(get(m, base)), int(get(m, base + w)), int(get(m, base + 2 * w))
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                at, size, half, here = row.order(get(x, r), n, at, size, half, m, base + 3 * w, w, values)
                for k in range(count):
                    level, least = get(levels, 2 * k), get(levels, 2 * k + 1)
                    if level < 0.0:
                        value = row.percent_rank(get(x, r), n, size, least, here)
                    else:
                        value = row.quantile(level, size, least, here)
                    put(registers + get_int(outs, 2 * k) * stride, r, value)
            put(m, base, at)
            put(m, base + w, size)
            put(m, base + 2 * w, half)


@_plain
def _ewm(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        n = get_int(t, 5)
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        alpha = get(z[1], 2 * i + 1)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            seen, average = get(m, b), get(m, b + w)
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                value, seen, average = row.ewm(get(x, r), float(n), least, alpha, seen, average)
                put(out, r, value)
            put(m, b, seen)
            put(m, b + w, average)


@_plain
def _decayed(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        slot = get_int(t, 6)
        least = get(z[1], 2 * i)
        alpha = get(z[1], 2 * i + 1)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            seen, top, bottom = get(m, b), get(m, b + w), get(m, b + 2 * w)
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                value, seen, top, bottom = row.decayed(get(x, r), least, alpha, seen, top, bottom)
                put(out, r, value)
            put(m, b, seen)
            put(m, b + w, top)
            put(m, b + 2 * w, bottom)


@_plain
def _since(code: int, first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        slot = get_int(t, 6)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            back = get(m, b)
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                value = get(x, r)
                back = row.since(value == value if code == AGE else value == 1.0, back)
                put(out, r, back)
            put(m, b, back)


@_plain
def _running(code: int, first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        slot = get_int(t, 6)
        merge = row.SUM if code == CUMSUM else row.PRODUCT if code == CUMPROD else row.MIN
        merge = row.MAX if code == CUMMAX else merge
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            begun, total = get(m, b), get(m, b + w)
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                value, begun, total = row.running(merge, get(x, r), begun, total)
                put(out, r, value)
            put(m, b, begun)
            put(m, b + w, total)


@_plain
def _running_since(code: int, first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    merge = row.SUM if code == SUM_SINCE else row.MAX if code == MAX_SINCE else row.MIN
    merge = row.FIRST if code == FIRST_SINCE else merge
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        start = z[4] + get_int(t, 3) * z[5]
        slot = get_int(t, 6)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            begun, total = get(m, b), get(m, b + w)
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                value, begun, total = row.running_since(merge, get(x, r), get(start, r) == 1.0, begun, total)
                put(out, r, value)
            put(m, b, begun)
            put(m, b + w, total)


@_plain
def _sample(first: int, last: int, z: Tables, rows: int) -> None:
    """The rows of a condition, close together."""
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        when = z[4] + get_int(t, 3) * z[5]
        k = 0
        for r in range(rows):
            if get(when, r) == 1.0:
                put(out, k, get(x, r))
                k += 1


@_plain
def _hold(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    """What was computed at the rows of a condition, at all rows. State: the last value."""
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        y = z[4] + get_int(t, 2) * z[5]
        when = z[4] + get_int(t, 3) * z[5]
        slot, k = get_int(t, 6), 0
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            held = get(m, b)
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                if get(when, r) == 1.0:
                    held = get(y, k)
                    k += 1
                put(out, r, held)
            put(m, b, held)


@_plain
def _turned(first: int, z: Tables, g: Segments, scratch: int) -> Segments:
    """The rows of a condition, or all of ``g`` again; starts and lanes are written to ``scratch``."""
    at = get_int(z[0] + first * FIELDS * 8, 2)
    if at < 0:
        return g
    when, lanes = z[4] + at * z[5], scratch + (g[3] + 1) * 8
    rows, segments = 0, 0
    for s in range(g[3]):
        before = rows
        for r in range(get_int(g[1], s), get_int(g[1], s + 1)):
            rows += get(when, r) == 1.0
        if rows > before:
            put_int(scratch, segments, before)
            put_int(lanes, segments, get_int(g[2], s))
            segments += 1
    put_int(scratch, segments, rows)
    return rows, scratch, lanes, segments


def scratch(line: int, rows: int, lanes: int) -> int:
    """Numbers of scratch that `step` needs for rings of ``line``, blocks of ``rows`` and so many lanes."""
    return 2 * (lanes + 1) + line + rows + 1


@_plain
def _recur(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        a = z[4] + get_int(t, 2) * z[5]
        b = z[4] + get_int(t, 3) * z[5]
        c = z[4] + get_int(t, 4) * z[5]
        slot = get_int(t, 6)
        for s in range(segments):
            base = slot * w + get_int(lanes, s)
            begun, last = get(m, base), get(m, base + w)
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                value, begun, last = row.recur(get(a, r), get(b, r), get(c, r), begun, last)
                put(out, r, value)
            put(m, base, begun)
            put(m, base + w, last)


@_plain
def _sar(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        high = z[4] + get_int(t, 2) * z[5]
        low = z[4] + get_int(t, 3) * z[5]
        slot = get_int(t, 6)
        step = get(z[1], 2 * i)
        largest = get(z[1], 2 * i + 1)
        for s in range(segments):
            b = slot * w + get_int(lanes, s)
            begun, long, stop, point = get(m, b), get(m, b + w), get(m, b + 2 * w), get(m, b + 3 * w)
            factor, last_high, last_low = get(m, b + 4 * w), get(m, b + 5 * w), get(m, b + 6 * w)
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
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


@_plain
def _seasonal(first: int, last: int, z: Tables, g: Segments, m: int, w: int | None) -> None:
    w = 1 if w is None else w
    starts, lanes, segments = g[1], g[2], g[3]
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        out = z[4] + get_int(t, 1) * z[5]
        x = z[4] + get_int(t, 2) * z[5]
        time = z[4] + get_int(t, 3) * z[5]
        slots = get_int(t, 5)
        slot = get_int(t, 6)
        n = get(z[1], 2 * i + 1)
        for s in range(segments):
            values = slot * w + get_int(lanes, s) * 2 * slots
            for r in range(get_int(starts, s), get_int(starts, s + 1)):
                put(out, r, row.seasonal(get(x, r), get(time, r), slots, n, m, values))


@_plain
def _copy(target: int, source: int, rows: int) -> None:
    if rows == 1:
        put(target, 0, get(source, 0))
        return
    for r in range(rows):
        put(target, r, get(source, r))


@_plain
def _moved(code: int, first: int, last: int, z: Tables, rows: int, panel: int, width: int) -> None:
    """Loads from the panel and saves to it."""
    for i in range(first, last):
        t = z[0] + i * FIELDS * 8
        if code == LOAD:
            _copy(z[4] + get_int(t, 1) * z[5], panel + get_int(t, 2) * width, rows)
        else:
            _copy(panel + get_int(t, 1) * width, z[4] + get_int(t, 2) * z[5], rows)


@_plain
def step(
    runs: int, count: int, z: Tables, all_rows: Segments, m: int, w: int | None, scratch: int, panel: int,
    width: int,
) -> None:  # fmt: skip
    """Run every instruction over a block of rows. All arrays by their address (see `memory`).

    ``runs`` int64 [count, 3]: instructions of one operator after each other, its code, the first, one
    after the last. ``z``: ``table`` int64 [instructions, 9]; ``numbers`` float64 [instructions, 2] (least
    valid values, a number); of the instructions with several outputs the ``pool`` int64 [outputs, 2]
    (register, lag or length) and ``levels`` float64 [outputs, 2] (quantile, least); ``registers``
    float64 [registers, >= rows]; how many bytes a register takes. ``all_rows``: the rows; ``starts`` int64
    [segments + 1]; ``lanes`` int64 [segments]; the segments. ``m`` float64 [slots * w], None for one lane;
    ``scratch`` numbers as `scratch` counts them; ``panel`` the block's first row in float64
    [panel rows, >= rows] of ``width`` bytes a panel row.
    """
    g, line = all_rows, scratch + 2 * (all_rows[3] + 1) * 8
    for q in range(count):
        code, first, last = get_int(runs, 3 * q), get_int(runs, 3 * q + 1), get_int(runs, 3 * q + 2)
        if code in (LOAD, SAVE):
            _moved(code, first, last, z, all_rows[0], panel, width)
        elif code == TURN:
            g = _turned(last - 1, z, all_rows, scratch)
        elif code == SAMPLE:
            _sample(first, last, z, all_rows[0])
        elif code == HOLD:
            _hold(first, last, z, all_rows, m, w)
        elif code >= FIRST_SINCE:
            _running_since(code, first, last, z, g, m, w)
        elif code < REFS:
            _elementwise(code, first, last, z, g[0])
        elif code == REFS:
            _refs(first, last, z, g, m, w, line)
        elif code == COUNTS:
            _counts(first, last, z, g, m, w, line)
        elif code == SUM:
            _sum(first, last, z, g, m, w)
        elif code == MAX:
            _max(first, last, z, g, m, w)
        elif code == MIN:
            _min(first, last, z, g, m, w)
        elif code == PRODUCT:
            _product(first, last, z, g, m, w)
        elif code == HIGHEST:
            _highest(first, last, z, g, m, w)
        elif code == LOWEST:
            _lowest(first, last, z, g, m, w)
        elif code == VAR:
            _var(first, last, z, g, m, w)
        elif code == SHAPE:
            _shape(first, last, z, g, m, w)
        elif code == TREND:
            _trend(first, last, z, g, m, w)
        elif code == PAIR:
            _pair(first, last, z, g, m, w)
        elif code == MAD:
            _mad(first, last, z, g, m, w)
        elif code == ORDER:
            _order(first, last, z, g, m, w)
        elif code == EWM:
            _ewm(first, last, z, g, m, w)
        elif code == DECAYED:
            _decayed(first, last, z, g, m, w)
        elif code == RECUR:
            _recur(first, last, z, g, m, w)
        elif code == SAR:
            _sar(first, last, z, g, m, w)
        elif code == SEASONAL:
            _seasonal(first, last, z, g, m, w)
        elif code in (AGE, SINCE):
            _since(code, first, last, z, g, m, w)
        else:
            _running(code, first, last, z, g, m, w)


@cached(njit, **row.COMPILE)
def run(
    runs: I64, table: I64, numbers: F64, pool: I64, levels: F64, panel: F64, offsets: I64, ends: I64,
    registers: F64, states: F64, stored: I64, snapshots: F64, line: F64,
) -> None:  # fmt: skip
    """The rows of many instruments, one after the other, each with its state noted at its ends.

    ``runs`` to ``levels`` as in `step`; ``panel`` float64 [rows, N]. Instrument i has the ends
    ``offsets[i]`` to ``offsets[i + 1]`` of ``ends`` int64 [E, 2]: the row to begin at and the row after
    the last. ``registers`` float64 [registers, BLOCK], ``states`` float64 [instruments, slots];
    ``snapshots`` float64 [E, stored] receives the slots ``stored``.
    """
    starts, lanes = np.zeros(2, np.int64), np.zeros(1, np.int64)
    z = (
        table.ctypes.data, numbers.ctypes.data, pool.ctypes.data, levels.ctypes.data, registers.ctypes.data,
        registers.shape[1] * 8,
    )  # fmt: skip
    for i in range(len(offsets) - 1):
        m = states.ctypes.data + i * states.shape[1] * 8
        for e in range(offsets[i], offsets[i + 1]):
            t, end = ends[e, 0], ends[e, 1]
            while t < end:
                rows = min(registers.shape[1], end - t)
                starts[1] = rows
                g = (rows, starts.ctypes.data, lanes.ctypes.data, 1)
                panel_at = panel.ctypes.data + t * 8
                step(
                    runs.ctypes.data, len(runs), z, g, m, None, line.ctypes.data, panel_at, panel.shape[1] * 8
                )
                t += rows
            for j in range(len(stored)):
                snapshots[e, j] = states[i, stored[j]]
