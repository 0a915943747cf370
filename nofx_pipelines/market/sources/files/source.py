"""The ``files`` source: bars of one market and frequency from the files under a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.errors import ConfigError, CorruptFile, DataError
from nofx_pipelines.market.fingerprints import text_hash
from nofx_pipelines.market.sources import Decision, SourceBatch
from nofx_pipelines.market.sources.files import rejects
from nofx_pipelines.market.sources.files.corporate_actions import read_actions
from nofx_pipelines.market.sources.files.file_decisions import decisions_of
from nofx_pipelines.market.sources.files.file_index import SOURCE, Found, Opened, digest, open_path
from nofx_pipelines.market.sources.files.listings import instruments_of
from nofx_pipelines.market.sources.files.normalise import COLUMNS, to_bars
from nofx_pipelines.market.sources.files.spans import first_session, last_session
from nofx_pipelines.market.sources.files.survey import blocks_of

MAX_BATCH_ROWS = 500_000
_MARGIN = timedelta(days=2)
"""Between a label as written and its session, whatever the zone."""
_ORDER = ("instrument_id", "ts_open", "row_hash")


@dataclass(frozen=True)
class _Slice:
    """Instruments and sessions ``[start, end)`` that fit into one batch."""

    instruments: tuple[str, ...]
    start: date
    end: date


class FilesSource:
    """Bars from CSV, Parquet and feather files; see ``open_files``."""

    name = SOURCE

    def __init__(
        self, opened: Opened, *, market: str, freq: str, start: date, end: date, now: datetime
    ) -> None:
        self._opened = opened
        self._market, self._freq = market, freq
        self._start, self._end, self._now = start, end, now
        found, refused = read_actions(opened.actions, market=market, source=SOURCE, now=now)
        self._actions = found
        self._rejects = pl.concat([opened.rejects(now), refused])

    def instruments(self) -> pl.DataFrame:
        """One row an instrument, columns of ``INSTRUMENTS``."""
        return instruments_of(self._opened.bars)

    def corporate_actions(self) -> pl.DataFrame:
        """Actions of the files that hold some, columns of ``CORPORATE_ACTIONS``."""
        return self._actions

    def truth(self) -> dict[str, pl.DataFrame]:
        """Nothing is planted in files."""
        return {}

    def fingerprint(self) -> str:
        """SHA-256 over the files' names and bytes, and the market and frequency asked of them.

        The span is left out: a session's bars do not depend on it, and an open feed's end moves daily.
        """
        asked = [self._market, self._freq]
        files = [part for file in self._opened.files for part in (str(file), digest(file))]
        return text_hash([*asked, *files])

    def span(self) -> tuple[date, date]:
        """``[first session, last session + 1 day)`` of what the files hold."""
        each = [(found.survey, held) for found in self._opened.bars for held in found.survey.held.values()]
        last = max(last_session(*one) for one in each)
        return min(first_session(*one) for one in each), last + timedelta(days=1)

    def decisions(self) -> list[Decision]:
        """What was recognised in each file, and what was left out."""
        return decisions_of(self._opened)

    def batches(self, start: date, end: date) -> Iterator[SourceBatch]:
        """Rejects, then bars of ``[start, end)`` by instrument and time, about ``MAX_BATCH_ROWS`` a batch."""
        if self._rejects.height:
            yield SourceBatch(pl.DataFrame(schema=COLUMNS), self._rejects)
        for part in self._slices(max(start, self._start), min(end, self._end)):
            bars = [self._bars(found, part) for found in self._opened.bars if _overlaps(found, part)]
            if bars and (whole := pl.concat(bars)).height:
                yield SourceBatch(whole.sort(_ORDER), rejects.empty())

    def _slices(self, start: date, end: date) -> Iterator[_Slice]:
        rows: dict[str, int] = {}
        spans: dict[str, tuple[date, date]] = {}
        for found in self._opened.bars:
            for identifier, held in found.survey.held.items():
                rows[identifier] = rows.get(identifier, 0) + held.rows
                first, last = first_session(found.survey, held), last_session(found.survey, held)
                before = spans.get(identifier, (first, last))
                spans[identifier] = min(first, before[0]), max(last, before[1])
        group: list[str] = []
        for identifier in sorted(rows):
            if group and sum(rows[each] for each in (*group, identifier)) > MAX_BATCH_ROWS:
                yield from _by_time(group, rows, spans, start, end)
                group = []
            group.append(identifier)
        if group:
            yield from _by_time(group, rows, spans, start, end)

    def _bars(self, found: Found, part: _Slice) -> pl.DataFrame:
        """One part's bars of a slice."""
        from_label = datetime.combine(part.start, time()) - _MARGIN
        to_label = datetime.combine(part.end, time()) + _MARGIN
        near = pl.col("label").is_between(from_label, to_label, closed="left")
        asked = pl.col("freq").fill_null(self._freq) == self._freq
        try:
            kept = [
                rows.filter(near & asked) for rows in blocks_of(found.survey, found.symbols, part.instruments)
            ]
        except CorruptFile as error:
            raise CorruptFile(
                f"{error.problem} (it could be read when it was surveyed)",
                kept="bars of other files",
                hint="run again once the file is no longer being written",
            ) from error
        if not kept or (rows := pl.concat(kept)).is_empty():
            return pl.DataFrame(schema=COLUMNS)
        revision = digest(found.survey.part.path)
        bars = to_bars(rows, found.survey, freq=self._freq, source=SOURCE, source_rev=revision, now=self._now)
        return bars.filter(pl.col("session_date").is_between(part.start, part.end, closed="left"))


