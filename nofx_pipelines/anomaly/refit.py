"""The fixed calendar by which references are refitted, and the sessions that each is fitted on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Refit:
    """Daily bars: each month on the 250 sessions before; intraday bars: each week on the 40 before."""

    weekly: bool
    sessions: int
    minimum: int
    """Sessions of reference below which nothing is scored."""

    @classmethod
    def of(cls, freq: str) -> Refit:
        """The calendar of a frequency."""
        return cls(False, 250, 80) if freq == "1d" else cls(True, 40, 5)

    def begins(self, day: date) -> date:
        """The first day of the period that ``day`` lies in.

        >>> Refit.of("1d").begins(date(2024, 5, 17)), Refit.of("1m").begins(date(2024, 5, 17))
        (datetime.date(2024, 5, 1), datetime.date(2024, 5, 13))
        """
        return day - timedelta(days=day.weekday()) if self.weekly else day.replace(day=1)

    def reference(self, sessions: Sequence[date], begins: date) -> tuple[int, int]:
        """Positions ``[first, last)`` in ``sessions`` (ascending) that a period's reference is fitted on."""
        last = bisect_left(sessions, begins)
        return max(0, last - self.sessions), last
