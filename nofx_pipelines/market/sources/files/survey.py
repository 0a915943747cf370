"""One pass over a part: what is in it, what cannot be used, and what its rows say about their meaning."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time

import polars as pl

from nofx_pipelines.market.sources.files import labels, rejects
from nofx_pipelines.market.sources.files.containers import Part
from nofx_pipelines.market.sources.files.instrument_summary import InstrumentSummary, summarise_instruments
from nofx_pipelines.market.sources.files.labels import Verdict
from nofx_pipelines.market.sources.files.layout import Labels, Layout
from nofx_pipelines.market.sources.files.parse import Symbols, named, parse
from nofx_pipelines.market.sources.files.raw import Head, RawBlock, read_blocks
from nofx_pipelines.market.venues import Listing

_EVIDENCE_ROWS = 4_000_000
"""Rows whose values are kept for the statistics; counts and spans are over all rows."""
MAX_REJECTS = 100_000
"""Rejects a part is listed with one by one; further ones are counted in one."""
_EVIDENCE_COLUMNS = ("instrument_id", "label", "label_close", "aware", "close", "volume", "amount")


@dataclass(frozen=True)
class Survey:
    """What one pass found in a part.

    ``freq`` is ``None`` when no row tells; ``rejected`` are rows of the quarantine table; ``other_freqs``
    counts rows that a ``freq`` column gives to another frequency; ``zoned``, where some rows name a zone
    and some do not, is what most do.
    """

    part: Part
    head: Head
    layout: Layout
    instruments: dict[str, InstrumentSummary]
    freq: str | None
    labels: Labels
    labels_evidence: str
    zone: Verdict
    price_basis: Verdict
    zoned: bool | None
    rejected: pl.DataFrame
    other_freqs: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows that can be used."""
        return sum(each.rows for each in self.instruments.values())

    @property
    def markets(self) -> list[str]:
        """The markets of its instruments."""
        return sorted({each.listing.market for each in self.instruments.values()})


@dataclass
class _Pass:
    """What accumulates over the blocks of one pass."""

    evidence: list[pl.DataFrame] = field(default_factory=list)
    spans: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[pl.DataFrame] = field(default_factory=list)
    other_freqs: dict[str, int] = field(default_factory=dict)
    size: int = 0
    named_freq: bool = False
    listed: int = 0
    unlisted: int = 0


def survey(
    part: Part,
    head: Head,
    layout: Layout,
    symbols: Symbols,
    *,
    freq: str | None,
    source: str,
    now: datetime,
) -> Survey:
    """Read the part once (twice where it mixes times with and without a zone).

    ``freq`` is the frequency asked for, taken where the rows cannot tell theirs.
    Raises ``CorruptFile`` when it cannot be read to its end.
    """
    tally = _read(part, head, layout, symbols, freq, source=source, now=now, zoned=None)
    aware = sum(int(span["aware"].sum()) for span in tally.spans)
    naive = sum(int(span["rows"].sum()) for span in tally.spans) - aware
    zoned = aware >= naive if aware and naive else None
    if zoned is not None:
        tally = _read(part, head, layout, symbols, freq, source=source, now=now, zoned=zoned)
    rejected = pl.concat([rejects.empty(), *tally.rejected])
    rows = pl.concat(tally.evidence) if tally.evidence else _nothing()
    return _conclude(part, head, layout, symbols, rows, tally, rejected, freq=freq, zoned=zoned)


def blocks_of(survey: Survey, symbols: Symbols, instruments: Collection[str]) -> Iterator[pl.DataFrame]:
    """The part's usable rows of ``instruments`` again, typed, block by block."""
    for block in read_blocks(survey.part, survey.head):
        asked = named(block.frame, survey.layout, symbols).is_in(instruments)
        if asked.any():
            rows = block.frame.filter(asked)
            yield parse(rows, survey.layout, symbols, zoned=survey.zoned)[0]


def _read(
    part: Part,
    head: Head,
    layout: Layout,
    symbols: Symbols,
    freq: str | None,
    *,
    source: str,
    now: datetime,
    zoned: bool | None,
) -> _Pass:
    tally = _Pass()
    for block in read_blocks(part, head):
        bad = None
        if block.frame.height:
            good, bad = parse(block.frame, layout, symbols, zoned=zoned)
            _gather(tally, _of_freq(tally, good, freq))
        _list_rejects(tally, block, bad, part.label, source=source, now=now)
    if tally.unlisted:
        reason = f"{tally.unlisted:,} further rows or lines cannot be used"
        tally.rejected.append(rejects.of_file(part.label, "many_rejects", reason, source=source, now=now))
    return tally


