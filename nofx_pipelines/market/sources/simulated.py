"""The simulated market as a source: seeded, endless, with its truth on the table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import polars as pl

from nofx_pipelines.config import MARKETS, SourceConfig
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.lake.schemas import TRUTH_SIGNAL
from nofx_pipelines.market.fingerprints import text_hash
from nofx_pipelines.market.sessions import FREQ_MINUTES, calendar
from nofx_pipelines.market.simulator import frames
from nofx_pipelines.market.simulator.actions import ActionRow, actions_frame
from nofx_pipelines.market.simulator.roster import instruments_frame
from nofx_pipelines.market.simulator.session import Plan, SessionResult
from nofx_pipelines.market.simulator.simulation import Simulation
from nofx_pipelines.market.sources import Decision, SourceBatch, SourceKind

TRUTH_MINUTES = 30
"""Intraday, the planted signal is kept for one bar in every half hour, so that years of it fit in memory."""

_RECIPE = "1"
"""Part of the fingerprint: goes up when the same parameters give other bars."""
_MAX_INSTRUMENTS = 500


class SimulatedSource:
    """Bars of one simulated market and frequency; what a session holds does not depend on the end."""

    name = "simulated"

    def __init__(self, plan: Plan, end: date, now: datetime) -> None:
        self._plan = plan
        trading = calendar(plan.market)
        last = min(end, now.date() + timedelta(days=1))
        bounds = trading.bounds(plan.start, max(last, plan.start))
        sessions = bounds.filter(pl.col("closes") <= now)["session_date"].to_list()
        self._simulation = Simulation(plan, trading, sessions)
        self._anomalies: dict[int, pl.DataFrame] = {}
        self._signal: dict[int, pl.DataFrame] = {}
        self._actions: dict[int, list[ActionRow]] = {}

    def instruments(self) -> pl.DataFrame:
        """Instruments listed by the last session, names beginning with ``Simulated``."""
        market = self._simulation.market
        return instruments_frame(market.model, market.roster, self._simulation.sessions)

    def batches(self, start: date, end: date) -> Iterator[SourceBatch]:
        """Sessions in ``[start, end)``, a quarter of daily bars or a few days of intraday bars at a time."""
        for index in self._chunks(start, end):
            results = [r for r in self._results(index) if start <= r.session < end]
            bars = frames.bars_frame(
                results,
                self._simulation.market.model,
                self._simulation.market.roster,
                freq=self._plan.freq,
                source=self.name,
            )
            yield SourceBatch(bars)

    def corporate_actions(self) -> pl.DataFrame:
        """Dividends and bonus issues up to the last session; the missed ones are not among them."""
        self._walk_all()
        rows = [row for index in sorted(self._actions) for row in self._actions[index]]
        return actions_frame(rows, currency=self._simulation.market.model.currency, source=self.name)

    def truth(self) -> dict[str, pl.DataFrame]:
        """``truth_signal`` and ``truth_anomalies`` of all sessions; intraday signal at every half hour."""
        self._walk_all()
        order = sorted(self._signal)
        signal = pl.concat([pl.DataFrame(schema=TRUTH_SIGNAL.columns), *(self._signal[i] for i in order)])
        anomalies = frames.merged_anomalies([self._anomalies[i] for i in order])
        return {"truth_signal": signal, "truth_anomalies": anomalies}

    def fingerprint(self) -> str:
        """Hash of seed, market, frequency, start, count and switches; not of the end, which only adds."""
        return text_hash([_RECIPE, *(f"{name}={value}" for name, value in vars(self._plan).items())])

    def span(self) -> tuple[date, date]:
        """First session and the day after the last one; empty before the first close."""
        sessions = self._simulation.sessions
        if not sessions:
            return self._plan.start, self._plan.start
        return sessions[0], sessions[-1] + timedelta(days=1)

    def decisions(self) -> list[Decision]:
        """What the simulation is made of."""
        plan = self._plan
        facts = {
            "format": f"{plan.count} simulated instruments of {plan.market}, {plan.freq}, seed {plan.seed}",
            "price_basis": "unadjusted",
            "signal": "linear and interaction" if plan.signal else "none",
            "anomalies": "planted, in truth_anomalies" if plan.anomalies else "none",
        }
        return [Decision("simulated", matter, value) for matter, value in facts.items()]

    def _chunks(self, start: date, end: date) -> list[int]:
        """Chunks that hold a session of ``[start, end)``."""
        size = self._simulation.chunk_sessions
        inside = [n for n, day in enumerate(self._simulation.sessions) if start <= day < end]
        return sorted({n // size for n in inside})

    def _results(self, index: int) -> list[SessionResult]:
        results = self._simulation.chunk(index)
        self._keep(index, results)
        return results

    def _walk_all(self) -> None:
        for index in range(self._simulation.chunks):
            if index not in self._signal:
                self._results(index)

    def _keep(self, index: int, results: list[SessionResult]) -> None:
        """Remember a chunk's truth, which is small; its bars are not kept."""
        every = max(1, TRUTH_MINUTES // FREQ_MINUTES.get(self._plan.freq, TRUTH_MINUTES))
        roster = self._simulation.market.roster
        self._anomalies[index] = frames.anomalies_frame(results, roster)
        self._signal[index] = frames.signal_frame(results, roster, every=every)
        self._actions[index] = [row for r in results for row in r.actions]


def open_simulated(
    config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
) -> SimulatedSource:
    """A simulated market from ``start`` on; sessions that have not closed at ``now`` are not there yet.

    Raises ``ConfigError`` for an unknown market or frequency and for a number of instruments that is not
    in 1..500, ``CalendarError`` for a start outside the market's verified calendar.

    >>> from datetime import UTC
    >>> source = open_simulated(
    ...     SourceConfig("simulated", instruments=6), market="cn", freq="1d",
    ...     start=date(2024, 1, 2), end=date(2024, 1, 9), now=datetime(2024, 6, 1, tzinfo=UTC))
    >>> [batch.bars.height for batch in source.batches(*source.span())]
    [30]
    """
    known = ("1d", *FREQ_MINUTES)
    if market not in MARKETS or freq not in known:
        raise ConfigError(
            f"the simulator has no market {market!r} with frequency {freq!r}",
            kept="nothing was simulated",
            hint=f"use one of {', '.join(MARKETS)} and one of {', '.join(known)}",
        )
    if not 1 <= config.instruments <= _MAX_INSTRUMENTS:
        raise ConfigError(
            f"instruments = {config.instruments} is not in 1..{_MAX_INSTRUMENTS}",
            kept="nothing was simulated",
            hint="instruments = 30",
        )
    plan = Plan(market, freq, start, config.instruments, config.seed, config.signal, config.anomalies)
    return SimulatedSource(plan, end, now)


class Simulated:
    """``{ kind = "simulated" }``."""

    def open(
        self, config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
    ) -> SimulatedSource:
        """See `open_simulated`."""
        return open_simulated(config, market=market, freq=freq, start=start, end=end, now=now)


SOURCE: SourceKind = Simulated()
