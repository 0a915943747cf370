"""What stands in a kernel's tables: the operators' codes, and the rows that an instruction is run over."""

from __future__ import annotations

from numba import njit

from nofx_pipelines.features.kernel import rows as row
from nofx_pipelines.features.kernel.memory import Tables, get_int
from nofx_pipelines.features.kernel.simd import WIDTH

BLOCK = 256
"""Rows that an instruction takes at once."""
TURNS = BLOCK // WIDTH
"""Rows of each of eight lanes in a block."""
FIELDS = 9
"""Columns of an instruction: code, dst, a, b, c, n, slot, then the range of the pool that it writes to."""

# fmt: off
OPS = (
    "add", "sub", "mul", "div", "neg", "abs", "sqrt", "minimum", "maximum", "lt", "le", "eq", "and", "or",
    "where", "is_null", "fill_null", "not", "known", "sign", "log", "exp", "pow", "atan", "floor",
    "copy", "load", "save", "turn",
    "refs", "counts", "sum", "product", "min", "max", "highest", "lowest", "var", "shape", "trend", "pair",
    "mad", "order", "ewm", "decayed", "recur", "cumsum", "cumprod", "cummin", "cummax", "age", "bars_since",
    "sar", "seasonal", "first_since", "sum_since", "max_since", "min_since", "sample", "hold",
)
(
    ADD, SUB, MUL, DIV, NEG, ABS, SQRT, MINIMUM, MAXIMUM, LT, LE, EQ, AND, OR,
    WHERE, IS_NULL, FILL_NULL, NOT, KNOWN, SIGN, LOG, EXP, POW, ATAN, FLOOR,
    COPY, LOAD, SAVE, TURN, REFS, COUNTS, SUM, PRODUCT, MIN, MAX, HIGHEST, LOWEST, VAR, SHAPE, TREND, PAIR,
    MAD, ORDER, EWM, DECAYED, RECUR, CUMSUM, CUMPROD, CUMMIN, CUMMAX, AGE, SINCE,
    SAR, SEASONAL, FIRST_SINCE, SUM_SINCE, MAX_SINCE, MIN_SINCE, SAMPLE, HOLD,
) = range(len(OPS))
# fmt: on
CODES = {name: code for code, name in enumerate(OPS)}
"""Position of a step's operator in the kernel's table."""

Segments = tuple[int, int, int, int, int, int]
"""How many rows; the address of where each segment begins and of its lane; how many segments; how many rows
each has where all have the same number and take turns (row 0 of every segment, then row 1), else 0; the
address of a line of scratch; there follows, for eight lanes that take turns, the address of the panel's row
that each begins at."""
SEGMENTS = 7


@njit(forceinline=True, **row.COMPILE)
def numbers_of(z: int) -> Tables:
    """`Tables` from their address."""
    return (
        get_int(z, 0), get_int(z, 1), get_int(z, 2), get_int(z, 3), get_int(z, 4), get_int(z, 5),
        get_int(z, 6), get_int(z, 7),
    )  # fmt: skip


@njit(forceinline=True, **row.COMPILE)
def numbers_of_one(z: int) -> Tables:
    """`Tables` whose places are addresses."""
    return (
        get_int(z, 0), get_int(z, 1), get_int(z, 2), get_int(z, 3), get_int(z, 4), get_int(z, 5),
        get_int(z, 6), 0,
    )  # fmt: skip


@njit(forceinline=True, **row.COMPILE)
def segments_of(g: int) -> Segments:
    """`Segments` from their address."""
    return get_int(g, 0), get_int(g, 1), get_int(g, 2), get_int(g, 3), get_int(g, 4), get_int(g, 5)


@njit(forceinline=True, **row.COMPILE)
def rows_of(g: Segments, s: int) -> tuple[int, int, int]:
    """A segment's first row in a register, how many rows, and how far apart."""
    if g[4] > 0:
        return s, g[4], g[3]
    return get_int(g[1], s), get_int(g[1], s + 1) - get_int(g[1], s), 1


@njit(forceinline=True, **row.COMPILE)
def side_by_side(g: Segments, s: int) -> bool:
    """Whether eight segments from s on are of lanes that stand side by side."""
    return s + WIDTH <= g[3] and get_int(g[2], s + WIDTH - 1) - get_int(g[2], s) == WIDTH - 1
