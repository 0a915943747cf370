"""What a trial's scores are worth on a fold's valid rows, in NumPy for small arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.evaluation.portfolio import target_weights
from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.targets import MIN_CROSS_SECTION, group_ranks

Array = NDArray[np.float64]

RETURN_BLOCKS = 250
"""Returns kept of a fold."""


def rank_ic(score: Array, data: Dataset) -> float:
    """Mean over timestamps of the rank IC across instruments; below five instruments, of that over time.

    What ``evaluation.metrics`` computes in Polars, in NumPy for small arrays; zero where it is undefined.
    """
    time_code, instrument = _codes(data.ts_close), _codes(data.instrument_id)
    crossed = instrument.max() + 1 >= MIN_CROSS_SECTION
    groups = time_code if crossed else instrument
    product, usable = _rank_products(score, data.y, groups, MIN_CROSS_SECTION if crossed else 2)
    if not usable.any():
        return 0.0
    sums = np.bincount(time_code[usable], weights=product[usable])
    counts = np.bincount(time_code[usable])
    return float((sums[counts > 0] / counts[counts > 0]).mean())


def _rank_products(
    left: Array, right: Array, groups: NDArray[np.int64], smallest: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Per row, the product of standardised ranks (its group's mean is Spearman's coefficient)."""
    count = np.bincount(groups)
    ranks = [group_ranks(values, groups) - ((count + 1) / 2)[groups] for values in (left, right)]
    first, second = (np.bincount(groups, weights=values**2) / np.maximum(count, 1) for values in ranks)
    scale = np.sqrt(first * second)[groups]
    usable = (scale > 0) & (count >= smallest)[groups]
    return np.divide(ranks[0] * ranks[1], scale, out=np.zeros(len(left)), where=usable), usable


def turnover(score: Array, data: Dataset) -> float:
    """Mean one-way turnover a bar of the portfolio behind every Sharpe, before overlapping: 0 to 1.

    Long the top fifth by score with equal weights; below five instruments, long where it is positive.
    """
    weights = target_weights(_matrix(score, data), 1)
    if len(weights) < 2:
        return 0.0
    return float(0.5 * np.abs(np.diff(weights, axis=0)).sum(axis=1).mean())


def active_returns(score: Array, data: Dataset) -> Array:
    """``[T]``: what the portfolio earned over each timestamp's label horizon, less the passive one.

    The passive portfolio holds every instrument at equal weight (below five, cash), as in
    ``evaluation.evaluate``.
    """
    scores, earned = _matrix(score, data), _matrix(np.expm1(data.y), data)
    alike = 1.0 if scores.shape[1] >= MIN_CROSS_SECTION else -1.0
    passive = target_weights(np.where(np.isfinite(scores), alike, np.nan), 1)
    weights = target_weights(scores, 1) - passive
    return np.asarray((weights * np.nan_to_num(earned)).sum(axis=1))


def sharpe(returns: Array) -> float:
    """Mean over standard deviation, zero where they never varied.

    How much it varies between trials is what a deflated Sharpe ratio needs.
    """
    spread = float(returns.std())
    return float(returns.mean()) / spread if spread > 0 else 0.0


def block_means(values: Array, blocks: int) -> Array:
    """Means of at most ``blocks`` neighbouring parts of nearly equal length.

    >>> block_means(np.arange(5.0), 2).tolist()
    [1.0, 3.5]
    """
    if len(values) <= blocks:
        return values
    return np.array([part.mean() for part in np.array_split(values, blocks)])


def _matrix(values: Array, data: Dataset) -> Array:
    """``[T, N]``, NaN where an instrument has no row."""
    time_code, instrument = _codes(data.ts_close), _codes(data.instrument_id)
    matrix = np.full((time_code.max() + 1, instrument.max() + 1), np.nan)
    matrix[time_code, instrument] = values
    return matrix


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
