"""What an operator does with one row of one instrument: the arithmetic that every executor shares.

Each function takes the row's values and the few numbers of state that change with every row, and gives
back the outputs and those numbers. The rest of the state lies in ``m``, element ``j`` of an array at
``ring + j * w``. Missing is NaN here and nowhere else; no fastmath, so that the same arithmetic has the
same bits wherever it is inlined.

A window of n rows is the rest of the last block of n rows and the beginning of this one: of the block
before we keep what its suffixes come to, of this one what its prefix comes to (van Herk, Pattern
Recognition Letters 13, 1992, for extrema). Each value is merged twice and none is ever taken away, so a
spike that left the window has left the sums, and the state depends on the last n rows alone.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nofx_pipelines.features.kernel.memory import get, put

COMPILE = {"nogil": True, "error_model": "numpy"}
_inline = njit(forceinline=True, **COMPILE)

SUM, PRODUCT, MIN, MAX = 0, 1, 2, 3
FIRST = 4
_RECIPROCALS = np.concatenate([[0.0], 1.0 / np.arange(1.0, 1025.0)])
"""1 / k: a division takes longer than all else in a row of a window."""


@_inline
def finite(value: float) -> float:
    """The value, missing when it is not finite."""
    return value if abs(value) < np.inf else np.nan


@_inline
def over(count: float) -> float:
    """1 / count of a whole number above 0."""
    return _RECIPROCALS[int(count)] if count <= 1024.0 else 1.0 / count


# Elementwise operators -------------------------------------------------------------------------------


@_inline
def safe_log(a: float) -> float:
    """Natural logarithm, missing at and below 0."""
    return finite(math.log(a)) if a > 0.0 else np.nan


@_inline
def safe_sqrt(a: float) -> float:
    """Square root, missing below 0."""
    return math.sqrt(a) if a >= 0.0 else np.nan


@_inline
def sign(a: float) -> float:
    """-1, 0, 1 or missing."""
    return np.nan if a != a else (1.0 if a > 0.0 else (-1.0 if a < 0.0 else 0.0))


@_inline
def power(a: float, b: float) -> float:
    """a to the b, missing where either is (1 ** missing too)."""
    return np.nan if (a != a or b != b) else finite(a**b)


@_inline
def smaller(a: float, b: float) -> float:
    """The smaller of two, missing when one is."""
    return np.nan if (a != a or b != b) else (b if b < a else a)


@_inline
def larger(a: float, b: float) -> float:
    """The larger of two, missing when one is."""
    return np.nan if (a != a or b != b) else (b if b > a else a)


@_inline
def less(a: float, b: float) -> float:
    """Whether a < b, missing when one is."""
    return np.nan if (a != a or b != b) else (1.0 if a < b else 0.0)


@_inline
def at_most(a: float, b: float) -> float:
    """Whether a <= b, missing when one is."""
    return np.nan if (a != a or b != b) else (1.0 if a <= b else 0.0)


@_inline
def equal(a: float, b: float) -> float:
    """Whether a == b, missing when one is."""
    return np.nan if (a != a or b != b) else (1.0 if a == b else 0.0)


@_inline
def both(a: float, b: float) -> float:
    """Kleene's and: false when one is false."""
    if a == 0.0 or b == 0.0:
        return 0.0
    return np.nan if (a != a or b != b) else 1.0


@_inline
def either(a: float, b: float) -> float:
    """Kleene's or: true when one is true."""
    if a == 1.0 or b == 1.0:
        return 1.0
    return np.nan if (a != a or b != b) else 0.0


@_inline
def choose(condition: float, a: float, b: float) -> float:
    """a where the condition holds, b where not, missing where it is missing."""
    return np.nan if condition != condition else (a if condition != 0.0 else b)


@_inline
def missing(a: float) -> float:
    """1 where it is missing, else 0."""
    return 1.0 if a != a else 0.0


@_inline
def filled(a: float, b: float) -> float:
    """a, or b where a is missing."""
    return b if a != a else a


