"""Which of two price barriers a path of closes touches first, or neither in time.

Barriers are compared with closes, not with highs and lows: a bar that spans both barriers does not
tell which came first, a high or a low may be a single odd print, and the forward return and sigma
are made of closes too.

Source: M. López de Prado, Advances in Financial Machine Learning (2018), chapter 3. Ours is symmetric
and needs no side; its timeout is labelled 0 instead of the sign of the return.
"""

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


def triple_barrier(
    close: NDArray[np.float64], width: NDArray[np.float64], horizon: int
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """First touch of ``± width[t]`` by ``log(close[t + k] / close[t])`` for k in 1..horizon.

    ``close``, ``width``: shape [T]; ``width`` in log return. Returns the side (1 upper, -1 lower, 0
    timeout) and the bars until the touch (``horizon`` at a timeout), both shape [T]; bars are 0, and
    the side is 0, where fewer than ``horizon`` bars follow or ``width`` is not above zero.

    >>> import numpy as np
    >>> side, bars = triple_barrier(np.exp([0.0, 0.1, 0.3, 0.2, 0.0]), np.full(5, 0.15), 2)
    >>> side.tolist(), bars.tolist()
    ([1, 1, -1, 0, 0], [2, 1, 2, 0, 0])
    """
    side = np.zeros(close.size, dtype=np.int8)
    bars = np.zeros(close.size, dtype=np.int64)
    decidable = close.size - horizon
    if decidable < 1:
        return side, bars
    start, reach = close[:decidable], width[:decidable]
    is_open = reach > 0  # False for NaN too
    bars[:decidable][is_open] = horizon
    for step in range(1, horizon + 1):
        log_return = np.log(close[step : step + decidable] / start)
        touched = is_open & (np.abs(log_return) >= reach)
        side[:decidable][touched] = np.sign(log_return[touched]).astype(np.int8)
        bars[:decidable][touched] = step
        is_open &= ~touched
    return side, bars
