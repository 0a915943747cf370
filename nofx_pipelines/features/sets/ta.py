"""``ta``: TA-Lib's indicators in its names, with its seeds, windows and first rows.

Every one is built of the algebra's operators. A missing price leaves a gap where TA-Lib would give nothing
any more. Where nothing moved, BETA and CORREL are null, TA-Lib's are 0; of equal extremes MAXINDEX and
MININDEX are the newest, TA-Lib's at times the oldest. Left out are the Hilbert transforms and what is made of
them (HT_*, MAMA), and candlesticks.
Definitions: TA-Lib 0.8.1 (ta_func/*.c); J. Welles Wilder, New Concepts in Technical Trading Systems, 1978.
"""

from __future__ import annotations

import math

from nofx_pipelines.features.algebra.expr import Expr
from nofx_pipelines.features.algebra.functions import (
    atan,
    close,
    cumsum,
    delta,
    ema,
    fill_null,
    high,
    low,
    maximum,
    minimum,
    open_,
    recur,
    ref,
    rolling_argmax,
    rolling_argmin,
    rolling_beta,
    rolling_corr,
    rolling_mad,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_residual,
    rolling_slope,
    rolling_std,
    rolling_sum,
    rolling_var,
    rolling_wmean,
    sar,
    sign,
    sqrt,
    volume,
    where,
    wilder,
)
from nofx_pipelines.features.program.declaration import Feature, FeatureSet
from nofx_pipelines.features.sets.technical import rsi, true_range

_ROUNDING = 1e-14
"""Two numbers that differ by no more than this share of them are one, to TA-Lib."""
TYPICAL = (high + low + close) / 3


def _from(x: Expr, start: Expr) -> Expr:
    """x, from the row on where ``start`` has a value."""
    return x + 0 * start


def _share(part: Expr, whole: Expr) -> Expr:
    return where(whole.equals(0), 0, part / whole)


def _same(a: Expr, b: Expr) -> Expr:
    """Whether two numbers differ by no more than rounding."""
    return abs(a - b) <= _ROUNDING * (abs(a) + abs(b))