@_inline
def known(a: float, b: float) -> float:
    """1 where both are there."""
    return np.nan if (a != a or b != b) else 1.0


@_inline
def moved(at: int, rows: int, n: int) -> int:
    """A ring's position after so many rows more."""
    at += rows
    if at >= n:
        at = at - n if at < 2 * n else at % n
    return at


@_inline
def streak(x: float, n: int, rows: float) -> float:
    """Valid rows without a gap, up to n."""
    return 0.0 if x != x else min(rows + 1.0, float(n))


# Windows: a shared position, then what is merged -----------------------------------------------------


@_inline
def merge(code: int, a: float, b: float) -> float:
    """Two parts of a window, the older first."""
    if code == SUM:
        return a + b
    if code == PRODUCT:
        return a * b
    if code == MIN:
        return b if b < a else a
    return b if b > a else a


@_inline
def neutral(code: int) -> float:
    """What leaves a merge as it is."""
    if code == SUM:
        return 0.0
    if code == PRODUCT:
        return 1.0
    return np.inf if code == MIN else -np.inf


@_inline
def nothing(code: int) -> float:
    """What leaves every merge as it is, to the bit: -0.0 is a sum's, as 0.0 + -0.0 is 0.0."""
    return -0.0 if code == SUM else neutral(code)


@_inline
def valued(code: int, x: float) -> float:
    """What a row brings to a merge."""
    return neutral(code) if x != x else x


@_inline
def aggregate(
    code: int, x: float, c: float, least: float, n: int, at: int, prefix: float, m: int, ring: int, w: int
) -> tuple[float, int, float]:
    """Sum, product, minimum, maximum. State: position, prefix, then n values or suffixes."""
    value = valued(code, x)
    prefix = value if at == 0 else merge(code, prefix, value)
    put(m, ring + at * w, value)
    total = prefix
    at += 1
    if at < n:
        total = merge(code, get(m, ring + at * w), prefix)
    else:
        at = 0
        last = value
        for j in range(n - 2, -1, -1):
            last = merge(code, get(m, ring + j * w), last)
            put(m, ring + j * w, last)
    return (finite(total) if c >= least else np.nan), at, prefix


@_inline
def extreme(
    high: bool,
    newest: bool,
    missing_first: bool,
    x: float,
    c: float,
    least: float,
    n: int,
    at: int,
    best: float,
    where: float,
    m: int,
    ring: int,
    w: int,
) -> tuple[float, float, int, float, float]:
    """Extreme and how many rows back it stands, 0 is this row; of equals the newest or the oldest.

    With ``missing_first`` a missing value beats every other. State: position, the prefix's extreme and
    its place in the block, then n values or suffixes' extremes, n places.
    """
    empty = -np.inf if high else np.inf
    value = x
    if x != x:
        value = -empty if missing_first else empty
    if at == 0:
        best, where = value, 0.0
    elif value == best:
        where = float(at) if newest else where
    elif (value > best) == high:
        best, where = value, float(at)
    places = ring + n * w
    put(m, ring + at * w, value)
    found, back = best, at - where
    at += 1
    if at < n:
        old = get(m, ring + at * w)
        if old == best:
            back = back if newest else at - 1 + n - get(m, places + at * w)
        elif (old > best) == high:
            found, back = old, at - 1 + n - get(m, places + at * w)
    else:
        _extreme_suffixes(high, newest, n, m, ring, places, w)
        at = 0
    if c < least:
        return np.nan, np.nan, at, best, where
    return finite(found), back, at, best, where


@_inline
def _extreme_suffixes(high: bool, newest: bool, n: int, m: int, ring: int, places: int, w: int) -> None:
    best = get(m, ring + (n - 1) * w)
    place = float(n - 1)
    put(m, places + (n - 1) * w, place)
    for j in range(n - 2, -1, -1):
        value = get(m, ring + j * w)
        if value == best:
            place = place if newest else float(j)
        elif (value > best) == high:
            best, place = value, float(j)
        put(m, ring + j * w, best)
        put(m, places + j * w, place)


