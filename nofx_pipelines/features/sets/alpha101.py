"""``alpha101``: those of the "101 Formulaic Alphas" that daily bars allow (Kakushadze, arXiv:1601.00991).

86 of them, by the paper's numbers. Left out are those that need a capitalisation (56) or an industry or
subindustry (48, 59, 63, 67, 69, 70, 80, 87, 89, 90, 91, 93, 97, 100); 58, 76, 79 and 82 need the bars' own
sector.
What the paper leaves open is decided in `presets.worldquant`.
"""

from __future__ import annotations

from nofx_pipelines.features.algebra.expr import Expr
from nofx_pipelines.features.algebra.functions import (
    close,
    high,
    log,
    low,
    maximum,
    minimum,
    open_,
    sector,
    sign,
    volume,
    vwap,
)
from nofx_pipelines.features.algebra.presets.worldquant import (
    adv,
    correlation,
    covariance,
    decay_linear,
    decayed,
    delay,
    delta,
    holds,
    if_,
    indneutralize,
    product,
    rank,
    returns,
    scale,
    signedpower,
    stddev,
    total,
    ts_argmax,
    ts_argmin,
    ts_max,
    ts_min,
    ts_rank,
)
from nofx_pipelines.features.program.declaration import Feature, FeatureSet

_MIDDLE = (high + low) / 2
_CHANGE = delta(close, 1)
_BEND = (delay(close, 20) - delay(close, 10)) / 10 - (delay(close, 10) - close) / 10
_RANGE = (high - low) / (total(close, 5) / 5)


def _reversal(days: int) -> Expr:
    """The change of the close, turned round unless it had one sign for some days."""
    one_way = if_(ts_max(_CHANGE, days) < 0, _CHANGE, -1 * _CHANGE)
    return if_(ts_min(_CHANGE, days) > 0, _CHANGE, one_way)


def _between(a: Expr, b: Expr, share: float) -> Expr:
    return a * share + b * (1 - share)


_21 = if_(
    total(close, 8) / 8 + stddev(close, 8) < total(close, 2) / 2,
    -1,
    if_(
        total(close, 2) / 2 < total(close, 8) / 8 - stddev(close, 8),
        1,
        if_(volume / adv(20) >= 1, 1, -1),
    ),
)
_29 = ts_min(
    rank(rank(scale(log(total(ts_min(rank(rank(-1 * rank(delta(close - 1, 5)))), 2), 1))))), 5
) + ts_rank(delay(-1 * returns, 6), 5)
_36 = (
    2.21 * rank(correlation(close - open_, delay(volume, 1), 15))
    + 0.7 * rank(open_ - close)
    + 0.73 * rank(ts_rank(delay(-1 * returns, 6), 5))
    + rank(abs(correlation(vwap, adv(20), 6)))
    + 0.6 * rank((total(close, 200) / 200 - open_) * (close - open_))
)
_68 = rank(delta(_between(close, low, 0.518371), 1.06157))
_71 = (
    ts_rank(
        decayed(correlation(ts_rank(close, 3.43976), ts_rank(adv(180), 12.0647), 18.0175), 4.20501),
        15.6948,
    ),
    ts_rank(decayed(rank(low + open_ - (vwap + vwap)) ** 2, 16.4662), 4.4388),
)
_OPEN_LOW = _between(open_, low, 0.147155)
_73 = (
    rank(decay_linear(delta(vwap, 4.72775), 2.91864)),
    ts_rank(decay_linear(delta(_OPEN_LOW, 2.03608) / _OPEN_LOW * -1, 3.33829), 16.7411),
)
_76 = (
    rank(decay_linear(delta(vwap, 1.24383), 11.8259)),
    ts_rank(
        decayed(ts_rank(correlation(indneutralize(low, sector), adv(81), 8.14941), 19.569), 17.1543),
        19.383,
    ),
)
_77 = (
    rank(decay_linear(_MIDDLE + high - (vwap + high), 20.0451)),
    rank(decayed(correlation(_MIDDLE, adv(40), 3.1614), 5.64125)),
)
_82 = (
    rank(decay_linear(delta(open_, 1.46063), 14.8717)),
    ts_rank(
        decayed(
            correlation(indneutralize(volume, sector), _between(open_, open_, 0.634196), 17.4842), 6.92131
        ),
        13.4283,
    ),
)
_88 = (
    rank(decayed(rank(open_) + rank(low) - (rank(high) + rank(close)), 8.06882)),
    ts_rank(
        decayed(correlation(ts_rank(close, 8.44728), ts_rank(adv(60), 20.6966), 8.01266), 6.65053),
        2.61957,
    ),
)
_92 = (
    ts_rank(decayed(holds(_MIDDLE + close < low + open_), 14.7221), 18.8683),
    ts_rank(decayed(correlation(rank(low), rank(adv(30)), 7.58555), 6.94024), 6.80584),
)
_96 = (
    ts_rank(decayed(correlation(rank(vwap), rank(volume), 3.83878), 4.16783), 8.38151),
    ts_rank(
        decayed(
            ts_argmax(correlation(ts_rank(close, 7.45404), ts_rank(adv(60), 4.13242), 3.65459), 12.6556),
            14.0365,
        ),
        13.4143,
    ),
)

