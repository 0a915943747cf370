"""The step that batch and stream share: a table-driven kernel, compiled once for every program.

An instruction runs over a block of rows before the next one does. The rows of a block may belong to
one instrument (history) or to many (a cross-section): each finds its state through ``owner``. What
happens to a row depends on its own instrument's earlier rows only, so blocks of any length and any
mix give the same bits. Missing is NaN here and nowhere else.

All compiled functions stand in this file, because Numba's cache watches one file.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BLOCK = 256
"""Rows that an instruction takes at once."""
FIELDS = 7
"""Columns of an instruction's row: code, dst, a, b, c, n, slot; its number stands beside."""

# fmt: off
OPS = (
    "add", "sub", "mul", "div", "pow", "neg", "abs", "sign", "log", "exp", "sqrt", "minimum", "maximum",
    "lt", "le", "eq", "not", "and", "or", "where", "is_null", "fill_null", "ref", "rolling_count",
    "rolling_sum", "rolling_min", "rolling_max", "rolling_var", "ewm", "cumsum", "age",
)
(
    ADD, SUB, MUL, DIV, POW, NEG, ABS, SIGN, LOG, EXP, SQRT, MINIMUM, MAXIMUM,
    LT, LE, EQ, NOT, AND, OR, WHERE, IS_NULL, FILL_NULL, REF, COUNT,
    SUM, MIN, MAX, VAR, EWM, CUMSUM, AGE,
) = range(len(OPS))
# fmt: on
CODES = {name: code for code, name in enumerate(OPS)}
"""Position of an operator in the kernel's table."""

_COMPILE = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_COMPILE)
def _finite(value: float) -> float:
    return value if abs(value) < np.inf else np.nan


@njit(**_COMPILE)
def _arithmetic(code: int, out: F64, a: F64, b: F64, rows: int) -> None:
    if code == ADD:
        for r in range(rows):
            out[r] = _finite(a[r] + b[r])
    elif code == SUB:
        for r in range(rows):
            out[r] = _finite(a[r] - b[r])
    elif code == MUL:
        for r in range(rows):
            out[r] = _finite(a[r] * b[r])
    elif code == DIV:
        for r in range(rows):
            out[r] = _finite(a[r] / b[r])
    elif code == NEG:
        for r in range(rows):
            out[r] = -a[r]
    elif code == ABS:
        for r in range(rows):
            out[r] = abs(a[r])
    else:
        for r in range(rows):
            out[r] = math.sqrt(a[r]) if a[r] >= 0.0 else np.nan


@njit(**_COMPILE)
def _one(code: int, a: float, b: float, c: float) -> float:
    """The elementwise operators that branch or call: one row at a time."""
    if code == IS_NULL:
        return 1.0 if a != a else 0.0
    if code == FILL_NULL:
        return b if a != a else a
    if code in (AND, OR):
        decisive = 1.0 if code == OR else 0.0
        if a == decisive or b == decisive:
            return decisive
        return np.nan if (a != a or b != b) else 1.0 - decisive
    if a != a:
        return np.nan
    if code == WHERE:
        return b if a != 0.0 else c
    if code == NOT:
        return 1.0 - a
    if code == SIGN:
        return 1.0 if a > 0.0 else (-1.0 if a < 0.0 else 0.0)
    if code == LOG:
        return _finite(math.log(a)) if a > 0.0 else np.nan
    if code == EXP:
        return _finite(math.exp(a))
    if b != b:
        return np.nan
    if code == MINIMUM:
        return b if b < a else a
    if code == MAXIMUM:
        return b if b > a else a
    if code == LT:
        return 1.0 if a < b else 0.0
    if code == LE:
        return 1.0 if a <= b else 0.0
    if code == EQ:
        return 1.0 if a == b else 0.0
    return _finite(a**b)


@njit(**_COMPILE)
def _ref(out: F64, x: F64, n: int, slot: int, rows: int, owner: I64, state: F64) -> None:
    """State: position, then the last n values."""
    for r in range(rows):
        s = owner[r]
        at = int(state[slot, s])
        out[r] = state[slot + 1 + at, s]
        state[slot + 1 + at, s] = x[r]
        state[slot, s] = 0.0 if at + 1 == n else at + 1.0