@_inline
def variance(
    x: float,
    c: float,
    least: float,
    ddof: float,
    n: int,
    at: int,
    anchor: float,
    k: float,
    total: float,
    squares: float,
    m: int,
    ring: int,
    w: int,
) -> tuple[float, int, float, float, float, float]:
    """Variance from the two parts of the window (Chan, Golub, LeVeque 1983), each from its own anchor.

    State: position, the prefix's anchor, count, sum and squares, then the suffixes' anchor, n sums (this
    block's values up to the position) and n sums of squares.
    """
    if at == 0:
        k, total, squares = 0.0, 0.0, 0.0
    if x == x:
        if k == 0.0:
            anchor = x
        away = x - anchor
        k += 1.0
        total += away
        squares += away * away
    sums = ring + w
    put(m, sums + at * w, x)
    mean = total * over(k) if k > 0.0 else 0.0
    spread = squares - mean * total
    at += 1
    if at < n:
        before = c - k
        if before > 0.0:
            older = get(m, sums + at * w)
            level = older * over(before)
            spread += get(m, sums + (n + at) * w) - level * older
            if k > 0.0:
                apart = (get(m, ring) - anchor) + (level - mean)
                spread += apart * apart * (before * k * over(c))
    else:
        _variance_suffixes(k == n, n, m, ring, w)
        at = 0
    out = np.nan
    if c >= least and c > ddof:
        out = finite(max(spread, 0.0) * over(c - ddof))
    return out, at, anchor, k, total, squares


@_inline
def _variance_suffixes(full: bool, n: int, m: int, ring: int, w: int) -> None:
    """A full block's values become the sums of its suffixes, from its last valid value."""
    sums = ring + w
    anchor, total, squares, found = get(m, sums + (n - 1) * w), 0.0, 0.0, full
    if full:
        for j in range(n - 1, -1, -1):
            away = get(m, sums + j * w) - anchor
            total += away
            squares += away * away
            put(m, sums + j * w, total)
            put(m, sums + (n + j) * w, squares)
    else:
        for j in range(n - 1, -1, -1):
            value = get(m, sums + j * w)
            if value == value:
                if not found:
                    anchor, found = value, True
                away = value - anchor
                total += away
                squares += away * away
            put(m, sums + j * w, total)
            put(m, sums + (n + j) * w, squares)
    put(m, ring, anchor)


@_inline
def _central(count: float, s1: float, s2: float, s3: float, s4: float) -> tuple[float, float, float, float]:
    """Mean (from the anchor) and central sums of powers 2 to 4."""
    if count <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    mean = s1 / count
    second = s2 - mean * s1
    third = s3 - 3.0 * mean * s2 + 2.0 * mean * mean * s1
    fourth = s4 - 4.0 * mean * s3 + 6.0 * mean * mean * s2 - 3.0 * mean * mean * mean * s1
    return mean, second, third, fourth


