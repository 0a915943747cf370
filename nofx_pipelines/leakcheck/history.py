"""The bars that a leak check runs on, read one window of sessions at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.lake.table import LakeTable

_SHARE_BEFORE = 0.8
"""Of a window's sessions, the share before the cut; the rest is its future."""


@dataclass(frozen=True)
class History:
    """``rows``: bars of each session, ascending; ``read``: bars of a first to a last one."""

    rows: Mapping[date, int]
    read: Callable[[date, date], pl.DataFrame]

    @classmethod
    def of(cls, bars: pl.DataFrame) -> History:
        """Bars in memory."""
        counts = bars.group_by("session_date").len().sort("session_date").rows()
        return cls(
            dict(counts), lambda first, last: bars.filter(pl.col("session_date").is_between(first, last))
        )

    @classmethod
    def of_table(cls, table: LakeTable) -> History:
        """A table's sessions that count; only the window around a cut is read."""
        excluded = set(table.excluded_sessions())
        rows = {day: s.rows for day, s in table.stamps().items() if s.rows and day not in excluded}
        after = timedelta(days=1)
        return cls(rows, lambda first, last: table.scan(start=first, end=last + after).collect())

    def draw(self, cuts: int, sessions_before: int, rng: np.random.Generator) -> list[date]:
        """Sessions to cut, one in each of ``cuts`` equal parts, with enough before and one after."""
        sessions = list(self.rows)
        if len(sessions) < sessions_before + 2:
            raise NotEnoughData(
                f"the leak check needs {sessions_before} sessions before a cut and one after it, "
                f"{sessions_before + 2} in all; there are {len(sessions)}",
                kept="nothing was checked",
                hint="ask for a longer history",
            )
        inside = np.arange(sessions_before, len(sessions) - 1)
        # more cuts than sessions: several cuts in one session
        parts = [
            inside[number * len(inside) // cuts :][: max(1, len(inside) // cuts)] for number in range(cuts)
        ]
        return [sessions[int(rng.choice(part))] for part in parts]

    def session_at(self, moment: datetime) -> date:
        """The session of a moment, or the one before it; a day more or less where dates and UTC differ."""
        sessions = list(self.rows)
        return sessions[max(0, bisect_right(sessions, moment.date()) - 1)]

    def window(self, day: date, sessions_before: int, max_rows: int) -> pl.DataFrame:
        """Whole sessions around ``day``, all if they have at most ``max_rows`` bars, sorted by instrument."""
        sessions, total = list(self.rows), sum(self.rows.values())
        first, last = 0, len(sessions) - 1
        if total > max_rows:
            room = max_rows * len(sessions) / total  # sessions
            at = sessions.index(day)
            first = max(0, at - max(sessions_before, int(room * _SHARE_BEFORE)))
            last = min(last, at + max(2, int(room * (1 - _SHARE_BEFORE))))
        return self.read(sessions[first], sessions[last]).sort("instrument_id", "ts_close")