@njit(**_COMPILE)
def _count(out: F64, x: F64, n: int, slot: int, rows: int, owner: I64, state: F64) -> None:
    """State: position, count, then whether each of the last n values is valid."""
    for r in range(rows):
        s = owner[r]
        at = int(state[slot, s])
        valid = 0.0 if x[r] != x[r] else 1.0
        count = state[slot + 1, s] - state[slot + 2 + at, s] + valid
        state[slot + 2 + at, s] = valid
        state[slot + 1, s] = count
        out[r] = count
        state[slot, s] = 0.0 if at + 1 == n else at + 1.0


@njit(**_COMPILE)
def _merge(code: int, a: float, b: float) -> float:
    if code == SUM:
        return a + b
    if code == MIN:
        return b if b < a else a
    return b if b > a else a


@njit(**_COMPILE)
def _aggregate(
    code: int,
    out: F64,
    x: F64,
    count: F64,
    n: int,
    least: float,
    slot: int,
    rows: int,
    owner: I64,
    state: F64,
) -> None:
    """Sum, minimum and maximum, each value merged twice and none ever taken away.

    State: position in the block of n rows, the prefix of this block, then n values: this block's up to
    the position, and from there on the suffixes of the block before. (van Herk, Pattern Recognition
    Letters 13, 1992, for extrema.)
    """
    empty = 0.0 if code == SUM else (np.inf if code == MIN else -np.inf)
    first = slot + 2
    for r in range(rows):
        s = owner[r]
        at = int(state[slot, s])
        value = empty if x[r] != x[r] else x[r]
        prefix = value if at == 0 else _merge(code, state[slot + 1, s], value)
        state[first + at, s] = value
        total = prefix
        if at + 1 < n:
            total = _merge(code, state[first + at + 1, s], prefix)
        out[r] = _finite(total) if count[r] >= least else np.nan
        if at + 1 < n:
            state[slot, s] = at + 1.0
            state[slot + 1, s] = prefix
        else:
            for j in range(n - 2, -1, -1):
                state[first + j, s] = _merge(code, state[first + j, s], state[first + j + 1, s])
            state[slot, s] = 0.0


@njit(**_COMPILE)
def _squares(count: float, total: float, squares: float) -> float:
    """Squared deviations from the mean, of values taken from an anchor that is one of them."""
    return squares - total * total / count if count > 0.0 else 0.0


@njit(**_COMPILE)
def _variance(
    out: F64,
    x: F64,
    count: F64,
    n: int,
    least: float,
    ddof: float,
    slot: int,
    rows: int,
    owner: I64,
    state: F64,
) -> None:
    """Variance from the two parts of the window (Chan, Golub, LeVeque 1983).

    Each part's sums are taken from a value inside that part, so a spike that has left the window has
    left the sums too and cancellation is bounded by the length of the window.
    State: position, the prefix's anchor, count, sum and squares, the suffixes' anchor, then n sums (this
    block's raw values up to the position) and n sums of squares.
    """
    sums, squares = slot + 6, slot + 6 + n
    for r in range(rows):
        s = owner[r]
        at = int(state[slot, s])
        if at == 0:
            state[slot + 2, s] = 0.0
            state[slot + 3, s] = 0.0
            state[slot + 4, s] = 0.0
        if x[r] == x[r]:
            if state[slot + 2, s] == 0.0:
                state[slot + 1, s] = x[r]
            away = x[r] - state[slot + 1, s]
            state[slot + 2, s] += 1.0
            state[slot + 3, s] += away
            state[slot + 4, s] += away * away
        state[sums + at, s] = x[r]
        k = state[slot + 2, s]
        deviations = _squares(k, state[slot + 3, s], state[slot + 4, s])
        before = count[r] - k
        if at + 1 < n and before > 0.0:
            total = state[sums + at + 1, s]
            deviations += _squares(before, total, state[squares + at + 1, s])
            if k > 0.0:
                apart = (state[slot + 5, s] - state[slot + 1, s]) + (total / before - state[slot + 3, s] / k)
                deviations += apart * apart * (before * k / count[r])
        enough = count[r] >= least and count[r] > ddof
        out[r] = _finite(max(deviations, 0.0) / (count[r] - ddof)) if enough else np.nan
        if at + 1 < n:
            state[slot, s] = at + 1.0
        else:
            _suffixes(n, slot, s, state)
            state[slot, s] = 0.0


