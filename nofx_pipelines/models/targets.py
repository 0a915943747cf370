"""What a model is fitted to: forward returns made comparable across time.

Market-wide moves and volatility swings dominate raw returns, while portfolios are chosen across
instruments; a model learns the cross-section better from ranks within each timestamp.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import ConfigError

Array = NDArray[np.float64]
Target = Literal["rank", "return"]

MIN_CROSS_SECTION = 5
_CLIP_SIGMAS = 4.0


def group_ranks(values: Array, groups: NDArray[np.int64]) -> Array:
    """Ranks from 1 within each group, ties sharing their average rank.

    >>> group_ranks(np.array([3.0, 1.0, 1.0, 5.0]), np.array([0, 0, 0, 1])).tolist()
    [3.0, 1.5, 1.5, 1.0]
    """
    order = np.lexsort((values, groups))
    group, value = groups[order], values[order]
    starts_group = np.r_[True, group[1:] != group[:-1]]
    starts_tie = starts_group | np.r_[True, value[1:] != value[:-1]]
    place = np.arange(len(values))
    first_of_group = np.maximum.accumulate(np.where(starts_group, place, 0))
    tie = np.cumsum(starts_tie) - 1
    average = np.bincount(tie, weights=place - first_of_group + 1.0) / np.bincount(tie)
    out = np.empty(len(values))
    out[order] = average[tie]
    return out


def group_sizes(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row, how many rows share its group."""
    _, place, count = np.unique(groups, return_inverse=True, return_counts=True)
    return count[place]


def training_target(
    forward_return: Array, ts_close: NDArray[np.int64], instrument_id: NDArray[np.str_], kind: Target
) -> Array:
    """The values ``[N]`` that a model is fitted to.

    ``rank``: ranks within each timestamp, scaled to mean 0 and variance 1 over a uniform; below five
    instruments there is no cross-section and it falls back to ``return``: forward returns over their own
    standard deviation, clipped at four of them, sign kept.

    >>> training_target(np.array([0.3, -0.1]), np.array([0, 0]), np.array(["a", "b"]), "return").round(3)
    array([ 1.342, -0.447])
    """
    if kind not in ("rank", "return"):
        raise ConfigError(f"target {kind!r} is not one of rank, return", hint="choose one of these")
    if kind == "rank" and len(np.unique(instrument_id)) >= MIN_CROSS_SECTION:
        size = group_sizes(ts_close)
        uniform = (group_ranks(forward_return, ts_close) - 0.5) / size
        return np.asarray((uniform - 0.5) * np.sqrt(12.0))
    scale = float(np.sqrt(np.mean(np.square(forward_return))))
    return np.clip(forward_return / (scale or 1.0), -_CLIP_SIGMAS, _CLIP_SIGMAS)
