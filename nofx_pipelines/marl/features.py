"""What is known of a market at each close: features of every instrument and of the market, causal.

Every row depends on bars up to its own only. Values are in units of the instrument's own volatility or
logarithmic, and stay within ± ``CLIP``; what is not known is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CLIP = 5.0
WARM_UP = 60
"""Bars that the longest window needs."""

ASSET_FEATURES = (
    "return_1",
    "momentum_5",
    "momentum_20",
    "momentum_60",
    "reversal",
    "gap",
    "range",
    "volatility_ratio",
    "volume_surprise",
    "beta",
    "relative",
    "opens_up_limited",
    "opens_down_limited",
    "traded",
)
MARKET_FEATURES = (
    "breadth",
    "index_return",
    "index_momentum",
    "index_volatility",
    "attention",
    "dispersion",
)
_SIGMA_FLOOR = 1e-4


def windows(values: Array, length: int) -> Array:
    """Views ``[T, N, length]`` of the last ``length`` rows at each row, the first row repeated in front.

    >>> windows(np.array([[1.0], [2.0], [3.0]]), 2)[:, 0].tolist()
    [[1.0, 1.0], [1.0, 2.0], [2.0, 3.0]]
    """
    padded = np.concatenate([np.repeat(values[:1], length - 1, axis=0), values])
    return np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)


def log_returns(mark: Array) -> Array:
    """Log returns ``[T, N]`` of closes carried forward; 0 where there is no earlier close."""
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = np.diff(np.log(mark), axis=0, prepend=np.nan)
    return np.nan_to_num(moved, nan=0.0, posinf=0.0, neginf=0.0)


def volatility(returns: Array, length: int = 20) -> Array:
    """Standard deviation ``[T, N]`` of the last ``length`` returns, not below a hundredth of a percent."""
    return np.maximum(windows(returns, length).std(-1), _SIGMA_FLOOR)


def asset_features(
    opens: Array,
    high: Array,
    low: Array,
    mark: Array,
    volume: Array,
    fillable: tuple[Any, Any, Any],
) -> NDArray[np.float32]:
    """``ASSET_FEATURES`` as ``[T, N, C]``; ``fillable``: may be bought, may be sold, traded ``[T, N]``."""
    can_buy, can_sell, traded = fillable
    returns = log_returns(mark)
    sigma, index = volatility(returns), returns.mean(1, keepdims=True)
    before = np.concatenate([mark[:1], mark[:-1]])
    with np.errstate(invalid="ignore", divide="ignore"):
        gap, spread = np.log(opens / before) / sigma, np.log(high / low) / sigma
        ratio = np.log(volatility(returns, 5) / volatility(returns, 60))
        usual = windows(volume, 20).mean(-1)
        surprise = np.log(np.maximum(volume, 0.01 * usual) / usual)
    price, level = returns.cumsum(0), (returns - index).cumsum(0)
    columns = [
        returns / sigma,
        windows(returns, 5).sum(-1) / (sigma * 5**0.5),
        windows(returns, 20).sum(-1) / (sigma * 20**0.5),
        windows(returns, 60).sum(-1) / (sigma * 60**0.5),
        _standard(price),
        gap,
        spread - 1.0,
        ratio,
        surprise,
        _beta(returns, index),
        _standard(level),
        traded & ~can_buy,
        traded & ~can_sell,
        traded,
    ]
    return _bounded(np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=-1))


def market_features(mark: Array, volume: Array) -> NDArray[np.float32]:
    """``MARKET_FEATURES`` as ``[T, M]``, of all instruments with equal weight."""
    returns = log_returns(mark)
    index = returns.mean(1, keepdims=True)
    sigma = volatility(index)
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = windows(volume, 20).mean(-1)
        surprise = np.nan_to_num(np.log(np.maximum(volume, 0.01 * usual) / usual))
    columns = [
        2 * (returns > 0).mean(1, keepdims=True) - 1,
        index / sigma,
        windows(index, 20).sum(-1) / (sigma * 20**0.5),
        np.log(volatility(index, 5) / volatility(index, 60)),
        surprise.mean(1, keepdims=True),
        returns.std(1, keepdims=True) / sigma - 1,
    ]
    return _bounded(np.concatenate(columns, axis=1))


def _standard(level: Array) -> Array:
    """How far the level is from its mean over 20 bars, in its standard deviations over them."""
    seen = windows(level, 20)
    return np.asarray((level - seen.mean(-1)) / np.maximum(seen.std(-1), _SIGMA_FLOOR))


def _beta(returns: Array, index: Array) -> Array:
    """Slope on the index over 60 bars."""
    own, common = windows(returns, 60), windows(index, 60)
    common = common - common.mean(-1, keepdims=True)
    return np.asarray((own * common).mean(-1) / np.maximum((common**2).mean(-1), _SIGMA_FLOOR**2))


def _bounded(values: Array) -> NDArray[np.float32]:
    return np.clip(np.nan_to_num(values, nan=0.0, posinf=CLIP, neginf=-CLIP), -CLIP, CLIP).astype(np.float32)
