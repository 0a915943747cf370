"""The clean bars of one session: prices walk bar by bar, since each bar's signal depends on those before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nofx_pipelines.market.simulator.noise import SessionNoise
from nofx_pipelines.market.simulator.prices import Ticks
from nofx_pipelines.market.simulator.signal import SignalWindow, planted

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

_OPEN_TIME = 0.25
"""Where between two closes a session's open lies, as a share of the bar's variance."""
_LATER_OPEN_TIME = 0.02
"""The same for the bars within a session, whose open is close to the close before."""


@dataclass
class PathState:
    """What a bar leaves, ``[N]``: last unadjusted close (first price before listing), window, signal."""

    close: Floats
    latent: Floats
    """The price behind the prints: not rounded, without the bounce between bid and ask."""
    window: SignalWindow
    linear: Floats
    interaction: Floats

    def copy(self) -> PathState:
        """An independent copy."""
        return PathState(
            self.close.copy(),
            self.latent.copy(),
            self.window.copy(),
            self.linear.copy(),
            self.interaction.copy(),
        )


@dataclass(frozen=True)
class SessionRules:
    """What holds for a whole session, ``[N]`` each; limits are NaN where there is none."""

    reference: Floats
    """Exact reference: the last close after the day's actions."""
    traded: Bools
    limit_up: Floats
    limit_down: Floats


@dataclass(frozen=True)
class Steering:
    """How strongly the session follows the plan: what is planted, and what anomalies add to the path."""

    signal_scale: Floats  # [B] log return of one residual standard deviation
    drift: float
    """Log return a bar."""
    push: Floats  # [B, N] extra log return
    signal: bool


@dataclass(frozen=True)
class SessionBars:
    """A session's clean bars, ``[B, N]``; ``linear`` and ``interaction``: what a bar says of the next."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    amount: Floats
    linear: Floats
    interaction: Floats


def walk(
    state: PathState,
    noise: SessionNoise,
    rules: SessionRules,
    steering: Steering,
    ticks: Ticks,
    typical_volume: Floats,
    step: Floats,
) -> tuple[SessionBars, PathState]:
    """One session from ``state``; the state passed in is left as it was."""
    bars, count = noise.log_return.shape
    state = state.copy()
    factor = state.close / rules.reference
    state.window.volume *= factor
    latent = state.latent / factor
    close, linear, interaction = (np.empty((bars, count)) for _ in range(3))
    volume = _volumes(noise, typical_volume, step)
    before = rules.reference
    limited = bool(np.isfinite(rules.limit_up).any())
    for k in range(bars):
        move = noise.log_return[k] + steering.push[k] + steering.drift
        move += steering.signal_scale[k] * (state.linear + state.interaction)
        moved = latent * np.exp(move)
        price = ticks.nearest(moved * (1.0 + noise.bounce[k]))
        if limited:
            price = np.fmax(np.fmin(price, rules.limit_up), rules.limit_down)
            moved = np.fmax(np.fmin(moved, rules.limit_up), rules.limit_down)
        price = np.where(rules.traded, price, before)  # a suspended instrument keeps its last price
        latent = np.where(rules.traded, moved, latent)
        state.window.push(np.log(price / before), volume[k], rules.traded)
        if steering.signal:
            linear_part, interaction_part = planted(state.window, rules.traded)
            state.linear = noise.turbulence * linear_part
            state.interaction = noise.turbulence * interaction_part
        close[k], linear[k], interaction[k] = price, state.linear, state.interaction
        before = price
    state.close, state.latent = close[-1].copy(), latent
    return _whole(noise, rules, ticks, close, volume, linear, interaction), state


def _volumes(noise: SessionNoise, typical: Floats, step: Floats) -> Floats:
    return np.asarray(np.maximum(np.round(np.exp(noise.log_volume) * typical / step), 1.0) * step)


def _whole(
    noise: SessionNoise,
    rules: SessionRules,
    ticks: Ticks,
    close: Floats,
    volume: Floats,
    linear: Floats,
    interaction: Floats,
) -> SessionBars:
    """Add open, high, low and amount to the closes: Brownian bridges between them, on the grid."""
    before = np.vstack([rules.reference[None, :], close[:-1]])
    when = np.full(len(close), _LATER_OPEN_TIME)[:, None]
    when[0] = _OPEN_TIME
    whole = np.log(close / before)
    wiggle = noise.sigma * np.sqrt(when * (1 - when)) * _normal(noise.uniform[0], noise.uniform[1])
    open_ = _clamped(ticks.nearest(before * np.exp(when * whole + wiggle)), rules)
    body = np.log(close / open_)
    spread = -2.0 * noise.sigma**2 * (1 - when)
    up = (body + np.sqrt(body**2 + spread * np.log1p(-noise.uniform[2]))) / 2
    down = (body - np.sqrt(body**2 + spread * np.log1p(-noise.uniform[3]))) / 2
    high = np.maximum(_clamped(ticks.below(open_ * np.exp(up)), rules), np.maximum(open_, close))
    low = np.minimum(_clamped(ticks.above(open_ * np.exp(down)), rules), np.minimum(open_, close))
    middle = (open_ + high + low + close) / 4 + 0.2 * (noise.uniform[4] - 0.5) * (high - low)
    amount = np.round(np.clip(middle, low, high) * volume, 2)
    return SessionBars(open_, high, low, close, volume, amount, linear, interaction)


def _clamped(price: Floats, rules: SessionRules) -> Floats:
    return np.asarray(np.fmax(np.fmin(price, rules.limit_up), rules.limit_down))


def _normal(u: Floats, v: Floats) -> Floats:
    """Standard normals from two uniforms (Box and Muller 1958)."""
    return np.asarray(np.sqrt(-2.0 * np.log1p(-u)) * np.cos(2 * np.pi * v))
