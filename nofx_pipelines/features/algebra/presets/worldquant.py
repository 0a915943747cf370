"""The functions of "101 Formulaic Alphas" (Kakushadze 2015, arXiv:1601.00991, appendix A).

Where the paper leaves a choice:

- a rank is its place divided by how many there are, ties averaged, over time as well as across;
- the day of an extreme counts from 1, the window's oldest; of equals the oldest counts;
- deviations and covariances divide by d - 1; a correlation with something that does not move is 0;
- ``adv`` is the mean of shares, as its comparisons with ``volume`` need, not of money;
- a number of days that is not whole is rounded down, as the paper says;
- a group of one instrument has no neutral value.

Correlations, covariances and decays of what lies within a few units are rounded to a multiple of 2^-32, ranks
across instruments to one of 2^-44, so that what is equal stays equal and no place hangs on a last bit.

>>> delta(close, 2.7)
close - ref(close, 2)
"""

from __future__ import annotations

from math import floor

from nofx_pipelines.features.algebra import functions as f
from nofx_pipelines.features.algebra.expr import Expr, Operand, as_expr
from nofx_pipelines.features.algebra.functions import close, sign, volume, where

_GRID = 1.5 * 2.0**20
"""Added and taken away again it leaves multiples of 2^-32."""
_FINE = 1.5 * 2.0**8

returns = close / f.ref(close, 1) - 1
"""Close to close."""


def rank(x: Operand) -> Expr:
    """Place among the instruments, as a share in (0, 1]."""
    return f.rank_share(as_expr(x)) + _FINE - _FINE


def delay(x: Expr, d: float) -> Expr:
    """x of d days before."""
    return f.ref(x, floor(d))


def delta(x: Expr, d: float) -> Expr:
    """x less x of d days before."""
    return f.delta(x, floor(d))


def correlation(x: Expr, y: Expr, d: float) -> Expr:
    """Correlation over d days; 0 where one does not move."""
    n = floor(d)
    whole = 0 * f.rolling_sum(x + y, n)  # missing as long as one of both is
    return f.fill_null(f.rolling_corr(x, y, n), 0) + _GRID - _GRID + whole


def covariance(x: Expr, y: Expr, d: float) -> Expr:
    """Covariance over d days, of ranks or what is as large."""
    return f.rolling_cov(x, y, floor(d)) + _GRID - _GRID


def scale(x: Expr) -> Expr:
    """x, so that absolute values sum to 1 over the instruments."""
    return x / f.cross_sum(abs(x))


def signedpower(x: Expr, a: Operand) -> Expr:
    """sign(x) * |x| ** a."""
    return sign(x) * abs(x) ** a


def decay_linear(x: Expr, d: float) -> Expr:
    """Mean of d days with weights d, d - 1, … 1 backwards."""
    return f.rolling_wmean(x, floor(d))


def decayed(x: Expr, d: float) -> Expr:
    """`decay_linear` of correlations, ranks, days or truths."""
    return decay_linear(x, d) + _GRID - _GRID


def indneutralize(x: Expr, g: Expr) -> Expr:
    """x less the mean of its group."""
    return f.demean(x, group=g)


def ts_min(x: Expr, d: float) -> Expr:
    """Smallest of d days."""
    return f.rolling_min(x, floor(d))


def ts_max(x: Expr, d: float) -> Expr:
    """Largest of d days."""
    return f.rolling_max(x, floor(d))


def ts_argmax(x: Expr, d: float) -> Expr:
    """The day of the largest, 1 to d."""
    return floor(d) - f.rolling_argmax(x, floor(d), ties="oldest")


def ts_argmin(x: Expr, d: float) -> Expr:
    """The day of the smallest, 1 to d."""
    return floor(d) - f.rolling_argmin(x, floor(d), ties="oldest")


def ts_rank(x: Expr, d: float) -> Expr:
    """Place of today among d days, as a share in (0, 1]."""
    return f.rolling_rank(x, floor(d))


def total(x: Expr, d: float) -> Expr:
    """The paper's ``sum`` over d days."""
    return f.rolling_sum(x, floor(d))


def product(x: Expr, d: float) -> Expr:
    """Product over d days."""
    return f.rolling_product(x, floor(d))


def stddev(x: Expr, d: float) -> Expr:
    """Standard deviation over d days."""
    return f.rolling_std(x, floor(d))


def adv(d: int) -> Expr:
    """Mean of d days' volume."""
    return f.rolling_mean(volume, d)


def if_(condition: Expr, then: Operand, otherwise: Operand) -> Expr:
    """The paper's ``condition ? then : otherwise``."""
    return where(condition, then, otherwise)


def holds(condition: Expr) -> Expr:
    """1 where a comparison holds, 0 where not."""
    return where(condition, 1, 0)
