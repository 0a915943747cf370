"""What a prediction and a return series are worth: information coefficients, Sharpe and its kin.

Every function of returns works along the last axis, so that a bootstrap can hand in ``[R, n]``
resamples at once. What cannot be computed is NaN here; it becomes null where a table begins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_CROSS_SECTION = 5
"""Below this many instruments there is no cross-section: coefficients are taken over time."""


def _ratio(numerator: Any, denominator: Any) -> Array:
    """Divide, giving NaN where the denominator is zero or unknown."""
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    out = np.full(shape, np.nan)
    np.divide(top, bottom, out=out, where=np.broadcast_to(bottom != 0, shape))
    return out


def _spread(values: Array, centre: Array) -> Array:
    """Sample deviation around ``centre``, exactly zero for a series that is constant up to rounding."""
    count = values.shape[-1]
    if count < 2:
        return np.full(values.shape[:-1], np.nan)
    deviation = np.sqrt(np.square(values - centre[..., None]).sum(axis=-1) / (count - 1))
    floor = 1e-14 * np.abs(values).max(axis=-1)
    return np.asarray(np.where(deviation <= floor, 0.0, deviation))


def sharpe(returns: Array, periods_per_year: float) -> Array:
    """Annualised mean over sample standard deviation of periodic returns (risk-free rate zero).

    ``returns``: ``[..., n]`` simple returns; NaN when ``n < 2`` or the returns do not vary.

    >>> round(float(sharpe(np.array([0.01, -0.01, 0.02]), 252)), 6)
    6.92820...
    """
    values = np.asarray(returns, dtype=np.float64)
    mean = values.mean(axis=-1)
    return _ratio(mean, _spread(values, mean)) * math.sqrt(periods_per_year)


def sortino(returns: Array, periods_per_year: float) -> Array:
    """Annualised mean over downside deviation, the root mean square of the returns below zero.

    >>> round(float(sortino(np.array([0.03, -0.01]), 1)), 6)
    1.414214
    """
    values = np.asarray(returns, dtype=np.float64)
    downside = np.sqrt(np.square(np.minimum(values, 0.0)).mean(axis=-1))
    return _ratio(values.mean(axis=-1), downside) * math.sqrt(periods_per_year)


def total_return(returns: Array) -> Array:
    """Compound simple returns.

    >>> round(float(total_return(np.array([0.1, -0.5]))), 6)
    -0.45
    """
    return np.asarray(np.prod(1.0 + np.asarray(returns, dtype=np.float64), axis=-1) - 1.0)


def annual_return(returns: Array, periods_per_year: float) -> Array:
    """Compound annual growth of periodic simple returns.

    >>> round(float(annual_return(np.array([0.1, 0.1]), 1)), 6)
    0.1
    """
    growth = np.maximum(1.0 + total_return(returns), 0.0)
    return np.asarray(growth ** (periods_per_year / np.asarray(returns).shape[-1]) - 1.0)


def max_drawdown(returns: Array) -> Array:
    """Deepest fall from a running peak of the compounded curve, as a number at or below zero.

    The curve starts at 1, so a loss in the first period counts.

    >>> round(float(max_drawdown(np.array([0.1, -0.5, 0.2]))), 6)
    -0.5
    """
    curve = np.cumprod(1.0 + np.asarray(returns, dtype=np.float64), axis=-1)
    peak = np.maximum(np.maximum.accumulate(curve, axis=-1), 1.0)
    return np.asarray((curve / peak - 1.0).min(axis=-1))


def calmar(returns: Array, periods_per_year: float) -> Array:
    """Compound annual growth over the deepest drawdown; NaN when nothing was ever lost.

    >>> round(float(calmar(np.array([0.1, -0.05, 0.1]), 3)), 4)
    2.99
    """
    return _ratio(annual_return(returns, periods_per_year), -max_drawdown(returns))


def icir(coefficients: Array) -> Array:
    """Mean over sample standard deviation of the sessions' information coefficients, not annualised.

    >>> round(float(icir(np.array([0.02, 0.04]))), 6)
    2.12132
    """
    values = np.asarray(coefficients, dtype=np.float64)
    mean = values.mean(axis=-1)
    return _ratio(mean, _spread(values, mean))


def cross_sectional_ic(
    predictions: pl.DataFrame, *, score: str = "score", outcome: str = "forward_return"
) -> pl.DataFrame:
    """Pearson (``ic``) and Spearman (``rank_ic``) coefficients across the instruments of each ``ts_close``.

    Rows without an outcome do not count; a timestamp with fewer than five instruments left, or on which
    scores or outcomes do not vary, is null. Returns ts_close, session_date, n, ic, rank_ic by time.
    """
    known = predictions.filter(pl.col(outcome).is_not_null() & pl.col(score).is_not_null())
    varies = (
        (pl.len() >= MIN_CROSS_SECTION) & (pl.col(score).n_unique() > 1) & (pl.col(outcome).n_unique() > 1)
    )
    ranked = known.with_columns(
        _rank(pl.col(name), "ts_close").alias(f"{name}_rank") for name in (score, outcome)
    )
    return (
        ranked.group_by("ts_close")
        .agg(
            pl.col("session_date").first(),
            pl.len().cast(pl.Int64).alias("n"),
            pl.when(varies).then(pl.corr(score, outcome)).alias("ic"),
            pl.when(varies).then(pl.corr(f"{score}_rank", f"{outcome}_rank")).alias("rank_ic"),
        )
        .with_columns(pl.col("ic", "rank_ic").fill_nan(None))
        .sort("ts_close")
    )


def ic_over_time(
    predictions: pl.DataFrame, *, score: str = "score", outcome: str = "forward_return"
) -> pl.DataFrame:
    """Coefficients over time, for fewer than five instruments, as contributions that average to them.

    For each instrument, scores and outcomes (and their ranks) are standardised over all its rows; the
    product of the two averages to its Pearson (Spearman) coefficient exactly. Returns ts_close,
    session_date, n, ic, rank_ic: the products averaged over the instruments of the timestamp.
    """
    known = predictions.filter(pl.col(outcome).is_not_null() & pl.col(score).is_not_null())
    ranked = known.with_columns(
        _rank(pl.col(name), "instrument_id").alias(f"{name}_rank") for name in (score, outcome)
    )
    return (
        ranked.with_columns(
            (_standard(score) * _standard(outcome)).alias("ic"),
            (_standard(f"{score}_rank") * _standard(f"{outcome}_rank")).alias("rank_ic"),
        )
        .group_by("ts_close")
        .agg(
            pl.col("session_date").first(),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("ic", "rank_ic").mean(),
        )
        .sort("ts_close")
    )


def _rank(column: pl.Expr, over: str) -> pl.Expr:
    return column.rank("average").over(over)


def _standard(column: str) -> pl.Expr:
    values = pl.col(column)
    varies = values.n_unique().over("instrument_id") > 1
    standard = (values - values.mean().over("instrument_id")) / values.std(ddof=0).over("instrument_id")
    return pl.when(varies).then(standard)


def hits(predictions: pl.DataFrame, *, cross_section: bool) -> pl.DataFrame:
    """Count, per session, rows whose score and forward return lie on the same side.

    The side is taken from the timestamp's median across instruments (``cross_section``), else from zero;
    rows on the line do not count. Returns session_date, hits, calls.
    """
    known = predictions.filter(pl.col("forward_return").is_not_null())
    names = ("score", "forward_return")
    sides = [
        (pl.col(name) - (pl.col(name).median().over("ts_close") if cross_section else 0.0)).sign()
        for name in names
    ]
    product = (sides[0] * sides[1]).alias("product")
    return (
        known.select("session_date", product)
        .group_by("session_date")
        .agg(
            (pl.col("product") > 0).sum().cast(pl.Int64).alias("hits"),
            (pl.col("product") != 0).sum().cast(pl.Int64).alias("calls"),
        )
        .sort("session_date")
    )


def rank_ic(predictions: pl.DataFrame) -> float | None:
    """Mean over timestamps of the cross-sectional Spearman coefficient; null when none is defined.

    >>> frame = pl.DataFrame({"ts_close": [1] * 5, "session_date": [1] * 5,
    ...     "score": [1.0, 2, 3, 4, 5], "forward_return": [0.1, 0.2, 0.3, 0.5, 0.4]})
    >>> round(rank_ic(frame), 6)
    0.9
    """
    value = cross_sectional_ic(predictions)["rank_ic"].mean()
    return float(value) if isinstance(value, float) else None


def spearman(x: Sequence[float] | Array, y: Sequence[float] | Array) -> float:
    """Spearman coefficient of two series with average ranks for ties; NaN when one does not vary.

    >>> round(spearman([1, 2, 3], [1, 3, 2]), 6)
    0.5
    """
    pair = pl.DataFrame({"x": np.asarray(x, dtype=np.float64), "y": np.asarray(y, dtype=np.float64)})
    ranks = pair.select(pl.all().rank("average")).to_numpy()
    centred = ranks - ranks.mean(axis=0)
    norm = math.sqrt(float(np.square(centred[:, 0]).sum()) * float(np.square(centred[:, 1]).sum()))
    return float(centred[:, 0] @ centred[:, 1]) / norm if norm > 0 else math.nan
