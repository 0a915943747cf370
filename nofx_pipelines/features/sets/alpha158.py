"""``alpha158``: Qlib's features of daily bars (`qlib.contrib.data.loader.Alpha158DL`), in its names.

Nine of the bar's shape, four prices, and 29 of each of five windows. All are relative to the close or the
volume, and so free of scale. Rows are an instrument's own traded bars; Qlib counts suspended days too.
"""

from __future__ import annotations

from nofx_pipelines.features.algebra.expr import Expr
from nofx_pipelines.features.algebra.functions import close, high, low, open_, volume, vwap
from nofx_pipelines.features.algebra.presets.qlib import (
    Abs,
    Corr,
    Greater,
    Gt,
    IdxMax,
    IdxMin,
    Less,
    Log,
    Lt,
    Max,
    Mean,
    Min,
    Quantile,
    Rank,
    Ref,
    Resi,
    Rsquare,
    Slope,
    Std,
    Sum,
)
from nofx_pipelines.features.program.declaration import Feature, FeatureSet

WINDOWS = (5, 10, 20, 30, 60)
_EPSILON = 1e-12
_RANGE = high - low + _EPSILON
_TOP, _BOTTOM = Greater(open_, close), Less(open_, close)
_CHANGE, _VOLUME_CHANGE = close - Ref(close, 1), volume - Ref(volume, 1)
_FALL, _VOLUME_FALL = Ref(close, 1) - close, Ref(volume, 1) - volume
_UP, _DOWN = Gt(close, Ref(close, 1)), Lt(close, Ref(close, 1))
_MOVED = Abs(close / Ref(close, 1) - 1) * volume
_SIZE = volume + _EPSILON

_BAR: dict[str, tuple[Expr, str]] = {
    "KMID": ((close - open_) / open_, "Body of the bar to its open."),
    "KLEN": ((high - low) / open_, "Range of the bar to its open."),
    "KMID2": ((close - open_) / _RANGE, "Body of the bar to its range."),
    "KUP": ((high - _TOP) / open_, "Upper shadow to the open."),
    "KUP2": ((high - _TOP) / _RANGE, "Upper shadow to the range."),
    "KLOW": ((_BOTTOM - low) / open_, "Lower shadow to the open."),
    "KLOW2": ((_BOTTOM - low) / _RANGE, "Lower shadow to the range."),
    "KSFT": ((2 * close - high - low) / open_, "Where the close stands in the range, to the open."),
    "KSFT2": ((2 * close - high - low) / _RANGE, "Where the close stands in the range, to the range."),
    "OPEN0": (open_ / close, "Open to the close."),
    "HIGH0": (high / close, "High to the close."),
    "LOW0": (low / close, "Low to the close."),
    "VWAP0": (vwap / close, "Volume-weighted price to the close."),
}


def _share(part: Expr, whole: Expr, n: int) -> Expr:
    return Sum(part, n) / (Sum(whole, n) + _EPSILON)


def _balance(plus: Expr, minus: Expr, whole: Expr, n: int) -> Expr:
    return (Sum(plus, n) - Sum(minus, n)) / (Sum(whole, n) + _EPSILON)


def _windowed(n: int) -> dict[str, tuple[Expr, str]]:
    gain, loss, moved = Greater(_CHANGE, 0), Greater(_FALL, 0), Abs(_CHANGE)
    more, fewer, changed = Greater(_VOLUME_CHANGE, 0), Greater(_VOLUME_FALL, 0), Abs(_VOLUME_CHANGE)
    highest, lowest = Max(high, n), Min(low, n)
    last, before = close / Ref(close, 1), Log(volume / Ref(volume, 1) + 1)
    return {
        "ROC": (Ref(close, n) / close, "Close of {n} bars before to this one."),
        "MA": (Mean(close, n) / close, "Mean close of {n} bars to the close."),
        "STD": (Std(close, n) / close, "Standard deviation of {n} closes to the close."),
        "BETA": (Slope(close, n) / close, "Slope of the line through {n} closes to the close."),
        "RSQR": (Rsquare(close, n), "R squared of the line through {n} closes."),
        "RESI": (Resi(close, n) / close, "Close less the line through {n} closes, to the close."),
        "MAX": (highest / close, "Highest high of {n} bars to the close."),
        "MIN": (lowest / close, "Lowest low of {n} bars to the close."),
        "QTLU": (Quantile(close, n, 0.8) / close, "80 % quantile of {n} closes to the close."),
        "QTLD": (Quantile(close, n, 0.2) / close, "20 % quantile of {n} closes to the close."),
        "RANK": (Rank(close, n), "Rank of the close among {n}."),
        "RSV": ((close - lowest) / (highest - lowest + _EPSILON), "Close in the range of {n} bars."),
        "IMAX": (IdxMax(high, n) / n, "Place of the highest high in {n} bars."),
        "IMIN": (IdxMin(low, n) / n, "Place of the lowest low in {n} bars."),
        "IMXD": ((IdxMax(high, n) - IdxMin(low, n)) / n, "Place of the high less that of the low, {n} bars."),
        "CORR": (Corr(close, Log(volume + 1), n), "Correlation of close and log volume, {n} bars."),
        "CORD": (Corr(last, before, n), "Correlation of the changes of close and volume, {n} bars."),
        "CNTP": (Mean(_UP, n), "Share of rises in {n} bars."),
        "CNTN": (Mean(_DOWN, n), "Share of falls in {n} bars."),
        "CNTD": (Mean(_UP, n) - Mean(_DOWN, n), "Share of rises less that of falls, {n} bars."),
        "SUMP": (_share(gain, moved, n), "Gains to all moves of {n} bars."),
        "SUMN": (_share(loss, moved, n), "Losses to all moves of {n} bars."),
        "SUMD": (_balance(gain, loss, moved, n), "Gains less losses to all moves of {n} bars."),
        "VMA": (Mean(volume, n) / _SIZE, "Mean volume of {n} bars to the volume."),
        "VSTD": (Std(volume, n) / _SIZE, "Standard deviation of {n} volumes to the volume."),
        "WVMA": (
            Std(_MOVED, n) / (Mean(_MOVED, n) + _EPSILON),
            "Variation of volume-weighted moves over {n} bars.",
        ),
        "VSUMP": (_share(more, changed, n), "Rises to all changes of the volume, {n} bars."),
        "VSUMN": (_share(fewer, changed, n), "Falls to all changes of the volume, {n} bars."),
        "VSUMD": (
            _balance(more, fewer, changed, n),
            "Rises less falls to all changes of the volume, {n} bars.",
        ),
    }


def _features() -> tuple[Feature, ...]:
    found = [Feature(name, expr, "ratio", text, True) for name, (expr, text) in _BAR.items()]
    made = {n: _windowed(n) for n in WINDOWS}
    for kind in made[WINDOWS[0]]:
        for n in WINDOWS:
            expr, text = made[n][kind]
            found.append(Feature(f"{kind}{n}", expr, "ratio", text.format(n=n), True))
    return tuple(found)


FEATURES = FeatureSet("alpha158", _features())
"""158 features, all scale-free."""
