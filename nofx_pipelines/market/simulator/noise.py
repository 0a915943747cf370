"""What moves prices and volumes apart from the signal: factors, volatility states, news, waves of attention.

All of it is drawn from the session's own streams and from states that step once a session or once a bar,
never from prices, so the same seed gives the same noise with and without a signal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nofx_pipelines.market.simulator.models import MarketModel
from nofx_pipelines.market.simulator.randomness import Streams
from nofx_pipelines.market.simulator.roster import Roster

Floats = np.ndarray[Any, np.dtype[np.float64]]

WAVE_PERIOD, WAVE_PERSISTENCE = 60.0, 0.99
"""Waves of attention in log volume: AR(2) with complex roots, period in bars."""
WAVE_SPREAD, WAVE_SECTOR_SHARE = 1.0, 0.2
SHARED = 0.9
"""How far the log volatility of sectors and instruments follows the market's."""
VOLUME_NOISE = 0.05
"""Standard deviation of the log of a bar's own volume noise."""
_FAST_HALF_LIFE, _SLOW_HALF_LIFE = 4.0, 90.0
"""Minutes."""


@dataclass(frozen=True)
class NoiseState:
    """Volatility and volume states at the end of a session; ``[S]`` sectors, ``[N]`` instruments."""

    market: float
    sector: Floats  # [S]
    own: Floats  # [N]
    fast: Floats  # [1 + N], market first
    slow: Floats  # [1 + N]
    wave_sector: Floats  # [2, S], newest first
    wave_own: Floats  # [2, N]


@dataclass(frozen=True)
class SessionNoise:
    """One session's draws; ``[B, N]`` bars by instruments."""

    log_return: Floats  # [B, N]
    sigma: Floats  # [B, N] conditional standard deviation of log_return
    turbulence: float
    """The session's common volatility multiplier, about 1; what is planted is in units of it."""
    log_volume: Floats  # [B, N] relative to the instrument's typical day
    bounce: Floats  # [B, N] of prints about the price behind them, relative; 0 on daily bars
    uniform: Floats  # [6, B, N] for what lies inside a bar


def first_state(model: MarketModel, roster: Roster, streams: Streams) -> NoiseState:
    """States drawn from their stationary distributions."""
    random = streams.of("first-state", 0)
    vol, n, s = model.volatility, roster.count, len(model.sectors)
    wave = WAVE_SPREAD
    own_wave = np.sqrt(1 - WAVE_SECTOR_SHARE) * wave * random.standard_normal(n)
    sector_wave = np.sqrt(WAVE_SECTOR_SHARE) * wave * random.standard_normal(s)
    return NoiseState(
        market=float(vol.market_spread * random.standard_normal()),
        sector=vol.sector_spread * random.standard_normal(s),
        own=vol.own_spread * random.standard_normal(n),
        fast=vol.fast_spread * random.standard_normal(n + 1),
        slow=vol.slow_spread * random.standard_normal(n + 1),
        wave_sector=np.stack([sector_wave, sector_wave]),
        wave_own=np.stack([own_wave, own_wave]),
    )


def session_noise(
    model: MarketModel,
    roster: Roster,
    state: NoiseState,
    random: np.random.Generator,
    *,
    volume_share: Floats,
    variance_share: Floats,
    bar_minutes: float,
) -> tuple[SessionNoise, NoiseState]:
    """Draw one session of ``len(volume_share)`` bars; ``bar_minutes`` sets the speed of intraday states."""
    state = _next_day(model, state, random)
    bars = len(volume_share)
    intraday = bars > 1
    if intraday:
        bursts, state = _bursts(model, state, random, bars, bar_minutes)
    else:
        bursts = np.ones((1, roster.count + 1))
    sigma_bar = model.daily_volatility * np.sqrt(variance_share)[:, None]
    log_return, sigma = _returns(model, roster, state, random, bursts, sigma_bar)
    news = _news(model, roster, random, bars)
    shock = np.abs(log_return + news) / sigma  # in own units, or lively instruments' volume would vary more
    waves, state = _waves(state, random, bars, roster)
    noise = VOLUME_NOISE * random.standard_normal((bars, roster.count))
    busy = 0.25 * np.log(0.3 + shock) + (0.6 * np.log(bursts[:, 1:] * bursts[:, :1]) if intraday else 0.0)
    half_spread = model.bounce * model.daily_volatility if intraday else 0.0
    return (
        SessionNoise(
            log_return=log_return + news,
            sigma=sigma,
            turbulence=_shared(model, state),
            log_volume=np.log(volume_share)[:, None] + waves + noise + busy,
            bounce=half_spread * np.sign(random.random((bars, roster.count)) - 0.5),
            uniform=random.random((6, bars, roster.count)),
        ),
        state,
    )


def _next_day(model: MarketModel, state: NoiseState, random: np.random.Generator) -> NoiseState:
    vol = model.volatility

    def step(value: Any, persistence: float, spread: float, draw: Any) -> Any:
        return persistence * value + np.sqrt(1 - persistence**2) * spread * draw

    return replace(
        state,
        market=float(step(state.market, vol.market_persistence, vol.market_spread, random.standard_normal())),
        sector=step(
            state.sector,
            vol.sector_persistence,
            vol.sector_spread,
            random.standard_normal(len(state.sector)),
        ),
        own=step(state.own, vol.own_persistence, vol.own_spread, random.standard_normal(len(state.own))),
    )