@_inline
def shape(
    x: float,
    c: float,
    least: float,
    n: int,
    at: int,
    anchor: float,
    k: float,
    s1: float,
    s2: float,
    s3: float,
    s4: float,
    m: int,
    ring: int,
    w: int,
) -> tuple[float, float, int, float, float, float, float, float, float]:
    """Skewness and excess kurtosis, bias corrected (Pébay, SAND2008-6212, merges the two parts).

    State: position, the prefix's anchor, count and sums of powers 1 to 4, then the suffixes' anchor and 4 n
    sums of powers (the first n are this block's values up to the position).
    """
    if at == 0:
        k, s1, s2, s3, s4 = 0.0, 0.0, 0.0, 0.0, 0.0
    if x == x:
        if k == 0.0:
            anchor = x
        d = x - anchor
        k += 1.0
        s1 += d
        s2 += d * d
        s3 += d * d * d
        s4 += d * d * d * d
    sums = ring + w
    put(m, sums + at * w, x)
    mean, second, third, fourth = _central(k, s1, s2, s3, s4)
    at += 1
    if at < n:
        p = c - k
        if p > 0.0:
            at_w = sums + at * w
            older, second_b, third_b, fourth_b = _central(
                p, get(m, at_w), get(m, at_w + n * w), get(m, at_w + 2 * n * w), get(m, at_w + 3 * n * w)
            )
            d = (anchor - get(m, ring)) + (mean - older)
            if k == 0.0:
                d = 0.0
            a, b = p / c, k / c
            fourth = (
                fourth_b
                + fourth
                + d * d * d * d * a * b * c * (a * a - a * b + b * b)
                + 6.0 * d * d * (a * a * second + b * b * second_b)
                + 4.0 * d * (a * third - b * third_b)
            )
            third = third_b + third + d * d * d * a * b * c * (a - b) + 3.0 * d * (a * second - b * second_b)
            second = second_b + second + d * d * a * b * c
    else:
        _shape_suffixes(n, m, ring, w)
        at = 0
    skew, kurt = np.nan, np.nan
    if c >= least and second > 0.0:
        variance_ = second / c
        if c >= 3.0:
            skew = finite(
                math.sqrt(c * (c - 1.0)) / (c - 2.0) * (third / c) / (variance_ * math.sqrt(variance_))
            )
        if c >= 4.0:
            excess = (fourth / c) / (variance_ * variance_) - 3.0
            kurt = finite((c - 1.0) / ((c - 2.0) * (c - 3.0)) * ((c + 1.0) * excess + 6.0))
    return skew, kurt, at, anchor, k, s1, s2, s3, s4


@_inline
def _shape_suffixes(n: int, m: int, ring: int, w: int) -> None:
    sums = ring + w
    anchor, found = 0.0, False
    s1, s2, s3, s4 = 0.0, 0.0, 0.0, 0.0
    for j in range(n - 1, -1, -1):
        value = get(m, sums + j * w)
        if value == value:
            if not found:
                anchor, found = value, True
            d = value - anchor
            s1 += d
            s2 += d * d
            s3 += d * d * d
            s4 += d * d * d * d
        put(m, sums + j * w, s1)
        put(m, sums + (n + j) * w, s2)
        put(m, sums + (2 * n + j) * w, s3)
        put(m, sums + (3 * n + j) * w, s4)
    put(m, ring, anchor)


@_inline
def places(first: float, last: float) -> tuple[float, float]:
    """The sum of the whole numbers from first to last, and that of their squares."""
    low = first - 1.0
    return (
        0.5 * (last * (last + 1.0) - low * (low + 1.0)),
        (last * (last + 1.0) * (2.0 * last + 1.0) - low * (low + 1.0) * (2.0 * low + 1.0)) / 6.0,
    )


