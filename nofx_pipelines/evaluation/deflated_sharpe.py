"""How likely a Sharpe ratio is more than luck: probabilistic and deflated Sharpe ratio."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EULER_GAMMA = 0.5772156649015329


def moments(returns: Array) -> tuple[float, float]:
    """Skewness and (non-excess) kurtosis of one series, biased estimators as in the Sharpe papers.

    >>> moments(np.array([-1.0, 1.0]))
    (0.0, 1.0)
    """
    values = np.asarray(returns, dtype=np.float64)
    centred = values - values.mean()
    variance = float(np.square(centred).mean())
    if variance == 0:
        return math.nan, math.nan
    return float((centred**3).mean() / variance**1.5), float((centred**4).mean() / variance**2)


def probabilistic_sharpe(
    observed: float, reference: float, length: int, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio exceeds ``reference`` (Bailey & López de Prado 2012).

    Both ratios are per period, not annualised; ``kurtosis`` is 3 for a normal. NaN when ``length < 2``.

    >>> round(probabilistic_sharpe(0.1, 0.1, 250), 6)
    0.5
    """
    spread = 1.0 - skew * observed + (kurtosis - 1.0) / 4.0 * observed**2
    if length < 2 or not spread > 0:
        return math.nan
    return _normal_cdf((observed - reference) * math.sqrt(length - 1) / math.sqrt(spread))


def expected_best_sharpe(trials: float, sharpe_variance: float) -> float:
    """Expected best of ``trials`` skill-less Sharpe ratios whose variance across trials is given.

    Bailey & López de Prado (2014), "The Deflated Sharpe Ratio", equation 1; never below zero, zero for one
    trial. ``trials`` are independent ones, so a fraction where they resemble each other.

    >>> round(expected_best_sharpe(100, 1 / 500), 4)
    0.1132
    """
    if trials <= 1:
        return 0.0
    from scipy.special import ndtri

    likely, unlikely = float(ndtri(1 - 1 / trials)), float(ndtri(1 - 1 / (trials * math.e)))
    expected = (1 - EULER_GAMMA) * likely + EULER_GAMMA * unlikely
    return math.sqrt(sharpe_variance) * max(expected, 0.0)


def deflated_sharpe(
    observed: float, trials: float, sharpe_variance: float, length: int, skew: float, kurtosis: float
) -> float:
    """Probability that the true Sharpe ratio beats the luckiest of the trials (same paper, equation 2).

    ``observed`` and ``sharpe_variance`` are per period; the example is the paper's own.

    >>> round(deflated_sharpe(2.5 / 250**0.5, 100, 0.5 / 250, 1250, -3, 10), 4)
    0.9004
    """
    return probabilistic_sharpe(
        observed, expected_best_sharpe(trials, sharpe_variance), length, skew, kurtosis
    )


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
