"""Intervals for dependent series: the stationary block bootstrap with an automatic block length.

One convention everywhere: two-sided percentile intervals, 95 % unless the configuration says otherwise. Such
intervals are a little narrow for short dependent series: 94 % cover the mean of 225 independent sessions,
88 % that of 225 sessions whose labels overlap fivefold (a thousand simulations each).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]

MIN_OBSERVATIONS = 10
"""Below this many sessions, or shortest blocks, no interval is given."""


def _autocovariances(centred: Array, lags: int) -> Array:
    return np.array([centred[k:] @ centred[: centred.size - k] for k in range(lags + 1)]) / centred.size


def _first_quiet_lag(autocorrelations: Array, run: int, bound: float) -> int:
    """First lag from which ``run`` autocorrelations in a row are insignificant, else the last loud one.

    Politis & White (2004), section 3.2, counted as in Patton's and the later public implementations.
    """
    quiet = np.abs(autocorrelations[1:]) < bound
    for lag in range(1, quiet.size - run + 2):
        if quiet[lag - 1 : lag - 1 + run].all():
            return lag
    return int(np.flatnonzero(~quiet)[-1]) + 1


def optimal_block_length(series: Array) -> float:
    """Mean block length that minimises the error of the stationary bootstrap's variance of the mean.

    Politis & White (2004) with the correction of Patton, Politis & White (2009): flat-top lag window,
    bandwidth from the first run of insignificant autocorrelations, at most ``min(3·sqrt(n), n/3)``.
    ``series``: ``[n]``. A constant or very short series gives 1.

    >>> optimal_block_length(np.zeros(100))
    1.0
    """
    values = np.asarray(series, dtype=np.float64)
    n = values.size
    centred = values - values.mean() if n else values
    if n < MIN_OBSERVATIONS or not np.any(np.abs(centred) > 1e-14 * np.abs(values).max()):
        return 1.0
    run = max(5, math.ceil(math.log10(n)))
    lags = min(math.ceil(math.sqrt(n)) + run, n - 1)
    covariances = _autocovariances(centred, lags)
    bound = 2.0 * math.sqrt(math.log10(n) / n)
    m = min(2 * _first_quiet_lag(covariances / covariances[0], run, bound), lags)
    k = np.arange(1, m + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - k / m))
    density = covariances[0] + 2.0 * float(window @ covariances[1 : m + 1])
    slope = 2.0 * float(window @ (k * covariances[1 : m + 1]))
    cap = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    length = (slope**2 / density**2 * n) ** (1.0 / 3.0) if density != 0 else 1.0
    return float(min(max(length, 1.0), cap))


def stationary_indices(
    n: int, block_length: float, resamples: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions ``[R, n]`` of stationary bootstrap resamples (Politis & Romano 1994).

    Blocks begin anywhere, their lengths are geometric with the given mean, and the series is a circle.

    >>> stationary_indices(5, 1e12, 1, np.random.default_rng(1)).shape
    (1, 5)
    """
    position = np.arange(n, dtype=np.int64)
    begins = rng.random((resamples, n)) < 1.0 / max(block_length, 1.0)
    begins[:, 0] = True
    starts = rng.integers(0, n, size=(resamples, n), dtype=np.int64)
    last_begin = np.maximum.accumulate(np.where(begins, position, 0), axis=1)
    return np.asarray((np.take_along_axis(starts, last_begin, axis=1) + position - last_begin) % n)


def resample(n: int, block_length: float, *, resamples: int, seed: int) -> NDArray[np.int64]:
    """Positions ``[R, n]`` for a seed: the same arguments give the same resamples."""
    return stationary_indices(n, block_length, resamples, np.random.default_rng(seed))


def percentile_interval(draws: Array, confidence: float) -> tuple[float, float] | None:
    """Two-sided percentile interval of bootstrap draws, None when more than 5 % of them are undefined.

    >>> percentile_interval(np.arange(101.0), 0.5)
    (25.0, 75.0)
    """
    known = np.asarray(draws, dtype=np.float64)
    known = known[np.isfinite(known)]
    if known.size == 0 or known.size < 0.95 * np.size(draws):
        return None
    tail = (1.0 - confidence) / 2.0
    lo, hi = np.quantile(known, [tail, 1.0 - tail])
    return float(lo), float(hi)


def interval(
    series: Array,
    statistic: Statistic,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    min_block: float = 1.0,
) -> tuple[float, float] | None:
    """Percentile interval of a statistic of one series ``[n]`` or of joint series ``[K, n]``.

    ``statistic`` maps ``[R, n]`` (``[K, R, n]``) to ``[R]``. The block length is the automatic one of the
    (first) series, at least ``min_block``. None below ten observations or ten times ``min_block``.

    >>> x = np.random.default_rng(0).normal(1.0, 1.0, 400)
    >>> lo, hi = interval(x, lambda r: r.mean(axis=-1), confidence=0.95, resamples=500, seed=7)
    >>> lo < 1.0 < hi
    True
    """
    values: Any = np.asarray(series, dtype=np.float64)
    n = values.shape[-1]
    if n < MIN_OBSERVATIONS * max(1.0, min_block):
        return None
    lead = values if values.ndim == 1 else values[0]
    block = max(optimal_block_length(lead), min_block)
    index = resample(n, block, resamples=resamples, seed=seed)
    return percentile_interval(statistic(values[..., index]), confidence)


def mean(series: Array) -> Array:
    """Mean along the last axis, the statistic of coefficients, turnover and paired differences."""
    return np.asarray(np.mean(series, axis=-1))
