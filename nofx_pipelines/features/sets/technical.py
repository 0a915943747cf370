"""``technical``: the indicators of TA-Lib's definitions, and scale-free features made of them.

Windows and seeds are TA-Lib's (RSI, ATR: J. Welles Wilder, New Concepts in Technical Trading Systems,
1978; MACD's fast average is seeded where the slow one is; Bollinger's deviation is the population's).
"""

from __future__ import annotations

from nofx_pipelines.features.algebra.expr import Expr
from nofx_pipelines.features.algebra.functions import (
    bars_per_year,
    close,
    cumsum,
    delta,
    ema,
    fill_null,
    high,
    log,
    low,
    maximum,
    open_,
    rank,
    ref,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_std,
    rolling_sum,
    sign,
    sqrt,
    volume,
    where,
    wilder,
)
from nofx_pipelines.features.program.declaration import Feature, FeatureSet


def rsi(n: int) -> Expr:
    """Relative strength index, 0 to 100; 0 when nothing moved, as in TA-Lib."""
    change = delta(close, 1)
    gain, loss = wilder(maximum(change, 0), n), wilder(maximum(-change, 0), n)
    return where(gain + loss <= 0, 0, 100 * (gain / (gain + loss)))


def true_range() -> Expr:
    """The bar's range, with the gap from the previous close."""
    before = ref(close, 1)
    return maximum(maximum(high - low, abs(high - before)), abs(low - before))


def stochastic_k(n: int, slowing: int) -> Expr:
    """Where the close stands in the range of n bars, 0 to 100, smoothed; 0 without a range."""
    lowest, highest = rolling_min(low, n), rolling_max(high, n)
    fast = where(highest <= lowest, 0, 100 * ((close - lowest) / (highest - lowest)))
    return rolling_mean(fast, slowing)


def log_return(n: int) -> Expr:
    """Logarithmic return of the close over n bars."""
    return log(close / ref(close, n))


_SMA_5, _SMA_20, _SMA_60 = (rolling_mean(close, n) for n in (5, 20, 60))
_EMA_12, _EMA_26 = ema(close, 12), ema(close, 26)
_DEVIATION = rolling_std(close, 20, ddof=0)
_UPPER, _LOWER = _SMA_20 + 2 * _DEVIATION, _SMA_20 - 2 * _DEVIATION
_MACD = ema(close, 12, seed_at=26) - _EMA_26
_SIGNAL = ema(_MACD, 9)
_ATR = wilder(true_range(), 14)
_K = stochastic_k(14, 3)
_FLOW = sign(delta(close, 1)) * volume
_RETURN_1, _RETURN_5, _RETURN_20 = (log_return(n) for n in (1, 5, 20))
_VOLATILITY = rolling_std(_RETURN_1, 20) * sqrt(bars_per_year)
_VOLUME_5, _VOLUME_20 = rolling_mean(volume, 5), rolling_mean(volume, 20)
_VOLUME_RATIO = _VOLUME_5 / _VOLUME_20 - 1


def _raw(name: str, expr: Expr, unit: str, description: str) -> Feature:
    return Feature(name, expr, unit, description, scale_free=False)


def _free(name: str, expr: Expr, unit: str, description: str) -> Feature:
    return Feature(name, expr, unit, description, scale_free=True)


