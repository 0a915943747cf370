"""Operators across the instruments of one ``ts_close``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rank(values: NDArray[np.float64], groups: NDArray[np.int64], min_count: int) -> NDArray[np.float64]:
    """Average rank within each group, scaled to [-0.5, 0.5]; NaN is missing.

    ``values`` float64 [N], ``groups`` int64 [N]; groups with fewer than ``min_count`` valid values are
    missing throughout.

    >>> rank(np.array([3.0, 1.0, 1.0, np.nan, 7.0]), np.zeros(5, np.int64), 4).tolist()
    [0.16666666666666663, -0.33333333333333337, -0.33333333333333337, nan, 0.5]
    """
    out = np.full(len(values), np.nan)
    valid = np.flatnonzero(~np.isnan(values))
    if len(valid) == 0:
        return out
    order = valid[np.lexsort((values[valid], groups[valid]))]
    group, value = groups[order], values[order]
    new_group = np.concatenate(([True], group[1:] != group[:-1]))
    new_value = new_group | np.concatenate(([True], value[1:] != value[:-1]))
    first, size = _runs(new_group)
    tie_first, tie_size = _runs(new_value)
    position = tie_first - first + (tie_size - 1) / 2
    wide = np.maximum(size - 1, 1)
    out[order] = np.where(size >= min_count, position / wide - 0.5, np.nan)
    return out


def _runs(starts: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every element: where its run starts and how long it is."""
    at = np.flatnonzero(starts)
    length = np.diff(np.append(at, len(starts)))
    return np.repeat(at, length), np.repeat(length, length)
