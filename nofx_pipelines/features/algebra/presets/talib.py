"""TA-Lib's functions with TA-Lib's treatment of missing values: what a gap does there, it does here.

Missing values before the first valid one are skipped, as its Python wrapper does. After that

- running sums and averages are missing for good: `SMA`, `EMA`, `DEMA`, `TEMA`, `TRIMA`, `SUM`, `VAR`,
  `STDDEV`, `LINEARREG`, `LINEARREG_SLOPE`, `TSF`, `MACD`;
- `MOM` and `ROC` are missing where either end is, `AVGDEV` while the gap is in its window;
- `RSI`, `CMO` and `CORREL` are 0 for good.

The set ``ta`` has the same formulas with this package's own rule, which goes on after a gap. What TA-Lib's
WMA and extremes (MIN, MAX and all that is made of them) do depends on where in a block or a window the gap
stands; they have no preset.

>>> from nofx_pipelines.features import close
>>> SMA(close, 20).warm_up
19
"""

from __future__ import annotations

from nofx_pipelines.features.algebra import functions as f
from nofx_pipelines.features.algebra.expr import Expr


def _gap(x: Expr) -> Expr:
    """Whether x is missing after it had begun."""
    return f.is_null(x) & ~f.is_null(f.age(x))


def _broken(x: Expr) -> Expr:
    """Whether there has been a gap."""
    return f.cumsum(f.where(_gap(x), 1, 0)) > 0


def _until_a_gap(y: Expr, x: Expr) -> Expr:
    return y / f.where(_broken(x), 0, 1)


def _zero_after_a_gap(y: Expr, x: Expr, n: int) -> Expr:
    """0 from the gap on, but not before n values are due."""
    begun = f.rolling_count(f.fill_null(x, 0), 1)
    due = f.cumsum(f.where(f.is_null(f.age(x)), 0, begun))
    return f.where(_broken(x) & (due >= n), 0, y)


def SMA(x: Expr, n: int) -> Expr:
    """Mean of n."""
    return _until_a_gap(f.rolling_mean(x, n), x)


def SUM(x: Expr, n: int) -> Expr:
    """Sum of n."""
    return _until_a_gap(f.rolling_sum(x, n), x)


def EMA(x: Expr, n: int) -> Expr:
    """Exponential mean, seeded with the mean of n."""
    return _until_a_gap(f.ema(x, n), x)


def DEMA(x: Expr, n: int) -> Expr:
    """Double exponential mean."""
    one = f.ema(x, n)
    return _until_a_gap(2 * one - f.ema(one, n), x)


def TEMA(x: Expr, n: int) -> Expr:
    """Triple exponential mean."""
    one = f.ema(x, n)
    two = f.ema(one, n)
    return _until_a_gap(3 * one - 3 * two + f.ema(two, n), x)


def TRIMA(x: Expr, n: int) -> Expr:
    """Triangular mean."""
    half = (n + 1) // 2
    return _until_a_gap(f.rolling_mean(f.rolling_mean(x, half), n + 1 - half), x)


def VAR(x: Expr, n: int) -> Expr:
    """Variance, divided by n."""
    return _until_a_gap(f.rolling_var(x, n, ddof=0), x)


def STDDEV(x: Expr, n: int, nbdev: float = 1.0) -> Expr:
    """Standard deviation, divided by n."""
    return _until_a_gap(f.rolling_std(x, n, ddof=0) * nbdev, x)


def LINEARREG_SLOPE(x: Expr, n: int) -> Expr:
    """Slope of the line through n."""
    return _until_a_gap(f.rolling_slope(x, n), x)


def LINEARREG(x: Expr, n: int) -> Expr:
    """The line's last point."""
    return _until_a_gap(x - f.rolling_residual(x, n), x)


def TSF(x: Expr, n: int) -> Expr:
    """The line's next point."""
    return LINEARREG(x, n) + LINEARREG_SLOPE(x, n)


def MACD(x: Expr, fast: int = 12, slow: int = 26) -> Expr:
    """The faster exponential mean less the slower; both are seeded where the slower one is."""
    return _until_a_gap(f.ema(x, fast, seed_at=slow) - f.ema(x, slow), x)


def MOM(x: Expr, n: int) -> Expr:
    """Change over n rows."""
    return f.delta(x, n)


def ROC(x: Expr, n: int) -> Expr:
    """Change over n rows, in per cent."""
    return (x / f.ref(x, n) - 1) * 100


def AVGDEV(x: Expr, n: int) -> Expr:
    """Mean absolute deviation from the mean of n."""
    return f.rolling_mad(x, n)


def _wilder_moves(x: Expr, n: int) -> tuple[Expr, Expr]:
    move = f.delta(x, 1)
    return f.wilder(f.maximum(move, 0), n), f.wilder(f.maximum(-move, 0), n)


def RSI(x: Expr, n: int) -> Expr:
    """Wilder's relative strength index."""
    up, down = _wilder_moves(x, n)
    return _zero_after_a_gap(f.where((up + down).equals(0), 0, 100 * up / (up + down)), x, n + 1)


def CMO(x: Expr, n: int) -> Expr:
    """Chande's momentum oscillator."""
    up, down = _wilder_moves(x, n)
    return _zero_after_a_gap(f.where((up + down).equals(0), 0, 100 * (up - down) / (up + down)), x, n + 1)


def CORREL(x: Expr, y: Expr, n: int) -> Expr:
    """Correlation of n; 0 where one does not move."""
    pair = f.rolling_count(x + y, n)
    still = f.fill_null(f.rolling_corr(x, y, n), 0) / f.where(pair < n, 0, 1)
    return _zero_after_a_gap(still, x + y, n)
