"""One session of a simulated market: what opens it, what trades in it, what it leaves to the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from nofx_pipelines.market.simulator.actions import ActionRow, action_rows, draw_actions, ex_reference
from nofx_pipelines.market.simulator.anomalies import INVALID, Anomaly, draw_anomalies
from nofx_pipelines.market.simulator.day_shape import variance_weights, volume_weights
from nofx_pipelines.market.simulator.models import MODELS
from nofx_pipelines.market.simulator.noise import NoiseState, SessionNoise, first_state, session_noise
from nofx_pipelines.market.simulator.overlay import Active, Shown, path_push, show
from nofx_pipelines.market.simulator.path import PathState, SessionBars, SessionRules, Steering, walk
from nofx_pipelines.market.simulator.prices import Ticks, half_up, limits
from nofx_pipelines.market.simulator.randomness import Streams
from nofx_pipelines.market.simulator.roster import draw_roster
from nofx_pipelines.market.simulator.signal import SignalWindow

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

_WARM_UP_BARS = 60
_US_PER_MINUTE = 60e6


@dataclass(frozen=True)
class Plan:
    """What decides every bar of a simulation, apart from the end."""

    market: str
    freq: str
    start: date
    count: int
    seed: int
    signal: bool
    anomalies: bool


@dataclass(frozen=True)
class Span:
    """A session's place: number from the start, date, the bars' ends in microseconds, ``[B]``, its limits."""

    number: int
    day: date
    opens: Ints
    closes: Ints
    per_mille: Floats | None
    """Price limit in thousandths, ``[N]``, NaN where there is none; None on markets without limits."""


@dataclass(frozen=True)
class MarketState:
    """Everything that a session inherits."""

    noise: NoiseState
    path: PathState
    suspended: Ints  # [N] sessions left
    active: tuple[Active, ...]


@dataclass(frozen=True)
class SessionResult:
    """One session as delivered: ``[B, N]`` arrays in ``bars``, masks, and what was planted."""

    session: date
    ts_open: Ints  # [B] microseconds
    ts_close: Ints  # [B]
    bars: SessionBars
    trades: Floats  # [B, N]
    taker: Floats  # [B, N]
    listed: Bools  # [N]
    traded: Bools  # [N]
    delivered: Bools  # [B, N]
    prev_close: Floats  # [N]
    limit_up: Floats  # [N]
    limit_down: Floats  # [N]
    signal_scale: Floats  # [B] of the bar after each
    active: tuple[Active, ...]
    invalid: tuple[Anomaly, ...]
    actions: tuple[ActionRow, ...]


@dataclass(frozen=True)
class Opening:
    """What is settled before a session's first trade, ``[N]`` each."""

    listed: Bools
    suspended: Ints
    """Sessions of suspension left, this one included."""
    rules: SessionRules
    active: tuple[Active, ...]
    invalid: tuple[Anomaly, ...]
    actions: tuple[ActionRow, ...]


