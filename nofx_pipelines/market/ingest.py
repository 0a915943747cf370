"""From a feed's sources to the lake: bars with revisions, instruments, corporate actions, refused rows.

Nothing is replaced: a bar that a source delivers again with other values is appended with the next
revision. Values that a key already had are never appended again, so that a repeated run, or two files
that disagree, add nothing the second time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from nofx_pipelines.config import FeedConfig
from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS, INSTRUMENTS, SOURCE_BARS, TableSchema
from nofx_pipelines.lake.stamps import fresh
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.checks import QUARANTINE_COLUMNS, check_rows, session_span
from nofx_pipelines.market.fingerprints import row_hashes, text_hash
from nofx_pipelines.market.gaps import GAPS_NO_TRADE, GAPS_SUSPENDED
from nofx_pipelines.market.quarantine import quarantine
from nofx_pipelines.market.session_checks import tag
from nofx_pipelines.market.sessions import MarketCalendar, calendar, sessions_between
from nofx_pipelines.market.sources import Decision, Source, open_source

COMMIT_ROWS = 1_000_000
"""Rows gathered before a commit; bounds the memory of an ingestion."""

SETTLING = {"cn": timedelta(minutes=30), "hk": timedelta(minutes=30), "crypto": timedelta(minutes=5)}
"""How long after a session's close its bars may still change; then they are final."""

_KEY = ("instrument_id", "ts_open", "source")
_UNHASHED = {*_KEY, "revision", "knowledge_time", "knowledge_kind", "source_rev", "raw_ref", "row_hash"}
_HASHED = [name for name in SOURCE_BARS.columns if name not in _UNHASHED]


@dataclass(frozen=True)
class IngestResult:
    """What an ingestion did.

    ``rows`` were delivered and sound, of which ``new`` and ``revised`` were appended; ``rejected`` went to
    quarantine. ``sessions`` are those brought up to date, ``versions`` the tables as they now stand.
    """

    rows: int
    new: int
    revised: int
    rejected: int
    sessions: tuple[date, ...]
    versions: dict[str, int]
    decisions: tuple[Decision, ...]
    seconds: float


def ingest(
    lake: Lake,
    feed: FeedConfig,
    *,
    start: date,
    end: date,
    now: datetime,
    run_id: str,
    code_version: str,
    force: bool = False,
) -> IngestResult:
    """Bring ``source_bars_<freq>`` of the sessions in ``[start, end)`` up to what the feed's sources hold.

    Sessions whose code, sources and finality are those of their last ingestion are not read again, unless
    ``force``. Bars of days outside the verified calendar go to quarantine. Raises ``CalendarError`` when the
    whole range lies outside of it.
    """
    began = time.perf_counter()
    market, freq = feed.market, feed.freq
    sources = _opened(feed, now)
    trading = calendar(market)
    sessions = sessions_between(trading, start, end)
    table = lake.table(market, f"source_bars_{freq}")
    work = _Ingestion(lake, table, trading, feed, now, run_id, code_version)
    inputs = _inputs(sources, sessions, trading, now)
    stamps = {} if force else table.stamps()
    stale = [day for day in sessions if not fresh(stamps.get(day), code_version, inputs[day])]
    if stale:
        work.catalogue(sources, start, end)
        low = start if stale[0] == sessions[0] else stale[0]
        high = end if stale[-1] == sessions[-1] else stale[-1] + timedelta(days=1)
        work.bars(sources, low, high, {day: inputs[day] for day in stale})
    names = (table.name, "instruments", "corporate_actions", "quarantine", "truth_signal", "truth_anomalies")
    return IngestResult(
        work.rows,
        work.new,
        work.revised,
        work.rejected,
        tuple(stale),
        {name: version for name in names if (version := lake.table(market, name).version()) is not None},
        tuple(decision for source in sources for decision in source.decisions()),
        time.perf_counter() - began,
    )


def pending_sessions(
    lake: Lake, feed: FeedConfig, *, start: date, end: date, now: datetime, code_version: str
) -> list[date]:
    """The sessions in ``[start, end)`` that `ingest` would read again."""
    sources = _opened(feed, now)
    trading = calendar(feed.market)
    sessions = sessions_between(trading, start, end)
    inputs = _inputs(sources, sessions, trading, now)
    stamps = lake.table(feed.market, feed.source_bars).stamps()
    return [day for day in sessions if not fresh(stamps.get(day), code_version, inputs[day])]


