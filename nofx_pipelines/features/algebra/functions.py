"""The words of the algebra: columns, windows, recursions, cross-sections.

>>> log(close / ref(close, 5))
log(close / ref(close, 5))
>>> rank(rolling_std(log(close / ref(close, 1)), 20)).warm_up
20
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.expr import Expr, Operand, as_expr, column, parameter

open_ = column("open")
high = column("high")
low = column("low")
close = column("close")
volume = column("volume")
amount = column("amount")
n_trades = column("n_trades")
taker_volume = column("taker_volume")
taker_amount = column("taker_amount")
prev_close = column("prev_close")
"""The previous session's close as the exchange takes it for its limits."""
limit_up = column("limit_up")
limit_down = column("limit_down")
open_minute = column("open_minute")
"""When the bar opens, in minutes since 1970."""
close_minute = column("close_minute")
"""When the bar closes, in minutes since 1970."""
session_day = column("session_day")
"""The exchange's session, in days since 1970."""
minute_of_day = column("minute_of_day")
"""When the bar closes, in minutes of the UTC day."""
in_auction = column("in_auction")
"""1 for a bar of an auction, 0 for others; missing where the bars do not say."""
sector = column("sector")
board = column("board")
funding_rate = column("funding_rate")
index_price = column("index_price")
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


def atan(x: Operand) -> Expr:
    """Arc tangent, in radians."""
    return Expr("atan", (as_expr(x),))


def floor(x: Operand) -> Expr:
    """The largest whole number that is not above x."""
    return Expr("floor", (as_expr(x),))


def power(x: Operand, exponent: Operand) -> Expr:
    """x to the power of ``exponent``; null where that is no real number."""
    return as_expr(x) ** exponent


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


def _rolling(op: str, args: Sequence[Expr], n: int, min_valid: int | None, *more: float | str) -> Expr:
    _rows(n, f"n of {op}", 1)
    least = n if min_valid is None else _rows(min_valid, "min_valid", 1)
    if least > n:
        raise FeatureError(f"min_valid = {least} is more than the window of {n} rows", hint=f"min_valid={n}")
    return Expr(op, tuple(args), (n, least, *more))


def rolling_count(x: Expr, n: int) -> Expr:
    """How many of the last n rows are valid."""
    return Expr("rolling_count", (x,), (_rows(n, "n of rolling_count", 1),))


