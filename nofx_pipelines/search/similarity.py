"""How alike trials are, which a deflated Sharpe ratio needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def mean_correlations(returns: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """Each trial's mean correlation with the others; empty below two trials, 0 with one that never varied.

    >>> mean_correlations({0: [1.0, 2.0], 3: [2.0, 4.0]})
    {0: 1.0, 3: 1.0}
    """
    if len(returns) < 2:
        return {}
    series = np.array(list(returns.values()), dtype=np.float64)  # [M, T]
    centred = series - series.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)
    each = ((unit @ unit.T).sum(axis=1) - (unit * unit).sum(axis=1)) / (len(series) - 1)
    return dict(zip(returns, np.round(each, 12).tolist(), strict=True))
