# ruff: noqa: E501 (the formulas stand as they are printed)
"""The formulas of "101 Formulaic Alphas" as printed (Kakushadze 2015, appendix A), read by pandas.

A parser of the paper's notation and its functions over wide frames, a column an instrument: nothing of the
library is used, so that a slip in either is seen in the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import floor
from typing import Any

import numpy as np
import pandas as pd

PRINTED: dict[int, str] = {
    1: "rank(ts_argmax(signedpower((returns < 0 ? stddev(returns, 20) : close), 2.), 5)) - 0.5",
    2: "-1 * correlation(rank(delta(log(volume), 2)), rank((close - open) / open), 6)",
    3: "-1 * correlation(rank(open), rank(volume), 10)",
    4: "-1 * ts_rank(rank(low), 9)",
    5: "rank(open - (sum(vwap, 10) / 10)) * (-1 * abs(rank(close - vwap)))",
    6: "-1 * correlation(open, volume, 10)",
    7: "(adv20 < volume) ? ((-1 * ts_rank(abs(delta(close, 7)), 60)) * sign(delta(close, 7))) : (-1 * 1)",
    8: "-1 * rank((sum(open, 5) * sum(returns, 5)) - delay((sum(open, 5) * sum(returns, 5)), 10))",
    9: "(0 < ts_min(delta(close, 1), 5)) ? delta(close, 1) : ((ts_max(delta(close, 1), 5) < 0) ? delta(close, 1) : (-1 * delta(close, 1)))",
    10: "rank((0 < ts_min(delta(close, 1), 4)) ? delta(close, 1) : ((ts_max(delta(close, 1), 4) < 0) ? delta(close, 1) : (-1 * delta(close, 1))))",
    11: "(rank(ts_max(vwap - close, 3)) + rank(ts_min(vwap - close, 3))) * rank(delta(volume, 3))",
    12: "sign(delta(volume, 1)) * (-1 * delta(close, 1))",
    13: "-1 * rank(covariance(rank(close), rank(volume), 5))",
    14: "(-1 * rank(delta(returns, 3))) * correlation(open, volume, 10)",
    15: "-1 * sum(rank(correlation(rank(high), rank(volume), 3)), 3)",
    16: "-1 * rank(covariance(rank(high), rank(volume), 5))",
    17: "((-1 * rank(ts_rank(close, 10))) * rank(delta(delta(close, 1), 1))) * rank(ts_rank((volume / adv20), 5))",
    18: "-1 * rank((stddev(abs(close - open), 5) + (close - open)) + correlation(close, open, 10))",
    19: "(-1 * sign((close - delay(close, 7)) + delta(close, 7))) * (1 + rank(1 + sum(returns, 250)))",
    20: "((-1 * rank(open - delay(high, 1))) * rank(open - delay(close, 1))) * rank(open - delay(low, 1))",
    21: "(((sum(close, 8) / 8) + stddev(close, 8)) < (sum(close, 2) / 2)) ? (-1 * 1) : (((sum(close, 2) / 2) < ((sum(close, 8) / 8) - stddev(close, 8))) ? 1 : (((1 < (volume / adv20)) || ((volume / adv20) == 1)) ? 1 : (-1 * 1)))",
    22: "-1 * (delta(correlation(high, volume, 5), 5) * rank(stddev(close, 20)))",
    23: "((sum(high, 20) / 20) < high) ? (-1 * delta(high, 2)) : 0",
    24: "(((delta((sum(close, 100) / 100), 100) / delay(close, 100)) < 0.05) || ((delta((sum(close, 100) / 100), 100) / delay(close, 100)) == 0.05)) ? (-1 * (close - ts_min(close, 100))) : (-1 * delta(close, 3))",
    25: "rank((((-1 * returns) * adv20) * vwap) * (high - close))",
    26: "-1 * ts_max(correlation(ts_rank(volume, 5), ts_rank(high, 5), 5), 3)",
    27: "(0.5 < rank(sum(correlation(rank(volume), rank(vwap), 6), 2) / 2.0)) ? (-1 * 1) : 1",
    28: "scale((correlation(adv20, low, 5) + ((high + low) / 2)) - close)",
    29: "ts_min(product(rank(rank(scale(log(sum(ts_min(rank(rank(-1 * rank(delta((close - 1), 5)))), 2), 1))))), 1), 5) + ts_rank(delay((-1 * returns), 6), 5)",
    30: "((1.0 - rank((sign(close - delay(close, 1)) + sign(delay(close, 1) - delay(close, 2))) + sign(delay(close, 2) - delay(close, 3)))) * sum(volume, 5)) / sum(volume, 20)",
    31: "(rank(rank(rank(decay_linear((-1 * rank(rank(delta(close, 10)))), 10)))) + rank(-1 * delta(close, 3))) + sign(scale(correlation(adv20, low, 12)))",
    32: "scale((sum(close, 7) / 7) - close) + (20 * scale(correlation(vwap, delay(close, 5), 230)))",
    33: "rank(-1 * ((1 - (open / close)) ^ 1))",
    34: "rank((1 - rank(stddev(returns, 2) / stddev(returns, 5))) + (1 - rank(delta(close, 1))))",
    35: "(ts_rank(volume, 32) * (1 - ts_rank(((close + high) - low), 16))) * (1 - ts_rank(returns, 32))",
    36: "((((2.21 * rank(correlation((close - open), delay(volume, 1), 15))) + (0.7 * rank(open - close))) + (0.73 * rank(ts_rank(delay((-1 * returns), 6), 5)))) + rank(abs(correlation(vwap, adv20, 6)))) + (0.6 * rank(((sum(close, 200) / 200) - open) * (close - open)))",
    37: "rank(correlation(delay((open - close), 1), close, 200)) + rank(open - close)",
    38: "(-1 * rank(ts_rank(close, 10))) * rank(close / open)",
    39: "(-1 * rank(delta(close, 7) * (1 - rank(decay_linear((volume / adv20), 9))))) * (1 + rank(sum(returns, 250)))",
    40: "(-1 * rank(stddev(high, 10))) * correlation(high, volume, 10)",
    41: "((high * low) ^ 0.5) - vwap",
    42: "rank(vwap - close) / rank(vwap + close)",
    43: "ts_rank((volume / adv20), 20) * ts_rank((-1 * delta(close, 7)), 8)",
    44: "-1 * correlation(high, rank(volume), 5)",
    45: "-1 * ((rank(sum(delay(close, 5), 20) / 20) * correlation(close, volume, 2)) * rank(correlation(sum(close, 5), sum(close, 20), 2)))",
    46: "(0.25 < (((delay(close, 20) - delay(close, 10)) / 10) - ((delay(close, 10) - close) / 10))) ? (-1 * 1) : (((((delay(close, 20) - delay(close, 10)) / 10) - ((delay(close, 10) - close) / 10)) < 0) ? 1 : ((-1 * 1) * (close - delay(close, 1))))",
    47: "(((rank(1 / close) * volume) / adv20) * ((high * rank(high - close)) / (sum(high, 5) / 5))) - rank(vwap - delay(vwap, 5))",
    49: "((((delay(close, 20) - delay(close, 10)) / 10) - ((delay(close, 10) - close) / 10)) < (-1 * 0.1)) ? 1 : ((-1 * 1) * (close - delay(close, 1)))",
    50: "-1 * ts_max(rank(correlation(rank(volume), rank(vwap), 5)), 5)",
    51: "((((delay(close, 20) - delay(close, 10)) / 10) - ((delay(close, 10) - close) / 10)) < (-1 * 0.05)) ? 1 : ((-1 * 1) * (close - delay(close, 1)))",
    52: "(((-1 * ts_min(low, 5)) + delay(ts_min(low, 5), 5)) * rank((sum(returns, 240) - sum(returns, 20)) / 220)) * ts_rank(volume, 5)",
    53: "-1 * delta((((close - low) - (high - close)) / (close - low)), 9)",
    54: "(-1 * ((low - close) * (open ^ 5))) / ((low - high) * (close ^ 5))",
    55: "-1 * correlation(rank((close - ts_min(low, 12)) / (ts_max(high, 12) - ts_min(low, 12))), rank(volume), 6)",
    57: "0 - (1 * ((close - vwap) / decay_linear(rank(ts_argmax(close, 30)), 2)))",
    58: "-1 * ts_rank(decay_linear(correlation(indneutralize(vwap, sector), volume, 3.92795), 7.89291), 5.50322)",
    60: "0 - (1 * ((2 * scale(rank((((close - low) - (high - close)) / (high - low)) * volume))) - scale(rank(ts_argmax(close, 10)))))",
    61: "rank(vwap - ts_min(vwap, 16.1219)) < rank(correlation(vwap, adv180, 17.9282))",
    62: "(rank(correlation(vwap, sum(adv20, 22.4101), 9.91009)) < rank((rank(open) + rank(open)) < (rank((high + low) / 2) + rank(high)))) * -1",
    64: "(rank(correlation(sum(((open * 0.178404) + (low * (1 - 0.178404))), 12.7054), sum(adv120, 12.7054), 16.6208)) < rank(delta(((((high + low) / 2) * 0.178404) + (vwap * (1 - 0.178404))), 3.69741))) * -1",
    65: "(rank(correlation(((open * 0.00817205) + (vwap * (1 - 0.00817205))), sum(adv60, 8.6911), 6.40374)) < rank(open - ts_min(open, 13.635))) * -1",
    66: "(rank(decay_linear(delta(vwap, 3.51013), 7.23052)) + ts_rank(decay_linear(((((low * 0.96633) + (low * (1 - 0.96633))) - vwap) / (open - ((high + low) / 2))), 11.4157), 6.72611)) * -1",
    68: "(ts_rank(correlation(rank(high), rank(adv15), 8.91644), 13.9333) < rank(delta(((close * 0.518371) + (low * (1 - 0.518371))), 1.06157))) * -1",
    71: "max(ts_rank(decay_linear(correlation(ts_rank(close, 3.43976), ts_rank(adv180, 12.0647), 18.0175), 4.20501), 15.6948), ts_rank(decay_linear((rank((low + open) - (vwap + vwap)) ^ 2), 16.4662), 4.4388))",
    72: "rank(decay_linear(correlation(((high + low) / 2), adv40, 8.93345), 10.1519)) / rank(decay_linear(correlation(ts_rank(vwap, 3.72469), ts_rank(volume, 18.5188), 6.86671), 2.95011))",
    73: "max(rank(decay_linear(delta(vwap, 4.72775), 2.91864)), ts_rank(decay_linear(((delta(((open * 0.147155) + (low * (1 - 0.147155))), 2.03608) / ((open * 0.147155) + (low * (1 - 0.147155)))) * -1), 3.33829), 16.7411)) * -1",
    74: "(rank(correlation(close, sum(adv30, 37.4843), 15.1365)) < rank(correlation(rank((high * 0.0261661) + (vwap * (1 - 0.0261661))), rank(volume), 11.4791))) * -1",
    75: "rank(correlation(vwap, volume, 4.24304)) < rank(correlation(rank(low), rank(adv50), 12.4413))",
    76: "max(rank(decay_linear(delta(vwap, 1.24383), 11.8259)), ts_rank(decay_linear(ts_rank(correlation(indneutralize(low, sector), adv81, 8.14941), 19.569), 17.1543), 19.383)) * -1",
    77: "min(rank(decay_linear(((((high + low) / 2) + high) - (vwap + high)), 20.0451)), rank(decay_linear(correlation(((high + low) / 2), adv40, 3.1614), 5.64125)))",
    78: "rank(correlation(sum(((low * 0.352233) + (vwap * (1 - 0.352233))), 19.7428), sum(adv40, 19.7428), 6.83313)) ^ rank(correlation(rank(vwap), rank(volume), 5.77492))",
    79: "rank(delta(indneutralize(((close * 0.60733) + (open * (1 - 0.60733))), sector), 1.23438)) < rank(correlation(ts_rank(vwap, 3.60973), ts_rank(adv150, 9.18637), 14.6644))",
    81: "(rank(log(product(rank(rank(correlation(vwap, sum(adv10, 49.6054), 8.47743)) ^ 4), 14.9655))) < rank(correlation(rank(vwap), rank(volume), 5.07914))) * -1",
    82: "min(rank(decay_linear(delta(open, 1.46063), 14.8717)), ts_rank(decay_linear(correlation(indneutralize(volume, sector), ((open * 0.634196) + (open * (1 - 0.634196))), 17.4842), 6.92131), 13.4283)) * -1",
    83: "(rank(delay(((high - low) / (sum(close, 5) / 5)), 2)) * rank(rank(volume))) / (((high - low) / (sum(close, 5) / 5)) / (vwap - close))",
    84: "signedpower(ts_rank((vwap - ts_max(vwap, 15.3217)), 20.7127), delta(close, 4.96796))",
    85: "rank(correlation(((high * 0.876703) + (close * (1 - 0.876703))), adv30, 9.61331)) ^ rank(correlation(ts_rank(((high + low) / 2), 3.70596), ts_rank(volume, 10.1595), 7.11408))",
    86: "(ts_rank(correlation(close, sum(adv20, 14.7444), 6.00049), 20.4195) < rank((open + close) - (vwap + open))) * -1",
    88: "min(rank(decay_linear(((rank(open) + rank(low)) - (rank(high) + rank(close))), 8.06882)), ts_rank(decay_linear(correlation(ts_rank(close, 8.44728), ts_rank(adv60, 20.6966), 8.01266), 6.65053), 2.61957))",
    92: "min(ts_rank(decay_linear(((((high + low) / 2) + close) < (low + open)), 14.7221), 18.8683), ts_rank(decay_linear(correlation(rank(low), rank(adv30), 7.58555), 6.94024), 6.80584))",
    94: "(rank(vwap - ts_min(vwap, 11.5783)) ^ ts_rank(correlation(ts_rank(vwap, 19.6462), ts_rank(adv60, 4.02992), 18.0926), 2.70756)) * -1",
    95: "rank(open - ts_min(open, 12.4105)) < ts_rank((rank(correlation(sum(((high + low) / 2), 19.1351), sum(adv40, 19.1351), 12.8742)) ^ 5), 11.7584)",
    96: "max(ts_rank(decay_linear(correlation(rank(vwap), rank(volume), 3.83878), 4.16783), 8.38151), ts_rank(decay_linear(ts_argmax(correlation(ts_rank(close, 7.45404), ts_rank(adv60, 4.13242), 3.65459), 12.6556), 14.0365), 13.4143)) * -1",
    98: "rank(decay_linear(correlation(vwap, sum(adv5, 26.4719), 4.58418), 7.18088)) - rank(decay_linear(ts_rank(ts_argmin(correlation(rank(open), rank(adv15), 20.8187), 8.62571), 6.95668), 8.07206))",
    99: "(rank(correlation(sum(((high + low) / 2), 19.8975), sum(adv60, 19.8975), 8.8136)) < rank(correlation(low, volume, 6.28259))) * -1",
    101: "(close - open) / ((high - low) + .001)",
}  # fmt: skip
"""By number; brackets that bind nothing are left out."""

Frame = pd.DataFrame
_TOKEN = re.compile(r"\s*(\d+\.\d*|\.\d+|\d+|[a-z_]\w*|\|\||==|[-+*/^<>?:(),])")
_BINDS = {"||": 2, "<": 3, ">": 3, "==": 3, "+": 4, "-": 4, "*": 5, "/": 5, "^": 7}


def evaluated(text: str, columns: dict[str, Frame]) -> Frame:
    """The formula over wide frames (rows are days, columns instruments); truths are 1 and 0."""
    tokens, end = _TOKEN.findall(text), "end"
    tokens.append(end)

    def take(wanted: str | None = None) -> str:
        found: str = tokens.pop(0)
        assert wanted is None or found == wanted, (wanted, found, text)
        return found

    def primary() -> Any:
        token = take()
        if token == "(":
            inside = ternary()
            take(")")
            return inside
        if token == "-":
            return -binary(6)
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        if tokens[0] != "(":
            if token.startswith("adv"):
                return columns["volume"].rolling(int(token[3:])).mean()
            return columns[token]
        take("(")
        args = [ternary()]
        while tokens[0] == ",":
            take(",")
            args.append(ternary())
        take(")")
        return _FUNCTIONS[token](*args)

    def binary(least: int) -> Any:
        left = primary()
        while tokens[0] in _BINDS and _BINDS[tokens[0]] >= least:
            operator = take()
            left = _OPERATORS[operator](left, binary(_BINDS[operator] + 1))
        return left

    def ternary() -> Any:
        condition = binary(0)
        if tokens[0] != "?":
            return condition
        take("?")
        then = ternary()
        take(":")
        return _either(condition, then, ternary())

    result = ternary()
    assert tokens == [end], (tokens, text)
    return result.where(np.isfinite(result))


def _either(condition: Frame, then: Any, otherwise: Any) -> Frame:
    picked = np.where(condition > 0.5, then, otherwise)
    return Frame(np.where(condition.isna(), np.nan, picked), condition.index, condition.columns)


def _compared(how: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Frame]:
    def compare(a: Any, b: Any) -> Frame:
        difference = a - b
        return how(a, b).astype(float).where(difference.notna())

    return compare


def _any(a: Frame, b: Frame) -> Frame:
    return np.maximum(a, b)


def _divided(a: Any, b: Any) -> Frame:
    quotient = a / b
    return quotient.where(np.isfinite(quotient))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "||": _any,
    "<": _compared(lambda a, b: a < b),
    ">": _compared(lambda a, b: a > b),
    "==": _compared(lambda a, b: a == b),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divided,
    "^": lambda a, b: (a**b).where((a - b).notna()),  # not 1 ** NaN = 1
}


def _level(values: Any, scale: Any) -> Any:
    """Ten digits of the largest, so that values which differ by rounding only are equal."""
    step = 10.0 ** (np.floor(np.log10(np.where(scale > 0, scale, 1.0))) - 10)
    return np.round(values / step)


def _rank(x: Frame) -> Frame:
    largest = np.nanmax(np.abs(np.nan_to_num(x.to_numpy())), axis=1, keepdims=True)
    return Frame(_level(x.to_numpy(), largest), x.index, x.columns).rank(axis=1, pct=True)


def _over(x: Frame, d: float, function: Callable[[np.ndarray], np.ndarray]) -> Frame:
    """``function`` of whole windows ``[..., n]``, missing where one of n is."""
    n, out = floor(d), np.full(x.shape, np.nan)
    if len(x) >= n:
        windows = np.lib.stride_tricks.sliding_window_view(x.to_numpy(), n, axis=0)
        out[n - 1 :] = np.where(np.isnan(windows).any(axis=-1), np.nan, function(windows))
    return Frame(out, x.index, x.columns)


def _levels(windows: np.ndarray) -> np.ndarray:
    return np.asarray(_level(windows, np.nanmax(np.abs(np.nan_to_num(windows)), axis=-1, keepdims=True)))


def _place(windows: np.ndarray) -> np.ndarray:
    levels = _levels(windows)
    last = levels[..., -1:]
    return ((levels < last).sum(axis=-1) + ((levels == last).sum(axis=-1) + 1) / 2) / levels.shape[-1]


def _together(x: Frame, y: Frame, d: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of products of both, of squares of each, about the window's means; [T - n + 1, N]."""
    n = floor(d)
    both = x.notna() & y.notna()
    wx, wy = (np.lib.stride_tricks.sliding_window_view(v.where(both).to_numpy(), n, axis=0) for v in (x, y))
    dx, dy = (w - w.mean(axis=-1, keepdims=True) for w in (wx, wy))
    still = [(w.max(axis=-1) - w.min(axis=-1)) <= 1e-12 * np.abs(w).max(axis=-1) for w in (wx, wy)]
    sxx, syy = (np.where(s, 0.0, (v * v).sum(axis=-1)) for s, v in zip(still, (dx, dy), strict=True))
    missing = np.isnan(wx).any(axis=-1) | np.isnan(wy).any(axis=-1)
    return np.where(missing, np.nan, (dx * dy).sum(axis=-1)), sxx, syy


