"""The ``files`` source: bars of one market and frequency from the files under a path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from nofx_pipelines.market.sources.files.file_index import NAME, FileIndex, IndexedPart, digest, open_path
from nofx_pipelines.market.sources.files.formats import format_versions, load_formats
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

    name = NAME

    def __init__(
        self,
        index: FileIndex,
        *,
        market: str,
        freq: str,
        start: date,
        end: date,
        now: datetime,
        format_versions: Sequence[str] = (),
    ) -> None:
        self._index = index
        self._format_versions = format_versions
        self._market, self._freq = market, freq
        self._start, self._end, self._now = start, end, now
        self._actions, bad_actions = read_actions(index.actions, market=market, source=NAME, now=now)
        self._rejects = pl.concat([index.rejects(now), bad_actions])

    def instruments(self) -> pl.DataFrame:
        """One row an instrument, columns of ``INSTRUMENTS``."""
        return instruments_of(self._index.bars)

    def corporate_actions(self) -> pl.DataFrame:
        """Actions of the files that hold some, columns of ``CORPORATE_ACTIONS``."""
        return self._actions

    def truth(self) -> dict[str, pl.DataFrame]:
        """Nothing is planted in files."""
        return {}

    def fingerprint(self) -> str:
        """SHA-256 over the files' names and bytes, the market and frequency asked, and the formats named.

        The span is left out: a session's bars do not depend on it, and an open feed's end moves daily.
        """
        asked = [self._market, self._freq, *self._format_versions]
        files = [part for file in self._index.files for part in (str(file), digest(file))]
        return text_hash([*asked, *files])

    def span(self) -> tuple[date, date]:
        """``[first session, last session + 1 day)`` of what the files hold."""
        each = [
            (part.survey, summary)
            for part in self._index.bars
            for summary in part.survey.instruments.values()
        ]
        last = max(last_session(*one) for one in each)
        return min(first_session(*one) for one in each), last + timedelta(days=1)

    def decisions(self) -> list[Decision]:
        """What was recognised in each file, and what was left out."""
        return decisions_of(self._index)

    def batches(self, start: date, end: date) -> Iterator[SourceBatch]:
        """Rejects, then bars of ``[start, end)`` by instrument and time, about ``MAX_BATCH_ROWS`` a batch."""
        if self._rejects.height:
            yield SourceBatch(pl.DataFrame(schema=COLUMNS), self._rejects)
        for piece in self._slices(max(start, self._start), min(end, self._end)):
            bars = [self._bars(part, piece) for part in self._index.bars if _overlaps(part, piece)]
            if bars and (whole := pl.concat(bars)).height:
                yield SourceBatch(whole.sort(_ORDER), rejects.empty())

    def _slices(self, start: date, end: date) -> Iterator[_Slice]:
        rows: dict[str, int] = {}
        spans: dict[str, tuple[date, date]] = {}
        for part in self._index.bars:
            for identifier, summary in part.survey.instruments.items():
                rows[identifier] = rows.get(identifier, 0) + summary.rows
                first, last = first_session(part.survey, summary), last_session(part.survey, summary)
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

    def _bars(self, part: IndexedPart, piece: _Slice) -> pl.DataFrame:
        """One part's bars of a slice."""
        from_label = datetime.combine(piece.start, time()) - _MARGIN
        to_label = datetime.combine(piece.end, time()) + _MARGIN
        near = pl.col("label").is_between(from_label, to_label, closed="left")
        asked = pl.col("freq").fill_null(self._freq) == self._freq
        try:
            blocks = [
                rows.filter(near & asked) for rows in blocks_of(part.survey, part.symbols, piece.instruments)
            ]
        except CorruptFile as error:
            raise CorruptFile(
                f"{error.problem} (it could be read when it was surveyed)",
                kept="bars of other files",
                hint="run again once the file is no longer being written",
            ) from error
        if not blocks or (rows := pl.concat(blocks)).is_empty():
            return pl.DataFrame(schema=COLUMNS)
        revision = digest(part.survey.part.path)
        bars = to_bars(rows, part.survey, freq=self._freq, source=NAME, source_rev=revision, now=self._now)
        return bars.filter(pl.col("session_date").is_between(piece.start, piece.end, closed="left"))


def open_files(
    config: SourceConfig, *, market: str, freq: str, start: date, end: date, now: datetime
) -> FilesSource:
    """Recognise and survey what lies under ``config.path``; delivers the sessions in ``[start, end)`` only.

    Raises ``ConfigError`` without a path, ``UnrecognisedFile`` for a single file that no reader knows,
    ``DataError`` when nothing under the path can be used, ``PluginError`` for one of ``config.formats``
    that does not load. Where one fails on a file, that file is left out with the reason.
    """
    if config.path is None:
        raise ConfigError(
            "source kind = 'files' has no path",
            kept="nothing was opened",
            hint=f'path = "bars.csv.gz" under [[markets.{market}.{freq}.sources]]',
        )
    formats = load_formats(config.formats, config.plugins)
    versions = format_versions(config.formats, config.plugins)
    index = open_path(config.path, market=market, freq=freq, now=now, formats=formats)
    if not index.bars:
        raise _nothing_usable(index, market, freq)
    return FilesSource(
        index, market=market, freq=freq, start=start, end=end, now=now, format_versions=versions
    )


def _nothing_usable(index: FileIndex, market: str, freq: str) -> DataError:
    broken = [each for each in index.left_out if each.value == "plugin error"]
    if broken:
        return DataError(
            f"{index.path}: no {freq} bars of {market}; of {len(broken)} files the first is "
            f"{broken[0].subject}: {broken[0].evidence}",
            kept="nothing was written",
            hint="mend the plug-in's file, then nofx run",
        )
    why = [f"{each.subject}: {each.value} ({each.evidence})" for each in index.left_out[:5]]
    counts = index.rejects(datetime.min)["rule"].value_counts(sort=True).head(3).rows()
    why += [f"{count} rows {rule}" for rule, count in counts]
    return DataError(
        f"{index.path}: no {freq} bars of {market} in {len(index.files)} files; " + "; ".join(why),
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


def _overlaps(part: IndexedPart, piece: _Slice) -> bool:
    instruments = part.survey.instruments
    return any(
        each in instruments
        and first_session(part.survey, instruments[each]) < piece.end
        and last_session(part.survey, instruments[each]) >= piece.start
        for each in piece.instruments
    )
