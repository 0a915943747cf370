"""Rules on a bar: what is wrong or odd by itself, whatever the distribution of features.

A rule's p-value is how often it begins to fire in the reference, (times + 1) / (bars + 1); a stale price's
is the chance that an instrument as quiet as this one starts to stand still and stands so long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nofx_pipelines.anomaly.detectors.protocol import BarWindow, Detector, Statistic
from nofx_pipelines.anomaly.panel import Bools, Floats

STATISTICS = (
    Statistic("bad_print", "data", rule=True),
    Statistic("stale", "data", rule=True, type="collective"),
    Statistic("limit_lock", "price", rule=True),
    Statistic("gap", "data", rule=True, type="temporal"),
    Statistic("refused", "data", rule=True, type="temporal"),
    Statistic("split", "data", rule=True),
    Statistic("units", "data", rule=True),
)
RULES = tuple(statistic.name for statistic in STATISTICS)

_PRINT_SIGMAS, _PRINT_VOLUME = 5.0, 3.0
_LONGEST_STALE = 240
"""Unchanged bars in a row that are counted."""
_CLUSTERING, _PRIOR_RUNS = 3.0, 10.0
"""One flat bar makes the next so many times likelier: a guess worth so many of an instrument's own runs."""
_SPLIT_JUMP, _SPLIT_SIGMAS = float(np.log(1.25)), 8.0
_UNITS_FACTOR = float(np.log(5.0))
_CLOSE = 1e-6
"""Relative distance at which two prices are one."""


@dataclass(frozen=True, eq=False)
class RuleHits:
    """``fired`` ``[R, S, B, N]`` by ``RULES``; ``run``: bars of the stale run that ends in each one."""

    fired: Bools
    run: Floats

    def sessions(self, first: int, last: int) -> RuleHits:
        """Sessions ``[first, last)``."""
        return RuleHits(self.fired[:, first:last], self.run[first:last])


def apply_rules(bars: BarWindow) -> RuleHits:
    """Which rules each bar breaks."""
    run = stale_run(bars)
    fired = {
        "bad_print": bad_print(bars),
        "stale": run >= 2,
        "limit_lock": limit_lock(bars),
        "gap": bars.hole,
        "refused": bars.refused,
        "split": split(bars),
        "units": units(bars),
    }
    return RuleHits(np.stack([fired[name] for name in RULES]), run)


def bad_print(bars: BarWindow) -> Bools:
    """A close far from the bar's own average price, on ordinary volume, that makes the high or the low."""
    bar = bars.values
    far = np.abs(_feature(bars, "close_to_vwap")) > _PRINT_SIGMAS
    moved = np.abs(_feature(bars, "return")) > _PRINT_SIGMAS / 2
    calm = ~(_feature(bars, "volume") > _PRINT_VOLUME)
    edge = (bar["close"] >= bar["high"] * (1 - _CLOSE)) | (bar["close"] <= bar["low"] * (1 + _CLOSE))
    return np.asarray(far & moved & calm & edge)


def stale_run(bars: BarWindow) -> Floats:
    """How many bars in a row, up to each one, show no price but the last close, ``[S, B, N]``."""
    bar = bars.values
    last = bars.traded_bars.before(bar["close"])
    flat = (bar["high"] <= bar["low"] * (1 + _CLOSE)) & (np.abs(bar["close"] / last - 1) <= _CLOSE)
    packed = bars.traded_bars.pack(np.where(flat, 1.0, 0.0))
    run = np.zeros_like(packed)
    streak = np.zeros(packed.shape[1])
    for t in range(len(packed)):
        streak = np.where(packed[t] > 0, np.minimum(streak + 1, _LONGEST_STALE), 0.0)
        run[t] = streak
    return np.nan_to_num(bars.traded_bars.unpack(run))


def limit_lock(bars: BarWindow) -> Bools:
    """One price for the whole bar, at the exchange's limit."""
    bar = bars.values
    one = bar["high"] <= bar["low"] * (1 + _CLOSE)
    at = [np.abs(bar["close"] / bar[side] - 1) <= _CLOSE for side in ("limit_up", "limit_down")]
    return np.asarray(one & (at[0] | at[1]))


