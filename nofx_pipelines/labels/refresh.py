"""Bring a universe's labels up to its bars, session by session.

A session's labels depend on the bars from ``back`` sessions before it to ``ahead`` sessions after it
(see :class:`~nofx_pipelines.labels.windows.LabelWindows`). The fingerprint of its inputs covers just
these, so each close makes the last ``ahead`` sessions stale and no others.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import TableNotFound
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.kinds.bar_path import COLUMNS
from nofx_pipelines.labels.windows import LabelWindows
from nofx_pipelines.lake.incremental import RefreshResult, refresh_sessions
from nofx_pipelines.lake.schemas import LABELS, UTC_US
from nofx_pipelines.lake.stamps import SessionStamp
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.adjust import adjusted, running_hashes, stored_factors
from nofx_pipelines.market.sessions import calendar

_CHUNK_ROWS = 4_000_000
"""Bars read at once, about; sessions a chunk follow from it."""
_CHUNK_SESSIONS = 250
_EVERYTHING = datetime(9999, 1, 1, tzinfo=UTC)


def refresh_labels(
    lake: Lake,
    universe: UniverseConfig,
    *,
    start: date,
    end: date,
    run_id: str,
    code_version: str,
    force: bool = False,
    known_until: datetime | None = None,
) -> RefreshResult:
    """Compute the labels of the sessions in ``[start, end)`` that are not fresh, and commit them.

    ``known_until`` leaves out bars that closed later, as if they were not in the table; None takes all.
    Raises TableNotFound when the universe has no bars.
    """
    inputs = _Inputs.read(lake, universe, known_until or _EVERYTHING)
    days = [day for day in inputs.days if start <= day < end]
    widest = max((inputs.stamps[day].rows for day in days), default=1)
    return refresh_sessions(
        lake.table(universe.name, "labels"),
        days,
        code_version=code_version,
        inputs={day: inputs.fingerprint(day) for day in days},
        compute=inputs.labels,
        lineage=inputs.lineage,
        run_id=run_id,
        force=force,
        chunk=max(1, min(_CHUNK_SESSIONS, _CHUNK_ROWS // max(widest, 1))),
    )


def label_inputs(
    lake: Lake, universe: UniverseConfig, *, start: date, end: date, known_until: datetime | None = None
) -> dict[date, str]:
    """The fingerprint of what the labels of each session in ``[start, end)`` would be computed from."""
    if not lake.table(universe.name, "bars").exists():
        return {}
    inputs = _Inputs.read(lake, universe, known_until or _EVERYTHING)
    return {day: inputs.fingerprint(day) for day in inputs.days if start <= day < end}


@dataclass(frozen=True)
class _Inputs:
    """What labels are made of: bars by session, as far as known, and the factors that adjust them."""

    universe: UniverseConfig
    bars: LakeTable
    stamps: dict[date, SessionStamp]
    visible: dict[date, str]  # sessions that count, ascending, with a mark on those seen in part
    factors: pl.DataFrame
    ex_dates: list[date]  # of the factors, ascending
    factor_hashes: list[str]  # at n: of the factors of the first n ex-dates
    known_until: datetime
    windows: LabelWindows
    lineage: dict[str, int]

    @classmethod
    def read(cls, lake: Lake, universe: UniverseConfig, known_until: datetime) -> _Inputs:
        bars, actions = lake.table(universe.name, "bars"), lake.table(universe.market, "corporate_actions")
        if not bars.exists():
            raise TableNotFound(
                f"{bars.key} was never written",
                kept="no label was computed",
                hint=f"nofx run --universe {universe.name}",
            )
        versions = {table.key: table.version() for table in (bars, actions)}
        stamps = bars.stamps()
        factors = stored_factors(lake, universe.name, universe.market).sort("ex_date", "instrument_id")
        return cls(
            universe=universe,
            bars=bars,
            stamps=stamps,
            visible=_visible(bars, stamps, known_until),
            factors=factors,
            ex_dates=factors["ex_date"].unique().sort().to_list(),
            factor_hashes=running_hashes(factors),
            known_until=known_until,
            windows=LabelWindows.of(
                universe.labels, calendar(universe.market).bars_per_session(universe.freq)
            ),
            lineage={key: version for key, version in versions.items() if version is not None},
        )

    @property
    def days(self) -> list[date]:
        """Every session that bars were written for, those that do not count included."""
        return list(self.stamps)

    def fingerprint(self, day: date) -> str:
        """Hash of all that the labels of ``day`` can depend on."""
        sha = hashlib.sha256()
        if day not in self.visible:
            return sha.hexdigest()  # it has no labels, whatever the others hold
        span = self._span(day, day)
        for session in span:
            sha.update(f"{session} {self.stamps[session].content} {self.visible[session]}\n".encode())
        sha.update(self.factor_hashes[bisect_right(self.ex_dates, span[-1])].encode())
        return sha.hexdigest()

    def labels(self, days: list[date]) -> pl.DataFrame:
        """The labels of ``days``, from the bars around them."""
        wanted = [day for day in days if day in self.visible]
        if not wanted:
            return pl.DataFrame(schema=LABELS.columns)
        span = self._span(wanted[0], wanted[-1])
        bars = self.bars.scan(start=span[0], end=span[-1] + timedelta(days=1))
        prices = adjusted(bars, self.factors, self.factors).select(
            "instrument_id", "ts_close", "session_date", "status", "is_final", *COLUMNS
        )
        labels = compute_labels(
            prices.collect(),
            self.universe.labels,
            known_until=self.known_until,
            windows=self.windows,
            folder=self.universe.plugins,
        )
        return labels.filter(pl.col("session_date").is_in(wanted))

    def _span(self, first: date, last: date) -> list[date]:
        sessions = list(self.visible)
        low = max(0, bisect_left(sessions, first) - self.windows.back)
        return sessions[low : bisect_right(sessions, last) + self.windows.ahead]


def _visible(bars: LakeTable, stamps: dict[date, SessionStamp], known_until: datetime) -> dict[date, str]:
    """Sessions with bars that closed by ``known_until``; how many did, where it is not all of them."""
    excluded = set(bars.excluded_sessions())
    days = [day for day, stamp in stamps.items() if stamp.rows and day not in excluded]
    near = known_until.date() - timedelta(days=2)  # a session may begin on the UTC day before its date
    visible = {day: "" for day in days if day < near}
    if len(visible) == len(days):
        return visible
    closed = (pl.col("ts_close") <= pl.lit(known_until, dtype=UTC_US)).sum().alias("closed")
    late = bars.scan(start=near).group_by("session_date").agg(closed, pl.len().alias("bars"))
    for day, seen, total in late.sort("session_date").collect().iter_rows():
        if seen:
            visible[day] = "" if seen == total else str(seen)
    return visible