FEATURES = FeatureSet(
    "technical",
    (
        _raw("sma_5", _SMA_5, "price", "Mean close of 5 bars."),
        _raw("sma_20", _SMA_20, "price", "Mean close of 20 bars."),
        _raw("sma_60", _SMA_60, "price", "Mean close of 60 bars."),
        _raw("ema_12", _EMA_12, "price", "Exponential mean of the close, 12 bars."),
        _raw("ema_26", _EMA_26, "price", "Exponential mean of the close, 26 bars."),
        _raw("bollinger_upper", _UPPER, "price", "Mean of 20 bars and two standard deviations."),
        _raw("bollinger_middle", _SMA_20, "price", "Mean of 20 bars."),
        _raw("bollinger_lower", _LOWER, "price", "Mean of 20 bars less two standard deviations."),
        _raw("macd", _MACD + 0 * _SIGNAL, "price", "Exponential mean of 12 bars less that of 26."),
        _raw("macd_signal", _SIGNAL, "price", "Exponential mean of the MACD, 9 bars."),
        _raw("macd_histogram", _MACD - _SIGNAL, "price", "MACD less its signal line."),
        _raw("atr_14", _ATR, "price", "Wilder's average true range of 14 bars."),
        _raw("mom_10", delta(close, 10), "price", "Change of the close over 10 bars."),
        _raw("obv", cumsum(fill_null(sign(delta(close, 1)), 1) * volume), "shares", "On-balance volume."),
        _raw("volume_mean_5", _VOLUME_5, "shares", "Mean volume of 5 bars."),
        _raw("volume_mean_20", _VOLUME_20, "shares", "Mean volume of 20 bars."),
        _free("rsi_14", rsi(14), "index", "Wilder's relative strength index of 14 bars, 0 to 100."),
        _free("stochastic_k", _K, "index", "Close in the range of 14 bars, mean of 3, 0 to 100."),
        _free("stochastic_d", rolling_mean(_K, 3), "index", "Mean of stochastic K over 3 bars."),
        _free("roc_10", 100 * (close / ref(close, 10) - 1), "index", "Change over 10 bars in percent."),
        _free(
            "bollinger_percent_b", (close - _LOWER) / (_UPPER - _LOWER), "ratio", "Close within the bands."
        ),
        _free(
            "bollinger_bandwidth", (_UPPER - _LOWER) / _SMA_20, "ratio", "Width of the bands to their middle."
        ),
        _free("return_1", _RETURN_1, "return", "Log return over 1 bar."),
        _free("return_5", _RETURN_5, "return", "Log return over 5 bars."),
        _free("return_20", _RETURN_20, "return", "Log return over 20 bars."),
        _free("volatility_20", _VOLATILITY, "return", "Standard deviation of 20 log returns, a year."),
        _free("volume_ratio_5_20", _VOLUME_RATIO, "ratio", "Mean volume of 5 bars to that of 20, less 1."),
        _free("close_to_sma_5", close / _SMA_5 - 1, "ratio", "Close to its mean of 5 bars, less 1."),
        _free("close_to_sma_20", close / _SMA_20 - 1, "ratio", "Close to its mean of 20 bars, less 1."),
        _free("close_to_sma_60", close / _SMA_60 - 1, "ratio", "Close to its mean of 60 bars, less 1."),
        _free(
            "ema_spread",
            (_EMA_12 - _EMA_26) / close,
            "ratio",
            "Exponential mean of 12 less 26, to the close.",
        ),
        _free("macd_histogram_to_close", (_MACD - _SIGNAL) / close, "ratio", "MACD histogram to the close."),
        _free("atr_to_close", _ATR / close, "ratio", "Average true range to the close."),
        _free(
            "flow_20",
            rolling_sum(_FLOW, 20) / rolling_sum(volume, 20),
            "ratio",
            "Signed to all volume, 20 bars.",
        ),
        _free("range_to_close", (high - low) / close, "ratio", "Range of the bar to its close."),
        _free("gap", log(open_ / ref(close, 1)), "return", "Log return from the last close to the open."),
        _free("close_position", (close - low) / (high - low), "ratio", "Close within the bar's range."),
        _free("rank_return_5", rank(_RETURN_5), "rank", "Cross-sectional rank of return_5."),
        _free("rank_return_20", rank(_RETURN_20), "rank", "Cross-sectional rank of return_20."),
        _free("rank_volume_ratio", rank(_VOLUME_RATIO), "rank", "Cross-sectional rank of volume_ratio_5_20."),
        _free("rank_volatility", rank(_VOLATILITY), "rank", "Cross-sectional rank of volatility_20."),
    ),
)
"""41 features, 25 of them scale-free."""
