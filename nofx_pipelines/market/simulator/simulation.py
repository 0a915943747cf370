"""One simulated market from its first session on, session after session, in chunks of bounded size.

Everything that a session draws is keyed by its date; what it inherits is a small state. So bars up to a
session depend neither on the end asked for nor on how the sessions were cut into chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.market.sessions import FREQ_MINUTES, MarketCalendar
from nofx_pipelines.market.simulator.actions import ActionRow, action_rows, draw_actions, ex_reference
from nofx_pipelines.market.simulator.anomalies import INVALID, Anomaly, draw_anomalies
from nofx_pipelines.market.simulator.day_shape import variance_weights, volume_weights
from nofx_pipelines.market.simulator.models import MODELS
from nofx_pipelines.market.simulator.noise import NoiseState, first_state, session_noise
from nofx_pipelines.market.simulator.overlay import Active, path_push, show
from nofx_pipelines.market.simulator.path import PathState, SessionBars, SessionRules, Steering, walk
from nofx_pipelines.market.simulator.prices import Ticks, half_up, limit_shares, limits
from nofx_pipelines.market.simulator.randomness import Streams
from nofx_pipelines.market.simulator.roster import Roster, draw_roster
from nofx_pipelines.market.simulator.signal import SignalWindow

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

_CHUNK_ROWS = 60_000
_DAILY_CHUNK = 63
_WARM_UP_BARS = 60


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
class MarketState:
    """Everything a session inherits."""

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


class Simulation:
    """A market's sessions up to an end; ``sessions`` are ascending and begin with the plan's start."""

    def __init__(self, plan: Plan, calendar: MarketCalendar, sessions: list[date]) -> None:
        self.plan, self.sessions = plan, sessions
        self.model = MODELS[plan.market]
        self.streams = Streams(plan.seed, plan.market, plan.freq)
        self.roster: Roster = draw_roster(self.model, plan.count, self.streams, plan.start)
        self._calendar = calendar
        self._ticks = Ticks(plan.market, self.roster)
        self._bars_a_session = calendar.bars_per_session(plan.freq)
        self._minutes = float(FREQ_MINUTES.get(plan.freq, 0))
        days = _DAILY_CHUNK if plan.freq == "1d" else _CHUNK_ROWS // (self._bars_a_session * plan.count)
        self.chunk_sessions = max(1, days)
        self._limits = limit_shares(self.roster, sessions) if plan.market == "cn" and sessions else None
        self._states: dict[int, MarketState] = {}

    @property
    def chunks(self) -> int:
        """How many chunks the sessions make."""
        return -(-len(self.sessions) // self.chunk_sessions)

    def chunk(self, index: int) -> list[SessionResult]:
        """The sessions of a chunk; the chunks before it are walked first if they never were."""
        state = self._state_before(index)
        results, _ = self._walk_chunk(index, state)
        return results

    def _state_before(self, index: int) -> MarketState:
        if 0 not in self._states:
            self._states[0] = self._warmed_up()
        known = max(i for i in self._states if i <= index)
        while known < index:
            _, state = self._walk_chunk(known, self._states[known])
            known += 1
        return self._states[index]

    def _walk_chunk(self, index: int, state: MarketState) -> tuple[list[SessionResult], MarketState]:
        first = index * self.chunk_sessions
        days = self.sessions[first : first + self.chunk_sessions]
        grid = self._calendar.grid(self.plan.freq, days[0], date.fromordinal(days[-1].toordinal() + 1))
        bounds = grid.select(
            "session_date",
            pl.col("ts_open").dt.epoch("us").alias("open"),
            pl.col("ts_close").dt.epoch("us").alias("close"),
        )
        spans = bounds.partition_by("session_date", as_dict=True)
        results = []
        for offset, day in enumerate(days):
            span = spans[(day,)]
            result, state = self._session(
                first + offset, day, span["open"].to_numpy(), span["close"].to_numpy(), state
            )
            results.append(result)
        self._states[index + 1] = state
        return results, state

    def _warmed_up(self) -> MarketState:
        """Windows are full and volatility is in motion when the first session opens."""
        roster = self.roster
        listed = roster.listed_after == 0
        first = self._ticks.on(self.plan.start).nearest(roster.first_price)
        path = PathState(
            first,
            first,
            SignalWindow.empty(roster.count),
            np.zeros(roster.count),
            np.zeros(roster.count),
        )
        state = MarketState(
            first_state(self.model, roster, self.streams), path, np.zeros(roster.count, dtype=np.int64), ()
        )
        share = np.full(self._bars_a_session, 1.0 / self._bars_a_session)
        for k in range(-(-_WARM_UP_BARS // self._bars_a_session)):
            noise, noise_state = session_noise(
                self.model,
                roster,
                state.noise,
                self.streams.of("warm-up", k),
                volume_share=share,
                variance_share=share,
                bar_minutes=self._minutes,
            )
            free = np.full(roster.count, np.nan)
            rules = SessionRules(path.close, listed, free, free)
            steering = self._steering(share, np.zeros_like(noise.log_return))
            _, path = walk(path, noise, rules, steering, self._ticks, self._typical_volume(), roster.step)
            state = MarketState(noise_state, path, state.suspended, ())
        return state

    def _session(
        self, number: int, day: date, opens: Ints, closes: Ints, state: MarketState
    ) -> tuple[SessionResult, MarketState]:
        volume_share, variance_share = self._shares(opens, closes)
        noise, noise_state = session_noise(
            self.model,
            self.roster,
            state.noise,
            self.streams.of("noise", day),
            volume_share=volume_share,
            variance_share=variance_share,
            bar_minutes=self._minutes,
        )
        listed = self.roster.listed_after <= number
        trading = listed & (state.suspended == 0) & (number > self.roster.listed_after)
        drawn = draw_actions(
            self.model, self.streams, day, state.path.close, trading, 3 if self.plan.market == "hk" else 2
        )
        suspended = np.maximum(state.suspended, drawn.suspended_for)
        traded = listed & (suspended == 0)
        cash, bonus = np.where(traded, drawn.cash, 0.0), np.where(traded, drawn.bonus, 0.0)
        active, invalid = self._anomalies(day, traded, len(opens), state.active)
        hidden = np.zeros(self.roster.count)
        for a in active:
            if a.anomaly.kind == "unadjusted_split" and a.starts:
                hidden[a.anomaly.instrument] = a.anomaly.strength
        reference = ex_reference(state.path.close, cash, (1 + bonus) * (1 + hidden) - 1)
        rules = self._rules(number, reference, traded)
        push = path_push(active, self._own_sigma(variance_share), traded, np.isfinite(rules.limit_up))
        steering = self._steering(variance_share, push)
        clean, path = walk(
            state.path, noise, rules, steering, self._ticks.on(day), self._typical_volume(), self.roster.step
        )
        shown = show(
            clean, active, reference, rules, noise, self._ticks, self.model, self.roster
        )
        result = SessionResult(
            session=day,
            ts_open=opens,
            ts_close=closes,
            bars=shown.bars,
            trades=shown.trades,
            taker=shown.taker,
            listed=listed,
            traded=traded,
            delivered=shown.delivered,
            prev_close=half_up(reference) if self._limits is not None else self._ticks.nearest(reference),
            limit_up=rules.limit_up,
            limit_down=rules.limit_down,
            signal_scale=np.roll(steering.signal_scale, -1),
            active=shown.active,
            invalid=tuple(a for a in invalid if traded[a.instrument]),
            actions=tuple(action_rows(self.roster.ids, day, cash, bonus)),
        )
        left = np.maximum(suspended - 1, 0)
        going_on = tuple(rest for a in shown.active if (rest := a.after(len(opens), traded)) is not None)
        return result, MarketState(noise_state, path, left, going_on)

    def _anomalies(
        self, day: date, traded: Bools, bars: int, going_on: tuple[Active, ...]
    ) -> tuple[tuple[Active, ...], list[Anomaly]]:
        """Anomalies at work today, those that start today included, and today's invalid rows."""
        if not self.plan.anomalies:
            return (), []
        drawn = draw_anomalies(self.model, self.streams, day, self.roster.count, bars)
        busy = {a.anomaly.instrument for a in going_on}
        fresh = [
            Active(a)
            for a in drawn
            if a.kind not in INVALID and traded[a.instrument] and a.instrument not in busy
        ]
        return (*going_on, *fresh), [a for a in drawn if a.kind in INVALID]

    def _rules(self, number: int, reference: Floats, traded: Bools) -> SessionRules:
        if self._limits is None:
            free = np.full(self.roster.count, np.nan)
            return SessionRules(reference, traded, free, free)
        return SessionRules(reference, traded, *limits(reference, self._limits[number]))

    def _shares(self, opens: Ints, closes: Ints) -> tuple[Floats, Floats]:
        """Shares of volume and of variance of each bar."""
        lengths = (closes - opens) / 60e6
        if self.model.round_the_clock:
            middle = ((opens + closes) / 2 / 60e6) % 1440
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

    def _typical_volume(self) -> Floats:
        """Shares or coins of a typical day."""
        return self.roster.amount / self.roster.first_price