def _list_rejects(
    tally: _Pass, block: RawBlock, bad: pl.DataFrame | None, label: str, *, source: str, now: datetime
) -> None:
    """Rejects one by one until the part has ``MAX_REJECTS`` of them; counted from there on."""
    lines = block.bad_lines[: MAX_REJECTS - tally.listed]
    tally.rejected.append(rejects.of_lines(lines, label, source=source, now=now))
    tally.listed += len(lines)
    tally.unlisted += len(block.bad_lines) - len(lines)
    if bad is not None and bad.height:
        rows = bad.head(MAX_REJECTS - tally.listed)
        tally.rejected.append(rejects.of_rows(rows, block.frame, label, source=source, now=now))
        tally.listed += rows.height
        tally.unlisted += bad.height - rows.height


def _of_freq(tally: _Pass, rows: pl.DataFrame, freq: str | None) -> pl.DataFrame:
    """The rows that a ``freq`` column does not give to another frequency."""
    if freq is None or rows["freq"].null_count() == rows.height:
        return rows
    tally.named_freq = rows["freq"].null_count() == 0
    other = rows.filter(pl.col("freq") != freq)
    for name, count in other.group_by("freq").len().sort("freq").iter_rows():
        tally.other_freqs[name] = tally.other_freqs.get(name, 0) + count
    return rows.filter(pl.col("freq").fill_null(freq) == freq)


def _gather(tally: _Pass, rows: pl.DataFrame) -> None:
    if rows.is_empty():
        return
    tally.spans.append(
        rows.group_by("instrument_id").agg(
            pl.len().alias("rows"),
            pl.col("label").min().alias("first"),
            pl.col("label").max().alias("last"),
            pl.col("aware").sum().alias("aware"),
        )
    )
    if tally.size < _EVIDENCE_ROWS:
        tally.evidence.append(rows.select(_EVIDENCE_COLUMNS))
        tally.size += rows.height


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "instrument_id": pl.String,
            "label": pl.Datetime("us"),
            "label_close": pl.Datetime("us"),
            "aware": pl.Boolean,
            "close": pl.Float64,
            "volume": pl.Float64,
            "amount": pl.Float64,
        }
    )


def _conclude(
    part: Part,
    head: Head,
    layout: Layout,
    symbols: Symbols,
    rows: pl.DataFrame,
    tally: _Pass,
    rejected: pl.DataFrame,
    *,
    freq: str | None,
    zoned: bool | None,
) -> Survey:
    listings = symbols.listings()
    actual_freq = _freq(rows, tally, freq) or freq
    market = _market(rows, listings) or symbols.market or "crypto"
    zone = _zone(rows, market, layout)
    if rows.is_empty() or actual_freq is None:
        which, evidence = layout.labels or layout.labels_default, "no rows"
    else:
        local = _local(rows, zone.value, market)
        which, evidence = labels.infer_labels(local, market=market, freq=actual_freq, layout=layout)
    instruments = summarise_instruments(rows, tally.spans, listings, layout, actual_freq)
    return Survey(
        part,
        head,
        layout,
        instruments,
        actual_freq,
        which,
        evidence,
        zone,
        _basis(rows, layout, instruments),
        zoned,
        rejected,
        tally.other_freqs,
    )


def _freq(rows: pl.DataFrame, tally: _Pass, asked: str | None) -> str | None:
    """By a ``freq`` column, else by the bars' length where both ends are known, else by the gaps."""
    if asked is not None and tally.named_freq and rows.height:
        return asked
    lengths = (rows["label_close"] - rows["label"]).drop_nulls().dt.total_seconds(fractional=True).round(0)
    if lengths.len():
        usual = lengths.mode().min()
        for name, duration in labels.DURATIONS.items():
            if usual == duration.total_seconds():
                return name
    return labels.infer_freq(rows, asked)


def _market(rows: pl.DataFrame, listings: dict[str, Listing]) -> str | None:
    counts = rows.group_by("instrument_id").len().sort("len", "instrument_id", descending=[True, False])
    return listings[counts["instrument_id"][0]].market if counts.height else None


def _zone(rows: pl.DataFrame, market: str, layout: Layout) -> Verdict:
    naive = rows.filter(~pl.col("aware"))
    if naive.is_empty() and rows.height:
        return Verdict("UTC", "every row names its offset or is an epoch")
    times: dict[time, int] = dict(naive.group_by(pl.col("label").dt.time().alias("at")).len().iter_rows())
    return labels.infer_zone(times, market, layout)


def _local(rows: pl.DataFrame, zone: str, market: str) -> pl.DataFrame:
    stamps = pl.col("label").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return rows.with_columns(stamps.dt.convert_time_zone(labels.ZONES[market]).dt.replace_time_zone(None))


def _basis(rows: pl.DataFrame, layout: Layout, instruments: dict[str, InstrumentSummary]) -> Verdict:
    if "price_basis" in layout.columns:
        return Verdict("as each row says", f"column {layout.columns['price_basis']}")
    if layout.basis_from_ticks and instruments:
        on_tick = all(each.tick >= 0.01 for each in instruments.values())
        if on_tick:
            return Verdict("unadjusted", "every price lies on the tick of 0.01")
        return Verdict("forward", "prices lie off the tick of 0.01: adjusted after the fact")
    return Verdict(
        layout.price_basis, "the format says" if layout.units_documented else "the file does not say"
    )