def rolling_sum(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Sum over the last n rows."""
    return _rolling("rolling_sum", (x,), n, min_valid)


def rolling_mean(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Mean over the last n rows."""
    return _rolling("rolling_mean", (x,), n, min_valid)


def rolling_var(x: Expr, n: int, min_valid: int | None = None, ddof: int = 1) -> Expr:
    """Variance over the last n rows, divided by the number of values less ``ddof``."""
    return _rolling("rolling_var", (x,), n, min_valid, _rows(ddof, "ddof", 0))


def rolling_std(x: Expr, n: int, min_valid: int | None = None, ddof: int = 1) -> Expr:
    """Standard deviation over the last n rows."""
    return _rolling("rolling_std", (x,), n, min_valid, _rows(ddof, "ddof", 0))


def rolling_min(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Smallest of the last n rows."""
    return _rolling("rolling_min", (x,), n, min_valid)


def rolling_max(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Largest of the last n rows."""
    return _rolling("rolling_max", (x,), n, min_valid)


def rolling_product(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Product over the last n rows."""
    return _rolling("rolling_product", (x,), n, min_valid)


def rolling_skew(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Skewness over the last n rows, bias corrected as in pandas; null for equal values."""
    return _rolling("rolling_skew", (x,), n, min_valid)


def rolling_kurt(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Excess kurtosis over the last n rows, bias corrected as in pandas; null for equal values."""
    return _rolling("rolling_kurt", (x,), n, min_valid)


def rolling_mad(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Mean absolute deviation from the mean of the last n rows."""
    return _rolling("rolling_mad", (x,), n, min_valid)


def _extreme(op: str, x: Expr, n: int, min_valid: int | None, ties: str, missing: str) -> Expr:
    if ties not in ("newest", "oldest") or missing not in ("skip", "first"):
        raise FeatureError(
            f"ties={ties!r}, missing={missing!r} of {op} is not known",
            hint='ties="newest" or "oldest", missing="skip" or "first"',
        )
    return _rolling(op, (x,), n, min_valid, ties, missing)


def rolling_argmax(
    x: Expr, n: int, min_valid: int | None = None, *, ties: str = "newest", missing: str = "skip"
) -> Expr:
    """How many rows back the largest of the last n stands; 0 is this row.

    Of equals the ``newest`` or the ``oldest`` counts. ``missing="first"`` takes a missing value for the
    largest, as Qlib does.
    """
    return _extreme("rolling_argmax", x, n, min_valid, ties, missing)


def rolling_argmin(
    x: Expr, n: int, min_valid: int | None = None, *, ties: str = "newest", missing: str = "skip"
) -> Expr:
    """How many rows back the smallest of the last n stands; see `rolling_argmax`."""
    return _extreme("rolling_argmin", x, n, min_valid, ties, missing)


def rolling_quantile(x: Expr, n: int, q: float, min_valid: int | None = None) -> Expr:
    """The q-quantile of the last n rows, linear between neighbours."""
    if not 0 <= q <= 1:
        raise FeatureError(f"q = {q!r} is not in [0, 1]", hint="rolling_quantile(close, 20, 0.8)")
    return _rolling("rolling_quantile", (x,), n, min_valid, float(q))


def rolling_median(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """The median of the last n rows."""
    return rolling_quantile(x, n, 0.5, min_valid)


def rolling_rank(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """The rank of this row's value among the last n, ties averaged, divided by their number: in (0, 1]."""
    return _rolling("rolling_rank", (x,), n, min_valid)


def rolling_wmean(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Mean of the last n rows with weights 1 for the oldest to n for this one."""
    return _rolling("rolling_wmean", (x,), n, min_valid)


def rolling_slope(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Slope a row of the least-squares line through the last n rows."""
    return _rolling("rolling_slope", (x,), n, min_valid)


def rolling_rsquare(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """R squared of the least-squares line through the last n rows; null for equal values."""
    return _rolling("rolling_rsquare", (x,), n, min_valid)


def rolling_residual(x: Expr, n: int, min_valid: int | None = None) -> Expr:
    """This row's value less the least-squares line through the last n rows."""
    return _rolling("rolling_residual", (x,), n, min_valid)


def rolling_cov(x: Expr, y: Expr, n: int, min_valid: int | None = None, ddof: int = 1) -> Expr:
    """Covariance over those of the last n rows that have both."""
    return _rolling("rolling_cov", (x, y), n, min_valid, _rows(ddof, "ddof", 0))


def rolling_corr(x: Expr, y: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Pearson correlation over those of the last n rows that have both; null where one does not move."""
    return _rolling("rolling_corr", (x, y), n, min_valid)


def rolling_beta(x: Expr, y: Expr, n: int, min_valid: int | None = None) -> Expr:
    """Slope of the regression of y on x over the last n rows: y moves so much where x moves by 1."""
    return _rolling("rolling_beta", (x, y), n, min_valid)


def rolling_beta_residual(x: Expr, y: Expr, n: int, min_valid: int | None = None) -> Expr:
    """This row's y less what the regression on x over the last n rows says."""
    return _rolling("rolling_beta_residual", (x, y), n, min_valid)


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


def decayed_mean(x: Expr, alpha: float, min_valid: int = 1) -> Expr:
    """Mean of all values so far, weighted (1 - alpha) ** rows back: pandas' ``ewm(alpha=...).mean()``."""
    if not 0 < alpha <= 1:
        raise FeatureError(f"alpha = {alpha!r} is not in (0, 1]", hint="a span of n has alpha 2 / (n + 1)")
    return Expr("decayed_mean", (x,), (float(alpha), _rows(min_valid, "min_valid", 1)))


def recur(a: Operand, b: Operand, seed: Expr) -> Expr:
    """y = a * y of the row before + b, begun with the first valid ``seed``; held where a or b is null."""
    return Expr("recur", (as_expr(a), as_expr(b), seed))


def cumprod(x: Expr) -> Expr:
    """Product of all values so far."""
    return Expr("cumprod", (x,))


def cummin(x: Expr) -> Expr:
    """Smallest of all values so far."""
    return Expr("cummin", (x,))


def cummax(x: Expr) -> Expr:
    """Largest of all values so far."""
    return Expr("cummax", (x,))


def bars_since(condition: Expr) -> Expr:
    """Rows since the condition last held: 0 when it does, null when it never did."""
    return Expr("bars_since", (condition,))


def sar(high_: Expr, low_: Expr, step: float = 0.02, largest: float = 0.2) -> Expr:
    """Parabolic stop and reverse (Wilder 1978), as TA-Lib's SAR."""
    if not (step >= 0 and largest >= 0):
        raise FeatureError(f"step = {step!r}, largest = {largest!r} must be 0 or more", hint="0.02 and 0.2")
    return Expr("sar", (high_, low_), (float(step), float(largest)))


def first_since(x: Expr, start: Expr) -> Expr:
    """The first valid x since ``start`` last held, that row included; of all rows before it ever did."""
    return Expr("first_since", (x, start))


def sum_since(x: Expr, start: Expr) -> Expr:
    """The sum of x since ``start`` last held; a missing value adds nothing."""
    return Expr("sum_since", (x, start))


def max_since(x: Expr, start: Expr) -> Expr:
    """The largest x since ``start`` last held."""
    return Expr("max_since", (x, start))


def min_since(x: Expr, start: Expr) -> Expr:
    """The smallest x since ``start`` last held."""
    return Expr("min_since", (x, start))


def sample(x: Operand, when: Expr) -> Expr:
    """x at the rows where ``when`` holds: windows of it count those rows only, until `hold` brings it back.

    >>> hold(rolling_mean(sample(close, minute_of_day.equals(420)), 5), minute_of_day.equals(420)).clock
    b''
    """
    return Expr("sample", (as_expr(x), when))


def hold(y: Expr, when: Expr) -> Expr:
    """What was computed of samples, at all rows: between two that ``when`` holds at, the last value."""
    return Expr("hold", (y, when))


def seasonal_mean(x: Expr, slot: Expr, slots: int, n: int) -> Expr:
    """Mean of x over about n earlier rows in the same ``slot`` (0 to ``slots`` - 1), such as a minute of day.

    The mean of all until there are n, exponential with alpha 2 / (n + 1) from then on; this row's own value
    is not in it.
    """
    return Expr("seasonal_mean", (x, slot), (_rows(slots, "slots", 1), _rows(n, "n", 1)))


def cumsum(x: Expr) -> Expr:
    """Sum of all values so far; a missing value adds nothing."""
    return Expr("cumsum", (x,))


def age(x: Expr) -> Expr:
    """Rows since x was last valid: 0 when it is, null when it never was."""
    return Expr("age", (x,))


def apply(function: Callable[..., float], n: int, *columns: Expr) -> Expr:
    """A plain Python function of the last n values of each column: ``function(float64 [n], …) -> float``.

    Called where all windows are whole. One that raises gives null there and is counted with what it said
    (`user_functions.applied`); the other features go on. The version follows from all that the function
    reads (`function_key`): its code, closure, default arguments, globals, and the functions that it calls.

    Raises
    ------
    FeatureError
        Where it reads what no version can cover: the clock, a file, chance, state that goes from row to row.

    Examples
    --------

    >>> def spread(x):
    ...     return x.max() - x.min()
    >>> apply(spread, 5, close).warm_up
    4
    """
    from nofx_pipelines.features.algebra.user_functions import register

    _rows(n, "n of apply", 1)
    if not columns:
        raise FeatureError("apply needs a column", hint="apply(function, 20, close)")
    lags = tuple(ref(x, back) for x in columns for back in range(n - 1, -1, -1))
    return Expr("apply", lags, (register(function), n))


def _cross(op: str, args: Sequence[Expr], group: Expr | None, min_count: int, least: int = 2) -> Expr:
    grouped = (*args, group) if group is not None else tuple(args)
    return Expr(op, grouped, (_rows(min_count, "min_count", least),))


def rank(x: Expr, min_count: int = 5, *, group: Expr | None = None) -> Expr:
    """Rank among the instruments of the same ``ts_close``, ties averaged, scaled to [-0.5, 0.5].

    Null where x is null and where fewer than ``min_count`` instruments have a value. With ``group`` (such as
    ``sector``) among those of the same group.
    """
    return _cross("rank", (x,), group, min_count)


def rank_share(x: Expr, min_count: int = 1, *, group: Expr | None = None) -> Expr:
    """Rank among the instruments of the same ``ts_close`` by their number, in (0, 1]; ties are averaged.

    Values no further apart than 1e-10 of the largest are ties: what is equal but for rounding ranks equal.
    """
    return _cross("rank_share", (x,), group, min_count, 1)


def zscore(x: Expr, min_count: int = 5, *, group: Expr | None = None) -> Expr:
    """Distance from the cross-section's mean in standard deviations (ddof 1); null where all are equal."""
    return _cross("zscore", (x,), group, min_count)


def demean(x: Expr, min_count: int = 2, *, group: Expr | None = None) -> Expr:
    """x less the mean of the cross-section, or of its group."""
    return _cross("demean", (x,), group, min_count)


def cross_mean(x: Expr, min_count: int = 2, *, group: Expr | None = None) -> Expr:
    """The mean of x over the instruments of the same ``ts_close``, or over its group's; null where x is."""
    return _cross("cross_mean", (x,), group, min_count)


def cross_sum(x: Expr, min_count: int = 1, *, group: Expr | None = None) -> Expr:
    """The sum of x over the instruments of the same ``ts_close``, or over its group's; null where x is."""
    return _cross("cross_sum", (x,), group, min_count, 1)


def neutralise(x: Expr, against: Expr, min_count: int = 5, *, group: Expr | None = None) -> Expr:
    """Residual of the cross-sectional regression of x on ``against``, within each group.

    ``neutralise(x, log(amount), group=sector)`` is x free of size within its sector.
    """
    return _cross("neutralise", (x, against), group, min_count)