def _bursts(
    model: MarketModel, state: NoiseState, random: np.random.Generator, bars: int, minutes: float
) -> tuple[Floats, NoiseState]:
    """Volatility multipliers within the day, ``[B, 1 + N]``, market first, mean square 1."""
    vol = model.volatility
    width = len(state.fast)
    total = np.zeros((bars, width))
    ends = []
    for level, half_life, spread in (
        (state.fast, _FAST_HALF_LIFE, vol.fast_spread),
        (state.slow, _SLOW_HALF_LIFE, vol.slow_spread),
    ):
        keep = 0.5 ** (minutes / half_life)
        draws = np.sqrt(1 - keep**2) * spread * random.standard_normal((bars, width))
        for k in range(bars):
            level = keep * level + draws[k]
            total[k] += level
        ends.append(level)
    calm = vol.fast_spread**2 + vol.slow_spread**2
    return np.exp(total - calm), replace(state, fast=ends[0], slow=ends[1])


def _returns(
    model: MarketModel,
    roster: Roster,
    state: NoiseState,
    random: np.random.Generator,
    bursts: Floats,
    sigma_bar: Floats,
) -> tuple[Floats, Floats]:
    """Log returns and their conditional standard deviation, ``[B, N]``."""
    vol, bars, n = model.volatility, len(bursts), roster.count
    common_df, own_df = (vol.common_df, vol.own_df) if bars == 1 else (vol.minute_df, vol.minute_df)

    def draw(df: float, *shape: int) -> Floats:
        return np.asarray(random.standard_t(df, shape) * np.sqrt((df - 2) / df))

    calm = np.exp(state.market - vol.market_spread**2)
    shared = _shared(model, state)
    sector_scale = shared * np.exp(state.sector - vol.sector_spread**2)  # [S]
    own_scale = shared * np.exp(state.own - vol.own_spread**2)  # [N]
    market_sigma = np.sqrt(model.market_share) * calm * bursts[:, :1]  # [B, 1]
    sector_sigma = np.sqrt(model.sector_share) * sector_scale * bursts[:, :1]  # [B, S]
    own_sigma = np.sqrt(model.own_share) * own_scale * bursts[:, 1:] * roster.own_volatility  # [B, N]
    common = (
        market_sigma * draw(common_df, bars, 1)
        + (sector_sigma * draw(common_df, bars, len(state.sector)))[:, roster.sector]
    )
    moves = common * roster.common_volatility + own_sigma * draw(own_df, bars, n)
    scale = np.sqrt(
        (market_sigma**2 + sector_sigma[:, roster.sector] ** 2) * roster.common_volatility**2 + own_sigma**2
    )
    return moves * sigma_bar, scale * sigma_bar


def _shared(model: MarketModel, state: NoiseState) -> float:
    """Volatility multiplier of sectors and instruments, mean square 1."""
    return float(np.exp(SHARED * state.market - (SHARED * model.volatility.market_spread) ** 2))


def _news(model: MarketModel, roster: Roster, random: np.random.Generator, bars: int) -> Floats:
    """Idiosyncratic jumps, ``[B, N]``, mean zero; at the first bar of the session three times in five."""
    happens, where, side, size = random.random((4, roster.count))
    jumps = np.zeros((bars, roster.count))
    at = np.where(where < 0.6, 0, (where * bars).astype(np.int64))
    sign = np.where(side < model.news_up, 1.0, -1.0)
    log_size = model.news_size * -np.log1p(-0.999 * size)
    hit = np.flatnonzero(happens < model.news_rate)
    jumps[at[hit], hit] = (sign * log_size)[hit]
    mean = model.news_rate * (2 * model.news_up - 1) * model.news_size
    return jumps - mean / bars


def _waves(
    state: NoiseState, random: np.random.Generator, bars: int, roster: Roster
) -> tuple[Floats, NoiseState]:
    """Log-volume waves, ``[B, N]``, a common part a sector and one an instrument."""
    keep = WAVE_PERSISTENCE
    a1, a2 = 2 * keep * np.cos(2 * np.pi / WAVE_PERIOD), -(keep**2)
    spread = WAVE_SPREAD * np.sqrt((1 + a2) * ((1 - a2) ** 2 - a1**2) / (1 - a2))
    sector_draws = spread * np.sqrt(WAVE_SECTOR_SHARE) * random.standard_normal((bars, len(state.sector)))
    own_draws = spread * np.sqrt(1 - WAVE_SECTOR_SHARE) * random.standard_normal((bars, roster.count))
    (sector, sector_before), (own, own_before) = state.wave_sector, state.wave_own
    waves = np.empty((bars, roster.count))
    for k in range(bars):
        sector, sector_before = a1 * sector + a2 * sector_before + sector_draws[k], sector
        own, own_before = a1 * own + a2 * own_before + own_draws[k], own
        waves[k] = sector[roster.sector] + own
    return waves, replace(
        state, wave_sector=np.stack([sector, sector_before]), wave_own=np.stack([own, own_before])
    )
