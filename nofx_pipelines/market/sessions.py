"""When each market trades: sessions, breaks, half and partial days, and the bars to expect.

Holidays come from exchange_calendars; what it does not know (closures, partial days, older trading
hours) stands dated in ``calendars.toml``. Outside the verified span nothing is guessed:
``CalendarError`` is raised.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from nofx_pipelines.errors import CalendarError
from nofx_pipelines.market.trading_hours import (
    PartialDay,
    auction_windows,
    bars_of,
    continuous_segments,
    session_bounds,
    trading_days,
)

FREQ_MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}
"""Minutes of each intraday frequency."""

_YEARS = (date(2016, 1, 1), date(2026, 1, 1))
"""Ten whole years over which sessions a year are averaged."""


@dataclass(frozen=True)
class Session:
    """One trading day: ``[opens, closes)`` in UTC, less its breaks (lunch and halts of the whole market)."""

    date: date
    opens: datetime
    closes: datetime
    breaks: tuple[tuple[datetime, datetime], ...]
    half_day: bool
    note: str | None


class MarketCalendar:
    """The sessions of one market inside its verified span ``[verified_from, verified_until)``.

    >>> calendar("hk").session(date(2019, 12, 24)).half_day
    True
    >>> calendar("cn").grid("1m", date(2016, 1, 7), date(2016, 1, 8)).height  # the circuit breaker
    17
    """

    def __init__(self, market: str, rules: dict[str, Any]) -> None:
        span = next(row for row in rules["span"] if row["market"] == market)
        self.market = market
        self.tz = ZoneInfo(span["timezone"])
        self.verified_from: date = span["verified_from"]
        self.verified_until: date = span["verified_until"]
        closed = {row["date"] for row in rules["closure"] if row["market"] == market}
        days, half_days = trading_days(span, closed)
        self._days = days
        partial = [row for row in rules["partial"] if row["market"] == market]
        hours = [row for row in rules["hours"] if row["market"] == market]
        self._segments = continuous_segments(days, half_days, hours, span["timezone"])
        self._partials = {row["date"]: PartialDay.of(row, self.tz) for row in partial}
        self._sessions = session_bounds(self._segments, self._partials, half_days)
        late = {day for day, cut in self._partials.items() if cut.opens}
        early = {day for day, cut in self._partials.items() if cut.closes} | half_days
        skipped = {"open_auction": late, "close_auction": early}
        self._auctions = auction_windows(days, skipped, hours, span["timezone"])

    def sessions(self, start: date, end: date) -> list[date]:
        """Trading days in ``[start, end)``, ascending.

        Raises ``CalendarError`` when the range leaves the verified span.
        """
        self._require(start, end)
        return self._days[bisect_left(self._days, start) : bisect_left(self._days, end)]

    def is_session(self, day: date) -> bool:
        """Whether ``day`` trades; raises ``CalendarError`` outside the verified span."""
        return bool(self.sessions(day, day + timedelta(days=1)))

    def session(self, day: date) -> Session:
        """The session of ``day``; raises ``CalendarError`` when the market is closed on it."""
        if not self.is_session(day):
            raise CalendarError(
                f"{day} is no session of {self.market}",
                hint=f"the next session is {self.next_session(day)}",
            )
        opens, closes, half_day = self._sessions.row(bisect_left(self._days, day))[1:]
        bounds = self._segments.filter(pl.col("session_date") == day).select("seg_open", "seg_close").rows()
        lunch = [(before[1], after[0]) for before, after in pairwise(bounds)]
        partial = self._partials.get(day)
        halts = list(partial.halts) if partial else []
        breaks = [(a, b) for a, b in sorted(lunch + halts) if opens < b and a < closes and a >= opens]
        return Session(day, opens, closes, tuple(breaks), half_day, partial.note if partial else None)

    def next_session(self, day: date) -> date:
        """The first session after ``day``."""
        self._require(day, day)
        at = bisect_left(self._days, day + timedelta(days=1))
        if at == len(self._days):
            raise self._outside(day, "has no verified session after it")
        return self._days[at]

    def previous_session(self, day: date) -> date:
        """The last session before ``day``."""
        self._require(day, day)
        at = bisect_left(self._days, day)
        if at == 0:
            raise self._outside(day, "has no verified session before it")
        return self._days[at - 1]

    def bounds(self, start: date, end: date) -> pl.DataFrame:
        """``session_date``, ``opens``, ``closes`` (UTC), ``half_day`` of each session in ``[start, end)``."""
        self._require(start, end)
        first, last = bisect_left(self._days, start), bisect_left(self._days, end)
        return self._sessions.slice(first, last - first)

    def grid(self, freq: str, start: date, end: date) -> pl.DataFrame:
        """The bars to expect in ``[start, end)``: session_date, ts_open, ts_close, session_phase.

        Intraday bars start at each opening and at the end of lunch and are cut at the next break;
        bars that lie wholly outside a partial day or inside a halt are left out. ``1d`` is one bar a
        session, from open to close, phase ``all``. Opening auctions are not expected (``auctions``).
        """
        if freq == "1d":
            return self.bounds(start, end).select(
                "session_date",
                pl.col("opens").alias("ts_open"),
                pl.col("closes").alias("ts_close"),
                pl.lit("all").alias("session_phase"),
            )
        if freq not in FREQ_MINUTES:
            raise CalendarError(f"freq = {freq!r} is none of 1d, {', '.join(FREQ_MINUTES)}")
        self._require(start, end)
        inside = pl.col("session_date").is_between(start, end, closed="left")
        return self._cut(bars_of(self._segments.filter(inside), FREQ_MINUTES[freq]), start, end)

    def auctions(self, start: date, end: date) -> pl.DataFrame:
        """Auction windows in ``[start, end)``, with the columns of ``grid``."""
        self._require(start, end)
        return self._auctions.filter(pl.col("session_date").is_between(start, end, closed="left"))

    def bars_per_session(self, freq: str) -> int:
        """Bars of a whole session under the latest trading hours: 240 one-minute bars for cn, 330 for hk."""
        if freq == "1d":
            return 1
        day = _YEARS[1]
        counts = self.grid(freq, day, day + timedelta(days=28)).group_by("session_date").len()["len"]
        return int(counts.max())  # type: ignore[arg-type]

    def bars_per_year(self, freq: str) -> float:
        """Bars a year for annualisation: sessions a year (mean of 2016-2025) times bars a session."""
        years = _YEARS[1].year - _YEARS[0].year
        return float(round(len(self.sessions(*_YEARS)) / years) * self.bars_per_session(freq))

    def _cut(self, bars: pl.DataFrame, start: date, end: date) -> pl.DataFrame:
        """Leave out the bars that no trade can fall into on partial days."""
        for day, partial in self._partials.items():
            if start <= day < end:
                shut = pl.lit(value=False)
                for halt_open, halt_close in partial.shut():
                    shut = shut | ((pl.col("ts_open") >= halt_open) & (pl.col("ts_close") <= halt_close))
                bars = bars.filter(~((pl.col("session_date") == day) & shut))
        return bars

    def _require(self, start: date, end: date) -> None:
        if start < self.verified_from:
            raise self._outside(start, f"lies before its verified span, which starts {self.verified_from}")
        if end > self.verified_until:
            raise self._outside(end, f"lies past its verified horizon, {self.verified_until}")

    def _outside(self, day: date, rule: str) -> CalendarError:
        return CalendarError(
            f"calendar {self.market}: {day} {rule}",
            kept="no session was guessed",
            hint=f"stay inside [{self.verified_from}, {self.verified_until})",
        )


@lru_cache(maxsize=8)
def calendar(market: str) -> MarketCalendar:
    """The calendar of ``cn``, ``hk`` or ``crypto``, built once per process.

    Raises ``CalendarError`` for another name.

    >>> calendar("crypto").bars_per_year("1d")
    365.0
    """
    rules = tomllib.loads(Path(__file__).with_name("calendars.toml").read_text(encoding="utf-8"))
    known = [row["market"] for row in rules["span"]]
    if market not in known:
        raise CalendarError(f"market = {market!r} has no calendar", hint=f"use one of {', '.join(known)}")
    return MarketCalendar(market, rules)


def sessions_between(trading: MarketCalendar, start: date, end: date) -> list[date]:
    """Sessions of ``[start, end)`` inside the verified span.

    Raises ``CalendarError`` when the range lies wholly outside of it.
    """
    first, last = max(start, trading.verified_from), min(end, trading.verified_until)
    return trading.sessions(first, last) if first < last else trading.sessions(start, end)
