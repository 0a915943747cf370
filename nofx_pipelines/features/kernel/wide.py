"""What an operator does with one row of eight lanes at once, where they stand at the same position.

The arithmetic of `rows` in its order, a branch there a choice here, so the same bits. What needs every value
of the window (`ready`) leaves rows with missing ones to `rows`. ``m`` is the address of the state, ``b`` the
index of the first of the eight lanes' first number, ``w`` how far apart the numbers of one lane lie. Of
``rows`` rows of the eight the first lies at ``r`` in a register, the next ``apart`` further.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.cache import named
from nofx_pipelines.features.kernel.memory import UNWANTED, Tables, at_row, get, get_int
from nofx_pipelines.features.kernel.simd import all_eight, every, get_eight, pick, put_eight, roots, sizes

_inline = njit(forceinline=True, **row.COMPILE)


@_inline
def together(m: int, b: int) -> bool:
    """Whether eight lanes stand at the same position."""
    return every(get_eight(m, b) == get(m, b))


@_inline
def ready(m: int, b: int, valid: int, n: int, r: int, rows: int, apart: int) -> bool:
    """Whether eight lanes stand at the same position and all windows are full."""
    full = every(get_eight(m, b) == get(m, b))
    for k in range(rows):
        full &= every(get_eight(valid, r + k * apart) == n)
    return full


@_inline
def finite(value: Any) -> Any:
    """The values, missing where they are not finite."""
    return pick(sizes(value) < np.inf, value, np.nan)


@_inline
def _whether(a: Any, b: Any, holds: Any) -> Any:
    return pick((a != a) | (b != b), np.nan, pick(holds, 1.0, 0.0))


@_inline
def _both(a: Any, b: Any) -> Any:
    return pick((a == 0.0) | (b == 0.0), 0.0, pick((a != a) | (b != b), np.nan, 1.0))


@_inline
def _either(a: Any, b: Any) -> Any:
    return pick((a == 1.0) | (b == 1.0), 1.0, pick((a != a) | (b != b), np.nan, 0.0))


_ELEMENTWISE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda a, b, c: finite(a + b),
    "sub": lambda a, b, c: finite(a - b),
    "mul": lambda a, b, c: finite(a * b),
    "div": lambda a, b, c: finite(a / b),
    "neg": lambda a, b, c: -a,
    "abs": lambda a, b, c: sizes(a),
    "sqrt": lambda a, b, c: pick(a >= 0.0, roots(a), np.nan),
    "minimum": lambda a, b, c: pick((a != a) | (b != b), np.nan, pick(b < a, b, a)),
    "maximum": lambda a, b, c: pick((a != a) | (b != b), np.nan, pick(b > a, b, a)),
    "lt": lambda a, b, c: _whether(a, b, a < b),
    "le": lambda a, b, c: _whether(a, b, a <= b),
    "eq": lambda a, b, c: _whether(a, b, a == b),
    "and": lambda a, b, c: _both(a, b),
    "or": lambda a, b, c: _either(a, b),
    "where": lambda a, b, c: pick(a != a, np.nan, pick(a != 0.0, b, c)),
    "is_null": lambda a, b, c: pick(a != a, 1.0, 0.0),
    "fill_null": lambda a, b, c: pick(a != a, b, a),
    "not": lambda a, b, c: 1.0 - a,
    "known": lambda a, b, c: pick((a != a) | (b != b), np.nan, 1.0),
}
elementwise = {name: _inline(named(call, f"eight_{name}")) for name, call in _ELEMENTWISE.items()}
"""The operators of `elementwise` over three eights."""


@_inline
def _positive(value: Any) -> Any:
    return pick(value < 0.0, 0.0, value)


@_inline
def _merge(code: int, a: Any, b: Any) -> Any:
    if code == row.SUM:
        return a + b
    if code == row.PRODUCT:
        return a * b
    if code == row.MIN:
        return pick(b < a, b, a)
    return pick(b > a, b, a)


@_inline
def aggregate(
    code: int, x: int, valid: int, out: int, least: float, n: int, m: int, b: int, w: int,
    r: int, rows: int, apart: int,
) -> None:  # fmt: skip
    """`rows.aggregate`; missing values are left out as there."""
    at, prefix, ring = int(get(m, b)), get_eight(m, b + w), b + 2 * w
    for _ in range(rows):
        value = get_eight(x, r)
        value = pick(value == value, value, row.neutral(code))
        prefix = value if at == 0 else _merge(code, prefix, value)
        put_eight(m, ring + at * w, value)
        total = prefix
        at += 1
        if at < n:
            total = _merge(code, get_eight(m, ring + at * w), prefix)
        else:
            at = 0
            last = value
            for j in range(n - 2, -1, -1):
                last = _merge(code, get_eight(m, ring + j * w), last)
                put_eight(m, ring + j * w, last)
        put_eight(out, r, pick(get_eight(valid, r) >= least, finite(total), np.nan))
        r += apart
    put_eight(m, b, float(at))
    put_eight(m, b + w, prefix)


@_inline
def extreme(
    high: bool, newest: bool, missing_first: bool, x: int, valid: int, values: int, places: int, least: float,
    n: int, m: int, b: int, w: int, r: int, rows: int, apart: int,
) -> None:  # fmt: skip
    """`rows.extreme`; ``values`` is 0 where only the place is wanted."""
    at, best, where = int(get(m, b)), get_eight(m, b + w), get_eight(m, b + 2 * w)
    ring, kept = b + 3 * w, b + (3 + n) * w
    empty = -np.inf if high else np.inf
    for _ in range(rows):
        value = get_eight(x, r)
        value = pick(value == value, value, -empty if missing_first else empty)
        if at == 0:
            best, where = value, all_eight(0.0)
        else:
            better = (value > best) if high else (value < best)
            moved = (better | (value == best)) if newest else better
            best, where = pick(better, value, best), pick(moved, float(at), where)
        put_eight(m, ring + at * w, value)
        found, back = best, at - where
        at += 1
        if at < n:
            old, old_back = get_eight(m, ring + at * w), (at - 1 + n) - get_eight(m, kept + at * w)
            better = (old > best) if high else (old < best)
            moved = better if newest else (better | (old == best))
            found, back = pick(better, old, best), pick(moved, old_back, back)
        else:
            _extreme_suffixes(high, newest, n, m, ring, kept, w)
            at = 0
        enough = get_eight(valid, r) >= least
        if values != 0:
            put_eight(values, r, pick(enough, finite(found), np.nan))
        put_eight(places, r, pick(enough, back, np.nan))
        r += apart
    put_eight(m, b, float(at))
    put_eight(m, b + w, best)
    put_eight(m, b + 2 * w, where)


@_inline
def _extreme_suffixes(high: bool, newest: bool, n: int, m: int, ring: int, kept: int, w: int) -> None:
    best = get_eight(m, ring + (n - 1) * w)
    place = all_eight(n - 1)
    put_eight(m, kept + (n - 1) * w, place)
    for j in range(n - 2, -1, -1):
        value = get_eight(m, ring + j * w)
        better = (value > best) if high else (value < best)
        moved = better if newest else (better | (value == best))
        best, place = pick(better, value, best), pick(moved, float(j), place)
        put_eight(m, ring + j * w, best)
        put_eight(m, kept + j * w, place)


@_inline
def variance(
    x: int, out: int, least: float, ddof: float, n: int, m: int, b: int, w: int, r: int, rows: int, apart: int
) -> None:  # fmt: skip
    """`rows.variance` of full windows."""
    at, anchor = int(get(m, b)), get_eight(m, b + w)
    total, squares = get_eight(m, b + 3 * w), get_eight(m, b + 4 * w)
    ring, sums = b + 5 * w, b + 6 * w
    enough, share_n = n >= least and n > ddof, row.over(float(n)) if n > 0 else 0.0
    share_out = row.over(n - ddof) if enough else np.nan
    for _ in range(rows):
        value = get_eight(x, r)
        if at == 0:
            anchor, total, squares = value, all_eight(0.0), all_eight(0.0)
        away = value - anchor
        total += away
        squares += away * away
        put_eight(m, sums + at * w, value)
        at += 1
        k = float(at)
        mean = total * row.over(k)
        spread = squares - mean * total
        if at < n:
            before = n - k
            older = get_eight(m, sums + at * w)
            level = older * row.over(before)
            spread += get_eight(m, sums + (n + at) * w) - level * older
            gap = (get_eight(m, ring) - anchor) + (level - mean)
            spread += gap * gap * (before * k * share_n)
        else:
            base = get_eight(m, sums + (n - 1) * w)
            t, q = all_eight(0.0), all_eight(0.0)
            for j in range(n - 1, -1, -1):
                away = get_eight(m, sums + j * w) - base
                t += away
                q += away * away
                put_eight(m, sums + j * w, t)
                put_eight(m, sums + (n + j) * w, q)
            put_eight(m, ring, base)
            at = 0
        put_eight(out, r, finite(_positive(spread) * share_out))
        r += apart
    put_eight(m, b, float(at))
    put_eight(m, b + w, anchor)
    put_eight(m, b + 2 * w, float(at) if at > 0 else float(n))
    put_eight(m, b + 3 * w, total)
    put_eight(m, b + 4 * w, squares)


@_inline
def trend(
    x: int, z: Tables, outs: int, least: float, n: int, m: int, b: int, w: int,
    r: int, rows: int, apart: int,
) -> None:  # fmt: skip
    """`rows.trend` of full windows."""
    at, anchor, total = int(get(m, b)), get_eight(m, b + w), get_eight(m, b + 3 * w)
    squares, cross = get_eight(m, b + 4 * w), get_eight(m, b + 5 * w)
    t1, t2 = get(m, b + 6 * w), get(m, b + 7 * w)
    ring, sums, c = b + 9 * w, b + 10 * w, float(n)
    enough, share_n, filled = c >= least, row.over(c), False
    for _ in range(rows):
        value = get_eight(x, r)
        if at == 0:
            anchor, total, squares, cross = value, all_eight(0.0), all_eight(0.0), all_eight(0.0)
            t1, t2 = 0.0, 0.0
        place = float(at)
        away = value - anchor
        total += away
        squares += away * away
        cross += place * away
        t1 += place
        t2 += place * place
        put_eight(m, sums + at * w, value)
        at += 1
        k = float(at)
        share = row.over(k)
        level = total * share
        mean, middle = anchor + level, t1 * share
        spread = squares - level * total
        span = t2 - middle * t1
        along = cross - middle * total
        if at < n:
            before = c - k
            here = sums + at * w
            older = get_eight(m, here)
            older_t, older_t2 = row.places(float(at), float(n - 1))
            share = row.over(before)
            level, middle_b = older * share, older_t * share
            spread += get_eight(m, here + n * w) - level * older
            span += older_t2 - middle_b * older_t
            along += get_eight(m, here + 2 * n * w) - middle_b * older
            mean_b, middle_b = get_eight(m, ring) + level, middle_b - n
            share = k * share_n
            weight = before * share
            gap, gap_t = mean - mean_b, middle - middle_b
            spread += weight * gap * gap
            span += weight * gap_t * gap_t
            along += weight * gap * gap_t
            mean = mean_b + gap * share
            middle = middle_b + gap_t * share
        else:
            base = get_eight(m, sums + (n - 1) * w)
            t, q, p = all_eight(0.0), all_eight(0.0), all_eight(0.0)
            for j in range(n - 1, -1, -1):
                away = get_eight(m, sums + j * w) - base
                t += away
                q += away * away
                p += float(j) * away
                put_eight(m, sums + j * w, t)
                put_eight(m, sums + (n + j) * w, q)
                put_eight(m, sums + (2 * n + j) * w, p)
            put_eight(m, ring, base)
            at, filled = 0, True
        middle -= place
        line = enough and span > 0.0
        if get_int(outs, 0) != UNWANTED:
            found = finite(along / span) if line else all_eight(np.nan)
            put_eight(at_row(z, get_int(outs, 0)), r, found)
        if get_int(outs, 2) != UNWANTED:
            share_fit = along * along / (span * spread)
            found = finite(pick(share_fit > 1.0, 1.0, share_fit))
            found = pick(spread <= 0.0, np.nan, found) if line else all_eight(np.nan)
            put_eight(at_row(z, get_int(outs, 2)), r, found)
        if get_int(outs, 4) != UNWANTED:
            found = finite((value - mean) + along / span * middle)
            found = found if line else all_eight(np.nan)
            put_eight(at_row(z, get_int(outs, 4)), r, found)
        if get_int(outs, 6) != UNWANTED:
            found = finite(mean + along / (c * (middle + n)))
            found = found if enough else all_eight(np.nan)
            put_eight(at_row(z, get_int(outs, 6)), r, found)
        r += apart
    put_eight(m, b, float(at))
    put_eight(m, b + w, anchor)
    put_eight(m, b + 2 * w, float(at) if at > 0 else c)
    put_eight(m, b + 3 * w, total)
    put_eight(m, b + 4 * w, squares)
    put_eight(m, b + 5 * w, cross)
    put_eight(m, b + 6 * w, t1)
    put_eight(m, b + 7 * w, t2)
    if filled:
        put_eight(m, b + 8 * w, 1.0)


@_inline
def pair(
    x: int, y: int, z: Tables, outs: int, least: float, ddof: float, n: int, m: int, b: int,
    w: int, r: int, rows: int, apart: int,
) -> None:  # fmt: skip
    """`rows.pair` of full windows."""
    at, ax, ay = int(get(m, b)), get_eight(m, b + w), get_eight(m, b + 2 * w)
    sx, sy, sxx = get_eight(m, b + 4 * w), get_eight(m, b + 5 * w), get_eight(m, b + 6 * w)
    syy, sxy, ring = get_eight(m, b + 7 * w), get_eight(m, b + 8 * w), b + 9 * w
    sums, c = ring + 2 * w, float(n)
    enough, share_n = c >= least, row.over(c)
    share_out = row.over(c - ddof) if enough and c > ddof else np.nan
    for _ in range(rows):
        vx_now, vy_now = get_eight(x, r), get_eight(y, r)
        if at == 0:
            ax, ay = vx_now, vy_now
            sx, sy, sxx, syy, sxy = _five_zeros()
        dx, dy = vx_now - ax, vy_now - ay
        sx += dx
        sy += dy
        sxx += dx * dx
        syy += dy * dy
        sxy += dx * dy
        put_eight(m, sums + at * w, vx_now)
        put_eight(m, sums + (n + at) * w, vy_now)
        at += 1
        k = float(at)
        share = row.over(k)
        mx, my = sx * share, sy * share
        vx, vy, vxy = sxx - mx * sx, syy - my * sy, sxy - mx * sy
        mx, my = ax + mx, ay + my
        if at < n:
            before = c - k
            here = sums + at * w
            ox, oy = get_eight(m, here), get_eight(m, here + n * w)
            share = row.over(before)
            bx, by = ox * share, oy * share
            vx += get_eight(m, here + 2 * n * w) - bx * ox
            vy += get_eight(m, here + 3 * n * w) - by * oy
            vxy += get_eight(m, here + 4 * n * w) - bx * oy
            bx, by = get_eight(m, ring) + bx, get_eight(m, ring + w) + by
            share = k * share_n
            weight = before * share
            gx, gy = mx - bx, my - by
            vx += weight * gx * gx
            vy += weight * gy * gy
            vxy += weight * gx * gy
            mx, my = bx + gx * share, by + gy * share
        else:
            _pair_suffixes(n, m, ring, w)
            at = 0
        if get_int(outs, 0) != UNWANTED:
            put_eight(at_row(z, get_int(outs, 0)), r, finite(vxy * share_out))
        if get_int(outs, 2) != UNWANTED:
            q = vxy / roots(vx * vy)
            q = pick(q < 1.0, q, 1.0)
            q = finite(pick(q > -1.0, q, -1.0))
            q = pick((vx <= 0.0) | (vy <= 0.0), np.nan, q)
            put_eight(at_row(z, get_int(outs, 2)), r, q if enough else all_eight(np.nan))
        if get_int(outs, 4) != UNWANTED:
            q = pick(vx > 0.0, finite(vxy / vx), np.nan)
            put_eight(at_row(z, get_int(outs, 4)), r, q if enough else all_eight(np.nan))
        if get_int(outs, 6) != UNWANTED:
            q = pick(vx > 0.0, finite((vy_now - my) - vxy / vx * (vx_now - mx)), np.nan)
            put_eight(at_row(z, get_int(outs, 6)), r, q if enough else all_eight(np.nan))
        r += apart
    put_eight(m, b, float(at))
    put_eight(m, b + w, ax)
    put_eight(m, b + 2 * w, ay)
    put_eight(m, b + 3 * w, float(at) if at > 0 else c)
    put_eight(m, b + 4 * w, sx)
    put_eight(m, b + 5 * w, sy)
    put_eight(m, b + 6 * w, sxx)
    put_eight(m, b + 7 * w, syy)
    put_eight(m, b + 8 * w, sxy)


@_inline
def _five_zeros() -> Any:
    return all_eight(0.0), all_eight(0.0), all_eight(0.0), all_eight(0.0), all_eight(0.0)


@_inline
def _pair_suffixes(n: int, m: int, ring: int, w: int) -> None:
    sums = ring + 2 * w
    ax, ay = get_eight(m, sums + (n - 1) * w), get_eight(m, sums + (2 * n - 1) * w)
    sx, sy, sxx, syy, sxy = _five_zeros()
    for j in range(n - 1, -1, -1):
        dx, dy = get_eight(m, sums + j * w) - ax, get_eight(m, sums + (n + j) * w) - ay
        sx += dx
        sy += dy
        sxx += dx * dx
        syy += dy * dy
        sxy += dx * dy
        put_eight(m, sums + j * w, sx)
        put_eight(m, sums + (n + j) * w, sy)
        put_eight(m, sums + (2 * n + j) * w, sxx)
        put_eight(m, sums + (3 * n + j) * w, syy)
        put_eight(m, sums + (4 * n + j) * w, sxy)
    put_eight(m, ring, ax)
    put_eight(m, ring + w, ay)


@_inline
def refs(
    x: int, z: Tables, outs: int, count: int, n: int, m: int, b: int, w: int,
    r: int, rows: int, apart: int,
) -> None:  # fmt: skip
    """Lags, as `blocks` reads them."""
    at, ring = int(get(m, b)), b + w
    for _ in range(rows):
        for k in range(count):
            i = at - get_int(outs, 2 * k + 1)
            value = get_eight(m, ring + (i if i >= 0 else i + n) * w)
            put_eight(at_row(z, get_int(outs, 2 * k)), r, value)
        put_eight(m, ring + at * w, get_eight(x, r))
        at = 0 if at + 1 == n else at + 1
        r += apart
    put_eight(m, b, float(at))


@_inline
def counts(
    x: int, z: Tables, outs: int, count: int, n: int, m: int, b: int, w: int,
    r: int, rows: int, apart: int,
) -> None:  # fmt: skip
    """Valid values of windows, as `blocks` counts them."""
    at, valid_rows = int(get(m, b)), get_eight(m, b + w)
    counted, ring = b + 2 * w, b + (2 + count) * w
    for _ in range(rows):
        value = get_eight(x, r)
        there = value == value
        if every((valid_rows == n) & there):  # nothing comes or goes
            for k in range(count):
                put_eight(at_row(z, get_int(outs, 2 * k)), r, float(get_int(outs, 2 * k + 1)))
        else:
            more = valid_rows + 1.0
            valid_rows = pick(there, pick(more < n, more, float(n)), 0.0)
            valid = pick(there, 1.0, 0.0)
            for k in range(count):
                i = at - get_int(outs, 2 * k + 1)
                old = get_eight(m, ring + (i if i >= 0 else i + n) * w)
                found = get_eight(m, counted + k * w) + valid - old
                put_eight(m, counted + k * w, found)
                put_eight(at_row(z, get_int(outs, 2 * k)), r, found)
            put_eight(m, ring + at * w, valid)
        at = 0 if at + 1 == n else at + 1
        r += apart
    put_eight(m, b, float(at))
    put_eight(m, b + w, valid_rows)


@_inline
def sorted_and_full(m: int, b: int, w: int, x: int, n: int, r: int, rows: int, apart: int) -> bool:
    """Whether eight lanes of `order` stand at the same position in the same array, all windows full."""
    full = every((get_eight(m, b) == get(m, b)) & (get_eight(m, b + 2 * w) == get(m, b + 2 * w)))
    full &= every(get_eight(m, b + w) == n)
    for k in range(rows):
        value = get_eight(x, r + k * apart)
        full &= every(value == value)
    return full


@_inline
def order(
    x: int, z: Tables, outs: int, levels: int, count: int, n: int, m: int, b: int, w: int,
    r: int, rows: int, apart: int,
) -> None:  # fmt: skip
    """`rows.order` of full windows, and its outputs."""
    at, half, ring = int(get(m, b)), int(get(m, b + 2 * w)), b + 3 * w
    for _ in range(rows):
        value = get_eight(x, r)
        old, new = get_eight(m, ring + at * w), value + 0.0
        put_eight(m, ring + at * w, new)
        last, here = row.sorted_at(n, half, m, ring, w), row.sorted_at(n, 1 - half, m, ring, w)
        gone = all_eight(0.0)
        for j in range(n):
            gone += pick(get_eight(last, j * w) < old, 1.0, 0.0)
        before, same = get_eight(last, -w), get_eight(last, 0)
        for j in range(n):
            after = get_eight(last, (j + 1) * w)
            left, right = pick(gone >= j, before, same), pick(gone > j, same, after)
            left = pick(new > left, new, left)
            put_eight(here, j * w, pick(right < left, right, left))
            before, same = same, after
        for k in range(count):
            level, least = get(levels, 2 * k), get(levels, 2 * k + 1)
            found = all_eight(np.nan)
            if level < 0.0 and n >= least:
                below, equal = all_eight(0.0), all_eight(0.0)
                for j in range(n):
                    one = get_eight(here, j * w)
                    below += pick(one < value, 1.0, 0.0)
                    equal += pick(one == value, 1.0, 0.0)
                found = (below + 0.5 * (equal + 1.0)) / n
            elif n >= least:
                place = level * (n - 1)
                i = int(place)
                low = get_eight(here, i * w)
                found = low if place == i else low + (get_eight(here, (i + 1) * w) - low) * (place - i)
            put_eight(at_row(z, get_int(outs, 2 * k)), r, found)
        at, half = (0 if at + 1 == n else at + 1), 1 - half
        r += apart
    put_eight(m, b, float(at))
    put_eight(m, b + 2 * w, float(half))
