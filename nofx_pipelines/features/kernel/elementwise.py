"""Operators without state, over the rows of a block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from nofx_pipelines.features.kernel import codes as op
from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel import wide
from nofx_pipelines.features.kernel.cache import named
from nofx_pipelines.features.kernel.eights import WIDTH, get_eight, put_eight
from nofx_pipelines.features.kernel.memory import Tables, at_row, get, get_int, put

_plain = njit(**row.COMPILE)
Compiled = Callable[..., Any]


@njit(forceinline=True, **row.COMPILE)
def value(code: int, a: float, b: float, c: float) -> float:
    if code == op.ADD:
        return row.finite(a + b)
    if code == op.SUB:
        return row.finite(a - b)
    if code == op.MUL:
        return row.finite(a * b)
    if code == op.DIV:
        return row.finite(a / b)
    if code == op.NEG:
        return -a
    if code == op.ABS:
        return abs(a)
    if code == op.SQRT:
        return row.safe_sqrt(a)
    if code == op.MINIMUM:
        return row.smaller(a, b)
    if code == op.MAXIMUM:
        return row.larger(a, b)
    if code == op.LT:
        return row.less(a, b)
    if code == op.LE:
        return row.at_most(a, b)
    if code == op.EQ:
        return row.equal(a, b)
    if code == op.AND:
        return row.both(a, b)
    if code == op.OR:
        return row.either(a, b)
    if code == op.WHERE:
        return row.choose(a, b, c)
    if code == op.IS_NULL:
        return row.missing(a)
    if code == op.FILL_NULL:
        return row.filled(a, b)
    if code == op.NOT:
        return 1.0 - a
    return row.known(a, b)


@_plain
def called(code: int, a: float, b: float) -> float:
    """The elementwise operators that are a call each."""
    if code == op.SIGN:
        return row.sign(a)
    if code == op.LOG:
        return row.safe_log(a)
    if code == op.EXP:
        return row.finite(np.exp(a))
    if code == op.ATAN:
        return math.atan(a)
    if code == op.FLOOR:
        return np.floor(a)
    return row.power(a, b)


def _elementwise(code: int) -> Compiled:
    """One elementwise operator over rows, by eights: a processor hands what it has just stored on to a load
    only if that is no wider.
    """
    eight = wide.elementwise[op.OPS[code]]

    def loop(first: int, last: int, z: Tables, rows: int) -> None:
        whole = rows - rows % WIDTH
        for i in range(first, last):
            t = z[0] + i * op.FIELDS * 8
            out = at_row(z, get_int(t, 1))
            a, b, c = at_row(z, get_int(t, 2)), at_row(z, get_int(t, 3)), at_row(z, get_int(t, 4))
            if rows == 1:
                put(out, 0, value(code, get(a, 0), get(b, 0), get(c, 0)))
                continue
            for r in range(0, whole, WIDTH):
                put_eight(out, r, eight(get_eight(a, r), get_eight(b, r), get_eight(c, r)))
            for r in range(whole, rows):
                put(out, r, value(code, get(a, r), get(b, r), get(c, r)))

    return njit(**row.COMPILE)(named(loop, f"_rows_{op.OPS[code]}"))


@_plain
def _calls(first: int, last: int, z: Tables, rows: int) -> None:
    for i in range(first, last):
        t = z[0] + i * op.FIELDS * 8
        code, out, a, b = (
            get_int(t, 0), at_row(z, get_int(t, 1)), at_row(z, get_int(t, 2)), at_row(z, get_int(t, 3))
        )  # fmt: skip
        for r in range(rows):
            put(out, r, called(code, get(a, r), get(b, r)))


ELEMENTWISE: dict[int, Compiled] = {
    **{code: _elementwise(code) for code in range(op.ADD, op.KNOWN + 1)},
    **dict.fromkeys(range(op.SIGN, op.FLOOR + 1), _calls),
}
"""Operators without state, ``(first, last, z, rows)``."""