def _padded(x: Frame, values: np.ndarray) -> Frame:
    out = np.full(x.shape, np.nan)
    out[len(x) - len(values) :] = values
    return Frame(out, x.index, x.columns)


def _correlation(x: Frame, y: Frame, d: float) -> Frame:
    sxy, sxx, syy = _together(x, y, d)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(sxx * syy > 0, sxy / np.sqrt(sxx * syy), np.where(np.isnan(sxy), np.nan, 0.0))
    return _padded(x, values)


def _neutral(x: Frame, sector: Frame) -> Frame:
    groups = sector.iloc[-1]
    out = x * np.nan
    for name in groups.dropna().unique():
        own = groups.index[groups == name]
        mean = x[own].mean(axis=1).where(x[own].notna().sum(axis=1) >= 2)
        out[own] = x[own].sub(mean, axis=0)
    return out


def _signed(x: Frame, a: Any) -> Frame:
    return np.sign(x) * (np.abs(x) ** a).where((x - a).notna())


_FUNCTIONS: dict[str, Callable[..., Frame]] = {
    "rank": _rank,
    "scale": lambda x: x.div(x.abs().sum(axis=1), axis=0),
    "indneutralize": _neutral,
    "log": lambda x: np.log(x.where(x > 0)),
    "abs": abs,
    "sign": np.sign,
    "max": np.maximum,
    "min": np.minimum,
    "signedpower": _signed,
    "delay": lambda x, d: x.shift(floor(d)),
    "delta": lambda x, d: x - x.shift(floor(d)),
    "correlation": _correlation,
    "covariance": lambda x, y, d: _padded(x, _together(x, y, d)[0] / (floor(d) - 1)),
    "sum": lambda x, d: _over(x, d, lambda w: w.sum(axis=-1)),
    "product": lambda x, d: _over(x, d, lambda w: w.prod(axis=-1)),
    "stddev": lambda x, d: _over(x, d, lambda w: w.std(axis=-1, ddof=1)),
    "ts_min": lambda x, d: _over(x, d, lambda w: w.min(axis=-1)),
    "ts_max": lambda x, d: _over(x, d, lambda w: w.max(axis=-1)),
    "ts_argmax": lambda x, d: _over(x, d, lambda w: _levels(w).argmax(axis=-1) + 1.0),
    "ts_argmin": lambda x, d: _over(x, d, lambda w: _levels(w).argmin(axis=-1) + 1.0),
    "ts_rank": lambda x, d: _over(x, d, _place),
    "decay_linear": lambda x, d: _over(
        x, d, lambda w: (w * np.arange(1, floor(d) + 1)).sum(axis=-1) / (floor(d) * (floor(d) + 1) / 2)
    ),
}
