"""Features of a bar less what its time of day, market, volatility and return explain.

A value is compared with its own instrument's earlier sessions at the same time of day (``usual``);
returns also with recent volatility, and with the market's return in the same bar; volume, shadow and
trade size with the bars just before, and with what returns or volumes of that size usually bring
(``Explained``, frozen with the reference).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nofx_pipelines.anomaly.panel import Floats, Panel
from nofx_pipelines.anomaly.windows import Lookback, Norm, TradedBars, usual

CROSS_SECTION = 5
"""Instruments below which nothing is said about a cross-section."""


@dataclass(frozen=True)
class Feature:
    """A conditioned feature: its channel and unit."""

    name: str
    channel: str
    unit: str
    floor: float
    """Smallest standard deviation, in ``unit``: below it a quiet instrument would look wild."""
    given: str | None = None
    """The feature whose size it is read against."""
    persists: bool = False
    """Whether it is also read against its own last bars."""


FEATURES = (
    Feature("return", "price", "log return", 1e-4),
    Feature("reversal", "price", "log return taken back by the opening", 1e-4),
    Feature("close_to_vwap", "price", "log", 1e-4),
    Feature("shadow", "price", "log", 1e-4, given="return", persists=True),
    Feature("volume", "volume", "log", 0.05, given="return", persists=True),
    Feature("trade_size", "liquidity", "log", 0.05, given="volume", persists=True),
    Feature("residual", "cross_section", "log return", 1e-4),
    Feature("drift", "cross_section", "log return", 1e-4),
)
NAMES = tuple(feature.name for feature in FEATURES)
CHANNELS = ("price", "volume", "liquidity", "cross_section", "data")

_UNITS_OFF = 1.0
"""Log distance of VWAP and close beyond which units differ, not prices; a rule's matter."""
_RECENT = 5
"""Bars that say what is usual just now."""
_CLIP = 4.0
"""Robust standard deviations beyond which more return explains no more volume."""


@dataclass(frozen=True, eq=False)
class Conditioned:
    """Values with what was expected: ``[F, S, B, N]`` each, NaN where unknown."""

    value: Floats
    center: Floats
    scale: Floats
    recent: Floats
    """Mean z of the last bars before, for features that persist; 0 where unknown."""

    @property
    def z(self) -> Floats:
        """Standard deviations from what was expected."""
        return (self.value - self.center) / self.scale

    def sessions(self, first: int, last: int) -> Conditioned:
        """Sessions ``[first, last)``."""
        cubes = (self.value, self.center, self.scale, self.recent)
        return Conditioned(*(cube[:, first:last] for cube in cubes))


def condition(panel: Panel, lookback: Lookback, traded_bars: TradedBars) -> Conditioned:
    """The features of every bar of ``panel`` against their own earlier sessions; needs no reference."""
    bar = panel.values
    log = {name: _log(bar[name]) for name in ("open", "high", "low", "close", "volume", "amount", "n_trades")}
    last = traded_bars.before(log["close"])
    vwap = log["close"] - (log["amount"] - log["volume"])
    own = _volatile(log["close"] - last, traded_bars, lookback)
    residual, drift = _residual(own, traded_bars, lookback)
    quiet = {
        "close_to_vwap": np.where(np.abs(vwap) < _UNITS_OFF, vwap, np.nan),
        "shadow": _shadow(log),
        "volume": log["volume"],
        "trade_size": log["amount"] - log["n_trades"],
    }
    taken_back = _reversal(log["open"] - last, own, traded_bars)
    parts = {"return": own, "reversal": taken_back, "residual": residual, "drift": drift}
    for feature in FEATURES:
        if feature.name in quiet:
            x = quiet[feature.name]
            parts[feature.name] = (x, usual(x, lookback, floor=feature.floor))
    parts["volume"] = _less_common(*parts["volume"])
    value = np.stack([parts[name][0] for name in NAMES])
    center = np.stack([parts[name][1].center for name in NAMES])
    scale = np.stack([parts[name][1].scale for name in NAMES])
    return Conditioned(value, center, scale, _recent((value - center) / scale, traded_bars))


def _reversal(gap: Floats, move: tuple[Floats, Norm], traded_bars: TradedBars) -> tuple[Floats, Norm]:
    """What this opening takes back of the last bar's return, in that return's scale: a wrong close does."""
    x, norm = move
    last, scale = traded_bars.before(x), traded_bars.before(norm.scale)
    back = np.where(last * gap < 0, np.sign(gap) * np.minimum(np.abs(last), np.abs(gap)), 0.0)
    known = np.isfinite(last) & np.isfinite(gap)
    return np.where(known, back, np.nan), Norm(np.zeros_like(scale), scale)


def _shadow(log: dict[str, Floats]) -> Floats:
    """How far the bar went beyond its open and close, on the side where that was more."""
    above = log["high"] - np.maximum(log["open"], log["close"])
    below = np.minimum(log["open"], log["close"]) - log["low"]
    return np.maximum(above, below)


def _recent(z: Floats, traded_bars: TradedBars) -> Floats:
    """Mean z of the ``_RECENT`` bars before each, where a feature persists."""
    weights = np.full(_RECENT, 1.0 / _RECENT)
    recent = np.zeros_like(z)
    for f, feature in enumerate(FEATURES):
        if feature.persists:
            mean = traded_bars.before(traded_bars.weighted(np.clip(z[f], -_CLIP, _CLIP), weights))
            recent[f] = np.nan_to_num(mean)
    return recent


def _log(x: Floats) -> Floats:
    return np.log(x, out=np.full_like(x, np.nan), where=x > 0)


