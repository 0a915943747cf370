"""One row of one instrument through one step: what a generated kernel calls.

``m`` is the address of the step's own state. All are inlined: calls that hand over so many numbers through
memory took half as long again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.cache import named
from nofx_pipelines.features.kernel.memory import get, put

_step = njit(forceinline=True, **row.COMPILE)


def _aggregates(code: int) -> Callable[..., Any]:
    def one(m: int, x: float, c: float, n: int, least: float) -> float:
        value, at, prefix = row.aggregate(code, x, c, least, n, int(get(m, 0)), get(m, 1), m, 2, 1)
        put(m, 0, at)
        put(m, 1, prefix)
        return value

    return _step(named(one, f"one_aggregate_{code}"))


total, product, lowest, highest = (_aggregates(code) for code in (row.SUM, row.PRODUCT, row.MIN, row.MAX))


@_step
def place(
    m: int, high: bool, newest: bool, missing_first: bool, x: float, c: float, n: int, least: float
) -> tuple[float, float]:
    """An extreme and how many rows back it stands."""
    value, back, at, best, where = row.extreme(
        high, newest, missing_first, x, c, least, n, int(get(m, 0)), get(m, 1), get(m, 2), m, 3, 1
    )
    put(m, 0, at)
    put(m, 1, best)
    put(m, 2, where)
    return value, back


@_step
def variance(m: int, x: float, c: float, n: int, least: float, ddof: float) -> float:
    """Variance."""
    value, at, anchor, k, total, squares = row.variance(
        x, c, least, ddof, n, int(get(m, 0)), get(m, 1), get(m, 2), get(m, 3), get(m, 4), m, 5, 1
    )
    put(m, 0, at)
    put(m, 1, anchor)
    put(m, 2, k)
    put(m, 3, total)
    put(m, 4, squares)
    return value


@_step
def shape(m: int, x: float, c: float, n: int, least: float) -> tuple[float, float]:
    """Skewness and kurtosis."""
    skew, kurt, at, anchor, k, s1, s2, s3, s4 = row.shape(
        x,
        c,
        least,
        n,
        int(get(m, 0)),
        get(m, 1),
        get(m, 2),
        get(m, 3),
        get(m, 4),
        get(m, 5),
        get(m, 6),
        m,
        7,
        1,
    )
    put(m, 0, at)
    put(m, 1, anchor)
    put(m, 2, k)
    put(m, 3, s1)
    put(m, 4, s2)
    put(m, 5, s3)
    put(m, 6, s4)
    return skew, kurt


@_step
def trend(m: int, x: float, c: float, n: int) -> tuple[float, float, float, float, float]:
    """Squares of values, of time, across; mean value and mean time."""
    spread, span, along, mean, middle, at, anchor, k, total, squares, cross, t1, t2, full = row.trend(
        x, c, n, int(get(m, 0)), get(m, 1), get(m, 2), get(m, 3), get(m, 4), get(m, 5), get(m, 6), get(m, 7),
        get(m, 8), m, 9, 1,
    )  # fmt: skip
    put(m, 0, at)
    put(m, 1, anchor)
    put(m, 2, k)
    put(m, 3, total)
    put(m, 4, squares)
    put(m, 5, cross)
    put(m, 6, t1)
    put(m, 7, t2)
    put(m, 8, full)
    return spread, span, along, mean, middle


@_step
def pair(m: int, x: float, y: float, c: float, n: int) -> tuple[float, float, float, float, float]:
    """Squares of x, of y, across, and the means of both."""
    vx, vy, vxy, mx, my, at, ax, ay, k, sx, sy, sxx, syy, sxy = row.pair(
        x, y, c, n, int(get(m, 0)), get(m, 1), get(m, 2), get(m, 3), get(m, 4), get(m, 5), get(m, 6),
        get(m, 7), get(m, 8), m, 9, 1,
    )  # fmt: skip
    put(m, 0, at)
    put(m, 1, ax)
    put(m, 2, ay)
    put(m, 3, k)
    put(m, 4, sx)
    put(m, 5, sy)
    put(m, 6, sxx)
    put(m, 7, syy)
    put(m, 8, sxy)
    return vx, vy, vxy, mx, my


@_step
def mean_deviation(m: int, x: float, c: float, n: int, least: float) -> float:
    """Mean absolute deviation."""
    value, at = row.mean_deviation(x, c, least, n, int(get(m, 0)), m, 1)
    put(m, 0, at)
    return value


@_step
def order(m: int, x: float, n: int) -> tuple[int, int]:
    """The window's values sorted: how many are valid, and the address of the first."""
    at, size, half, here = row.order(x, n, int(get(m, 0)), int(get(m, 1)), int(get(m, 2)), m, 3, 1)
    put(m, 0, at)
    put(m, 1, size)
    put(m, 2, half)
    return size, here


@_step
def counted(m: int, x: float, n: int) -> bool:
    """Whether nothing comes or goes in a step of counts, which has then moved by a row."""
    at = int(get(m, 0))
    full = get(m, 1) == n and x == x
    if full:
        put(m, 0, row.moved(at, 1, n))
    return full


@_step
def count(m: int, k: int, x: float, length: int, n: int, kinds: int) -> float:
    """The k-th count where something does; `moved` follows."""
    at = int(get(m, 0)) - length
    value = get(m, 2 + k) + (1.0 - row.missing(x)) - get(m, 2 + kinds + (at if at >= 0 else at + n))
    put(m, 2 + k, value)
    return value


@_step
def moved(m: int, x: float, n: int, kinds: int) -> None:
    """Put the row's flag into the ring of a step of counts."""
    at = int(get(m, 0))
    put(m, 1, row.streak(x, n, get(m, 1)))
    put(m, 2 + kinds + at, 1.0 - row.missing(x))
    put(m, 0, row.moved(at, 1, n))


@_step
def parabolic(m: int, high: float, low: float, step: float, largest: float) -> float:
    """Parabolic stop and reverse."""
    value, begun, long, stop, point, factor, last_high, last_low = row.parabolic(
        high, low, step, largest, get(m, 0), get(m, 1), get(m, 2), get(m, 3), get(m, 4), get(m, 5), get(m, 6)
    )
    put(m, 0, begun)
    put(m, 1, long)
    put(m, 2, stop)
    put(m, 3, point)
    put(m, 4, factor)
    put(m, 5, last_high)
    put(m, 6, last_low)
    return value