@_inline
def trend(
    x: float,
    c: float,
    n: int,
    at: int,
    anchor: float,
    k: float,
    total: float,
    squares: float,
    cross: float,
    t1: float,
    t2: float,
    full: float,
    m: int,
    ring: int,
    w: int,
) -> tuple[float, float, float, float, float, int, float, float, float, float, float, float, float, float]:
    """The window against time: squares of its values, of time, across; mean value and mean time from this
    row.

    Two parts as in `variance`. State: position, the prefix's anchor, count, sums of the values, their
    squares, place times value, places, places squared, whether the block before was full, then the
    suffixes' anchor and 5 n sums of the same (the first n are this block's values up to the position; the
    last 2 n are not kept of a full block, whose sums of places are known).
    """
    if at == 0:
        k, total, squares, cross, t1, t2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    place = float(at)
    if x == x:
        if k == 0.0:
            anchor = x
        away = x - anchor
        k += 1.0
        total += away
        squares += away * away
        cross += place * away
        t1 += place
        t2 += place * place
    sums = ring + w
    put(m, sums + at * w, x)
    mean, middle, spread, span, along = 0.0, 0.0, 0.0, 0.0, 0.0
    if k > 0.0:
        share = over(k)
        level = total * share
        mean, middle = anchor + level, t1 * share
        spread = squares - level * total
        span = t2 - middle * t1
        along = cross - middle * total
    at += 1
    before = c - k
    if at < n:
        if before > 0.0:
            here = sums + at * w
            older = get(m, here)
            if full == 1.0:
                older_t, older_t2 = places(float(at), float(n - 1))
            else:
                older_t, older_t2 = get(m, here + 3 * n * w), get(m, here + 4 * n * w)
            share = over(before)
            level, middle_b = older * share, older_t * share
            spread += get(m, here + n * w) - level * older
            span += older_t2 - middle_b * older_t
            along += get(m, here + 2 * n * w) - middle_b * older
            mean_b, middle_b = get(m, ring) + level, middle_b - n
            if k > 0.0:
                share = k * over(c)
                weight = before * share
                apart, apart_t = mean - mean_b, middle - middle_b
                spread += weight * apart * apart
                span += weight * apart_t * apart_t
                along += weight * apart * apart_t
                mean = mean_b + apart * share
                middle = middle_b + apart_t * share
            else:
                mean, middle = mean_b, middle_b
    else:
        full = 1.0 if k == n else 0.0
        _trend_suffixes(k == n, n, m, ring, w)
        at = 0
    return spread, span, along, mean, middle - place, at, anchor, k, total, squares, cross, t1, t2, full


@_inline
def _trend_suffixes(full: bool, n: int, m: int, ring: int, w: int) -> None:
    sums = ring + w
    anchor, found = get(m, sums + (n - 1) * w), full
    total, squares, cross, t1, t2 = 0.0, 0.0, 0.0, 0.0, 0.0
    if full:
        for j in range(n - 1, -1, -1):
            away = get(m, sums + j * w) - anchor
            total += away
            squares += away * away
            cross += float(j) * away
            put(m, sums + j * w, total)
            put(m, sums + (n + j) * w, squares)
            put(m, sums + (2 * n + j) * w, cross)
    else:
        for j in range(n - 1, -1, -1):
            value = get(m, sums + j * w)
            if value == value:
                if not found:
                    anchor, found = value, True
                away, place = value - anchor, float(j)
                total += away
                squares += away * away
                cross += place * away
                t1 += place
                t2 += place * place
            put(m, sums + j * w, total)
            put(m, sums + (n + j) * w, squares)
            put(m, sums + (2 * n + j) * w, cross)
            put(m, sums + (3 * n + j) * w, t1)
            put(m, sums + (4 * n + j) * w, t2)
    put(m, ring, anchor)


@_inline
def slope(enough: bool, span: float, along: float) -> float:
    """Slope of the line, a row."""
    return finite(along / span) if enough and span > 0.0 else np.nan


@_inline
def fit(enough: bool, spread: float, span: float, along: float) -> float:
    """R squared of the line."""
    if not enough or spread <= 0.0 or span <= 0.0:
        return np.nan
    return finite(min(along * along / (span * spread), 1.0))


@_inline
def residual(enough: bool, x: float, span: float, along: float, mean: float, middle: float) -> float:
    """This row less the line."""
    return finite((x - mean) + along / span * middle) if enough and span > 0.0 else np.nan


@_inline
def weighted(enough: bool, c: float, n: int, along: float, mean: float, middle: float) -> float:
    """Mean with weights 1 for the window's oldest row to n for this one."""
    return finite(mean + along / (c * (middle + n))) if enough else np.nan


