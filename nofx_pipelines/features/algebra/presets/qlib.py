"""Qlib's operators (`qlib.data.ops`): windows give a value from one valid row on, comparisons with a missing
value are false, the place of an extreme counts from the window's first row.

>>> from nofx_pipelines.features import close
>>> Mean(close, 5)
rolling_mean(close, 5, min_valid=1)
"""

from __future__ import annotations

from nofx_pipelines.features.algebra import functions as f
from nofx_pipelines.features.algebra.expr import Expr, Operand, as_expr

_STILL = 2e-5
"""Below this standard deviation Qlib gives no correlation and no R squared."""


def Ref(x: Expr, n: int) -> Expr:
    """x of n rows before."""
    return f.ref(x, n)


def Mean(x: Expr, n: int) -> Expr:
    """Mean of the valid ones of n rows."""
    return f.rolling_mean(x, n, 1)


def Sum(x: Expr, n: int) -> Expr:
    """Sum of the valid ones of n rows."""
    return f.rolling_sum(x, n, 1)


def Std(x: Expr, n: int) -> Expr:
    """Standard deviation (ddof 1) of the valid ones of n rows."""
    return f.rolling_std(x, n, 1)


def Max(x: Expr, n: int) -> Expr:
    """Largest of n rows."""
    return f.rolling_max(x, n, 1)


def Min(x: Expr, n: int) -> Expr:
    """Smallest of n rows."""
    return f.rolling_min(x, n, 1)


def Quantile(x: Expr, n: int, q: float) -> Expr:
    """The q-quantile of the valid ones of n rows."""
    return f.rolling_quantile(x, n, q, 1)


def Rank(x: Expr, n: int) -> Expr:
    """Rank of this row among n, as a share."""
    return f.rolling_rank(x, n, 1)


def _rows(x: Expr, n: int) -> Expr:
    """Rows in the window: n, fewer at an instrument's beginning."""
    return f.rolling_count(f.fill_null(x, 0), n)


def IdxMax(x: Expr, n: int) -> Expr:
    """Place of the first largest in the window, 1 for its oldest row; a missing value counts as largest."""
    return _rows(x, n) - f.rolling_argmax(x, n, 1, ties="oldest", missing="first")


def IdxMin(x: Expr, n: int) -> Expr:
    """Place of the first smallest in the window; see `IdxMax`."""
    return _rows(x, n) - f.rolling_argmin(x, n, 1, ties="oldest", missing="first")


def Slope(x: Expr, n: int) -> Expr:
    """Slope a row of the line through the valid ones of n rows."""
    return f.rolling_slope(x, n, 1)


def Rsquare(x: Expr, n: int) -> Expr:
    """R squared of that line; missing where x hardly moves."""
    return _where_not(Std(x, n) <= _STILL, f.rolling_rsquare(x, n, 1))


def Resi(x: Expr, n: int) -> Expr:
    """This row less that line."""
    return f.rolling_residual(x, n, 1)


def Corr(x: Expr, y: Expr, n: int) -> Expr:
    """Correlation over rows that have both; missing where either hardly moves."""
    still = (Std(x, n) <= _STILL) | (Std(y, n) <= _STILL)
    return _where_not(still, f.rolling_corr(x, y, n, 1))


def _where_not(condition: Expr, x: Expr) -> Expr:
    return x / f.where(condition, 0, 1)


def Greater(a: Operand, b: Operand) -> Expr:
    """The larger of two."""
    return f.maximum(a, b)


def Less(a: Operand, b: Operand) -> Expr:
    """The smaller of two."""
    return f.minimum(a, b)


def Abs(x: Expr) -> Expr:
    """Absolute value."""
    return abs(x)


def Log(x: Expr) -> Expr:
    """Natural logarithm."""
    return f.log(x)


def Gt(a: Operand, b: Operand) -> Expr:
    """1 where a > b, else 0, missing values included."""
    return f.fill_null(f.where(as_expr(a) > b, 1, 0), 0)


def Lt(a: Operand, b: Operand) -> Expr:
    """1 where a < b, else 0, missing values included."""
    return f.fill_null(f.where(as_expr(a) < b, 1, 0), 0)
