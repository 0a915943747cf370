"""``bars`` of a universe: one row for every bar to expect, chosen from the sources, checked and filled.

Per instrument and session the first source of the chain that has it counts, with its highest revision.
What is expected and absent becomes a row without prices (``gaps``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl

from nofx_pipelines.config import FeedConfig, UniverseConfig
from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.lake.incremental import refresh_sessions
from nofx_pipelines.lake.schemas import BARS, CORPORATE_ACTIONS, EXCLUDED_SESSIONS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.checks import PRICES, QUARANTINE_COLUMNS, QUIET
from nofx_pipelines.market.fingerprints import row_hashes, row_text, text_hash
from nofx_pipelines.market.gaps import alive, excluded_sessions, with_gaps
from nofx_pipelines.market.members import members
from nofx_pipelines.market.quarantine import quarantine, write_excluded
from nofx_pipelines.market.session_checks import (
    check_limits,
    check_units,
    previous_close_window,
    session_closes,
    tag,
    with_limits,
    with_previous_close,
    with_tags,
)
from nofx_pipelines.market.sessions import MarketCalendar, calendar, sessions_between

CHUNK_ROWS = 2_000_000
"""Bars built together; bounds the memory of a refresh."""

_GROUP = ("instrument_id", "session_date")


@dataclass(frozen=True)
class BarsResult:
    """``bars`` (BARS), ``rejects`` (QUARANTINE without run_id), ``excluded`` (EXCLUDED_SESSIONS)."""

    bars: pl.DataFrame
    rejects: pl.DataFrame
    excluded: pl.DataFrame


@dataclass(frozen=True)
class RefreshedBars:
    """What a refresh did: bars written, rows refused, sessions left out with their rules."""

    rows: int
    written: tuple[date, ...]
    fresh: tuple[date, ...]
    rejected: int
    excluded: pl.DataFrame
    version: int | None
    seconds: float


def build_bars(
    source_bars: pl.DataFrame,
    instruments: pl.DataFrame,
    calendar: MarketCalendar,
    *,
    freq: str,
    sessions: Sequence[date],
    previous_close: pl.DataFrame | None = None,
    now: datetime,
    chain: Sequence[str] = (),
    actions: pl.DataFrame | None = None,
) -> BarsResult:
    """The bars of ``sessions``, from all sources' rows of these sessions.

    ``instruments`` are the universe's members (INSTRUMENTS). ``previous_close`` has the closes of earlier
    sessions (instrument_id, session_date, close, price_basis); without it the first session's limits are
    unknown. ``chain`` orders the sources; others follow by name. Pure: ``now`` only stamps what is refused.
    """
    expected = alive(instruments, sessions)
    chosen = choose(source_bars.filter(pl.col("session_date").is_in(list(sessions))), chain)
    columns = chosen.columns
    delivered = _quiet(chosen.join(expected, on=_GROUP, how="inner", maintain_order="left"))
    rows, bad_units = check_units(delivered, columns=columns, now=now)
    earlier = pl.DataFrame(schema=_EARLIER) if previous_close is None else previous_close
    rows = with_limits(with_previous_close(rows, earlier, actions, freq=freq), calendar)
    rows, bad_limits = check_limits(rows, columns=columns, now=now)
    rejects = pl.concat([bad_units, bad_limits]).select(*QUARANTINE_COLUMNS)
    filled = with_gaps(rows, delivered, expected, calendar, freq=freq, rejects=rejects)
    bars = with_tags(filled).select(pl.col(name).cast(dtype) for name, dtype in BARS.columns.items())
    excluded = excluded_sessions(bars, now)
    return BarsResult(bars.sort("session_date", "ts_open", "instrument_id"), rejects, excluded)


_EARLIER = {
    "instrument_id": pl.String(),
    "session_date": pl.Date(),
    "close": pl.Float64(),
    "price_basis": pl.String(),
}


def choose(source_bars: pl.DataFrame, chain: Sequence[str]) -> pl.DataFrame:
    """Per instrument and session the first source of the chain, per bar its highest revision."""
    names = source_bars["source"].unique().sort().to_list()
    order = [name for name in chain if name in names] + [name for name in names if name not in chain]
    best = source_bars
    if len(order) > 1:
        rank = pl.col("source").replace_strict(order, list(range(len(order))), return_dtype=pl.Int32)
        best = source_bars.filter(rank == rank.min().over(_GROUP))
    if best["revision"].max() in (0, None):
        return best
    newest = pl.col("revision") == pl.col("revision").max().over("instrument_id", "ts_open", "source")
    return best.filter(newest)


def _quiet(rows: pl.DataFrame) -> pl.DataFrame:
    """Bars without a trade have no prices and no volume; an index without volume still has a level."""
    untraded = (pl.col("volume") == 0) & (pl.col("status") == "traded") & (pl.col("asset_class") != "index")
    share_day = (pl.col("freq") == "1d") & (pl.col("asset_class") == "equity")
    idle = pl.when(share_day).then(pl.lit("suspended")).otherwise(pl.lit("no_trade"))
    rows = rows.with_columns(pl.when(untraded).then(idle).otherwise("status").alias("status"))
    quiet, hole = pl.col("status").is_in(QUIET), pl.col("status") == "source_hole"
    return rows.with_columns(
        *[pl.when(~quiet).then(name).alias(name) for name in PRICES],
        *[_emptied(name, quiet, hole) for name in ("volume", "amount")],
        *[pl.when(~quiet).then(name).alias(name) for name in ("n_trades", "taker_volume", "taker_amount")],
    ).with_columns(tag("assumed_knowledge", pl.col("knowledge_kind") == "assumed"))


def _emptied(name: str, quiet: pl.Expr, hole: pl.Expr) -> pl.Expr:
    return pl.when(hole).then(None).when(quiet).then(0.0).otherwise(name).alias(name)


def refresh_bars(
    lake: Lake,
    universe: UniverseConfig,
    feed: FeedConfig,
    *,
    start: date,
    end: date,
    now: datetime,
    run_id: str,
    code_version: str,
    force: bool = False,
) -> RefreshedBars:
    """Bring ``<universe>/bars`` of the sessions in ``[start, end)`` up to the sources' state.

    A session is built again when its code, its members, or the content of a source session it reads
    (its own, and those from which its previous close may come) has changed. What is refused goes to the
    market's ``quarantine``, sessions left out to the universe's ``excluded_sessions``, both before the bars
    are committed. Raises ``ConfigError`` when a member is unknown, ``NotEnoughData`` before any ingestion.
    """
    work = _Refresh.open(lake, universe, feed, now=now, run_id=run_id)
    sessions = sessions_between(work.calendar, start, end)
    done = refresh_sessions(
        lake.table(universe.name, "bars"),
        sessions,
        code_version=code_version,
        inputs=work.fingerprints(sessions),
        compute=work.compute,
        lineage=work.lineage,
        run_id=run_id,
        force=force,
        chunk=work.chunk(),
    )
    excluded = pl.concat([pl.DataFrame(schema=EXCLUDED_SESSIONS.columns), *work.excluded])
    rows, written, fresh, version = done.rows, done.written, done.fresh, done.version
    return RefreshedBars(rows, written, fresh, work.rejected, excluded, version, done.seconds)


def bars_inputs(
    lake: Lake, universe: UniverseConfig, feed: FeedConfig, *, start: date, end: date, now: datetime
) -> dict[date, str]:
    """The fingerprint of what the bars of each session in ``[start, end)`` would be built from."""
    if not lake.table(feed.market, f"source_bars_{feed.freq}").exists():
        return {}
    work = _Refresh.open(lake, universe, feed, now=now, run_id="")
    return work.fingerprints(sessions_between(work.calendar, start, end))


@dataclass
class _Refresh:
    """One refresh: what it reads, and what it refused on the way."""

    lake: Lake
    universe: UniverseConfig
    feed: FeedConfig
    now: datetime
    run_id: str
    calendar: MarketCalendar
    source: LakeTable
    instruments: pl.DataFrame
    actions: pl.DataFrame
    lineage: dict[str, int]
    rejected: int = 0
    excluded: list[pl.DataFrame] = field(default_factory=list)

    @classmethod
    def open(
        cls, lake: Lake, universe: UniverseConfig, feed: FeedConfig, *, now: datetime, run_id: str
    ) -> _Refresh:
        source = lake.table(feed.market, f"source_bars_{feed.freq}")
        listed, acts = lake.table(feed.market, "instruments"), lake.table(feed.market, "corporate_actions")
        if not source.exists() or not listed.exists():
            raise NotEnoughData(
                f"{feed.market} {feed.freq} was never ingested",
                kept=f"{universe.name}/bars is as it was",
                hint=f"nofx run --universe {universe.name}",
            )
        instruments = members(listed.scan().collect(), universe)
        ids = instruments["instrument_id"].unique().to_list()
        actions = acts.scan().collect() if acts.exists() else pl.DataFrame(schema=CORPORATE_ACTIONS.columns)
        read = {table.key: table.version() for table in (source, listed, acts)}
        return cls(
            lake,
            universe,
            feed,
            now,
            run_id,
            calendar(feed.market),
            source,
            instruments,
            actions.filter(pl.col("instrument_id").is_in(ids)),
            {key: version for key, version in read.items() if version is not None},
        )

    def chunk(self) -> int:
        """Sessions that are built together, so that one chunk stays near ``CHUNK_ROWS`` bars."""
        rows = self.calendar.bars_per_session(self.feed.freq) * self.instruments["instrument_id"].n_unique()
        return max(1, CHUNK_ROWS // max(rows, 1))

    def fingerprints(self, sessions: Sequence[date]) -> dict[date, str]:
        """What each session is built from, as one hash."""
        stamps = {day: stamp.content for day, stamp in self.source.stamps().items() if stamp.rows}
        days = sorted(stamps)
        whole = text_hash([row_text(self.instruments), *self._chain()])
        acts = self.actions.sort("ex_date", "instrument_id", "kind")
        ex_dates, act_hashes = acts["ex_date"].to_list(), row_hashes(acts).to_list()
        window = previous_close_window(self.feed.freq)
        prints = {}
        for day in sessions:
            read = days[bisect_left(days, day - window) : bisect_right(days, day)]
            known = act_hashes[bisect_left(ex_dates, day - window) : bisect_right(ex_dates, day)]
            prints[day] = text_hash([whole, *known, *(f"{each} {stamps[each]}" for each in read)])
        return prints

    def compute(self, sessions: list[date]) -> pl.DataFrame:
        """The bars of a contiguous run of sessions; what is refused is written at once."""
        first, last = sessions[0], sessions[-1]
        rows = self._read(first, last + timedelta(days=1))
        result = build_bars(
            rows,
            self.instruments,
            self.calendar,
            freq=self.feed.freq,
            sessions=sessions,
            previous_close=self._closes_before(first),
            now=self.now,
            chain=self._chain(),
            actions=self.actions,
        )
        self.rejected += quarantine(self.lake, self.feed.market, result.rejects, run_id=self.run_id)
        excluded = result.excluded
        write_excluded(self.lake, self.universe.name, "bars", sessions, excluded, run_id=self.run_id)
        self.excluded.append(excluded)
        return result.bars

    def _closes_before(self, day: date) -> pl.DataFrame:
        """Closes of the sessions before ``day``, by the same choice and unit check as the bars'."""
        first = max(day - previous_close_window(self.feed.freq), self.calendar.verified_from)
        rows = self._read(first, day)
        if rows.is_empty():
            return pl.DataFrame(schema=_EARLIER)
        sessions = self.calendar.sessions(first, day)
        chosen = choose(rows, self._chain()).join(alive(self.instruments, sessions), on=_GROUP, how="inner")
        return session_closes(check_units(_quiet(chosen), columns=rows.columns, now=self.now)[0])

    def _read(self, start: date, end: date) -> pl.DataFrame:
        ids = self.instruments["instrument_id"].unique().to_list()
        return self.source.scan(start=start, end=end).filter(pl.col("instrument_id").is_in(ids)).collect()

    def _chain(self) -> list[str]:
        return [source.kind for source in self.feed.sources]