@_inline
def pair(
    x: float,
    y: float,
    c: float,
    n: int,
    at: int,
    ax: float,
    ay: float,
    k: float,
    sx: float,
    sy: float,
    sxx: float,
    syy: float,
    sxy: float,
    m: int,
    ring: int,
    w: int,
) -> tuple[float, float, float, float, float, int, float, float, float, float, float, float, float, float]:
    """Squares of x, of y, across, and the means of both, over rows that have both.

    Two parts as in `variance`. State: position, the prefix's anchors, count and sums of x, y, xx, yy, xy,
    then the suffixes' anchors and 5 n sums of the same (the first 2 n are this block's values up to the
    position).
    """
    if at == 0:
        k, sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    there = x == x and y == y
    if there:
        if k == 0.0:
            ax, ay = x, y
        dx, dy = x - ax, y - ay
        k += 1.0
        sx += dx
        sy += dy
        sxx += dx * dx
        syy += dy * dy
        sxy += dx * dy
    sums = ring + 2 * w
    put(m, sums + at * w, x if there else np.nan)
    put(m, sums + (n + at) * w, y)
    vx, vy, vxy, mx, my = 0.0, 0.0, 0.0, 0.0, 0.0
    if k > 0.0:
        share = over(k)
        mx, my = sx * share, sy * share
        vx, vy, vxy = sxx - mx * sx, syy - my * sy, sxy - mx * sy
        mx, my = ax + mx, ay + my
    at += 1
    before = c - k
    if at < n:
        if before > 0.0:
            here = sums + at * w
            ox, oy = get(m, here), get(m, here + n * w)
            share = over(before)
            bx, by = ox * share, oy * share
            vx += get(m, here + 2 * n * w) - bx * ox
            vy += get(m, here + 3 * n * w) - by * oy
            vxy += get(m, here + 4 * n * w) - bx * oy
            bx, by = get(m, ring) + bx, get(m, ring + w) + by
            if k > 0.0:
                share = k * over(c)
                weight = before * share
                gx, gy = mx - bx, my - by
                vx += weight * gx * gx
                vy += weight * gy * gy
                vxy += weight * gx * gy
                mx, my = bx + gx * share, by + gy * share
            else:
                mx, my = bx, by
    else:
        _pair_suffixes(k == n, n, m, ring, w)
        at = 0
    return vx, vy, vxy, mx, my, at, ax, ay, k, sx, sy, sxx, syy, sxy


@_inline
def _pair_suffixes(full: bool, n: int, m: int, ring: int, w: int) -> None:
    sums = ring + 2 * w
    ax, ay, found = get(m, sums + (n - 1) * w), get(m, sums + (2 * n - 1) * w), full
    sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(n - 1, -1, -1):
        x = get(m, sums + j * w)
        if full or x == x:
            y = get(m, sums + (n + j) * w)
            if not found:
                ax, ay, found = x, y, True
            dx, dy = x - ax, y - ay
            sx += dx
            sy += dy
            sxx += dx * dx
            syy += dy * dy
            sxy += dx * dy
        put(m, sums + j * w, sx)
        put(m, sums + (n + j) * w, sy)
        put(m, sums + (2 * n + j) * w, sxx)
        put(m, sums + (3 * n + j) * w, syy)
        put(m, sums + (4 * n + j) * w, sxy)
    put(m, ring, ax)
    put(m, ring + w, ay)


@_inline
def covariance(c: float, least: float, ddof: float, vxy: float) -> float:
    """Covariance, divided by the number of rows less ``ddof``."""
    return finite(vxy * over(c - ddof)) if c >= least and c > ddof else np.nan


@_inline
def correlation(enough: bool, vx: float, vy: float, vxy: float) -> float:
    """Pearson correlation."""
    if not enough or vx <= 0.0 or vy <= 0.0:
        return np.nan
    return finite(max(-1.0, min(1.0, vxy / math.sqrt(vx * vy))))


@_inline
def beta_residual(enough: bool, x: float, y: float, vx: float, vxy: float, mx: float, my: float) -> float:
    """This row's y less what the regression on x says."""
    return finite((y - my) - vxy / vx * (x - mx)) if enough and vx > 0.0 else np.nan


