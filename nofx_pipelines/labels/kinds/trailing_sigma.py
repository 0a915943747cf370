"""How much an instrument moved in the bars up to each one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def trailing_sigma(close: NDArray[np.float64], bars: int) -> NDArray[np.float64]:
    """Sample standard deviation (ddof 1) of the last ``bars`` log returns known at each bar.

    ``close``: shape [T]. Returns shape [T], NaN until ``bars`` returns exist. Each value is summed
    over its own window in one fixed order, so it does not depend on where the history starts.

    >>> import numpy as np
    >>> trailing_sigma(np.exp([0.0, 0.1, 0.0, 0.1]), 2).round(4).tolist()
    [nan, nan, 0.1414, 0.1414]
    """
    sigma = np.full(close.size, np.nan)
    windows = close.size - bars  # windows of `bars` returns, one per bar from `bars` on
    if windows < 1:
        return sigma
    log_return = np.log(close[1:] / close[:-1])
    mean = np.zeros(windows)
    for lag in range(bars):
        mean += log_return[lag : lag + windows]
    mean /= bars
    squares = np.zeros(windows)
    for lag in range(bars):
        squares += (log_return[lag : lag + windows] - mean) ** 2
    sigma[bars:] = np.sqrt(squares / (bars - 1))
    return sigma
