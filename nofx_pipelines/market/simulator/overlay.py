"""What anomalies do to a session: a push on the path, or a change of the delivered bars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nofx_pipelines.market.simulator.anomalies import Anomaly
from nofx_pipelines.market.simulator.models import MarketModel
from nofx_pipelines.market.simulator.noise import SessionNoise
from nofx_pipelines.market.simulator.path import SessionBars, SessionRules
from nofx_pipelines.market.simulator.prices import Ticks
from nofx_pipelines.market.simulator.roster import Roster

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

_CRASH_BARS, _BACK_BARS = 5, 10
_WASH_TRADES = 4.0


@dataclass(frozen=True)
class Active:
    """An anomaly at work: ``done`` bars lie in earlier sessions; ``frozen`` is a stale price."""

    anomaly: Anomaly
    done: int = 0
    frozen: float | None = None

    @property
    def starts(self) -> bool:
        """Whether it begins in this session."""
        return self.done == 0

    def window(self, bars: int) -> slice:
        """Its bars in a session of ``bars`` bars."""
        first = self.anomaly.first if self.starts else 0
        return slice(first, min(first + self.anomaly.bars - self.done, bars))

    def after(self, bars: int, traded: Bools) -> Active | None:
        """What is left for the next session; only daily anomalies go on, and not while suspended."""
        if not traded[self.anomaly.instrument]:
            return self
        window = self.window(bars)
        done = self.done + window.stop - window.start
        if bars > 1 or done >= self.anomaly.bars:
            return None
        return replace(self, done=done)


@dataclass
class Shown:
    """A session as delivered, ``[B, N]``."""

    bars: SessionBars
    trades: Floats
    taker: Floats
    delivered: Bools
    active: tuple[Active, ...]


def path_push(active: tuple[Active, ...], sigma: Floats, rules: SessionRules) -> Floats:
    """Extra log returns, ``[B, N]``: a drift of the idiosyncratic return, a move far past the limit.

    ``sigma`` is the idiosyncratic standard deviation of each bar. A lock goes on only while there is a limit.
    """
    push = np.zeros_like(sigma)
    for work in active:
        a, window = work.anomaly, work.window(len(sigma))
        sign = 1.0 if a.up else -1.0
        if a.kind == "cross_sectional_drift":
            push[window, a.instrument] += sign * a.strength * sigma[window, a.instrument]
        elif a.kind == "limit_lock" and np.isfinite(rules.limit_up[a.instrument]):
            push[window, a.instrument] += sign
    return push


def show(
    clean: SessionBars,
    active: tuple[Active, ...],
    rules: SessionRules,
    noise: SessionNoise,
    ticks: Ticks,
    model: MarketModel,
    roster: Roster,
) -> Shown:
    """The bars as a vendor would deliver them: clean ones, changed by the anomalies at work."""
    shown = Shown(
        bars=replace(
            clean,
            open=clean.open.copy(),
            high=clean.high.copy(),
            low=clean.low.copy(),
            close=clean.close.copy(),
            volume=clean.volume.copy(),
            amount=clean.amount.copy(),
        ),
        trades=_trades(clean, noise, model),
        taker=_taker_volume(clean, noise, roster),
        delivered=np.broadcast_to(rules.traded, clean.close.shape).copy(),
        active=tuple(_frozen(work, clean, rules) for work in active),
    )
    for work in shown.active:
        if rules.traded[work.anomaly.instrument]:
            _change(shown, work, rules, ticks)
    return shown


def _trades(clean: SessionBars, noise: SessionNoise, model: MarketModel) -> Floats:
    spread = np.exp(0.6 * (noise.uniform[5] - 0.5))
    return np.asarray(np.maximum(np.round(clean.amount / model.mean_trade * spread), 1.0))


def _taker_volume(clean: SessionBars, noise: SessionNoise, roster: Roster) -> Floats:
    """Volume of buyers who took: more of it when the price rises."""
    lean = 0.5 + 0.25 * np.tanh(noise.log_return / noise.sigma) + 0.2 * (noise.uniform[5] - 0.5)
    return np.asarray(np.round(clean.volume * lean / roster.step) * roster.step)


def _frozen(work: Active, clean: SessionBars, rules: SessionRules) -> Active:
    """A stale price is the last one before it starts, and stays that."""
    i = work.anomaly.instrument
    if work.anomaly.kind != "stale" or work.frozen is not None or not rules.traded[i]:
        return work
    first = work.window(len(clean.close)).start
    return replace(work, frozen=float(clean.close[first - 1, i] if first else rules.reference[i]))


def _change(shown: Shown, work: Active, rules: SessionRules, ticks: Ticks) -> None:
    """Apply one anomaly to its bars, in place."""
    a, bars = work.anomaly, shown.bars
    where = (work.window(len(bars.close)), a.instrument)
    if a.kind == "gap":
        shown.delivered[where] = False
    elif a.kind in ("volume_spike", "wash"):
        bars.volume[where] *= a.strength
        bars.amount[where] *= a.strength
        shown.taker[where] *= a.strength
        shown.trades[where] *= _WASH_TRADES if a.kind == "wash" else np.round(a.strength)
        if a.kind == "wash":
            shown.taker[where] = bars.volume[where] / 2
    elif a.kind == "unit_switch":
        bars.volume[where] *= a.strength
        shown.taker[where] *= a.strength
    elif a.kind == "stale":
        _pin(bars, where, np.float64(work.frozen or 0.0))
    elif a.kind == "limit_lock" and np.isfinite(rules.limit_up[a.instrument]):
        bars.volume[where] = np.maximum(np.round(bars.volume[where] * a.strength / 100), 1.0) * 100
        _pin(bars, where, bars.close[where])
    elif a.kind in ("bad_print", "flash_crash"):
        _misprint(bars, work, rules, ticks)


def _pin(bars: SessionBars, where: tuple[slice, int], price: Any) -> None:
    """One price for the whole of each bar."""
    for column in (bars.open, bars.high, bars.low, bars.close):
        column[where] = price
    bars.amount[where] = np.round(bars.volume[where] * bars.close[where], 2)


def _misprint(bars: SessionBars, work: Active, rules: SessionRules, ticks: Ticks) -> None:
    """A wrong close, or prices that fall within five bars and come back within ten."""
    a, window, i = work.anomaly, work.window(len(bars.close)), work.anomaly.instrument
    for k in range(window.start, window.stop):
        row = np.array([bars.open[k], bars.high[k], bars.low[k], bars.close[k]])  # [4, N]
        if a.kind == "bad_print":
            row[3, i] *= 1 + a.strength if a.up else 1 - a.strength
        elif len(bars.close) == 1:
            row[2, i] *= 1 - a.strength
        else:
            row[:, i] *= 1 - a.strength * _depth(k - window.start)
        row = np.fmax(np.fmin(row, rules.limit_up), rules.limit_down)
        opened, high, low, closed = (ticks.nearest(prices)[i] for prices in row)
        bars.open[k, i], bars.close[k, i] = opened, closed
        bars.high[k, i], bars.low[k, i] = max(opened, high, closed), min(opened, low, closed)
        vwap = np.clip(bars.amount[k, i] / bars.volume[k, i], bars.low[k, i], bars.high[k, i])
        bars.amount[k, i] = np.round(vwap * bars.volume[k, i], 2)


def _depth(bar: int) -> float:
    """How far down a flash crash is, from 0 to 1.

    >>> [_depth(k) for k in (0, 4, 9, 14)]
    [0.2, 1.0, 0.5, 0.0]
    """
    if bar < _CRASH_BARS:
        return (bar + 1) / _CRASH_BARS
    return max(0.0, 1 - (bar + 1 - _CRASH_BARS) / _BACK_BARS)