_FORMULAS: dict[int, Expr] = {
    1: rank(ts_argmax(signedpower(if_(returns < 0, stddev(returns, 20), close), 2.0), 5)) - 0.5,
    2: -1 * correlation(rank(delta(log(volume), 2)), rank((close - open_) / open_), 6),
    3: -1 * correlation(rank(open_), rank(volume), 10),
    4: -1 * ts_rank(rank(low), 9),
    5: rank(open_ - total(vwap, 10) / 10) * (-1 * abs(rank(close - vwap))),
    6: -1 * correlation(open_, volume, 10),
    7: if_(adv(20) < volume, -1 * ts_rank(abs(delta(close, 7)), 60) * sign(delta(close, 7)), -1),
    8: -1 * rank(total(open_, 5) * total(returns, 5) - delay(total(open_, 5) * total(returns, 5), 10)),
    9: _reversal(5),
    10: rank(_reversal(4)),
    11: (rank(ts_max(vwap - close, 3)) + rank(ts_min(vwap - close, 3))) * rank(delta(volume, 3)),
    12: sign(delta(volume, 1)) * (-1 * _CHANGE),
    13: -1 * rank(covariance(rank(close), rank(volume), 5)),
    14: -1 * rank(delta(returns, 3)) * correlation(open_, volume, 10),
    15: -1 * total(rank(correlation(rank(high), rank(volume), 3)), 3),
    16: -1 * rank(covariance(rank(high), rank(volume), 5)),
    17: -1 * rank(ts_rank(close, 10)) * rank(delta(_CHANGE, 1)) * rank(ts_rank(volume / adv(20), 5)),
    18: -1 * rank(stddev(abs(close - open_), 5) + (close - open_) + correlation(close, open_, 10)),
    19: -1 * sign(close - delay(close, 7) + delta(close, 7)) * (1 + rank(1 + total(returns, 250))),
    20: -1 * rank(open_ - delay(high, 1)) * rank(open_ - delay(close, 1)) * rank(open_ - delay(low, 1)),
    21: _21,
    22: -1 * (delta(correlation(high, volume, 5), 5) * rank(stddev(close, 20))),
    23: if_(total(high, 20) / 20 < high, -1 * delta(high, 2), 0),
    24: if_(
        delta(total(close, 100) / 100, 100) / delay(close, 100) <= 0.05,
        -1 * (close - ts_min(close, 100)),
        -1 * delta(close, 3),
    ),
    25: rank(-1 * returns * adv(20) * vwap * (high - close)),
    26: -1 * ts_max(correlation(ts_rank(volume, 5), ts_rank(high, 5), 5), 3),
    27: if_(rank(total(correlation(rank(volume), rank(vwap), 6), 2) / 2.0) > 0.5, -1, 1),
    28: scale(correlation(adv(20), low, 5) + _MIDDLE - close),
    29: _29,
    30: (1.0 - rank(sign(_CHANGE) + sign(delay(_CHANGE, 1)) + sign(delay(_CHANGE, 2))))
    * total(volume, 5)
    / total(volume, 20),
    31: rank(rank(rank(decayed(-1 * rank(rank(delta(close, 10))), 10))))
    + rank(-1 * delta(close, 3))
    + sign(scale(correlation(adv(20), low, 12))),
    32: scale(total(close, 7) / 7 - close) + 20 * scale(correlation(vwap, delay(close, 5), 230)),
    33: rank(-1 * (1 - open_ / close)),
    34: rank(1 - rank(stddev(returns, 2) / stddev(returns, 5)) + (1 - rank(_CHANGE))),
    35: ts_rank(volume, 32) * (1 - ts_rank(close + high - low, 16)) * (1 - ts_rank(returns, 32)),
    36: _36,
    37: rank(correlation(delay(open_ - close, 1), close, 200)) + rank(open_ - close),
    38: -1 * rank(ts_rank(close, 10)) * rank(close / open_),
    39: -1
    * rank(delta(close, 7) * (1 - rank(decay_linear(volume / adv(20), 9))))
    * (1 + rank(total(returns, 250))),
    40: -1 * rank(stddev(high, 10)) * correlation(high, volume, 10),
    41: (high * low) ** 0.5 - vwap,
    42: rank(vwap - close) / rank(vwap + close),
    43: ts_rank(volume / adv(20), 20) * ts_rank(-1 * delta(close, 7), 8),
    44: -1 * correlation(high, rank(volume), 5),
    45: -1
    * (
        rank(total(delay(close, 5), 20) / 20)
        * correlation(close, volume, 2)
        * rank(correlation(total(close, 5), total(close, 20), 2))
    ),
    46: if_(_BEND > 0.25, -1, if_(_BEND < 0, 1, -1 * _CHANGE)),
    47: rank(1 / close) * volume / adv(20) * (high * rank(high - close) / (total(high, 5) / 5))
    - rank(vwap - delay(vwap, 5)),
    49: if_(_BEND < -0.1, 1, -1 * _CHANGE),
    50: -1 * ts_max(rank(correlation(rank(volume), rank(vwap), 5)), 5),
    51: if_(_BEND < -0.05, 1, -1 * _CHANGE),
    52: (-1 * ts_min(low, 5) + delay(ts_min(low, 5), 5))
    * rank((total(returns, 240) - total(returns, 20)) / 220)
    * ts_rank(volume, 5),
    53: -1 * delta((close - low - (high - close)) / (close - low), 9),
    54: -1 * ((low - close) * open_**5) / ((low - high) * close**5),
    55: -1
    * correlation(rank((close - ts_min(low, 12)) / (ts_max(high, 12) - ts_min(low, 12))), rank(volume), 6),
    57: 0 - (close - vwap) / decayed(rank(ts_argmax(close, 30)), 2),
    58: -1 * ts_rank(decayed(correlation(indneutralize(vwap, sector), volume, 3.92795), 7.89291), 5.50322),
    60: 0
    - (
        2 * scale(rank((close - low - (high - close)) / (high - low) * volume))
        - scale(rank(ts_argmax(close, 10)))
    ),
    61: holds(rank(vwap - ts_min(vwap, 16.1219)) < rank(correlation(vwap, adv(180), 17.9282))),
    62: -1
    * holds(
        rank(correlation(vwap, total(adv(20), 22.4101), 9.91009))
        < rank(holds(rank(open_) + rank(open_) < rank(_MIDDLE) + rank(high)))
    ),
    64: -1
    * holds(
        rank(correlation(total(_between(open_, low, 0.178404), 12.7054), total(adv(120), 12.7054), 16.6208))
        < rank(delta(_between(_MIDDLE, vwap, 0.178404), 3.69741))
    ),
    65: -1
    * holds(
        rank(correlation(_between(open_, vwap, 0.00817205), total(adv(60), 8.6911), 6.40374))
        < rank(open_ - ts_min(open_, 13.635))
    ),
    66: -1
    * (
        rank(decay_linear(delta(vwap, 3.51013), 7.23052))
        + ts_rank(decay_linear((_between(low, low, 0.96633) - vwap) / (open_ - _MIDDLE), 11.4157), 6.72611)
    ),
    68: -1 * holds(ts_rank(correlation(rank(high), rank(adv(15)), 8.91644), 13.9333) < _68),
    71: maximum(*_71),
    72: rank(decayed(correlation(_MIDDLE, adv(40), 8.93345), 10.1519))
    / rank(decayed(correlation(ts_rank(vwap, 3.72469), ts_rank(volume, 18.5188), 6.86671), 2.95011)),
    73: maximum(*_73) * -1,
    74: -1
    * holds(
        rank(correlation(close, total(adv(30), 37.4843), 15.1365))
        < rank(correlation(rank(_between(high, vwap, 0.0261661)), rank(volume), 11.4791))
    ),
    75: holds(
        rank(correlation(vwap, volume, 4.24304)) < rank(correlation(rank(low), rank(adv(50)), 12.4413))
    ),
    76: maximum(*_76) * -1,
    77: minimum(*_77),
    78: rank(correlation(total(_between(low, vwap, 0.352233), 19.7428), total(adv(40), 19.7428), 6.83313))
    ** rank(correlation(rank(vwap), rank(volume), 5.77492)),
    79: holds(
        rank(delta(indneutralize(_between(close, open_, 0.60733), sector), 1.23438))
        < rank(correlation(ts_rank(vwap, 3.60973), ts_rank(adv(150), 9.18637), 14.6644))
    ),
    81: -1
    * holds(
        rank(log(product(rank(rank(correlation(vwap, total(adv(10), 49.6054), 8.47743)) ** 4), 14.9655)))
        < rank(correlation(rank(vwap), rank(volume), 5.07914))
    ),
    82: minimum(*_82) * -1,
    83: rank(delay(_RANGE, 2)) * rank(rank(volume)) / (_RANGE / (vwap - close)),
    84: signedpower(ts_rank(vwap - ts_max(vwap, 15.3217), 20.7127), delta(close, 4.96796)),
    85: rank(correlation(_between(high, close, 0.876703), adv(30), 9.61331))
    ** rank(correlation(ts_rank(_MIDDLE, 3.70596), ts_rank(volume, 10.1595), 7.11408)),
    86: -1
    * holds(
        ts_rank(correlation(close, total(adv(20), 14.7444), 6.00049), 20.4195)
        < rank(open_ + close - (vwap + open_))
    ),
    88: minimum(*_88),
    92: minimum(*_92),
    94: rank(vwap - ts_min(vwap, 11.5783))
    ** ts_rank(correlation(ts_rank(vwap, 19.6462), ts_rank(adv(60), 4.02992), 18.0926), 2.70756)
    * -1,
    95: holds(
        rank(open_ - ts_min(open_, 12.4105))
        < ts_rank(rank(correlation(total(_MIDDLE, 19.1351), total(adv(40), 19.1351), 12.8742)) ** 5, 11.7584)
    ),
    96: maximum(*_96) * -1,
    98: rank(decayed(correlation(vwap, total(adv(5), 26.4719), 4.58418), 7.18088))
    - rank(
        decayed(
            ts_rank(ts_argmin(correlation(rank(open_), rank(adv(15)), 20.8187), 8.62571), 6.95668), 8.07206
        )
    ),
    99: -1
    * holds(
        rank(correlation(total(_MIDDLE, 19.8975), total(adv(60), 19.8975), 8.8136))
        < rank(correlation(low, volume, 6.28259))
    ),
    101: (close - open_) / (high - low + 0.001),
}
_IN_PRICES = frozenset({9, 12, 23, 24, 41, 46, 49, 51, 52, 57, 83, 84})
"""Those that grow with the price, or with a power of it."""

FEATURES = FeatureSet(
    "alpha101",
    tuple(
        Feature(
            f"alpha{number:03d}",
            formula,
            "price" if number in _IN_PRICES else "ratio",
            f"Alpha {number} of the 101.",
            scale_free=number not in _IN_PRICES,
        )
        for number, formula in _FORMULAS.items()
    ),
)
"""86 features."""