def _volatile(x: Floats, traded_bars: TradedBars, lookback: Lookback) -> tuple[Floats, Norm]:
    """``x`` against its slot's scale, widened or narrowed by half of the variance of the bars before."""
    norm = usual(x, lookback, floor=FEATURES[0].floor)
    square = np.minimum(np.square((x - norm.center) / norm.scale), 9.0)
    bars = lookback.volatility_bars
    recent = traded_bars.before(traded_bars.weighted(square, np.full(bars, 1.0 / bars)))
    factor = np.sqrt(0.5 + 0.5 * np.where(np.isfinite(recent), recent, 1.0))
    return x, Norm(norm.center, norm.scale * factor)


def _residual(
    move: tuple[Floats, Norm], traded_bars: TradedBars, lookback: Lookback
) -> tuple[tuple[Floats, Norm], tuple[Floats, Norm]]:
    """Returns less the market's in the same bar, each in its own scale, and their sum over recent bars."""
    x, norm = move
    z = (x - norm.center) / norm.scale
    enough = np.isfinite(z).sum(axis=-1, keepdims=True) >= CROSS_SECTION
    market = _median(np.where(enough, z, np.nan)) * norm.scale
    residual = x - market
    own = _volatile(residual, traded_bars, lookback)
    weights = np.ones(lookback.drift_bars)
    total = traded_bars.weighted(own[0] - own[1].center, weights)
    spread = np.sqrt(traded_bars.weighted(np.square(own[1].scale), weights))
    drift = np.where(np.isfinite(residual), total, np.nan)
    return own, (drift, Norm(np.zeros_like(drift), np.where(spread > 0, spread, np.nan)))


def _less_common(x: Floats, norm: Norm) -> tuple[Floats, Norm]:
    """Expect of each instrument what the whole market shows in the same bar, in its own scale."""
    z = (x - norm.center) / norm.scale
    enough = np.isfinite(z).sum(axis=-1, keepdims=True) >= CROSS_SECTION
    common = np.where(enough, _median(z), 0.0)
    return x, Norm(norm.center + common * norm.scale, norm.scale)


def _median(z: Floats) -> Floats:
    """The median over instruments, ``[S, B, 1]``, NaN where there is none."""
    ascending = np.sort(z, axis=-1)
    count = np.isfinite(z).sum(axis=-1, keepdims=True)
    low = np.maximum((count - 1) // 2, 0)
    high = np.maximum(count // 2, 0) if z.shape[-1] > 1 else low
    pair = [np.take_along_axis(ascending, np.minimum(k, z.shape[-1] - 1), axis=-1) for k in (low, high)]
    return np.where(count > 0, (pair[0] + pair[1]) / 2, np.nan)


@dataclass(frozen=True)
class Explained:
    """Per feature: level, slopes and the spread that is left; fitted on a reference, then frozen."""

    level: tuple[float, ...]
    size_slope: tuple[float, ...]
    """For each |z| of what the feature is given."""
    recent_slope: tuple[float, ...]
    """For each mean z of its own last bars."""
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, reference: Conditioned) -> Explained:
        """Least squares of each feature's z, extremes clipped."""
        z, fits = reference.z, []
        for f, feature in enumerate(FEATURES):
            size = _size(z, feature)
            known = np.isfinite(z[f])
            level, by_size, by_recent = _plane(
                np.clip(z[f][known], -_CLIP, _CLIP), size[known], reference.recent[f][known]
            )
            left = z[f] - level - by_size * size - by_recent * reference.recent[f]
            fits.append((level, by_size, by_recent, _robust_spread(left[known])))
        return cls(*zip(*fits, strict=True))

    def apply(self, raw: Conditioned) -> Conditioned:
        """``raw`` with the explained part added to what was expected."""
        z, center, scale = raw.z, raw.center.copy(), raw.scale.copy()
        for f, feature in enumerate(FEATURES):
            part = self.level[f] + self.size_slope[f] * _size(z, feature)
            center[f] += (part + self.recent_slope[f] * raw.recent[f]) * raw.scale[f]
            scale[f] *= self.spread[f]
        return Conditioned(raw.value, center, scale, raw.recent)


def _size(z: Floats, feature: Feature) -> Floats:
    """|z| of what ``feature`` is given, clipped; 0 where unknown, so that the feature is still read."""
    if feature.given is None:
        return np.zeros(z.shape[1:])
    given = z[NAMES.index(feature.given)]
    return np.where(np.isfinite(given), np.minimum(np.abs(given), _CLIP), 0.0)


def _plane(y: Floats, *regressors: Floats) -> tuple[float, ...]:
    """Level and slopes of least squares; slope 0 for a regressor that is constant."""
    slopes = [0.0] * len(regressors)
    if len(y) < 2:
        return (0.0, *slopes)
    centred = [x - x.mean() for x in regressors]
    used = [k for k, x in enumerate(centred) if float(np.mean(np.square(x))) > 1e-12]
    if used:
        products = np.array([[np.mean(centred[i] * centred[j]) for j in used] for i in used])
        with_y = np.array([np.mean(centred[i] * (y - y.mean())) for i in used])
        ridge = 1e-9 * np.trace(products) * np.eye(len(used))
        for k, slope in zip(used, np.linalg.solve(products + ridge, with_y), strict=True):
            slopes[k] = float(slope)
    level = y.mean() - sum(slope * x.mean() for slope, x in zip(slopes, regressors, strict=True))
    return (float(level), *slopes)


def _robust_spread(left: Floats) -> float:
    """Standard deviation by the 5 % and 95 % quantiles; 1 where there is none."""
    if len(left) < 2:
        return 1.0
    low, high = np.quantile(left, (0.05, 0.95))
    spread = float(high - low) / (2 * 1.6448536269514722)
    return spread if spread > 1e-6 else 1.0
