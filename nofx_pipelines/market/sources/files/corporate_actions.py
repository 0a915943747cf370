"""Corporate actions from hikyuu's counts per ten shares, or from our own columns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import polars as pl

from nofx_pipelines.errors import CorruptFile
from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS, UTC_US
from nofx_pipelines.market.checks import ACTION_KINDS
from nofx_pipelines.market.sources.files import rejects
from nofx_pipelines.market.sources.files.containers import Part
from nofx_pipelines.market.sources.files.labels import ZONES
from nofx_pipelines.market.sources.files.layout import ACTION_COUNTS, Layout
from nofx_pipelines.market.sources.files.raw import LINE, Head, read_blocks
from nofx_pipelines.market.sources.files.symbols import resolve
from nofx_pipelines.market.sources.files.times import wall_clock

_PER_SHARE = 10 * 10_000
"""hikyuu counts new shares per ten, times 10,000."""
_YUAN_PER_TEN = 10 * 1_000
_YUAN = 1_000
_CURRENCY = {"cn": "CNY", "hk": "HKD"}


def read_actions(
    files: Iterable[tuple[Part, Head, Layout]], *, market: str, source: str, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``(actions, rejects)``: columns of ``CORPORATE_ACTIONS``, the last row of a key wins.

    ``ratio`` is new shares a share (bonus, rights) or shares after a share before (split); ``cash`` is
    per share: the dividend, or the price of a right. Known, by assumption, when the ex date begins.
    """
    frames, refused = [], [rejects.empty()]
    for part, head, layout in files:
        try:
            blocks = list(read_blocks(part, head))
        except CorruptFile as error:
            refused.append(rejects.of_file(part.label, "corrupt_file", error.problem, source=source, now=now))
            continue
        for block in blocks:
            refused.append(rejects.of_lines(block.bad_lines, part.label, source=source, now=now))
            good, bad = _typed(block.frame, layout, market)
            refused.append(rejects.of_rows(bad, block.frame, part.label, source=source, now=now))
            frames.append(_from_counts(good) if layout.counts_per_ten else _own(good))
    empty = pl.DataFrame(schema=CORPORATE_ACTIONS.columns)
    actions = pl.concat([empty, *(_finished(frame, market, source) for frame in frames)])
    unique = actions.unique(list(CORPORATE_ACTIONS.key), keep="last", maintain_order=True)
    return unique.sort(CORPORATE_ACTIONS.key), pl.concat(refused)


def _typed(frame: pl.DataFrame, layout: Layout, market: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    texts = frame[layout.columns["symbol"]].cast(pl.String).unique().drop_nulls().to_list()
    listings = {text: listing for text in texts if (listing := resolve(text, market=market)) is not None}
    ids = {text: listing.instrument_id for text, listing in listings.items() if listing.market == market}
    symbol = pl.col(layout.columns["symbol"]).cast(pl.String)
    wall, _ = wall_clock(frame[layout.columns["label"]])
    numbers = [name for name in (*ACTION_COUNTS, "ratio", "cash") if name in layout.columns]
    others = [name for name in ("kind", "currency", "announced_on") if name in layout.columns]
    named = (
        symbol.replace_strict(ids, default=None, return_dtype=pl.String) if ids else pl.lit(None, pl.String)
    )
    typed = frame.select(
        LINE,
        named.alias("instrument_id"),
        wall.dt.date().alias("ex_date"),
        *(pl.col(layout.columns[name]).cast(pl.Float64, strict=False).alias(name) for name in numbers),
        *(pl.col(layout.columns[name]).alias(name) for name in others),
        symbol.alias("value"),
    )
    rule = (
        pl.when(pl.col("instrument_id").is_null())
        .then(pl.lit("bad_symbol"))
        .when(pl.col("ex_date").is_null())
        .then(pl.lit("bad_time"))
        .when(_unusable(layout, numbers))
        .then(pl.lit("bad_action"))
        .alias("rule")
    )
    judged = typed.with_columns(rule, reason=pl.lit("not a corporate action of this market"))
    bad = judged.filter(pl.col("rule").is_not_null()).select(LINE, "instrument_id", "rule", "reason", "value")
    return judged.filter(pl.col("rule").is_null()), bad


def _unusable(layout: Layout, numbers: list[str]) -> pl.Expr:
    if layout.counts_per_ten:
        return pl.any_horizontal(
            pl.col(name).is_null() | ~pl.col(name).is_between(0, 1e9) for name in numbers
        )
    absent = pl.all_horizontal(pl.col(name).is_null() for name in numbers)
    wild = pl.any_horizontal(~pl.col(name).is_finite().fill_null(value=True) for name in numbers)
    return (
        absent
        | wild
        | ~pl.col("kind").cast(pl.String, strict=False).is_in(ACTION_KINDS).fill_null(value=False)
    )


def _from_counts(rows: pl.DataFrame) -> pl.DataFrame:
    """One row of hikyuu holds up to three actions; rows of share counts only hold none."""
    nothing = pl.lit(None, dtype=pl.Float64)
    shares = (pl.col("countAsGift") + pl.col("countOfIncreasement")) / _PER_SHARE
    kinds = {
        "dividend": (nothing, pl.col("bonus") / _YUAN_PER_TEN, pl.col("bonus") > 0),
        "bonus": (shares, nothing, shares > 0),
        "rights": (
            pl.col("countForSell") / _PER_SHARE,
            pl.col("priceForSell") / _YUAN,
            pl.col("countForSell") > 0,
        ),
    }
    return pl.concat(
        rows.filter(holds).select(
            LINE,
            "instrument_id",
            "ex_date",
            pl.lit(kind).alias("kind"),
            ratio.alias("ratio"),
            cash.alias("cash"),
        )
        for kind, (ratio, cash, holds) in kinds.items()
    ).sort(LINE)


def _own(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("value", "rule", "reason")


def _finished(frame: pl.DataFrame, market: str, source: str) -> pl.DataFrame:
    begins = pl.col("ex_date").cast(pl.Datetime("us")).dt.replace_time_zone(ZONES[market])
    ex_date_begins = begins.dt.convert_time_zone("UTC").cast(UTC_US)
    absent = [
        pl.lit(None).cast(dtype).alias(name)
        for name, dtype in CORPORATE_ACTIONS.columns.items()
        if name not in frame.columns
    ]
    whole = frame.with_columns(absent).with_columns(
        pl.coalesce(pl.col("currency").cast(pl.String), pl.lit(_CURRENCY.get(market))).alias("currency"),
        pl.lit(source).alias("source"),
        ex_date_begins.alias("knowledge_time"),
    )
    if whole.schema["announced_on"] == pl.String:
        whole = whole.with_columns(pl.col("announced_on").str.to_date(strict=False))
    return whole.select(pl.col(name).cast(dtype) for name, dtype in CORPORATE_ACTIONS.columns.items())
