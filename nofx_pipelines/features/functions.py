"""The words of the algebra: columns, windows, recursions, cross-sections.

>>> log(close / ref(close, 5))
log(close / ref(close, 5))
>>> rank(rolling_std(log(close / ref(close, 1)), 20)).warm_up
20
"""

from __future__ import annotations

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.expr import Expr, Operand, as_expr, column, parameter

open_ = column("open")
high = column("high")
low = column("low")
close = column("close")
volume = column("volume")
amount = column("amount")
vwap = amount / volume
"""Volume-weighted average price of the bar; null without volume."""
bars_per_year = parameter("bars_per_year")
"""Bars of this frequency in a year of the market's own sessions."""

_LARGEST = 1_000_000


def _rows(value: int, rule: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise FeatureError(
            f"{rule} = {value!r} is not a whole number from {least} to {_LARGEST}",
            hint="look back, never ahead: ref(close, 1), rolling_mean(close, 20)",
        )
    return value


def log(x: Operand) -> Expr:
    """Natural logarithm; null where x <= 0."""
    return Expr("log", (as_expr(x),))


def exp(x: Operand) -> Expr:
    """Exponential."""
    return Expr("exp", (as_expr(x),))


def sqrt(x: Operand) -> Expr:
    """Square root; null where x < 0."""
    return Expr("sqrt", (as_expr(x),))


def sign(x: Operand) -> Expr:
    """-1, 0 or 1."""
    return Expr("sign", (as_expr(x),))


def minimum(a: Operand, b: Operand) -> Expr:
    """The smaller of two; null when one is null."""
    return Expr("minimum", (as_expr(a), as_expr(b)))


def maximum(a: Operand, b: Operand) -> Expr:
    """The larger of two; null when one is null."""
    return Expr("maximum", (as_expr(a), as_expr(b)))


def clip(x: Operand, low_bound: Operand, high_bound: Operand) -> Expr:
    """x, held between two bounds."""
    return minimum(maximum(x, low_bound), high_bound)


def where(condition: Expr, then: Operand, otherwise: Operand) -> Expr:
    """``then`` where the condition holds, ``otherwise`` where not, null where it is null."""
    return Expr("where", (condition, as_expr(then), as_expr(otherwise)))


def is_null(x: Expr) -> Expr:
    """Whether x is missing."""
    return Expr("is_null", (x,))


def fill_null(x: Expr, value: Operand) -> Expr:
    """x, or ``value`` where x is missing."""
    return Expr("fill_null", (x, as_expr(value)))


def ref(x: Expr, n: int) -> Expr:
    """x of n rows before (n >= 0: the future is out of reach)."""
    return x if _rows(n, "n of ref", 0) == 0 else Expr("ref", (x,), (n,))


def delta(x: Expr, n: int) -> Expr:
    """x less x of n rows before."""
    return x - ref(x, n)


def _rolling(op: str, x: Expr, n: int, min_valid: int | None, *more: int) -> Expr:
    _rows(n, f"n of {op}", 1)
    least = n if min_valid is None else _rows(min_valid, "min_valid", 1)
    if least > n:
        raise FeatureError(f"min_valid = {least} is more than the window of {n} rows", hint=f"min_valid={n}")
    return Expr(op, (x,), (n, least, *more))


def rolling_count(x: Expr, n: int) -> Expr:
    """How many of the last n rows are valid."""
    return Expr("rolling_count", (x,), (_rows(n, "n of rolling_count", 1), 1))


def rolling_sum(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Sum over the last n rows."""
    return _rolling("rolling_sum", x, n, min_valid)


def rolling_mean(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Mean over the last n rows."""
    return _rolling("rolling_mean", x, n, min_valid)


def rolling_var(x: Expr, n: int, min_valid: int | None = None, ddof: int = 1) -> Expr:
    """Variance over the last n rows, divided by the number of values less ``ddof``."""
    return _rolling("rolling_var", x, n, min_valid, _rows(ddof, "ddof", 0))


def rolling_std(x: Expr, n: int, min_valid: int | None = None, ddof: int = 1) -> Expr:
    """Standard deviation over the last n rows."""
    return _rolling("rolling_std", x, n, min_valid, _rows(ddof, "ddof", 0))


def rolling_min(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Smallest of the last n rows."""
    return _rolling("rolling_min", x, n, min_valid)


def rolling_max(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Largest of the last n rows."""
    return _rolling("rolling_max", x, n, min_valid)


def ewm(x: Expr, n: int, *, alpha: float, seed_at: int | None = None) -> Expr:
    """Exponential smoothing, seeded with the mean of the n values that end at the ``seed_at``-th.

    Null before the seed; a missing value leaves the state as it is, and `age` tells for how long.
    """
    _rows(n, "n of ewm", 1)
    start = n if seed_at is None else _rows(seed_at, "seed_at", n)
    if not 0 < alpha <= 1:
        raise FeatureError(f"alpha = {alpha!r} is not in (0, 1]", hint="ema(x, 12) has alpha 2 / 13")
    return Expr("ewm", (x,), (float(alpha), n, start))


def ema(x: Expr, n: int, seed_at: int | None = None) -> Expr:
    """Exponential moving average as TA-Lib's EMA: alpha 2/(n+1), seeded with the mean of n values."""
    return ewm(x, n, alpha=2 / (n + 1) if n else 0.0, seed_at=seed_at)


def wilder(x: Expr, n: int) -> Expr:
    """Wilder's smoothing (New Concepts in Technical Trading Systems, 1978): alpha 1/n."""
    return ewm(x, n, alpha=1 / n if n else 0.0)


def cumsum(x: Expr) -> Expr:
    """Sum of all values so far; a missing value adds nothing."""
    return Expr("cumsum", (x,))


def age(x: Expr) -> Expr:
    """Rows since x was last valid: 0 when it is, null when it never was."""
    return Expr("age", (x,))


def rank(x: Expr, min_count: int = 5) -> Expr:
    """Rank among the instruments of the same ``ts_close``, ties averaged, scaled to [-0.5, 0.5].

    Null where x is null and where fewer than ``min_count`` instruments have a value.
    """
    return Expr("rank", (x,), (_rows(min_count, "min_count", 2),))
