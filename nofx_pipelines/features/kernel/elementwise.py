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
from nofx_pipelines.features.kernel.memory import Tables, at_row, get, get_int, put
from nofx_pipelines.features.kernel.simd import WIDTH, get_eight, put_eight

_inlined = njit(forceinline=True, **row.COMPILE)
Compiled = Callable[..., Any]


_ALONE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda a, b, c: row.finite(a + b),
    "sub": lambda a, b, c: row.finite(a - b),
    "mul": lambda a, b, c: row.finite(a * b),
    "div": lambda a, b, c: row.finite(a / b),
    "neg": lambda a, b, c: -a,
    "abs": lambda a, b, c: abs(a),
    "sqrt": lambda a, b, c: row.safe_sqrt(a),
    "minimum": lambda a, b, c: row.smaller(a, b),
    "maximum": lambda a, b, c: row.larger(a, b),
    "lt": lambda a, b, c: row.less(a, b),
    "le": lambda a, b, c: row.at_most(a, b),
    "eq": lambda a, b, c: row.equal(a, b),
    "and": lambda a, b, c: row.both(a, b),
    "or": lambda a, b, c: row.either(a, b),
    "where": lambda a, b, c: row.choose(a, b, c),
    "is_null": lambda a, b, c: row.missing(a),
    "fill_null": lambda a, b, c: row.filled(a, b),
    "not": lambda a, b, c: 1.0 - a,
    "known": lambda a, b, c: row.known(a, b),
    "sign": lambda a, b, c: row.sign(a),
    "log": lambda a, b, c: row.safe_log(a),
    "exp": lambda a, b, c: row.finite(np.exp(a)),
    "atan": lambda a, b, c: math.atan(a),
    "floor": lambda a, b, c: np.floor(a),
    "pow": lambda a, b, c: row.power(a, b),
}
alone = {name: _inlined(named(call, f"alone_{name}")) for name, call in _ALONE.items()}
"""The operators over three numbers."""


def _by_eights(name: str) -> Compiled:
    """An operator over rows; a processor hands what it has just stored on to a load only if that is no
    wider."""
    single, eight = alone[name], wide.elementwise[name]

    def loop(first: int, last: int, z: Tables, rows: int) -> None:
        whole = rows - rows % WIDTH
        for i in range(first, last):
            t = z[0] + i * op.FIELDS * 8
            out = at_row(z, get_int(t, 1))
            a, b, c = at_row(z, get_int(t, 2)), at_row(z, get_int(t, 3)), at_row(z, get_int(t, 4))
            for r in range(0, whole, WIDTH):
                put_eight(out, r, eight(get_eight(a, r), get_eight(b, r), get_eight(c, r)))
            for r in range(whole, rows):
                put(out, r, single(get(a, r), get(b, r), get(c, r)))

    return _inlined(named(loop, f"_rows_{name}"))


def _one_by_one(name: str) -> Compiled:
    """An operator that is a call, over rows."""
    single = alone[name]

    def loop(first: int, last: int, z: Tables, rows: int) -> None:
        for i in range(first, last):
            t = z[0] + i * op.FIELDS * 8
            out, a, b = at_row(z, get_int(t, 1)), at_row(z, get_int(t, 2)), at_row(z, get_int(t, 3))
            for r in range(rows):
                put(out, r, single(get(a, r), get(b, r), np.nan))

    return _inlined(named(loop, f"_rows_{name}"))


def _of_one_row(name: str) -> Compiled:
    single = alone[name]

    def loop(first: int, last: int, z: Tables) -> None:
        for i in range(first, last):
            t = z[0] + i * op.FIELDS * 8
            a, b, c = at_row(z, get_int(t, 2)), at_row(z, get_int(t, 3)), at_row(z, get_int(t, 4))
            put(at_row(z, get_int(t, 1)), 0, single(get(a, 0), get(b, 0), get(c, 0)))

    return _inlined(named(loop, f"_row_{name}"))


ELEMENTWISE: dict[int, tuple[Compiled, Compiled]] = {
    op.CODES[name]: (_by_eights(name) if name in wide.elementwise else _one_by_one(name), _of_one_row(name))
    for name in alone
}
"""Operators without state, ``(first, last, z, rows)`` and, of one row, ``(first, last, z)``."""