@_inline
def mean_deviation(
    x: float, c: float, least: float, n: int, at: int, m: int, values: int
) -> tuple[float, int]:
    """Mean absolute deviation from the window's mean. State: position; n values side by side at
    ``values``."""
    put(m, values + at, x)
    out = np.nan
    if c >= least and c > 0.0:
        total = 0.0
        for j in range(values, values + n):
            total += get(m, j) if get(m, j) == get(m, j) else 0.0
        mean, away = total / c, 0.0
        for j in range(values, values + n):
            away += abs(get(m, j) - mean) if get(m, j) == get(m, j) else 0.0
        out = finite(away / c)
    return out, (0 if at + 1 == n else at + 1)


@_inline
def order(
    x: float, n: int, at: int, size: int, half: int, m: int, ring: int, w: int
) -> tuple[int, int, int, int]:
    """Keep the window's values sorted; gives the address at which the n of them now stand, ``w`` apart.

    There are two sorted arrays behind the ring, each between -infinity and infinity; what is missing stands
    as infinity. This row's array is made of the last one's: the old value left out, the new one put in as
    ``min(max(new, left), right)``, without a branch that depends on the values, so that the processor takes
    several at once. State: position, size, which array, n rows, 2 (n + 2) values.
    """
    old, new = get(m, ring + at * w), x + 0.0  # no negative zero
    put(m, ring + at * w, new)
    size += (1 if new == new else 0) - (1 if old == old else 0)
    old, new = (np.inf if old != old else old), (np.inf if new != new else new)
    last, here = sorted_at(n, half, m, ring, w), sorted_at(n, 1 - half, m, ring, w)
    gone = 0
    for j in range(n):
        gone += 1 if get(last, j * w) < old else 0
    for j in range(n):
        before, same, after = get(last, (j - 1) * w), get(last, j * w), get(last, (j + 1) * w)
        left = before if j <= gone else same
        right = same if j < gone else after
        put(here, j * w, min(max(left, new), right))
    return (0 if at + 1 == n else at + 1), size, 1 - half, here


@_inline
def sorted_at(n: int, half: int, m: int, ring: int, w: int) -> int:
    """The address of the first value of one of the two sorted arrays of `order`."""
    return m + 8 * (ring + (n + 1 + half * (n + 2)) * w)


@_inline
def quantile(q: float, size: int, least: float, here: int, w: int) -> float:
    """The q-quantile of sorted values, linear between neighbours."""
    if size < least or size == 0:
        return np.nan
    place = q * (size - 1)
    i = int(place)
    low = get(here, i * w)
    if place == i:
        return low
    return low + (get(here, (i + 1) * w) - low) * (place - i)


@_inline
def percent_rank(x: float, n: int, size: int, least: float, here: int, w: int) -> float:
    """The rank of this row's value among the window's, ties averaged, from 1/size to 1."""
    if x != x or size < least:
        return np.nan
    below, same = 0, 0
    for j in range(n):
        value = get(here, j * w)
        below += 1 if value < x else 0
        same += 1 if value == x else 0
    return (below + 0.5 * (same + 1)) / size


# Recursions ------------------------------------------------------------------------------------------


@_inline
def ewm(
    x: float, n: float, seed_at: float, alpha: float, seen: float, average: float
) -> tuple[float, float, float]:
    """State: valid values so far, the average (until the seed: the sum of what it is the mean of)."""
    if x == x:
        seen += 1.0
        if seen > seed_at:
            average += (x - average) * alpha
        elif seen > seed_at - n:
            average += x
            if seen == seed_at:
                average /= n
    return (finite(average) if seen >= seed_at else np.nan), seen, average


@_inline
def decayed(
    x: float, least: float, alpha: float, seen: float, top: float, bottom: float
) -> tuple[float, float, float, float]:
    """Mean with weights (1 - alpha) ** rows back, over valid rows; missing rows age the others.

    State: valid values so far, weighted sum, sum of weights.
    """
    if seen > 0.0:
        top *= 1.0 - alpha
        bottom *= 1.0 - alpha
    if x == x:
        seen += 1.0
        top += x
        bottom += 1.0
    return (finite(top / bottom) if seen >= least and seen > 0.0 else np.nan), seen, top, bottom