def triangular(n: int) -> Expr:
    """Triangular moving average: a mean of means."""
    first, second = ((n + 1) // 2, (n + 1) // 2) if n % 2 else (n // 2, n // 2 + 1)
    return rolling_mean(rolling_mean(close, first), second)


def kaufman(n: int) -> Expr:
    """Kaufman's adaptive average, from the close before its first row."""
    moved = abs(delta(close, 1))
    path, way = rolling_sum(moved, n), delta(close, n)
    ratio = where(path <= way, 1, abs(way / path))
    constant = (ratio * (2 / 3 - 2 / 31) + 2 / 31) ** 2
    seed = _from(close, rolling_sum(moved, n - 1))
    return _from(recur(1 - constant, constant * close, seed), path)


def tillson(n: int, factor: float) -> Expr:
    """Tillson's T3: six exponential averages, one of the other."""
    averages = [close]
    for _ in range(6):
        averages.append(ema(averages[-1], n))
    v2, v3 = factor * factor, factor**3
    weights = (-v3, 3 * (v2 + v3), -6 * v2 - 3 * (factor + v3), 1 + 3 * factor + v3 + 3 * v2)
    return sum((w * averages[6 - k] for k, w in enumerate(weights[1:], 1)), weights[0] * averages[6])


def _moves() -> tuple[Expr, Expr]:
    """Directional movement up and down of one bar."""
    up, down = delta(high, 1), -delta(low, 1)
    return where((up > 0) & (up > down), up, 0), where((down > 0) & (down > up), down, 0)


def wilder_sum(x: Expr, n: int) -> Expr:
    """Wilder's decaying sum, begun with the sum of n - 1 bars."""
    return recur(1 - 1 / n, x, rolling_sum(x, n - 1))


def _directions(n: int) -> tuple[Expr, Expr]:
    up, down = (wilder_sum(move, n) for move in _moves())
    whole = _from(wilder_sum(true_range(), n), rolling_sum(true_range(), n))
    return 100 * _share(up, whole), 100 * _share(down, whole)


def movement_index(n: int) -> Expr:
    """Directional movement index."""
    up, down = _directions(n)
    return 100 * _share(abs(up - down), up + down)


def _stochastic(x: Expr, top: Expr, bottom: Expr, n: int) -> Expr:
    lowest, highest = rolling_min(bottom, n), rolling_max(top, n)
    return where(_same(highest, lowest), 0, 100 * ((x - lowest) / (highest - lowest)))


def money_flow(n: int) -> Expr:
    """Money flow index: the share of volume-weighted rises."""
    last, flow = ref(TYPICAL, 1), TYPICAL * volume
    moved = where(_same(TYPICAL, last), 0, TYPICAL - last)
    plus, minus = rolling_sum(where(moved > 0, flow, 0), n), rolling_sum(where(moved < 0, flow, 0), n)
    return where(plus + minus <= 0, 0, 100 * (plus / (plus + minus)))


def accumulation() -> Expr:
    """Chaikin's accumulation and distribution line."""
    span = high - low
    return cumsum(where(span > 0, ((close - low) - (high - close)) / span * volume, 0))


def accumulation_oscillator(fast: int, slow: int) -> Expr:
    """Fast less slow average of the accumulation line, both begun with its first value."""
    line = accumulation()
    parts = [recur(1 - 2 / (n + 1), 2 / (n + 1) * line, line) for n in (fast, slow)]
    return _from(parts[0] - parts[1], ref(line, slow - 1))


def ultimate(windows: tuple[int, int, int]) -> Expr:
    """Williams' ultimate oscillator."""
    pressure, span = close - minimum(low, ref(close, 1)), true_range()
    parts = [_share(rolling_sum(pressure, n), rolling_sum(span, n)) for n in windows]
    return 100 * (4 * parts[0] + 2 * parts[1] + parts[2]) / 7


def commodity_channel(n: int) -> Expr:
    """Commodity channel index."""
    mean, spread = rolling_mean(TYPICAL, n), rolling_mad(TYPICAL, n)
    away, nothing = TYPICAL - mean, _ROUNDING * mean
    return where((abs(away) <= nothing) | (spread <= nothing), 0, away / (0.015 * spread))


def chande(n: int) -> Expr:
    """Chande's momentum oscillator, smoothed as Wilder does."""
    change = delta(close, 1)
    gain, loss = wilder(maximum(change, 0), n), wilder(maximum(-change, 0), n)
    return 100 * _share(gain - loss, gain + loss)


def _line(n: int) -> tuple[Expr, Expr]:
    """Slope of the line through n closes, and its value at this bar."""
    return rolling_slope(close, n), close - rolling_residual(close, n)


_E1 = ema(close, 20)
_E2 = ema(_E1, 20)
_E3 = ema(_E2, 20)
_MIDDLE, _DEVIATION = rolling_mean(close, 20), rolling_std(close, 20, ddof=0)
_MACD = ema(close, 12, seed_at=26) - ema(close, 26)
_SIGNAL = ema(_MACD, 9)
_FAST, _SLOW = rolling_mean(close, 12), rolling_mean(close, 26)
_PLUS, _MINUS = _directions(14)
_ADX = wilder(movement_index(14), 14)
_ATR = wilder(true_range(), 14)
_K = rolling_mean(_stochastic(close, high, low, 5), 3)
_D = rolling_mean(_K, 3)
_FAST_K = _stochastic(close, high, low, 5)
_FAST_D = rolling_mean(_FAST_K, 3)
_RSI = rsi(14)
_RSI_K = _stochastic(_RSI, _RSI, _RSI, 5)
_RSI_D = rolling_mean(_RSI_K, 3)
_TRIX = ema(ema(ema(close, 30), 30), 30)
_SLOPE, _FITTED = _line(14)
_BAND = 4 * (high - low) / (high + low)

_ROWS: tuple[tuple[str, Expr, str, bool, str], ...] = (
    ("SMA_20", _MIDDLE, "price", False, "Mean close of 20 bars."),
    ("EMA_20", _E1, "price", False, "Exponential mean of the close, 20 bars."),
    ("WMA_20", rolling_wmean(close, 20), "price", False, "Mean of 20 closes with weights 1 to 20."),
    ("DEMA_20", 2 * _E1 - _E2, "price", False, "Double exponential average, 20 bars."),
    ("TEMA_20", 3 * _E1 - 3 * _E2 + _E3, "price", False, "Triple exponential average, 20 bars."),
    ("TRIMA_20", triangular(20), "price", False, "Triangular average of 20 bars."),
    ("KAMA_30", kaufman(30), "price", False, "Kaufman's adaptive average, 30 bars."),
    ("T3_5", tillson(5, 0.7), "price", False, "Tillson's T3, 5 bars, factor 0.7."),
    ("BBANDS_UPPER_20", _MIDDLE + 2 * _DEVIATION, "price", False, "Mean and two deviations, 20 bars."),
    ("BBANDS_MIDDLE_20", _MIDDLE, "price", False, "Mean of 20 bars."),
    ("BBANDS_LOWER_20", _MIDDLE - 2 * _DEVIATION, "price", False, "Mean less two deviations, 20 bars."),
    ("ACCBANDS_UPPER_20", rolling_mean(high * (1 + _BAND), 20), "price", False, "Upper acceleration band."),
    ("ACCBANDS_LOWER_20", rolling_mean(low * (1 - _BAND), 20), "price", False, "Lower acceleration band."),
    (
        "MIDPOINT_14",
        (rolling_max(close, 14) + rolling_min(close, 14)) / 2,
        "price",
        False,
        "Middle of the range of 14 closes.",
    ),
    (
        "MIDPRICE_14",
        (rolling_max(high, 14) + rolling_min(low, 14)) / 2,
        "price",
        False,
        "Middle of the range of 14 bars.",
    ),
    ("SAR", sar(high, low), "price", False, "Parabolic stop and reverse, step 0.02, at most 0.2."),
    ("PLUS_DM_14", wilder_sum(_moves()[0], 14), "price", False, "Directional movement up, 14 bars."),
    ("MINUS_DM_14", wilder_sum(_moves()[1], 14), "price", False, "Directional movement down, 14 bars."),
    ("PLUS_DI_14", _PLUS, "index", True, "Directional indicator up, 14 bars."),
    ("MINUS_DI_14", _MINUS, "index", True, "Directional indicator down, 14 bars."),
    ("DX_14", movement_index(14), "index", True, "Directional movement index, 14 bars."),
    ("ADX_14", _ADX, "index", True, "Average directional movement index, 14 bars."),
    ("ADXR_14", (_ADX + ref(_ADX, 13)) / 2, "index", True, "Mean of ADX and ADX of 13 bars before."),
    ("APO_12_26", _FAST - _SLOW, "price", False, "Mean of 12 closes less mean of 26."),
    ("PPO_12_26", 100 * _share(_FAST - _SLOW, _SLOW), "index", True, "The same in percent of the slow mean."),
    (
        "AROON_UP_14",
        100 * (14 - rolling_argmax(high, 15)) / 14,
        "index",
        True,
        "How new the highest high is.",
    ),
    ("AROON_DOWN_14", 100 * (14 - rolling_argmin(low, 15)) / 14, "index", True, "How new the lowest low is."),
    (
        "AROONOSC_14",
        100 * (rolling_argmin(low, 15) - rolling_argmax(high, 15)) / 14,
        "index",
        True,
        "Aroon up less Aroon down.",
    ),
    ("BOP", _share(close - open_, high - low), "ratio", True, "Body to range of the bar."),
    ("CCI_14", commodity_channel(14), "index", True, "Commodity channel index, 14 bars."),
    ("CMO_14", chande(14), "index", True, "Chande's momentum oscillator, 14 bars."),
    ("MACD", _from(_MACD, _SIGNAL), "price", False, "Exponential mean of 12 less that of 26."),
    ("MACD_SIGNAL", _SIGNAL, "price", False, "Exponential mean of the MACD, 9 bars."),
    ("MACD_HIST", _MACD - _SIGNAL, "price", False, "MACD less its signal line."),
    ("MFI_14", money_flow(14), "index", True, "Money flow index, 14 bars."),
    ("MOM_10", delta(close, 10), "price", False, "Change of the close over 10 bars."),
    ("ROC_10", 100 * (close / ref(close, 10) - 1), "index", True, "Change over 10 bars in percent."),
    ("ROCP_10", (close - ref(close, 10)) / ref(close, 10), "return", True, "Return over 10 bars."),
    ("ROCR_10", close / ref(close, 10), "ratio", True, "Close to that of 10 bars before."),
    ("ROCR100_10", 100 * (close / ref(close, 10)), "ratio", True, "The same in percent."),
    ("RSI_14", _RSI, "index", True, "Wilder's relative strength index, 14 bars."),
    ("STOCH_K_5_3_3", _from(_K, _D), "index", True, "Slow stochastic K."),
    ("STOCH_D_5_3_3", _D, "index", True, "Slow stochastic D."),
    ("STOCHF_K_5_3", _from(_FAST_K, _FAST_D), "index", True, "Fast stochastic K."),
    ("STOCHF_D_5_3", _FAST_D, "index", True, "Fast stochastic D."),
    ("STOCHRSI_K_14_5_3", _from(_RSI_K, _RSI_D), "index", True, "Fast stochastic K of the RSI."),
    ("STOCHRSI_D_14_5_3", _RSI_D, "index", True, "Fast stochastic D of the RSI."),
    ("TRIX_30", 100 * (_TRIX / ref(_TRIX, 1) - 1), "index", True, "Change of a triple exponential mean."),
    ("ULTOSC_7_14_28", ultimate((7, 14, 28)), "index", True, "Ultimate oscillator."),
    (
        "WILLR_14",
        where(
            _same(rolling_max(high, 14), rolling_min(low, 14)),
            0,
            -100 * ((rolling_max(high, 14) - close) / (rolling_max(high, 14) - rolling_min(low, 14))),
        ),
        "index",
        True,
        "Williams' %R, 14 bars.",
    ),
    ("AD", accumulation(), "shares", False, "Accumulation and distribution line."),
    ("ADOSC_3_10", accumulation_oscillator(3, 10), "shares", False, "Chaikin's oscillator."),
    (
        "OBV",
        cumsum(fill_null(sign(delta(close, 1)), 1) * volume),
        "shares",
        False,
        "On-balance volume.",
    ),
    ("TRANGE", true_range(), "price", False, "True range."),
    ("ATR_14", _ATR, "price", False, "Average true range, 14 bars."),
    ("NATR_14", 100 * _ATR / close, "index", True, "Average true range in percent of the close."),
    ("AVGPRICE", (open_ + high + low + close) / 4, "price", False, "Mean of the four prices."),
    ("MEDPRICE", (high + low) / 2, "price", False, "Middle of high and low."),
    ("TYPPRICE", TYPICAL, "price", False, "Mean of high, low and close."),
    ("WCLPRICE", (high + low + 2 * close) / 4, "price", False, "Mean with the close twice."),
    (
        "BETA_5",
        rolling_beta(high / ref(high, 1) - 1, low / ref(low, 1) - 1, 5),
        "ratio",
        True,
        "Moves of the low to moves of the high, 5 bars.",
    ),
    ("CORREL_30", rolling_corr(high, low, 30), "ratio", True, "Correlation of high and low, 30 bars."),
    ("LINEARREG_14", _FITTED, "price", False, "The line through 14 closes at this bar."),
    ("LINEARREG_SLOPE_14", _SLOPE, "price", False, "Slope of the line through 14 closes."),
    ("LINEARREG_ANGLE_14", atan(_SLOPE) * (180 / math.pi), "index", False, "Its angle in degrees."),
    ("LINEARREG_INTERCEPT_14", _FITTED - 13 * _SLOPE, "price", False, "The line at its first bar."),
    ("TSF_14", _FITTED + _SLOPE, "price", False, "The line one bar ahead."),
    ("AVGDEV_14", rolling_mad(close, 14), "price", False, "Mean absolute deviation of 14 closes."),
    ("STDDEV_5", sqrt(rolling_var(close, 5, ddof=0)), "price", False, "Standard deviation of 5 closes."),
    ("VAR_5", rolling_var(close, 5, ddof=0), "price", False, "Variance of 5 closes."),
    ("MAX_30", rolling_max(close, 30), "price", False, "Highest of 30 closes."),
    ("MIN_30", rolling_min(close, 30), "price", False, "Lowest of 30 closes."),
    (
        "MAXINDEX_30",
        rolling_argmax(close, 30),
        "count",
        True,
        "Bars back to the highest of 30 closes.",
    ),
    (
        "MININDEX_30",
        rolling_argmin(close, 30),
        "count",
        True,
        "Bars back to the lowest of 30 closes.",
    ),
    ("SUM_30", rolling_sum(close, 30), "price", False, "Sum of 30 closes."),
)

FEATURES = FeatureSet("ta", tuple(Feature(name, e, unit, text, free) for name, e, unit, free, text in _ROWS))
"""75 outputs."""
