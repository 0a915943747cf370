"""A simulated market from its first session on, in chunks of bounded size.

Everything that a session draws is keyed by its date; what it inherits is a small state. So bars up to a
session depend neither on the end asked for nor on how the sessions were cut into chunks. The states
between chunks are kept: to walk on costs only the chunks not yet walked.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from nofx_pipelines.market.sessions import FREQ_MINUTES, MarketCalendar
from nofx_pipelines.market.simulator.prices import limit_shares
from nofx_pipelines.market.simulator.session import Market, MarketState, Plan, SessionResult, Span

_CHUNK_ROWS = 60_000
_DAILY_CHUNK = 63


class Simulation:
    """A market's sessions up to an end; ``sessions`` are ascending and begin with the plan's first."""

    def __init__(
        self, plan: Plan, calendar: MarketCalendar, sessions: list[date], *, chunk_sessions: int | None = None
    ) -> None:
        self.plan, self.sessions = plan, sessions
        self._calendar = calendar
        bars = calendar.bars_per_session(plan.freq)
        self.market = Market(plan, bars_a_session=bars, bar_minutes=float(FREQ_MINUTES.get(plan.freq, 0)))
        usual = _DAILY_CHUNK if plan.freq == "1d" else _CHUNK_ROWS // (bars * plan.count)
        self.chunk_sessions = chunk_sessions or max(1, usual)
        limited = plan.market == "cn" and len(sessions) > 0
        self._limits = limit_shares(self.market.roster, sessions) if limited else None
        self._states: dict[int, MarketState] = {}

    @property
    def chunks(self) -> int:
        """How many chunks the sessions make."""
        return -(-len(self.sessions) // self.chunk_sessions)

    def chunk(self, index: int) -> list[SessionResult]:
        """The sessions of a chunk; the chunks before it are walked first if they never were."""
        if not self._states:
            self._states[0] = self.market.first_state()
        for earlier in range(max(i for i in self._states if i <= index), index):
            self._walk(earlier)
        return self._walk(index)

    def _walk(self, index: int) -> list[SessionResult]:
        """A chunk's sessions from the state before it; keeps the state after it."""
        state, results = self._states[index], []
        for span in self._spans(index):
            result, state = self.market.session(span, state)
            results.append(result)
        self._states[index + 1] = state
        return results

    def _spans(self, index: int) -> list[Span]:
        first = index * self.chunk_sessions
        days = self.sessions[first : first + self.chunk_sessions]
        grid = self._calendar.grid(self.plan.freq, days[0], days[-1] + timedelta(days=1))
        ends = grid.select("session_date", *[pl.col(c).dt.epoch("us") for c in ("ts_open", "ts_close")])
        parts = ends.partition_by("session_date", as_dict=True)
        spans = []
        for number, day in enumerate(days, start=first):
            opens, closes = (parts[(day,)][name].to_numpy() for name in ("ts_open", "ts_close"))
            spans.append(
                Span(number, day, opens, closes, None if self._limits is None else self._limits[number])
            )
        return spans