@_inline
def recur(a: float, b: float, seed: float, begun: float, last: float) -> tuple[float, float, float]:
    """y = a y' + b, seeded by the first valid ``seed``; held where a or b is missing. State: begun, y."""
    if begun == 0.0:
        if seed == seed:
            begun, last = 1.0, seed
    elif a == a and b == b:
        last = finite(a * last + b)
        if last != last:
            begun = 0.0
    return (last if begun > 0.0 else np.nan), begun, last


@_inline
def running(code: int, x: float, begun: float, total: float) -> tuple[float, float, float]:
    """Sum, product, smallest or largest of all values so far. State: begun, the value."""
    if x == x:
        total = x if begun == 0.0 else merge(code, total, x)
        begun = 1.0
    return (finite(total) if begun > 0.0 else np.nan), begun, total


@_inline
def running_since(code: int, x: float, start: bool, begun: float, total: float) -> tuple[float, float, float]:
    """First, sum, smallest or largest of the values since a start, that row's included. State: begun, it."""
    if start:
        begun = 0.0
    if x == x:
        if begun == 0.0:
            total = x
        elif code != FIRST:
            total = merge(code, total, x)
        begun = 1.0
    return (finite(total) if begun > 0.0 else np.nan), begun, total


@_inline
def since(hit: bool, rows: float) -> float:
    """Rows since the last hit; missing before the first. State: the rows."""
    return 0.0 if hit else rows + 1.0


@_inline
def parabolic(
    high: float,
    low: float,
    step: float,
    largest: float,
    begun: float,
    long: float,
    stop: float,
    point: float,
    factor: float,
    last_high: float,
    last_low: float,
) -> tuple[float, float, float, float, float, float, float, float]:
    """Wilder's parabolic stop and reverse as TA-Lib computes it.

    State: rows seen (up to 2), whether long, the stop for the next row, the extreme point, the acceleration
    factor, the last row's high and low. A row without both prices is passed over.
    """
    out = np.nan
    if high != high or low != low:
        return out, begun, long, stop, point, factor, last_high, last_low
    if begun == 0.0:
        return out, 1.0, long, stop, point, factor, high, low
    if begun == 1.0:
        fall, rise = last_low - low, high - last_high
        long = 0.0 if (fall > 0.0 and rise < fall) else 1.0
        factor = step
        point = high if long == 1.0 else low
        stop = last_low if long == 1.0 else last_high
        last_high, last_low, begun = high, low, 2.0
    if long == 1.0:
        if low <= stop:
            out = max(point, last_high, high)
            long, factor, point = 0.0, step, low
            stop = max(out + factor * (point - out), last_high, high)
        else:
            out = stop
            if high > point:
                point, factor = high, min(factor + step, largest)
            stop = min(stop + factor * (point - stop), last_low, low)
    elif high >= stop:
        out = min(point, last_low, low)
        long, factor, point = 1.0, step, high
        stop = min(out + factor * (point - out), last_low, low)
    else:
        out = stop
        if low < point:
            point, factor = low, min(factor + step, largest)
        stop = max(stop + factor * (point - stop), last_high, high)
    return finite(out), begun, long, stop, point, factor, high, low


@_inline
def seasonal(x: float, slot: float, slots: int, n: float, m: int, values: int) -> float:
    """The mean of the last values in the same slot of the day, before this row, then this row joins it.

    Until n values it is their mean, later exponential with alpha 2 / (n + 1). State: for each slot a count
    and a mean, side by side at ``values``.
    """
    out = np.nan
    if slot != slot or slot < 0.0 or slot >= slots:
        return out
    at = values + 2 * int(slot)
    seen, mean = get(m, at), get(m, at + 1)
    if seen > 0.0:
        out = finite(mean)
    if x == x:
        seen += 1.0
        put(m, at, seen)
        put(m, at + 1, mean + (x - mean) * max(1.0 / seen, 2.0 / (n + 1.0)))
    return out