def split(bars: BarWindow) -> Bools:
    """An opening so far from the last close that shares, not prices, must have changed."""
    bar = bars.values
    last = bars.traded_bars.before(bar["close"])
    jump = np.abs(_log_ratio(bar["open"], last))
    return np.asarray((jump > _SPLIT_JUMP) & (np.abs(_feature(bars, "return")) > _SPLIT_SIGMAS))


def units(bars: BarWindow) -> Bools:
    """Amount over volume far from the close: one of them is in other units."""
    bar = bars.values
    return np.asarray(np.abs(_log_ratio(bar["amount"], bar["volume"] * bar["close"])) > _UNITS_FACTOR)


@dataclass(frozen=True, eq=False)
class RuleOdds:
    """Frozen odds: -log10 p of each rule; by instrument ``[N]`` of a first and of a further flat bar."""

    rule: tuple[float, ...]
    flat: Floats
    still_flat: Floats

    @classmethod
    def fit(cls, reference: RuleHits, traded: Bools) -> RuleOdds:
        """Count how often each rule began to fire among the traded bars (and holes) of the reference."""
        absent = [RULES.index("gap"), RULES.index("refused")]
        bars = int(traded.sum() + reference.fired[absent].sum())
        counts = _onsets(reference.fired).sum(axis=(1, 2))
        first = ((reference.run == 1) & traded).sum(axis=(0, 1))
        second = ((reference.run == 2) & traded).sum(axis=(0, 1))
        flat = (first + 1.0) / (traded.sum(axis=(0, 1)) + 2.0)
        usual = np.minimum(_CLUSTERING * flat, 0.5)
        still = (second + _PRIOR_RUNS * usual) / (first + _PRIOR_RUNS)
        return cls(
            rule=tuple(float(-np.log10((count + 1.0) / (bars + 1.0))) for count in counts),
            flat=np.asarray(-np.log10(flat)),
            still_flat=np.asarray(-np.log10(still)),
        )

    def score(self, hits: RuleHits) -> Floats:
        """-log10 p by rule ``[R, S, B, N]``; 0 where a rule did not fire."""
        scores = np.where(hits.fired, np.array(self.rule)[:, None, None, None], 0.0)
        stale = RULES.index("stale")
        standing = self.flat + (hits.run - 1.0) * self.still_flat
        scores[stale] = np.where(hits.fired[stale], standing, 0.0)
        return scores


class Rules:
    """All rules, each with its own odds."""

    statistics: tuple[Statistic, ...] = STATISTICS

    def fit(self, bars: BarWindow, reference: slice, seed: int) -> FittedRules:
        """The odds of the rules in the reference."""
        hits = apply_rules(bars).sessions(reference.start, reference.stop)
        return FittedRules(RuleOdds.fit(hits, bars.traded[reference]))


@dataclass(frozen=True, eq=False)
class FittedRules:
    """Rules with the odds of a reference."""

    odds: RuleOdds

    def score(self, bars: BarWindow, span: slice) -> Floats:
        """-log10 p by rule, ``[R, s, B, N]``; 0 where a rule did not fire."""
        return self.odds.score(apply_rules(bars).sessions(span.start, span.stop))

    def parameters(self) -> dict[str, Any]:
        """-log10 p of each rule."""
        return {"odds": dict(zip(RULES, self.odds.rule, strict=True))}


def _onsets(fired: Bools) -> Bools:
    """Bars at which a rule fires that it did not fire at the slot before, ``[R, T, N]``."""
    flat = fired.reshape(len(fired), -1, fired.shape[-1])
    onsets = flat.copy()
    onsets[:, 1:] &= ~flat[:, :-1]
    return onsets


def _feature(bars: BarWindow, name: str) -> Floats:
    return np.nan_to_num(bars.feature(name))


def _log_ratio(a: Floats, b: Floats) -> Floats:
    known = (a > 0) & (b > 0)
    return np.log(np.divide(a, b, out=np.ones_like(a), where=known))


DETECTOR: Detector = Rules()