def refresh_instruments(
    lake: Lake, feeds: Sequence[FeedConfig], *, now: datetime, run_id: str, code_version: str
) -> int:
    """Write what the sources of one market's feeds know of its instruments; how many there are now."""
    for feed in feeds:
        table = lake.table(feed.market, feed.source_bars)
        work = _Ingestion(lake, table, calendar(feed.market), feed, now, run_id, code_version)
        work.merge(INSTRUMENTS, [source.instruments() for source in _opened(feed, now)])
    stamp = lake.table(feeds[0].market, "instruments").stamp()
    return stamp.rows if stamp else 0


def _opened(feed: FeedConfig, now: datetime) -> list[Source]:
    """The chain over the feed's whole span: what a source delivers does not depend on the range asked for."""
    end = feed.end or now.date() + timedelta(days=1)
    return [
        open_source(link, market=feed.market, freq=feed.freq, start=feed.start, end=end, now=now)
        for link in feed.sources
    ]


def _inputs(
    sources: Sequence[Source], sessions: Sequence[date], trading: MarketCalendar, now: datetime
) -> dict[date, str]:
    """A session's fingerprint: the chain's, and whether the session has settled."""
    chain = [text for source in sources for text in (source.name, source.fingerprint())]
    final, open_ = text_hash([*chain, "final"]), text_hash([*chain, "open"])
    if not sessions:
        return {}
    closes = trading.bounds(sessions[0], sessions[-1] + timedelta(days=1))
    settled = closes.select(pl.col("closes") + SETTLING[trading.market] <= now).to_series()
    return {day: final if done else open_ for day, done in zip(sessions, settled, strict=True)}


