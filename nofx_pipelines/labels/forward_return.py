"""The log return from a bar's close to the close ``horizon`` traded bars later."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def forward_return(close: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
    """``log(close[t + horizon] / close[t])`` of one instrument's traded bars; NaN where not yet known.

    ``close``: shape [T], adjusted prices above zero, oldest first. Returns shape [T]; the last
    ``horizon`` values are NaN.

    >>> import numpy as np
    >>> forward_return(np.array([100.0, 110.0, 121.0]), 1).round(4).tolist()
    [0.0953, 0.0953, nan]
    """
    log_return = np.full(close.size, np.nan)
    if close.size > horizon:
        log_return[:-horizon] = np.log(close[horizon:] / close[:-horizon])
    return log_return