class Market:
    """A simulated market; its sessions follow from one another through ``MarketState``."""

    def __init__(self, plan: Plan, *, bars_a_session: int, bar_minutes: float) -> None:
        self.plan = plan
        self.model = MODELS[plan.market]
        self.streams = Streams(plan.seed, plan.market, plan.freq)
        self.roster = draw_roster(self.model, plan.count, self.streams, plan.start)
        self._ticks = Ticks(plan.market, self.roster)
        self._bars, self._minutes = bars_a_session, bar_minutes
        self._typical_volume = self.roster.amount / self.roster.first_price

    def first_state(self) -> MarketState:
        """The state before the first session: windows are full, volatility is in motion."""
        roster = self.roster
        zeros = np.zeros(roster.count)
        price = self._ticks.on(self.plan.start).nearest(roster.first_price)
        path = PathState(price, price, SignalWindow.empty(roster.count), zeros, zeros)
        noise_state = first_state(self.model, roster, self.streams)
        share, free = np.full(self._bars, 1.0 / self._bars), np.full(roster.count, np.nan)
        for k in range(-(-_WARM_UP_BARS // self._bars)):
            noise, noise_state = self._noise(noise_state, self.streams.of("warm-up", k), share, share)
            rules = SessionRules(path.close, roster.listed_after == 0, free, free)
            steering = self._steering(share, np.zeros_like(noise.log_return))
            _, path = walk(path, noise, rules, steering, self._ticks, self._typical_volume, roster.step)
        return MarketState(noise_state, path, np.zeros(roster.count, dtype=np.int64), ())

    def session(self, span: Span, state: MarketState) -> tuple[SessionResult, MarketState]:
        """One session from the state before it; that state is left as it was."""
        volume_share, variance_share = self._shares(span)
        random = self.streams.of("noise", span.day)
        noise, noise_state = self._noise(state.noise, random, volume_share, variance_share)
        opening = self._open(span, state)
        rules, ticks = opening.rules, self._ticks.on(span.day)
        push = path_push(opening.active, self._own_sigma(variance_share), rules)
        steering = self._steering(variance_share, push)
        clean, path = walk(state.path, noise, rules, steering, ticks, self._typical_volume, self.roster.step)
        shown = show(clean, opening.active, rules, noise, ticks, self.model, self.roster)
        following = MarketState(
            noise=noise_state,
            path=path,
            suspended=np.maximum(opening.suspended - 1, 0),
            active=tuple(
                rest for a in shown.active if (rest := a.after(len(span.opens), rules.traded)) is not None
            ),
        )
        return self._result(span, opening, shown, steering), following

    def _open(self, span: Span, state: MarketState) -> Opening:
        """Listings, suspensions, corporate actions and anomalies that take effect, and the day's limits."""
        listed = self.roster.listed_after <= span.number
        free = listed & (state.suspended == 0) & (span.number > self.roster.listed_after)
        decimals = 3 if self.plan.market == "hk" else 2
        drawn = draw_actions(self.model, self.streams, span.day, state.path.close, free, decimals)
        suspended = np.maximum(state.suspended, drawn.suspended_for)
        traded = listed & (suspended == 0)
        cash, bonus = np.where(traded, drawn.cash, 0.0), np.where(traded, drawn.bonus, 0.0)
        active, invalid = self._anomalies(span, traded, state.active)
        issued = (1 + bonus) * (1 + self._missed_splits(active)) - 1
        reference = ex_reference(state.path.close, cash, issued)
        nothing = np.full(self.roster.count, np.nan)
        bounds = (nothing, nothing) if span.per_mille is None else limits(reference, span.per_mille)
        return Opening(
            listed=listed,
            suspended=suspended,
            rules=SessionRules(reference, traded, *bounds),
            active=active,
            invalid=invalid,
            actions=tuple(action_rows(self.roster.ids, span.day, cash, bonus)),
        )

    def _anomalies(
        self, span: Span, traded: Bools, going_on: tuple[Active, ...]
    ) -> tuple[tuple[Active, ...], tuple[Anomaly, ...]]:
        """Anomalies at work today, those that start today included, and today's invalid rows."""
        if not self.plan.anomalies:
            return (), ()
        drawn = draw_anomalies(self.model, self.streams, span.day, self.roster.count, len(span.opens))
        drawn = [a for a in drawn if traded[a.instrument]]
        busy = {a.anomaly.instrument for a in going_on}
        if span.per_mille is not None:
            unlimited = np.isnan(span.per_mille)
            drawn = [a for a in drawn if a.kind != "limit_lock" or not unlimited[a.instrument]]
        fresh = [Active(a) for a in drawn if a.kind not in INVALID and a.instrument not in busy]
        return (*going_on, *fresh), tuple(a for a in drawn if a.kind in INVALID)

    def _missed_splits(self, active: tuple[Active, ...]) -> Floats:
        """New shares for each old one, ``[N]``, of the splits that no table of actions names."""
        shares = np.zeros(self.roster.count)
        for work in active:
            if work.anomaly.kind == "unadjusted_split" and work.starts:
                shares[work.anomaly.instrument] = work.anomaly.strength
        return shares

    def _noise(
        self, state: NoiseState, random: np.random.Generator, volume_share: Floats, variance_share: Floats
    ) -> tuple[SessionNoise, NoiseState]:
        return session_noise(
            self.model,
            self.roster,
            state,
            random,
            volume_share=volume_share,
            variance_share=variance_share,
            bar_minutes=self._minutes,
        )

    def _shares(self, span: Span) -> tuple[Floats, Floats]:
        """Shares of the session's volume and of its variance in each bar."""
        lengths = (span.closes - span.opens) / _US_PER_MINUTE
        if self.model.round_the_clock:
            middle = ((span.opens + span.closes) / 2 / _US_PER_MINUTE) % 1440
        else:
            middle = np.cumsum(lengths) - lengths / 2
        volume = volume_weights(self.model, middle, lengths)
        return volume, variance_weights(self.model, volume, lengths)

    def _steering(self, variance_share: Floats, push: Floats) -> Steering:
        residual = np.sqrt(1.0 - self.model.market_share) * self.model.daily_volatility
        days = 365 if self.model.round_the_clock else 250
        return Steering(
            signal_scale=residual * np.sqrt(variance_share),
            drift=self.model.drift / days / len(variance_share),
            push=push,
            signal=self.plan.signal,
        )

    def _own_sigma(self, variance_share: Floats) -> Floats:
        """Idiosyncratic standard deviation of each bar, ``[B, N]``."""
        own = np.sqrt(self.model.own_share) * self.model.daily_volatility * self.roster.own_volatility
        return np.asarray(np.sqrt(variance_share)[:, None] * own)

    def _result(self, span: Span, opening: Opening, shown: Shown, steering: Steering) -> SessionResult:
        rules = opening.rules
        announced = self._ticks.nearest if span.per_mille is None else half_up
        return SessionResult(
            session=span.day,
            ts_open=span.opens,
            ts_close=span.closes,
            bars=shown.bars,
            trades=shown.trades,
            taker=shown.taker,
            listed=opening.listed,
            traded=rules.traded,
            delivered=shown.delivered,
            prev_close=announced(rules.reference),
            limit_up=rules.limit_up,
            limit_down=rules.limit_down,
            signal_scale=np.roll(steering.signal_scale, -1),
            active=shown.active,
            invalid=opening.invalid,
            actions=opening.actions,
        )