def open_files(
    config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
) -> FilesSource:
    """Recognise and survey what lies under ``config.path``; delivers the sessions in ``[start, end)`` only.

    Raises ``ConfigError`` without a path, ``UnrecognisedFile`` for a single file that no reader knows,
    ``DataError`` when nothing under the path can be used.
    """
    if config.path is None:
        raise ConfigError(
            "source kind = 'files' has no path",
            kept="nothing was opened",
            hint=f'path = "bars.csv.gz" under [[markets.{market}.{freq}.sources]]',
        )
    opened = open_path(config.path, market=market, freq=freq, now=now)
    if not opened.bars:
        raise _nothing_usable(opened, market, freq)
    return FilesSource(opened, market=market, freq=freq, start=start, end=end, now=now)


def _nothing_usable(opened: Opened, market: str, freq: str) -> DataError:
    why = [f"{each.subject}: {each.value} ({each.evidence})" for each in opened.left_out[:5]]
    counts = opened.rejects(datetime.min)["rule"].value_counts(sort=True).head(3).rows()
    why += [f"{count} rows {rule}" for rule, count in counts]
    return DataError(
        f"{opened.path}: no {freq} bars of {market} in {len(opened.files)} files; " + "; ".join(why),
        kept="nothing was written",
        hint="ask for the market and frequency that the files hold, or mend them",
    )


def _by_time(
    group: list[str], rows: dict[str, int], spans: dict[str, tuple[date, date]], start: date, end: date
) -> Iterator[_Slice]:
    """The group's sessions, in as many equal pieces as its rows need."""
    first = max(start, min(spans[each][0] for each in group))
    stop = min(end, max(spans[each][1] for each in group) + timedelta(days=1))
    if first >= stop:
        return
    pieces = max(1, -(-sum(rows[each] for each in group) // MAX_BATCH_ROWS))
    days = max(1, -(-(stop - first).days // pieces))
    while first < stop:
        until = min(first + timedelta(days=days), stop)
        yield _Slice(tuple(group), first, until)
        first = until


def _overlaps(found: Found, part: _Slice) -> bool:
    held = found.survey.held
    return any(
        each in held
        and first_session(found.survey, held[each]) < part.end
        and last_session(found.survey, held[each]) >= part.start
        for each in part.instruments
    )