@njit(**_COMPILE)
def _suffixes(n: int, slot: int, s: int, state: F64) -> None:
    """Turn a full block's raw values into the sums of its suffixes, from its last valid value."""
    sums, squares = slot + 6, slot + 6 + n
    anchor, total, square = 0.0, 0.0, 0.0
    found = False
    for j in range(n - 1, -1, -1):
        value = state[sums + j, s]
        if value == value:
            if not found:
                anchor, found = value, True
            total += value - anchor
            square += (value - anchor) * (value - anchor)
        state[sums + j, s] = total
        state[squares + j, s] = square
    state[slot + 5, s] = anchor


@njit(**_COMPILE)
def _ewm(
    out: F64, x: F64, n: int, seed_at: float, alpha: float, slot: int, rows: int, owner: I64, state: F64
) -> None:
    """State: valid values so far, the average (until the seed: the sum of what it is the mean of)."""
    for r in range(rows):
        s = owner[r]
        if x[r] == x[r]:
            seen = state[slot, s] + 1.0
            state[slot, s] = seen
            if seen > seed_at:
                state[slot + 1, s] += (x[r] - state[slot + 1, s]) * alpha
            elif seen > seed_at - n:
                state[slot + 1, s] += x[r]
                if seen == seed_at:
                    state[slot + 1, s] /= n
        out[r] = _finite(state[slot + 1, s]) if state[slot, s] >= seed_at else np.nan


@njit(**_COMPILE)
def _total(code: int, out: F64, x: F64, slot: int, rows: int, owner: I64, state: F64) -> None:
    """Cumulative sum (state: whether any value came, the sum) and age (state: rows since the last)."""
    for r in range(rows):
        s = owner[r]
        valid = x[r] == x[r]
        if code == AGE:
            state[slot, s] = 0.0 if valid else state[slot, s] + 1.0
            out[r] = state[slot, s]
        else:
            if valid:
                state[slot, s] = 1.0
                state[slot + 1, s] += x[r]
            out[r] = _finite(state[slot + 1, s]) if state[slot, s] > 0.0 else np.nan


@njit(**_COMPILE)
def step(table: I64, numbers: F64, registers: F64, rows: int, owner: I64, state: F64) -> None:
    """Run every instruction over ``rows`` rows.

    ``table`` int64 [instructions, 7], ``numbers`` float64 [instructions, 2], ``registers`` float64
    [registers, >= rows], ``owner`` int64 [rows]: the column of ``state`` float64 [slots, instruments].
    """
    for i in range(table.shape[0]):
        code, n, slot = table[i, 0], table[i, 5], table[i, 6]
        out = registers[table[i, 1]]
        a, b, c = registers[table[i, 2]], registers[table[i, 3]], registers[table[i, 4]]
        least, number = numbers[i, 0], numbers[i, 1]
        if code <= DIV or code in (NEG, ABS, SQRT):
            _arithmetic(code, out, a, b, rows)
        elif code < REF:
            for r in range(rows):
                out[r] = _one(code, a[r], b[r], c[r])
        elif code == REF:
            _ref(out, a, n, slot, rows, owner, state)
        elif code == COUNT:
            _count(out, a, n, slot, rows, owner, state)
        elif code <= MAX:
            _aggregate(code, out, a, b, n, least, slot, rows, owner, state)
        elif code == VAR:
            _variance(out, a, b, n, least, number, slot, rows, owner, state)
        elif code == EWM:
            _ewm(out, a, n, least, number, slot, rows, owner, state)
        else:
            _total(code, out, a, slot, rows, owner, state)


@njit(**_COMPILE)
def run(
    table: I64,
    numbers: F64,
    loads: I64,
    saves: I64,
    panel: F64,
    start: int,
    ends: I64,
    registers: F64,
    state: F64,
    stored: I64,
    snapshots: F64,
) -> None:
    """One instrument's rows ``[start, ends[-1])`` of the panel, with its state noted at each end.

    ``loads`` and ``saves`` int64 [k, 2] pair registers with rows of ``panel`` float64 [rows, N];
    ``snapshots`` float64 [ends, stored] receives the slots ``stored``.
    """
    owner = np.zeros(BLOCK, np.int64)
    t = start
    for e in range(len(ends)):
        while t < ends[e]:
            rows = min(BLOCK, ends[e] - t)
            for j in range(loads.shape[0]):
                for r in range(rows):
                    registers[loads[j, 0], r] = panel[loads[j, 1], t + r]
            step(table, numbers, registers, rows, owner, state)
            for j in range(saves.shape[0]):
                for r in range(rows):
                    panel[saves[j, 1], t + r] = registers[saves[j, 0], r]
            t += rows
        for j in range(len(stored)):
            snapshots[e, j] = state[stored[j], 0]