@dataclass
class _Ingestion:
    """One ingestion: where it writes, and what it counted."""

    lake: Lake
    table: LakeTable
    trading: MarketCalendar
    feed: FeedConfig
    now: datetime
    run_id: str
    code_version: str
    rows: int = 0
    new: int = 0
    revised: int = 0
    rejected: int = 0

    def bars(self, sources: Sequence[Source], start: date, end: date, inputs: Mapping[date, str]) -> None:
        """Append what is new; the last commit stamps every session, so that a killed run starts again."""
        waiting = pl.DataFrame()
        for frame in self._sound(sources, start, end):
            if waiting.height:
                self._append(waiting, {})
            waiting = frame
        self._append(waiting, inputs)

    def _sound(self, sources: Sequence[Source], start: date, end: date) -> Iterator[pl.DataFrame]:
        """Checked bars of all sources, gathered to commits; what was refused is written before them."""
        for source in sources:
            good, refused = [], []
            habits = _habits(source.decisions())
            for batch in source.batches(start, end):
                bars = self._completed(batch.bars, habits)
                sound, bad = check_rows(bars, self.trading, freq=self.feed.freq, now=self.now)
                good.append(sound)
                refused += [batch.rejects.select(*QUARANTINE_COLUMNS), bad]
                if sum(frame.height for frame in (*good, *refused)) >= COMMIT_ROWS:
                    yield self._gathered(good, refused)
                    good, refused = [], []
            if good:
                yield self._gathered(good, refused)

    def _gathered(self, good: list[pl.DataFrame], refused: list[pl.DataFrame]) -> pl.DataFrame:
        rejects = pl.concat(refused)
        self.rejected += quarantine(self.lake, self.feed.market, rejects, run_id=self.run_id)
        bars = pl.concat(good)
        self.rows += bars.height
        return bars

    def _completed(self, bars: pl.DataFrame, habits: Sequence[str]) -> pl.DataFrame:
        """The columns of ``SOURCE_BARS`` but revision and row_hash, final where the session has settled."""
        missing = [name for name in SOURCE_BARS.columns if name not in bars.columns]
        whole = bars.with_columns(pl.lit(None, SOURCE_BARS.columns[name]).alias(name) for name in missing)
        columns = [name for name in SOURCE_BARS.columns if name not in ("revision", "row_hash")]
        quality = pl.col("quality").fill_null(pl.lit([], pl.List(pl.String)))
        typed = whole.select(pl.col(name).cast(SOURCE_BARS.columns[name]) for name in columns)
        tagged = typed.with_columns(quality.alias("quality"))
        for habit in habits:
            tagged = tagged.with_columns(tag(habit, pl.lit(value=True)))
        return self._finality(tagged)

    def _finality(self, bars: pl.DataFrame) -> pl.DataFrame:
        if bars.is_empty():
            return bars
        first, last = session_span(bars)
        start = min(max(first, self.trading.verified_from), self.trading.verified_until)
        end = min(max(last + timedelta(days=1), start), self.trading.verified_until)
        closes = self.trading.bounds(start, end).select("session_date", "closes")
        settled = pl.col("closes") + SETTLING[self.trading.market] <= self.now
        joined = bars.join(closes, on="session_date", how="left", maintain_order="left")
        return joined.with_columns(settled.fill_null(value=False).alias("is_final")).drop("closes")

    def _append(self, frame: pl.DataFrame, inputs: Mapping[date, str]) -> None:
        """Add the rows whose values their key never had."""
        novel = self._novel(frame) if frame.height else pl.DataFrame(schema=SOURCE_BARS.columns)
        self.revised += novel.filter(pl.col("revision") > 0).height
        self.new += novel.filter(pl.col("revision") == 0).height
        if novel.height or inputs:
            self.table.append(novel, inputs=inputs, code_version=self.code_version, run_id=self.run_id)

    def _novel(self, frame: pl.DataFrame) -> pl.DataFrame:
        hashed = frame.with_columns(row_hashes(frame.select(_HASHED)))
        hashed = hashed.unique([*_KEY, "row_hash"], keep="first", maintain_order=True)
        first = pl.lit(0, pl.Int32)
        if self.table.exists():
            start, end = session_span(frame)
            ids = frame["instrument_id"].unique()
            lake_rows = (
                self.table.scan(start=start, end=end + timedelta(days=1))
                .filter(pl.col("instrument_id").is_in(ids.implode()))
                .select(*_KEY, "row_hash", "revision")
                .collect()
            )
            hashed = hashed.join(lake_rows, on=[*_KEY, "row_hash"], how="anti", maintain_order="left")
            newest = lake_rows.group_by(_KEY).agg(pl.col("revision").max().alias("_newest"))
            hashed = hashed.join(newest, on=_KEY, how="left", maintain_order="left")
            first = (pl.col("_newest") + 1).fill_null(0).cast(pl.Int32)
        nth = pl.int_range(pl.len(), dtype=pl.Int32).over(_KEY)
        return hashed.with_columns((first + nth).alias("revision")).select(*SOURCE_BARS.columns)

    def catalogue(self, sources: Sequence[Source], start: date, end: date) -> None:
        """Write instruments, corporate actions and truth tables, each only when something changed."""
        self.merge(INSTRUMENTS, [source.instruments() for source in sources])
        self.merge(CORPORATE_ACTIONS, [source.corporate_actions() for source in sources])
        for source in sources:
            for name, frame in sorted(source.truth().items()):
                self._truth(name, frame, source.fingerprint(), start, end)

    def merge(self, schema: TableSchema, frames: Sequence[pl.DataFrame]) -> None:
        """Rows by key: the first source that has a key, else what stood there."""
        table = self.lake.table(self.feed.market, schema.name)
        typed = [frame.select(pl.col(n).cast(t) for n, t in schema.columns.items()) for frame in frames]
        lake_rows = table.scan().select(list(schema.columns)).collect() if table.exists() else None
        merged = pl.concat([*typed, *([] if lake_rows is None else [lake_rows])])
        merged = merged.unique(schema.key, keep="first", maintain_order=True).sort(schema.key)
        if (lake_rows is None and merged.height) or (
            lake_rows is not None and not lake_rows.sort(schema.key).equals(merged)
        ):
            table.overwrite(merged, code_version=self.code_version, run_id=self.run_id)

    def _truth(self, name: str, frame: pl.DataFrame, inputs: str, start: date, end: date) -> None:
        """Replace a truth table's sessions of the range, unless they stand there already."""
        table = self.lake.table(self.feed.market, name)
        rows = frame.filter(pl.col("session_date").is_between(start, end, closed="left"))
        days = rows["session_date"].unique().sort().to_list()
        stamps = table.stamps()
        stale = [day for day in days if not fresh(stamps.get(day), self.code_version, inputs)]
        if stale:
            low, high = stale[0], stale[-1] + timedelta(days=1)
            part = rows.filter(pl.col("session_date").is_between(low, high, closed="left"))
            given = {day: inputs for day in days if low <= day < high}
            table.replace(low, high, part, inputs=given, code_version=self.code_version, run_id=self.run_id)


def _habits(decisions: Sequence[Decision]) -> list[str]:
    """What a source said that it leaves out: ``no_trade …`` or ``suspended …`` under the matter ``gaps``."""
    said = {each.value.partition(" ")[0] for each in decisions if each.matter == "gaps"}
    known = {"no_trade": GAPS_NO_TRADE, "suspended": GAPS_SUSPENDED}
    return [name for word, name in known.items() if word in said]
