"""Sample weights by overlap: labels that share bars share information.

Source: M. López de Prado, Advances in Financial Machine Learning (2018), sections 4.3 and 4.4. A
row's label window is the bars ``t + 1 .. t + horizon``, over which its forward return and its barrier
are decided. A window open at a bar counts from the moment it opens, whether or not its end is known
yet, so a weight is settled when its own label is and never moves again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def concurrency(
    size: int, horizon: int, session: NDArray[np.int64] | None = None, ahead: int = 0
) -> NDArray[np.int64]:
    """How many of an instrument's label windows hold each bar.

    The window of bar i holds i + 1 .. i + horizon; with ``session`` (shape [size], the running number of
    each bar's session) it ends early after ``ahead`` sessions. Returns shape [size].

    >>> concurrency(5, 2).tolist()
    [0, 1, 2, 2, 2]
    """
    open_windows = np.zeros(size, dtype=np.int64)
    for lag in range(1, min(horizon, size - 1) + 1):
        within = 1 if session is None else session[lag:] - session[:-lag] <= ahead
        open_windows[lag:] += within
    return open_windows


def average_uniqueness(
    open_windows: NDArray[np.int64],
    horizon: int,
    session: NDArray[np.int64] | None = None,
    ahead: int = 0,
) -> NDArray[np.float64]:
    """Mean over each label window of one divided by the windows open at the bar, in (0, 1].

    ``open_windows``: shape [T], from :func:`concurrency`. Bars that have not happened yet are left out
    of the mean; a window with none so far weighs 1, as nothing overlaps it yet. Away from the edges
    of a history without gaps the value is 1 / horizon.

    >>> average_uniqueness(concurrency(5, 2), 2).tolist()
    [0.75, 0.5, 0.5, 0.5, 1.0]
    """
    size = open_windows.size
    share = 1.0 / np.maximum(open_windows, 1)
    total, held = np.zeros(size), np.zeros(size)
    for lag in range(1, min(horizon, size - 1) + 1):
        within = 1.0 if session is None else (session[lag:] - session[:-lag] <= ahead).astype(np.float64)
        total[:-lag] += share[lag:] * within
        held[:-lag] += within
    return np.where(held > 0, total / np.maximum(held, 1.0), 1.0)
